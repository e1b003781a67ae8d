# SPDX-License-Identifier: Apache-2.0
"""Names and small files of the LeRobot v3.0 layout: ``meta/info.json``, ``meta/tasks.parquet``, ``meta/stats.json``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.features import FEATURES, OWN_FEATURES, Feature
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.stats import STAT_NAMES, Stats, json_stats, merge_stats

__all__ = [
    "FILES_A_CHUNK",
    "data_path",
    "dataset_stats",
    "episodes_path",
    "place",
    "write_info",
    "write_json",
    "write_stats",
    "write_tasks",
]

CODEBASE_VERSION = "v3.0"
FILES_A_CHUNK = 1000
_OPEN_FILES = 16
"""Most files of meta/episodes that are open at a time: what an open one says of itself takes 3 MB of memory."""
_DATA_MB = 100
_VIDEO_MB = 200
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def place(number: int) -> tuple[int, int]:
    """Index of the folder, and of the file in it, of the dataset's data file of this number."""
    return divmod(number, FILES_A_CHUNK)


def data_path(number: int) -> str:
    """Of a data file, in the dataset's folder."""
    chunk, file = place(number)
    return _DATA.format(chunk_index=chunk, file_index=file)


def episodes_path(number: int) -> str:
    """Of the file of ``meta/episodes`` for the data file of this number, in the dataset's folder."""
    chunk, file = place(number)
    return _EPISODES.format(chunk_index=chunk, file_index=file)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as LeRobot does.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    with new_file(path) as file:
        file.write((json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode())


def write_info(
    folder: Path,
    episodes: int,
    rows: int,
    tasks: int,
    rate_hz: int,
    features: tuple[Feature, ...] = FEATURES,
) -> None:
    """Write ``meta/info.json``.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    told: dict[str, Any] = {}
    for each in features:
        told[each.name] = {
            "dtype": each.dtype,
            "shape": [each.width or 1],
            "names": list(each.names) if each.width else None,
        }
    for name, dtype in OWN_FEATURES.items():
        told[name] = {"dtype": dtype, "shape": [1], "names": None}
    info = {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": "leap_hand" if features == FEATURES else "fr3_leap_hand",
        "total_episodes": episodes,
        "total_frames": rows,
        "total_tasks": tasks,
        "chunks_size": FILES_A_CHUNK,
        "data_files_size_in_mb": _DATA_MB,
        "video_files_size_in_mb": _VIDEO_MB,
        "fps": rate_hz,
        "splits": {"train": f"0:{episodes}"},
        "data_path": _DATA,
        "video_path": None,
        "features": told,
    }
    write_json(folder / "meta/info.json", info)


def write_tasks(folder: Path, tasks: Sequence[str]) -> None:
    """Write ``meta/tasks.parquet``: a pandas table with the task as its index, as LeRobot reads it.

    Raises:
        DatasetWriteError: the disk refuses.
    """

    def column(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    # What pandas itself writes there: pandas is not needed to say that a column is the index.
    described = {
        "index_columns": ["task"],
        "column_indexes": [
            column("", "unicode", "object")
            | {"name": None, "field_name": None, "metadata": {"encoding": "UTF-8"}}
        ],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.3.0",
    }
    table = pa.table(
        {
            "task_index": pa.array(range(len(tasks)), pa.int64()),
            "task": pa.array(tasks, pa.string()),
        }
    ).replace_schema_metadata({b"pandas": json.dumps(described).encode()})
    with new_file(folder / "meta/tasks.parquet") as file:
        pq.write_table(table, file, write_page_checksum=True)


def dataset_stats(
    files: Sequence[Path], features: tuple[Feature, ...] = FEATURES
) -> dict[str, Stats]:
    """Statistics over all episodes, column by column, so that little is in memory at a time.

    Args:
        files: of ``meta/episodes``.
        features: the columns, without LeRobot's own.
    """
    names = [each.name for each in features] + list(OWN_FEATURES)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_open(path)) for path in files[:_OPEN_FILES]]
        return {name: merge_stats(_of_files(opened, files, name)) for name in names}


def _of_files(
    opened: Sequence[pq.ParquetFile], files: Sequence[Path], feature: str
) -> Iterator[Mapping[str, NDArray[np.float64]]]:
    yield from (_of_column(file, feature) for file in opened)
    for path in files[len(opened) :]:
        with _open(path) as file:
            yield _of_column(file, feature)


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, memory_map=True)


def _of_column(file: pq.ParquetFile, feature: str) -> Mapping[str, NDArray[np.float64]]:
    columns = [f"stats/{feature}/{name}" for name in STAT_NAMES]
    table = file.read(columns=[f"{name}.list.element" for name in columns])
    found = {}
    for name, column in zip(STAT_NAMES, columns, strict=True):
        flat = table.column(column).combine_chunks().flatten()
        values = np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float64)
        found[name] = values.reshape(table.num_rows, -1)
    return found


def write_stats(folder: Path, stats: Mapping[str, Stats]) -> None:
    """Write ``meta/stats.json``.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    write_json(folder / "meta/stats.json", json_stats(stats))
