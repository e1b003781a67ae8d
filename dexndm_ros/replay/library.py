# SPDX-License-Identifier: Apache-2.0
"""The trajectory library: one Parquet file, a row a trajectory, read by row groups.

Columns: ``id`` int64, ``wrist`` string, ``axis`` 3 x float64, ``object_set`` string, ``source`` string,
``targets`` 400 x 16 x float32 (step by step, radians). The schema's metadata holds, under
``dexndm.trajectories``, JSON of the format's version, the joints' names in the order of the columns of
``targets``, unit, rate, steps, and where the trajectories come from. ``LibraryWriter`` writes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.paths import library_path
from dexndm_ros.policy.wrist import WRISTS, AxisError, check_axis
from dexndm_ros.replay.library_format import LABELS, check_columns, read_header
from dexndm_ros.replay.noise import NoiseConfig, clean_step_limit_rad
from dexndm_ros.replay.trajectory import (
    CLEAN_STEP_LIMIT_RAD,
    MAX_ID,
    RATE_HZ,
    STEPS,
    LibraryError,
    Trajectory,
    TrajectorySource,
    check_targets,
    known_wrists,
)
from dexndm_ros.replay.waves import BaseWaves

__all__ = [
    "RATE_HZ",
    "STEPS",
    "LibraryError",
    "Trajectory",
    "TrajectoryLibrary",
    "TrajectorySource",
    "open_source",
]

_ROW_SIZE = STEPS * JOINT_COUNT


class TrajectoryLibrary:
    """Random access to the trajectories of a file; a ``TrajectorySource``.

    Opening reads the labels of all rows and the file's fingerprint, not the targets; ``check`` reads them
    all (4,000 rows in about half a second). To be used by one thread.

    Args:
        path: the Parquet file.

    Attributes:
        path: the file.
        sha256: fingerprint of the file's bytes.
        header: what the metadata say; see ``library_format.Header``.

    Raises:
        LibraryError: no library file, or one of other joints, unit, rate or length.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self._file = pq.ParquetFile(self.path, page_checksum_verification=True)
        except OSError as error:
            raise LibraryError(f"{path}: {error.strerror or error}") from error
        except pa.ArrowException as error:
            raise LibraryError(f"{path} is no readable Parquet file: {error}") from error
        self.header = read_header(self._file.schema_arrow, self.path)
        check_columns(self._file.schema_arrow, self.path)
        labels = self._read(None, list(LABELS))
        self._ids: NDArray[np.int64] = self._no_nulls(labels, "id").to_numpy()
        self._wrists = np.array(self._no_nulls(labels, "wrist").to_pylist(), dtype=object)
        self._row_of = {int(name): row for row, name in enumerate(self._ids)}
        counts = [
            self._file.metadata.row_group(k).num_rows for k in range(self._file.num_row_groups)
        ]
        self._group_starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    @classmethod
    def open(cls, path: str | Path) -> TrajectoryLibrary:
        """Open a file, or a shipped library by its name; see the class for what is refused."""
        return cls(Path(library_path(path)))

    def __len__(self) -> int:
        return len(self._ids)

    def __enter__(self) -> TrajectoryLibrary:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def wrists(self) -> tuple[str, ...]:
        """Wrist orientations that the file has trajectories for."""
        return known_wrists(set(self._wrists.tolist()))

    def ids(self, wrist: str) -> NDArray[np.int64]:
        """Ids of the trajectories for a wrist, ascending.

        Raises:
            LibraryError: there are none; the message lists the wrists that there are.
        """
        ids = np.sort(self._ids[self._wrists == wrist])
        if not len(ids):
            raise LibraryError(
                f"{self.path} has no trajectories for wrist {wrist!r}; it has them for "
                f"{', '.join(self.wrists) or 'none'}"
            )
        return ids

    def trajectory(self, trajectory_id: int) -> Trajectory:
        """One trajectory.

        Raises:
            LibraryError: no such id, or damaged bytes.
        """
        row = self._row_of.get(int(trajectory_id))
        if row is None:
            raise LibraryError(f"{self.path} has no trajectory {trajectory_id}")
        group = int(np.searchsorted(self._group_starts, row, side="right")) - 1
        rows = self._read(group, None).slice(row - int(self._group_starts[group]), 1)
        return next(self._rows(rows, row))

    def __iter__(self) -> Iterator[Trajectory]:
        """All trajectories in the file's order, a row group in memory at a time."""
        for group in range(self._file.num_row_groups):
            yield from self._rows(self._read(group, None), int(self._group_starts[group]))

    def check(self, step_limit_rad: float = CLEAN_STEP_LIMIT_RAD) -> None:
        """Read every row and refuse the first that must not be replayed.

        Looked at: length, finite numbers, joint limits, step size, axis, a known wrist, unique ids. The joint
        order was settled by name when the file was opened.

        Args:
            step_limit_rad: most that a joint may move in a step; ``noise.clean_step_limit_rad`` gives it for
                the noise of a campaign.

        Raises:
            LibraryError: naming the file, the row, its id and the joint.
        """
        if not len(self):
            raise LibraryError(f"{self.path} holds no trajectories")
        self._check_labels()
        for group in range(self._file.num_row_groups):
            first = int(self._group_starts[group])
            targets = self._targets(self._read(group, ["targets"]), first)
            check_targets(targets, self._names(first, len(targets)), step_limit_rad)

    def _check_labels(self) -> None:
        seen: dict[int, int] = {}
        axes = self._read(None, ["axis"]).column("axis").to_pylist()
        for row, (name, wrist, axis) in enumerate(zip(self._ids, self._wrists, axes, strict=True)):
            where = self._names(row, 1)[0]
            if not 0 <= name <= MAX_ID:
                raise LibraryError(f"{where}: the id must be from 0 to {MAX_ID}")
            if int(name) in seen:
                raise LibraryError(
                    f"{where}: row {seen[int(name)]} has the same id; ids must be unique"
                )
            seen[int(name)] = row
            if wrist not in WRISTS:
                raise LibraryError(f"{where}: wrist {wrist!r} is none of {', '.join(WRISTS)}")
            try:
                check_axis(axis)
            except (AxisError, TypeError, ValueError) as error:
                raise LibraryError(f"{where}: axis {axis}: {error}") from error

    # --- reading ----------------------------------------------------------------------------

    def _read(self, group: int | None, columns: list[str] | None) -> pa.Table:
        """A row group, or (None) the whole file, with damage told as ours."""
        try:
            if group is None:
                return self._file.read(columns=columns)
            return self._file.read_row_group(group, columns=columns)
        except (OSError, pa.ArrowException) as error:
            where = "" if group is None else f", row group {group}"
            raise LibraryError(f"{self.path}{where}: damaged: {error}") from error

    def _no_nulls(self, table: pa.Table, column: str) -> pa.ChunkedArray:
        values = table.column(column)
        if values.null_count:
            row = values.is_null().to_pylist().index(True)
            raise LibraryError(f"{self.path}: row {row}: {column} is missing")
        return values

    def _names(self, first: int, count: int) -> list[str]:
        return [f"{self.path}: row {r} (id {self._ids[r]})" for r in range(first, first + count)]

    def _targets(self, table: pa.Table, first: int) -> NDArray[np.floating]:
        """Targets of rows of one row group, (n, 400, 16), motor order.

        Raises:
            LibraryError: a row without targets, or with more or fewer than 400 x 16 numbers.
        """
        lists = table.column("targets").combine_chunks()
        for row, size in enumerate(pc.list_value_length(lists).to_pylist()):
            if size != _ROW_SIZE:
                got = "no targets" if size is None else f"{size} numbers"
                raise LibraryError(
                    f"{self._names(first + row, 1)[0]}: {got}, a trajectory has "
                    f"{STEPS} x {JOINT_COUNT} = {_ROW_SIZE}"
                )
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        values: NDArray[Any] = flat.reshape(len(lists), STEPS, JOINT_COUNT)
        return values[:, :, self.header.to_motor_order]

    def _rows(self, table: pa.Table, first: int) -> Iterator[Trajectory]:
        targets = self._targets(table, first).astype(np.float64)
        labels = table.select([*LABELS, "axis"]).to_pylist()
        for label, values in zip(labels, targets, strict=True):
            yield Trajectory(
                id=label["id"],
                wrist=label["wrist"],
                axis=tuple(label["axis"]),
                object_set=label["object_set"],
                source=label["source"],
                targets_rad=values,
            )


def open_source(
    text: str, seed: int = 0, noise: NoiseConfig | None = None, check: bool = True
) -> TrajectorySource:
    """The trajectories that a campaign names.

    Args:
        text: path of a library file, a shipped library's name (``cylinder_z``), or base waves
            (``waves`` or ``waves:sine:2000,square:1000,noise:1000``).
        seed: of base waves; a file has none.
        noise: what the campaign adds to the targets: clean steps must leave room for it.
        check: read and check every row of a file.

    Raises:
        LibraryError: trajectories that must not be replayed, or a text that says nothing.
        PathError: no such file; the message lists the libraries that ship.
    """
    step_limit_rad = clean_step_limit_rad(noise or NoiseConfig())
    if text.split(":")[0] == "waves":
        return BaseWaves.parse(text, seed, step_limit_rad)
    library = TrajectoryLibrary.open(text)
    if check:
        library.check(step_limit_rad)
    return library
