# SPDX-License-Identifier: Apache-2.0
"""The files ``data/chunk-000/file-000.parquet``: rows of many episodes, in the layout that the loader maps.

``observation.state`` and ``action`` are not compressed and are one plain page in each row group, no number missing:
the values are then the last rows * 16 * 4 bytes of the column's chunk, and windows of them can be taken straight from
the mapped file (``windows``). All other columns are split by bytes or kept as differences, and compressed.

What is written depends on the episodes only: no time, no name of a machine, no chance.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.arrays import row_schema, to_arrow
from dexndm_ros.datasets.demonstration_features import features_of
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.episode_table import EpisodeRow, write_rows
from dexndm_ros.datasets.features import OWN_FEATURES, Feature
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.stats import episode_stats
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = [
    "EPISODES_A_FILE",
    "EPISODES_A_GROUP",
    "MAPPED",
    "ROWS_A_FILE",
    "DataFileSummary",
    "data_schema",
    "rows_path",
    "write_data_file",
]

EPISODES_A_GROUP = 64
ROWS_A_GROUP = 32_768
"""A row group ends after so many episodes, or before more rows; an episode is never split."""
EPISODES_A_FILE = 512
ROWS_A_FILE = 204_800
"""As a row group; some 100 MB, which is what LeRobot's tools expect."""
MAPPED = ("observation.state", "action")
"""Columns that the loader maps."""
_COUNTED = ("observation.velocity", "observation.current", "observation.temperature")
"""The motors count these in steps: few values, which compress better whole than split by bytes."""
_PAGE = 2**30
_UNITS = b"dexndm.columns"


@dataclass(frozen=True)
class DataFileSummary:
    """A data file that was written.

    Attributes:
        first_episode: index of its first episode in the dataset.
        first_row: index of its first row in the dataset.
        episodes: in it.
        rows: in it.
        bytes: its size.
        sha256: of it.
        row_groups: rows of each.
    """

    first_episode: int
    first_row: int
    episodes: int
    rows: int
    bytes: int
    sha256: str
    row_groups: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def data_schema(features: tuple[Feature, ...]) -> pa.Schema:
    """Of a data file: these columns, then LeRobot's five."""
    schema = row_schema(features)
    for name, dtype in OWN_FEATURES.items():
        kind = pa.from_numpy_dtype(np.dtype(dtype))
        schema = schema.append(pa.field(name, kind, nullable=False))
    units = {each.name: each.unit for each in features}
    text = json.dumps({"joints": JOINT_NAMES, "units": units}, sort_keys=True)
    return schema.with_metadata({_UNITS: text.encode()})


def rows_path(path: Path) -> Path:
    """Where the rows for ``meta/episodes`` of a data file are, until the dataset is written."""
    return path.with_suffix(".episodes.arrow")


def write_data_file(
    path: Path,
    episodes: Iterable[Episode],
    first_episode: int,
    first_row: int,
    tasks: Mapping[str, int],
    rate_hz: int = 20,
) -> DataFileSummary:
    """Write a data file, and beside it what ``meta/episodes`` will say of its episodes (see :func:`rows_path`).

    Args:
        path: where; all of it is there, or nothing.
        episodes: in their order, each with rows and the same columns; one row group of them is in memory at a time.
        first_episode: index of the first one in the dataset.
        first_row: index of its first row in the dataset.
        tasks: index of each task.
        rate_hz: ticks a second, for ``timestamp``.

    Raises:
        DatasetWriteError: the disk refuses.
        DatasetError: facts that cannot be kept.
    """
    kept: list[EpisodeRow] = []
    groups: list[int] = []
    row = first_row
    episodes = iter(episodes)
    first = list(itertools.islice(episodes, 1))
    features = features_of(name for each in first for name in each.columns)
    schema, layout = data_schema(features), _layout(features)
    with new_file(path) as plain:
        file = _HashedFile(plain)
        with pq.ParquetWriter(pa.PythonFile(file, "w"), schema, **layout) as writer:
            waiting: list[tuple[Episode, Mapping[str, NDArray[np.generic]]]] = []
            for number, episode in enumerate(itertools.chain(first, episodes), first_episode):
                if _full(waiting, len(episode)):
                    groups.append(_write_group(writer, features, waiting))
                    waiting = []
                own = _own(len(episode), number, row, tasks[episode.task], rate_hz)
                stats = episode_stats(episode.columns, own)
                # Without its columns: they are a mapped part file, and would keep it in memory.
                told = replace(episode, columns={})
                kept.append(EpisodeRow(told, number, row, len(episode), stats))
                waiting.append((episode, own))
                row += len(episode)
            if waiting:
                groups.append(_write_group(writer, features, waiting))
        write_rows(rows_path(path), kept)
    return DataFileSummary(
        first_episode=first_episode,
        first_row=first_row,
        episodes=len(kept),
        rows=row - first_row,
        bytes=file.size,
        sha256=file.hash.hexdigest(),
        row_groups=tuple(groups),
    )


class _HashedFile:
    """A file that is written from its beginning to its end, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.hash.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True  # the file itself is closed by who opened it

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _full(waiting: list[tuple[Episode, Mapping[str, NDArray[np.generic]]]], rows: int) -> bool:
    so_far = sum(len(episode) for episode, _ in waiting)
    return bool(waiting) and (len(waiting) == EPISODES_A_GROUP or so_far + rows > ROWS_A_GROUP)


def _own(
    rows: int, episode: int, first_row: int, task: int, rate_hz: int
) -> dict[str, NDArray[np.generic]]:
    """LeRobot's own columns of an episode."""
    frames = np.arange(rows, dtype=np.int64)
    return {
        "timestamp": (frames / rate_hz).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(rows, episode, dtype=np.int64),
        "index": first_row + frames,
        "task_index": np.full(rows, task, dtype=np.int64),
    }


def _write_group(
    writer: pq.ParquetWriter,
    features: tuple[Feature, ...],
    waiting: list[tuple[Episode, Mapping[str, NDArray[np.generic]]]],
) -> int:
    """One row group; returns its rows."""
    arrays = [
        to_arrow(each, np.concatenate([episode.columns[each.name] for episode, _ in waiting]))
        for each in features
    ]
    arrays += [pa.array(np.concatenate([own[name] for _, own in waiting])) for name in OWN_FEATURES]
    table = pa.Table.from_arrays(arrays, schema=data_schema(features))
    writer.write_table(table, row_group_size=table.num_rows)
    return int(table.num_rows)


def _layout(features: tuple[Feature, ...]) -> dict[str, Any]:
    """How each column is written."""
    encoding, compression = {}, {}
    numbers = {each.name: (each.dtype, each.width) for each in features}
    numbers |= {name: (dtype, 0) for name, dtype in OWN_FEATURES.items()}
    for name, (dtype, width) in numbers.items():
        leaf = f"{name}.list.element" if width else name
        compression[leaf] = "NONE" if name in MAPPED else "ZSTD"
        if name in (*MAPPED, *_COUNTED) or dtype == "bool":
            encoding[leaf] = "PLAIN"
        elif dtype.startswith("float"):
            encoding[leaf] = "BYTE_STREAM_SPLIT"
        else:
            encoding[leaf] = "DELTA_BINARY_PACKED"
    return {
        "compression": compression,
        # Higher levels take twice the time and, on these columns, gain nothing.
        "compression_level": {leaf: 1 for leaf, kind in compression.items() if kind == "ZSTD"},
        "use_dictionary": False,
        "column_encoding": encoding,
        "write_statistics": [name for name, (_, width) in numbers.items() if not width],
        "data_page_size": _PAGE,
        "max_rows_per_page": 2**31 - 1,
        "write_page_checksum": True,
    }
