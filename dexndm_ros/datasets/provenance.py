# SPDX-License-Identifier: Apache-2.0
"""``meta/provenance.json``: which bags a dataset was made of, how, and what was left out; read back to add to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import dexndm_ros
from dexndm_ros.datasets.data_file import DataFileSummary
from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.layout import data_path, episodes_path
from dexndm_ros.datasets.missing import Missing
from dexndm_ros.datasets.part import plain

__all__ = [
    "CONVERTER",
    "FILE",
    "Existing",
    "bag_entry",
    "differences",
    "read_existing",
    "rejected_entry",
    "write_provenance",
]

FILE = "meta/provenance.json"
FORMAT = 1
CONVERTER = f"dexndm_ros {dexndm_ros.__version__}"


@dataclass(frozen=True)
class Existing:
    """What a dataset says of itself; without arguments: the empty one.

    Attributes:
        config: that its bags were converted with, as ``ConvertConfig.to_dict``.
        config_hash: of it; '' = there is no dataset yet.
        bags: an entry each, see :func:`bag_entry`.
        rejected: an entry for each episode that is not in it, see :func:`rejected_entry`.
        files: its data files, in order.
        tasks: in the order of their indices.
        lengths: rows of each of its episodes, by identity.
        missing: bags that it is without, and why.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    config_hash: str = ""
    bags: tuple[Mapping[str, Any], ...] = ()
    rejected: tuple[Mapping[str, Any], ...] = ()
    files: tuple[DataFileSummary, ...] = ()
    tasks: tuple[str, ...] = ()
    lengths: Mapping[str, int] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)

    @property
    def episodes(self) -> int:
        """In it."""
        return sum(each.episodes for each in self.files)

    @property
    def rows(self) -> int:
        """In it."""
        return sum(each.rows for each in self.files)

    @property
    def sha256(self) -> frozenset[str]:
        """Of its bags."""
        return frozenset(each["sha256"] for each in self.bags)


def bag_entry(result: BagResult, kept: int, flagged: int) -> dict[str, Any]:
    """What is kept of a bag.

    Args:
        result: of the bag.
        kept: episodes of it in the dataset.
        flagged: of those, with findings that a person should know of.
    """
    return {
        "name": result.name,
        "sha256": result.sha256,
        "bytes": result.bytes,
        "episodes": kept,
        "flagged": flagged,
        "rejected": len(result.episodes) - kept,
        "messages": dict(result.messages),
        "findings": [vars(each) for each in result.findings],
        "provenance": dict(result.provenance),
    }


def rejected_entry(
    result: BagResult, episode: Episode, findings: tuple[Finding, ...]
) -> dict[str, Any]:
    """What is kept of an episode that is not in the dataset; the reasons are its dropping findings."""
    reasons = [each.text for each in findings if each.action == "dropped"]
    return {
        "identity": episode.identity,
        "bag": result.name,
        "bag_sha256": result.sha256,
        "task": episode.task,
        "reasons": reasons or ["it has no rows"],
        "facts": dict(episode.facts),
        "findings": [vars(each) for each in findings],
    }


def write_provenance(folder: Path, whole: Existing) -> None:
    """Write it, a bag a line: a person can search it, and two of them can be compared line by line.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    totals = {
        "bags": len(whole.bags),
        "episodes": whole.episodes,
        "rows": whole.rows,
        "flagged": sum(each["flagged"] for each in whole.bags),
        "rejected": len(whole.rejected),
        "unreadable": len(whole.missing.unreadable),
        "left_out": len(whole.missing.left_out),
        "bytes": sum(each["bytes"] for each in whole.bags),
        "messages": sum(sum(each["messages"].values()) for each in whole.bags),
    }
    head = {
        "format": FORMAT,
        "converter": CONVERTER,
        "config_hash": whole.config_hash,
        "config": dict(whole.config),
        "totals": totals,
        "tasks": list(whole.tasks),
    }
    files = [
        {"path": data_path(number), **each.to_dict()} for number, each in enumerate(whole.files)
    ]
    lists = {
        "files": files,
        "unreadable": whole.missing.unreadable,
        "left_out": whole.missing.left_out,
        "rejected": whole.rejected,
        "bags": whole.bags,
    }
    with new_file(folder / FILE) as file:
        file.write(b"{\n")
        for name, value in head.items():
            file.write(f"{json.dumps(name)}: {_line(value)},\n".encode())
        for number, (name, entries) in enumerate(lists.items()):
            file.write(b",\n" * (number > 0) + f"{json.dumps(name)}: [".encode())
            for index, entry in enumerate(entries):
                file.write((",\n" if index else "\n").encode() + _line(entry).encode())
            file.write(b"\n]")
        file.write(b"\n}\n")


def _line(value: Any) -> str:
    return json.dumps(_finite(value), default=plain, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same, null for NaN and infinity: they are no JSON."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value


def read_existing(folder: Path) -> Existing:
    """What is there to add to; an empty or missing folder is an empty dataset.

    Raises:
        DatasetError: something else is there, or a dataset that is not whole.
        OSError: it cannot be read.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return Existing()
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        version = found["format"]
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(
            f"{folder} exists and is no dataset of `dexndm convert` (it has no {FILE}): give another folder to --out"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(_damaged(folder, f"{FILE}: {error!r}")) from error
    if version != FORMAT:
        raise DatasetError(
            f"{folder} was written in format {version!r} and this version knows {FORMAT}: convert its bags into a new "
            "dataset, or use the version that wrote it"
        )
    try:
        files = tuple(_summary(each) for each in found["files"])
        for number, each in enumerate(files):
            size = (folder / data_path(number)).stat().st_size
            if size != each.bytes:
                raise ValueError(f"{data_path(number)} has {size} bytes, it should be {each.bytes}")
        return Existing(
            config=found["config"],
            config_hash=found["config_hash"],
            bags=tuple(found["bags"]),
            rejected=tuple(found["rejected"]),
            files=files,
            tasks=tuple(found["tasks"]),
            lengths=_lengths(folder, len(files)),
            missing=Missing(tuple(found["unreadable"]), tuple(found["left_out"])),
        )
    except (ValueError, KeyError, TypeError, FileNotFoundError, pa.ArrowException) as error:
        raise DatasetError(_damaged(folder, str(error))) from error


def _damaged(folder: Path, why: str) -> str:
    return f"{folder} is not whole ({why}): nothing is added to it; convert its bags into a new dataset"


def _summary(entry: Mapping[str, Any]) -> DataFileSummary:
    values = {name: value for name, value in entry.items() if name != "path"}
    return DataFileSummary(**values | {"row_groups": tuple(values["row_groups"])})


def _lengths(folder: Path, files: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for number in range(files):
        table = pq.read_table(folder / episodes_path(number), columns=["identity", "length"])
        found.update(
            zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        )
    return found


def differences(there: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, in words."""
    found = []
    for name in sorted({*there, *given}):
        one, other = there.get(name), given.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{prefix}{name}.")
        elif json.dumps(one, default=plain) != json.dumps(other, default=plain):
            found.append(
                f"{prefix}{name} is {json.dumps(one, default=plain)} in the dataset and now "
                f"{json.dumps(other, default=plain)}"
            )
    return found
