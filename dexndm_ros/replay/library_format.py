# SPDX-License-Identifier: Apache-2.0
"""The library file's columns and header, and the writer of such files; see ``library`` for the layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.policy.wrist import WRISTS, AxisError, check_axis
from dexndm_ros.replay.trajectory import (
    CLEAN_STEP_LIMIT_RAD,
    MAX_ID,
    RATE_HZ,
    STEPS,
    LibraryError,
    Trajectory,
    check_targets,
)

__all__ = [
    "FORMAT",
    "LABELS",
    "Header",
    "LibraryWriter",
    "check_columns",
    "read_header",
    "write_library",
]

FORMAT = 1
"""Version of the file's layout."""
METADATA_KEY = b"dexndm.trajectories"
LABELS = ("id", "wrist", "object_set", "source")
_ROWS_A_GROUP = 16  # 0.4 MB: what reading one trajectory costs at most
_FLOATS = (pa.float32(), pa.float64())


@dataclass(frozen=True)
class Header:
    """What a library says of itself.

    Attributes:
        joint_names: in the order of the file's targets.
        provenance: where its trajectories come from, as its maker wrote it.
    """

    joint_names: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def to_motor_order(self) -> NDArray[np.intp]:
        """Gather index from the file's joint order to motor order, (16,)."""
        return np.array([self.joint_names.index(name) for name in JOINT_NAMES], dtype=np.intp)


def read_header(schema: pa.Schema, path: Path) -> Header:
    """The header of a file.

    Raises:
        LibraryError: none, or one of another format, unit, rate, length or set of joints.
    """
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise LibraryError(
            f"{path} is a Parquet file but no trajectory library: its schema has no metadata "
            f"{METADATA_KEY.decode()!r}; `dexndm library build` makes libraries"
        )
    try:
        data = json.loads(text)
        names = tuple(data["joint_names"])
        provenance = dict(data.get("provenance", {}))
        found = {key: data[key] for key in ("format", "unit", "rate_hz", "steps")}
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(f"{path}: its header cannot be read: {error!r}") from error
    wanted = {"format": FORMAT, "unit": "rad", "rate_hz": RATE_HZ, "steps": STEPS}
    for key, value in wanted.items():
        if found[key] != value:
            raise LibraryError(f"{path}: {key} is {found[key]!r}, this version replays {value!r}")
    if sorted(map(str, names)) != sorted(JOINT_NAMES):
        missing = [name for name in JOINT_NAMES if name not in names]
        other = [str(name) for name in names if name not in JOINT_NAMES]
        raise LibraryError(
            f"{path} is of other joints: it has {len(names)}, without {', '.join(missing) or 'none'} "
            f"of this hand's and with {', '.join(other) or 'none'} of another"
        )
    return Header(names, provenance)


def check_columns(schema: pa.Schema, path: Path) -> None:
    """Refuse a file whose columns are not those of a library, or of other types.

    Raises:
        LibraryError: naming the column and the types allowed.
    """

    def lists_of_floats(kind: pa.DataType) -> bool:
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return any(known(kind) for known in lists) and kind.value_type in _FLOATS

    def texts(kind: pa.DataType) -> bool:
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    columns = {
        "id": (pa.types.is_integer, "integers"),
        "wrist": (texts, "strings"),
        "object_set": (texts, "strings"),
        "source": (texts, "strings"),
        "axis": (lists_of_floats, "lists of floats"),
        "targets": (lists_of_floats, "lists of floats"),
    }
    for name, (fits, wanted) in columns.items():
        if schema.get_field_index(name) < 0:
            raise LibraryError(f"{path}: column {name!r} is missing (or there are two)")
        kind = schema.field(name).type
        if not fits(kind):
            raise LibraryError(f"{path}: column {name!r} holds {kind}, it must hold {wanted}")


class LibraryWriter:
    """Writes a library row by row; the file appears under its name when the writer closes without an error.

    Used as a context manager. What is added is checked as ``TrajectoryLibrary.check`` would.

    Args:
        path: file to write; one of that name is replaced.
        provenance: goes into the header; values that JSON can hold.
        step_limit_rad: most that a joint may move in a step.
    """

    def __init__(
        self,
        path: str | Path,
        provenance: Mapping[str, Any] | None = None,
        step_limit_rad: float = CLEAN_STEP_LIMIT_RAD,
    ) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(self.path.name + ".part")
        self._step_limit_rad = step_limit_rad
        self._rows: list[Trajectory] = []
        self._ids: set[int] = set()
        header = {
            "format": FORMAT,
            "joint_names": list(JOINT_NAMES),
            "unit": "rad",
            "rate_hz": RATE_HZ,
            "steps": STEPS,
            "provenance": dict(provenance or {}),
        }
        self._schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                pa.field("wrist", pa.string(), nullable=False),
                pa.field("axis", pa.list_(pa.float64(), 3), nullable=False),
                pa.field("object_set", pa.string(), nullable=False),
                pa.field("source", pa.string(), nullable=False),
                pa.field("targets", pa.list_(pa.float32(), STEPS * JOINT_COUNT), nullable=False),
            ],
            {METADATA_KEY: json.dumps(header).encode()},
        )

    def __enter__(self) -> LibraryWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            self._part,
            self._schema,
            compression="zstd",
            compression_level=19,
            # Neighbouring targets share their high bytes; split into streams these shrink to nothing.
            use_dictionary=["wrist", "object_set", "source"],
            use_byte_stream_split=["targets.list.element"],
            write_page_checksum=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
            self._writer.close()
            if kind is None:
                with self._part.open("rb") as file:
                    os.fsync(file.fileno())
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)

    def add(self, trajectory: Trajectory) -> None:
        """Append a trajectory.

        Raises:
            LibraryError: it must not be replayed, or its id is taken.
        """
        where = f"{self.path}: row {len(self._ids)} (id {trajectory.id})"
        if not 0 <= trajectory.id <= MAX_ID or trajectory.id in self._ids:
            raise LibraryError(f"{where}: the id is taken, or not from 0 to {MAX_ID}")
        if trajectory.wrist not in WRISTS:
            raise LibraryError(
                f"{where}: wrist {trajectory.wrist!r} is none of {', '.join(WRISTS)}"
            )
        try:
            check_axis(trajectory.axis)
        except AxisError as error:
            raise LibraryError(f"{where}: {error}") from error
        stored = np.asarray(trajectory.targets_rad, dtype=np.float32)
        check_targets(stored[None], [where], self._step_limit_rad)
        self._ids.add(trajectory.id)
        self._rows.append(trajectory)
        if len(self._rows) == _ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        targets = np.stack([row.targets_rad for row in rows]).astype(np.float32)
        axes = np.array([row.axis for row in rows], dtype=np.float64)
        columns = [
            pa.array([row.id for row in rows], pa.int64()),
            pa.array([row.wrist for row in rows], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(axes.ravel()), 3),
            pa.array([row.object_set for row in rows], pa.string()),
            pa.array([row.source for row in rows], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(targets.ravel()), STEPS * JOINT_COUNT),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))


def write_library(
    path: str | Path,
    trajectories: Iterable[Trajectory],
    provenance: Mapping[str, Any] | None = None,
    step_limit_rad: float = CLEAN_STEP_LIMIT_RAD,
) -> None:
    """Write a library file in one go; see ``LibraryWriter``.

    Raises:
        LibraryError: a trajectory that must not be replayed; no file is left then.
    """
    with LibraryWriter(path, provenance, step_limit_rad) as writer:
        for trajectory in trajectories:
            writer.add(trajectory)
