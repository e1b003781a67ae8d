# SPDX-License-Identifier: Apache-2.0
"""Splits of a bag that are not there, by their numbers and by what ``metadata.yaml`` tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dexndm_ros.bags.types import Damage
from dexndm_ros.recording.metadata import FILE_NAME, parse_metadata

__all__ = ["Told", "gaps", "missing_split", "told_of_files"]

Told = Mapping[str, Mapping[str, Any]]
"""What ``metadata.yaml`` says of each file, by its name."""
_NUMBERED = re.compile(r"(.+)_(0|[1-9]\d{0,4})(\.(?:mcap|db3)(?:\.zstd)?)")


def told_of_files(text: str) -> Told:
    """The section of the files in ``metadata.yaml`` (version 5 and later); {} = there is none that can be read."""
    try:
        found = parse_metadata(text).get("files") if "\n  files:" in text else None
    except (ValueError, RecursionError):
        return {}
    sections = found if isinstance(found, list) else []
    return {
        Path(each["path"]).name.removesuffix(".zstd"): each
        for each in sections
        if isinstance(each, dict) and isinstance(each.get("path"), str)
    }


def missing_split(name: str, size: int, why: str, told: Told, splits: int) -> Damage:
    """A split of which nothing can be read.

    Args:
        name: of the file.
        size: of what is there of it, bytes.
        why: nothing can be read of it.
        told: of the files.
        splits: of the bag, this one too.
    """
    of = f", one of the {splits} files of this bag" if splits > 1 else ""
    return Damage(name, "missing", size, f"{why}{of}: {_lost(told.get(_plain(name)))}")


def gaps(files: Sequence[Path]) -> Iterator[Damage]:
    """Numbers that are left out, where nothing but the names tells which files a bag has.

    rosbag2 counts from 0. Where more would be missing in front than there are, the names are taken for another count.

    Args:
        files: of the bag.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for file in files:
        if (match := _NUMBERED.fullmatch(file.name)) is not None:
            groups.setdefault((match[1], match[3]), []).append(int(match[2]))
    for (stem, ending), numbers in groups.items():
        if len(numbers) < 2:
            continue
        there = sorted(numbers)
        if there[0] < len(there):
            there.insert(0, -1)
        for before, after in pairwise(there):
            if after == before + 1:
                continue
            first, last = before + 1, after - 1
            name = f"{stem}_{first}{ending}"
            which = (
                "it is" if first == last else f"it and the files up to {stem}_{last}{ending} are"
            )
            where = (
                f"the first file there is {stem}_{after}{ending}, and the count begins at 0"
                if before < 0
                else f"the gap is between {stem}_{before}{ending} and {stem}_{after}{ending}"
            )
            yield Damage(name, "missing", 0, f"{which} not in the folder ({where}): {_lost(None)}")


def _lost(told: Mapping[str, Any] | None) -> str:
    """What went with a file, in words."""
    count = None if told is None else told.get("message_count")
    if told is None or not isinstance(count, int):
        return f"all its messages are missing; how many they were cannot be told ({FILE_NAME} does not say)"
    seconds = _nanoseconds(told, "duration", "nanoseconds")
    begun = _nanoseconds(told, "starting_time", "nanoseconds_since_epoch")
    span = "" if seconds is None else f", {seconds / 1e9:.2f} s"
    span += "" if begun is None else f" from {begun / 1e9:.2f} on"
    return f"all its {count} messages{span} are missing"


def _nanoseconds(told: Mapping[str, Any], section: str, key: str) -> int | None:
    inside = told.get(section)
    value = inside.get(key) if isinstance(inside, dict) else None
    return value if isinstance(value, int) else None


def _plain(name: str) -> str:
    return name.removesuffix(".zstd")
