# SPDX-License-Identifier: Apache-2.0
"""Names of files as text: those that are not UTF-8, and those of the splits of one recording."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["ENDINGS", "group_name", "group_of", "readable", "splits"]

ENDINGS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
"""How the files of a bag end."""
_SPLIT = re.compile(r"(?P<stem>.+)_[0-9]+(?P<ending>\.mcap|\.db3)(\.zstd)?", re.DOTALL)
_GROUP = re.compile(r"(?P<stem>.+)_\*(?P<ending>\.mcap|\.db3)", re.DOTALL)


def readable(text: str) -> str:
    r"""Text that every file and terminal takes: bytes of a name that are no UTF-8 become ``\xff``.

    Python keeps such bytes as lone surrogates, which no encoder but its own writes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        except UnicodeEncodeError:
            return text.encode(errors="backslashreplace").decode()
    return text


def group_of(file: Path) -> Path | None:
    """``/data/run_*.mcap`` for ``/data/run_3.mcap``: what the splits of one recording are called together.

    Returns:
        None for a file that is not numbered.
    """
    found = _SPLIT.fullmatch(file.name)
    return file.with_name(f"{found['stem']}_*{found['ending']}") if found else None


def group_name(path: Path) -> str:
    """``run`` for ``/data/run_*.mcap``; "" = it is the name of no group."""
    found = _GROUP.fullmatch(path.name)
    return found["stem"] if found else ""


def splits(path: Path) -> list[Path]:
    """The files of ``/data/run_*.mcap`` in the order of their numbers; [] = there are none, or it is no such name."""
    found = _GROUP.fullmatch(path.name)
    if found is None or not path.parent.is_dir():
        return []
    pattern = re.compile(
        re.escape(found["stem"]) + r"_([0-9]+)" + re.escape(found["ending"]) + r"(\.zstd)?"
    )
    numbered = [(pattern.fullmatch(each.name), each) for each in path.parent.iterdir()]
    files = [(int(match[1]), each) for match, each in numbered if match and each.is_file()]
    return [each for _, each in sorted(files)]
