# SPDX-License-Identifier: Apache-2.0
"""The files ``meta/episodes/chunk-000/file-000.parquet``: one row an episode, one file for each data file.

A data file's rows wait in an Arrow file beside it until the dataset is written: only then is it known which facts
all episodes have and of which type, and every file must have the same columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.part import plain
from dexndm_ros.datasets.stats import EpisodeStats, stats_table

__all__ = [
    "EpisodeRow",
    "FactTypes",
    "fact_types",
    "finish_rows",
    "retype",
    "types_of_file",
    "unite",
    "write_rows",
]

_OURS = ("identity", "verdict", "findings")
_LEROBOT = (
    "episode_index",
    "tasks",
    "length",
    "data/chunk_index",
    "data/file_index",
    "dataset_from_index",
    "dataset_to_index",
    "meta/episodes/chunk_index",
    "meta/episodes/file_index",
)
_FACTS = "facts"

FactTypes = dict[str, pa.DataType]
"""Names and types of facts, in the order of their columns."""


@dataclass(frozen=True)
class EpisodeRow:
    """An episode as a data file has it.

    Attributes:
        episode: its identity, task, facts, findings.
        index: in the dataset.
        first_row: in the dataset.
        rows: of it.
        stats: of every column.
    """

    episode: Episode
    index: int
    first_row: int
    rows: int
    stats: EpisodeStats


def write_rows(path: Path, rows: Sequence[EpisodeRow]) -> None:
    """Keep the rows of a data file.

    Raises:
        DatasetError: a fact has the name of a column of LeRobot's or ours.
        DatasetWriteError: the disk refuses.
    """
    for row in rows:
        taken = [name for name in row.episode.facts if name in (*_OURS, *_LEROBOT) or "/" in name]
        if taken:
            raise DatasetError(
                f"{row.episode.identity}: a fact may not be named {', '.join(taken)}; meta/episodes has such columns"
            )
    columns: dict[str, pa.Array] = {
        "episode_index": pa.array([row.index for row in rows], pa.int64()),
        "tasks": pa.array([[row.episode.task] for row in rows], pa.list_(pa.string())),
        "length": pa.array([row.rows for row in rows], pa.int64()),
        "dataset_from_index": pa.array([row.first_row for row in rows], pa.int64()),
        "dataset_to_index": pa.array([row.first_row + row.rows for row in rows], pa.int64()),
        "identity": pa.array([row.episode.identity for row in rows], pa.string()),
        "verdict": pa.array([row.episode.verdict for row in rows], pa.string()),
        "findings": pa.array([_findings(row.episode) for row in rows], pa.list_(pa.string())),
        _FACTS: pa.array([json.dumps(dict(row.episode.facts), default=plain) for row in rows]),
    }
    for name, values in stats_table([row.stats for row in rows]) if rows else ():
        ends = np.arange(len(rows) + 1, dtype=np.int32) * values.shape[1]
        numbers = pa.array(np.ascontiguousarray(values).reshape(-1))
        columns[name] = pa.ListArray.from_arrays(pa.array(ends), numbers)
    table = pa.table(columns)
    with new_file(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _findings(episode: Episode) -> list[str]:
    return [f"{each.check} ({each.count}, {each.action}): {each.text}" for each in episode.findings]


def fact_types(path: Path) -> FactTypes:
    """Names and types of the facts in a file of :func:`write_rows`."""
    types: FactTypes = {}
    for facts in _facts(_read(path)):
        types = unite(types, {name: _type(value) for name, value in facts.items()})
    return types


def types_of_file(path: Path) -> FactTypes:
    """Names and types of the facts in a file of ``meta/episodes``."""
    known = (*_LEROBOT, *_OURS)
    schema = pq.read_schema(path)
    return {
        field.name: field.type
        for field in schema
        if field.name not in known and not field.name.startswith("stats/")
    }


def unite(one: FactTypes, other: FactTypes) -> FactTypes:
    """Types that hold the facts of both; what has no type in common becomes a string, as JSON."""
    both = dict(one)
    for name, kind in other.items():
        both[name] = _common(both[name], kind) if name in both else kind
    return both


def finish_rows(source: Path, target: Path, types: FactTypes, chunk: int, file: int) -> None:
    """Write a file of ``meta/episodes`` from one of :func:`write_rows`.

    Args:
        source: of ``write_rows``.
        target: the Parquet file.
        types: of all facts in the dataset, see :func:`unite`.
        chunk: index of the folder of its data file; that of this file is the same.
        file: index of its data file in the folder, and of this file.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    rows = _read(source)
    facts = _facts(rows)
    count = rows.num_rows
    for name, index in (("data", (chunk, file)), ("meta/episodes", (chunk, file))):
        for kind, value in zip(("chunk_index", "file_index"), index, strict=True):
            rows = rows.append_column(f"{name}/{kind}", pa.array([value] * count, pa.int64()))
    for name, dtype in types.items():
        rows = rows.append_column(name, _typed([each.get(name) for each in facts], dtype))
    _write(target, rows.drop_columns([_FACTS]), types)


def retype(source: Path, target: Path, types: FactTypes) -> None:
    """Write a file of ``meta/episodes`` once more, with other types of facts.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    rows = pq.read_table(source)
    for name, dtype in types.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, dtype))
        elif rows.schema.field(name).type != dtype:
            at = rows.column_names.index(name)
            rows = rows.set_column(at, name, _typed(rows.column(name).to_pylist(), dtype))
    _write(target, rows, types)


def _write(target: Path, rows: pa.Table, types: FactTypes) -> None:
    stats = [name for name in rows.column_names if name.startswith("stats/")]
    rows = rows.select([*_LEROBOT, *_OURS, *types, *stats])
    strings = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    with new_file(target) as file:
        pq.write_table(
            rows,
            file,
            compression="zstd",
            compression_level=3,
            use_dictionary=[*strings, "tasks.list.element", "findings.list.element"],
            write_statistics=False,
            write_page_checksum=True,
        )


def _read(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _facts(rows: pa.Table) -> list[dict[str, Any]]:
    return [json.loads(text) for text in rows.column(_FACTS).to_pylist()]


def _type(value: Any) -> pa.DataType:
    if value is None:
        return pa.null()
    for kind, dtype in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if isinstance(value, kind):
            return dtype
    if isinstance(value, list):
        inner = pa.null()
        for each in value:
            inner = _common(inner, _type(each))
        return pa.list_(inner)
    return pa.string()


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(_common(one.value_type, other.value_type))
    return pa.string()


def _typed(values: Iterable[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_null(dtype):
        dtype = pa.string()
    if pa.types.is_string(dtype):
        values = [
            each if each is None or isinstance(each, str) else json.dumps(each) for each in values
        ]
    return pa.array(values, dtype)
