# SPDX-License-Identifier: Apache-2.0
"""Whether a bag is whole, told by reading all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dexndm_ros.recording.contents import McapContents, read_contents
from dexndm_ros.recording.metadata import FILE_NAME, BagSummary, bag_information, parse_metadata
from dexndm_ros.recording.partial import PART, PARTIAL, reason_of

__all__ = [
    "BEGIN_RECORD",
    "END_RECORD",
    "LOSS_KEYS",
    "SHARED_KEY",
    "BagCheck",
    "check_bag",
    "check_files",
]

BEGIN_RECORD = "dexndm.episode.begin"
"""Metadata record at the beginning of the file: who records what."""
END_RECORD = "dexndm.episode.end"
"""Metadata record at its end: how it went."""
LOSS_KEYS = ("messages_lost", "messages_dropped")
"""In the end record: counted while recording."""
SHARED_KEY = "shared_topics"
"""In the end record: topics that several publishers share, JSON; their numbers tell nothing afterwards."""


@dataclass(frozen=True)
class BagCheck:
    """What was found.

    Attributes:
        complete: finished by the recorder, every byte as written, and ``metadata.yaml`` says the same.
        reason: why it is not complete, in words; '' = it is.
        counts: messages of each topic, full names.
        lost: messages that should be in it and are not: counted while recording, or gaps in their numbers.
        messages: of all topics.
        bytes: size of its files.
        duration_s: from the first message to the last.
        custom_data: what the recorder was asked to keep, and what it adds.
    """

    complete: bool
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    messages: int = 0
    bytes: int = 0
    duration_s: float = 0.0
    custom_data: Mapping[str, str] = field(default_factory=dict)


def check_bag(path: Path | str) -> BagCheck:
    """Read a bag as a whole.

    Args:
        path: its folder. One that is being recorded or was put aside is not complete, whatever it holds.

    Returns:
        What was found. Nothing is raised, whatever lies there.
    """
    folder = Path(path)
    if folder.suffix == PART:
        return BagCheck(
            False, f"{folder.name} is being recorded, or was left so", bytes=_size(folder)
        )
    if folder.suffix == PARTIAL:
        reason = reason_of(folder) or "no reason was noted"
        return BagCheck(False, f"{folder.name} was put aside: {reason}", bytes=_size(folder))
    return check_files(folder)


def check_files(folder: Path) -> BagCheck:
    """Like :func:`check_bag`, whatever the folder's name."""
    try:
        return _check(folder)
    except (OSError, ValueError) as error:
        return BagCheck(False, f"{folder.name}: {error}", bytes=_size(folder))
    except Exception as error:  # arbitrary bytes, parsed by libraries that raise what they like
        return BagCheck(False, f"{folder.name}: {error!r}", bytes=_size(folder))


def _check(folder: Path) -> BagCheck:
    if not folder.is_dir():
        return BagCheck(False, f"there is no bag {folder}")
    information = parse_metadata((folder / FILE_NAME).read_text(encoding="utf-8"))
    file = _only_file(information)
    contents = read_contents(folder / file)
    if BEGIN_RECORD not in contents.metadata or END_RECORD not in contents.metadata:
        raise ValueError("not made by episode_recorder, or without its last words")
    end = contents.metadata[END_RECORD]
    custom = {**contents.metadata[BEGIN_RECORD], **end}
    found = BagSummary(file, contents.topics, contents.start_ns, contents.end_ns, custom)
    if bag_information(found) != information:
        raise ValueError(f"{FILE_NAME} tells something else than {file} holds")
    return BagCheck(
        complete=True,
        counts={each.topic.name: each.messages for each in found.topics},
        lost=_lost(contents, end),
        messages=found.messages,
        bytes=_size(folder),
        duration_s=(found.end_ns - found.start_ns) / 1e9,
        custom_data=custom,
    )


def _only_file(information: Mapping[str, Any]) -> str:
    files = information.get("relative_file_paths")
    if not isinstance(files, list) or len(files) != 1 or not isinstance(files[0], str):
        raise ValueError(f"{FILE_NAME} must name one file in relative_file_paths, got {files!r}")
    if Path(files[0]).name != files[0]:
        raise ValueError(f"{FILE_NAME} names {files[0]!r}, which is not in the bag's folder")
    return files[0]


def _lost(contents: McapContents, end: Mapping[str, str]) -> int:
    noted = sum(int(end[key]) for key in LOSS_KEYS)
    shared = json.loads(end[SHARED_KEY])
    seen = sum(gap for topic, gap in contents.gaps.items() if topic not in shared)
    return max(noted, seen)


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except OSError:
        return 0
