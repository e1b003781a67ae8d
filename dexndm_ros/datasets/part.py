# SPDX-License-Identifier: Apache-2.0
"""Part files: what was made of one bag, kept until the dataset is written, so that work can be resumed.

An Arrow IPC file, uncompressed: one record batch for each episode with rows, its columns those of
:func:`~demonstration_features.features_of`; all else of the :class:`BagResult` is JSON in the schema's metadata.
Nothing global is in it: a part does not know which place in a dataset its episodes will get.

Parts are not forced to the disk one by one, which would cost more than making them. So a power cut can leave holes in
them; the check sum of every episode tells.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dexndm_ros.bags.names import readable
from dexndm_ros.datasets.arrays import row_schema, to_arrow, to_numpy
from dexndm_ros.datasets.demonstration_features import features_of
from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.features import Feature, empty_columns
from dexndm_ros.datasets.files import new_file

__all__ = [
    "PartHead",
    "episode_rows",
    "part_head",
    "part_name",
    "read_part",
    "write_part",
]

SUFFIX = ".arrow"
_KEY = b"dexndm.part"
_SUM = b"crc32"
_FORMAT = 1


@dataclass(frozen=True)
class PartHead:
    """A part without its columns.

    Attributes:
        result: as it was written, each episode's columns empty.
        rows: of each episode.
        batches: record batch of each episode; -1 = it has no rows.
    """

    result: BagResult
    rows: tuple[int, ...]
    batches: tuple[int, ...]


def part_name(sha256: str) -> str:
    """File name of the part of a bag whose bytes have this hash."""
    return f"{sha256[:16]}{SUFFIX}"


def write_part(path: Path, result: BagResult) -> None:
    """Write a part: all of it under its name, or nothing.

    Args:
        path: where; an older part of that name is replaced.
        result: of a bag.

    Raises:
        DatasetError: the columns of an episode are not those of the others, or of unequal lengths.
        DatasetWriteError: the disk refuses.
    """
    named = {name for each in result.episodes if _length(each.columns) for name in each.columns}
    features = features_of(named)
    rows = [_rows(result, index, features) for index in range(len(result.episodes))]
    schema = row_schema(features).with_metadata({_KEY: _head(result, rows)})
    with new_file(path, sync=False) as file, pa.ipc.new_file(file, schema) as writer:
        for episode, count in zip(result.episodes, rows, strict=True):
            if count:
                arrays = [to_arrow(each, episode.columns[each.name]) for each in features]
                batch = pa.record_batch(arrays, schema=schema)
                writer.write_batch(batch, {_SUM: b"%d" % _sum(batch)})


def read_part(path: Path) -> BagResult:
    """All of a part. Its number columns are views of the mapped file: cheap, and read-only.

    Raises:
        DatasetError: it is no part, or a torn one.
        OSError: it cannot be read.
    """
    head, reader = _open(path)
    episodes = tuple(
        _with_columns(path, episode, reader, batch)
        for episode, batch in zip(head.result.episodes, head.batches, strict=True)
    )
    return BagResult(**{**vars(head.result), "episodes": episodes})


def part_head(path: Path) -> PartHead:
    """All of a part but its columns.

    Raises:
        DatasetError: it is no part, or a torn one.
        OSError: it cannot be read.
    """
    return _open(path)[0]


def _sum(batch: pa.RecordBatch) -> int:
    total = 0
    for column in batch.columns:
        for buffer in column.buffers():
            total = total if buffer is None else zlib.crc32(buffer, total)
    return total


def episode_rows(path: Path, wanted: tuple[int, ...]) -> Iterator[Episode]:
    """Some episodes of a part, one after the other.

    Args:
        path: of the part.
        wanted: their places in ``BagResult.episodes``.

    Raises:
        DatasetError: it is no part, or a torn one.
        OSError: it cannot be read.
    """
    head, reader = _open(path)
    for place in wanted:
        yield _with_columns(path, head.result.episodes[place], reader, head.batches[place])


def _with_columns(
    path: Path, episode: Episode, reader: pa.ipc.RecordBatchFileReader, batch: int
) -> Episode:
    if batch < 0:
        return episode
    try:
        found, metadata = reader.get_batch_with_custom_metadata(batch)
        if int(metadata[_SUM]) != _sum(found):
            raise ValueError("its check sum is another")
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        path.unlink(missing_ok=True)
        raise DatasetError(
            f"{path} was damaged, perhaps by a power cut ({error}). It has been deleted: run the same command again, "
            "and it is made anew from its bag"
        ) from error
    features = features_of(found.schema.names)
    columns = {each.name: to_numpy(each, found.column(each.name)) for each in features}
    return Episode(**{**vars(episode), "columns": columns})


def _length(columns: Mapping[str, NDArray[np.generic]]) -> int:
    """Rows of an episode; one that was dropped has none."""
    return max((len(each) for each in columns.values()), default=0)


def _rows(result: BagResult, index: int, features: tuple[Feature, ...]) -> int:
    """Rows of an episode, its columns checked."""
    columns = result.episodes[index].columns
    if not _length(columns):
        return 0
    where = f"{result.name}: episode {index} ({result.episodes[index].identity})"
    wanted = {each.name for each in features}
    if set(columns) != wanted:
        missing, other = sorted(wanted - set(columns)), sorted(set(columns) - wanted)
        raise DatasetError(
            f"{where}: columns {', '.join(missing) or 'none'} are missing and {', '.join(other) or 'none'} are "
            "unknown; a column is added in dexndm_ros/datasets/features.py, or demonstration_features.py"
        )
    rows = len(columns["valid"])
    for each in features:
        shape = (rows, each.width) if each.width else (rows,)
        if columns[each.name].shape != shape:
            raise DatasetError(
                f"{where}: {each.name} has shape {columns[each.name].shape}, {shape} is needed"
            )
    return rows


def _head(result: BagResult, rows: list[int]) -> bytes:
    head = {
        "format": _FORMAT,
        "name": result.name,
        "sha256": result.sha256,
        "bytes": result.bytes,
        "messages": dict(result.messages),
        "findings": [vars(each) for each in result.findings],
        "provenance": dict(result.provenance),
        "episodes": [
            {
                "identity": episode.identity,
                "task": episode.task,
                "rows": count,
                "facts": dict(episode.facts),
                "findings": [vars(each) for each in episode.findings],
                "verdict": episode.verdict,
            }
            for episode, count in zip(result.episodes, rows, strict=True)
        ],
    }
    return json.dumps(_told(head), default=plain).encode()


def _told(value: Any) -> Any:
    """The same with text that every file takes: names of files may be no UTF-8."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {_told(key): _told(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(each) for each in value]
    return value


def _shared(value: Any) -> Any:
    """The same with text that is in memory once, however many parts have it: there may be tens of thousands."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {sys.intern(key): _shared(each) for key, each in value.items()}
    return value


def plain(value: Any) -> Any:
    """A numpy value, tuple or mapping as JSON knows it; for ``json.dumps(default=...)``."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r} cannot be kept in a part file")


def _open(path: Path) -> tuple[PartHead, pa.ipc.RecordBatchFileReader]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        head = json.loads((reader.schema.metadata or {})[_KEY])
        if head["format"] != _FORMAT:
            raise ValueError(f"format {head['format']}, this version reads {_FORMAT}")
        if reader.schema.remove_metadata() != row_schema(features_of(reader.schema.names)):
            raise ValueError("its columns are those of another version")
        result, rows = _result(head)
        batches = np.cumsum([count > 0 for count in rows]) - 1
        places = tuple(int(at) if count else -1 for at, count in zip(batches, rows, strict=True))
        if reader.num_record_batches != sum(count > 0 for count in rows):
            raise ValueError("episodes are missing")
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is no part file of this version ({error}); delete it, it is made again from its bag"
        ) from error
    return PartHead(result, rows, places), reader


def _findings(entries: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(**{name: _shared(value) for name, value in each.items()}) for each in entries
    )


def _result(head: Mapping[str, Any]) -> tuple[BagResult, tuple[int, ...]]:
    nothing: dict[str, NDArray[np.generic]] = empty_columns(0)
    episodes = tuple(
        Episode(
            identity=each["identity"],
            task=_shared(each["task"]),
            columns=nothing,
            facts=_shared(each["facts"]),
            findings=_findings(each["findings"]),
            verdict=_shared(each["verdict"]),
        )
        for each in head["episodes"]
    )
    result = BagResult(
        name=head["name"],
        sha256=head["sha256"],
        bytes=head["bytes"],
        messages=_shared(head["messages"]),
        episodes=episodes,
        findings=_findings(head["findings"]),
        provenance=_shared(head["provenance"]),
    )
    return result, tuple(int(each["rows"]) for each in head["episodes"])
