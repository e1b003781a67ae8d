# SPDX-License-Identifier: Apache-2.0
"""Recordings that did not end well: put aside, marked, and readable as far as they go."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from dexndm_ros.recording.read import BagMessage, bag_file, messages

__all__ = ["NOTE", "PART", "PARTIAL", "put_aside", "reason_of", "recover", "sweep"]

PART = ".part"
"""Ending of a folder that is being recorded."""
PARTIAL = ".partial"
"""Ending of one that was put aside."""
NOTE = "partial.json"


def put_aside(folder: Path, reason: str) -> Path:
    """Mark a recording as partial; nothing that is in it is changed.

    Args:
        folder: of a recording that is not being written any more, whatever its ending.
        reason: why, in words.

    Returns:
        Its new place beside the old: "<episode>.partial", or "<episode>.2.partial" and so on. The note in it
        is left out when the disk has no room for it.

    Raises:
        OSError: it cannot be renamed.
    """
    name = folder.name
    for ending in (PART, PARTIAL):
        name = name.removesuffix(ending)
    target, number = folder.with_name(name + PARTIAL), 1
    while target.exists() and target != folder:
        number += 1
        target = folder.with_name(f"{name}.{number}{PARTIAL}")
    if target != folder:
        folder.rename(target)
    with contextlib.suppress(OSError):
        text = json.dumps({"reason": reason, "episode": name}, indent=2) + "\n"
        (target / NOTE).write_text(text, encoding="utf-8")
    with contextlib.suppress(OSError):
        sync_folder(target)
        sync_folder(target.parent)
    return target


def sweep(directory: Path, reason: str) -> list[Path]:
    """Put aside what a dead recorder left open. The caller knows that none is writing there.

    Returns:
        The new places. A directory that does not exist holds nothing.
    """
    if not directory.is_dir():
        return []
    left = sorted(path for path in directory.iterdir() if path.is_dir() and path.suffix == PART)
    return [put_aside(path, reason) for path in left]


def reason_of(folder: Path) -> str:
    """Why a recording was put aside; '' when nothing was noted."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return str(note["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def recover(path: Path) -> Iterator[BagMessage]:
    """What can still be read of a torn recording, up to the tear.

    Args:
        path: the folder or its MCAP file.

    Raises:
        BagError: there is no file that could be read.
    """
    return messages(bag_file(path), torn=True)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
