# SPDX-License-Identifier: Apache-2.0
"""What SQLite leaves beside a database that was not closed: messages that count, or that must be undone."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dexndm_ros.bags.types import BagError

__all__ = ["beside", "copied", "hot_journal", "rolled_back", "write_ahead_log"]

_JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


def beside(file: Path) -> tuple[Path, ...]:
    """The files beside a storage file without which its content is another: its log, or its hot journal."""
    found = (write_ahead_log(file), hot_journal(file))
    return tuple(each for each in found if each is not None)


def write_ahead_log(file: Path) -> Path | None:
    """The log of a database, with messages that are not in the file yet; None = there is none, or it is empty."""
    log = file.with_name(file.name + "-wal")
    try:
        return log if log.stat().st_size else None
    except OSError:
        return None


def hot_journal(file: Path) -> Path | None:
    """The journal of a transaction that was cut off: what the file held before it. None = there is none.

    A journal that is empty, or whose head is zeroed, is one of a transaction that was finished.
    """
    journal = file.with_name(file.name + "-journal")
    try:
        with journal.open("rb") as opened:
            return journal if opened.read(len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC else None
    except OSError:
        return None


def copied(file: Path, more: Sequence[Path]) -> tuple[Path, object]:
    """Copy a database and what lies beside it into a private temporary folder.

    It takes as much room there as the files; memory does not grow with them.

    Returns:
        Where the database is, and an object with which it goes.

    Raises:
        BagError: there is no room for it.
        OSError: it cannot be read.
    """
    keep = tempfile.TemporaryDirectory(prefix="dexndm_bag_")
    try:
        for each in (*more, file):
            shutil.copyfile(each, Path(keep.name) / each.name)
    except OSError as error:
        keep.cleanup()
        size = sum(each.stat().st_size for each in (*more, file))
        raise BagError(
            f"{file.name} must be read in a copy with what lies beside it ({', '.join(each.name for each in more)}), "
            f"and its {size} bytes cannot be copied to {tempfile.gettempdir()}: {error.strerror}; "
            "make room, or set TMPDIR to a folder that has some"
        ) from error
    return Path(keep.name) / file.name, keep


def rolled_back(file: Path, journal: Path) -> tuple[Path, object]:
    """A copy of a database in which the transaction that was cut off is undone; the file itself stays as it is.

    Returns:
        As :func:`copied`.

    Raises:
        BagError: there is no room for it.
        OSError: it cannot be read.
        sqlite3.Error: the journal, or the file, is damaged too.
    """
    place, keep = copied(file, [each for each in (journal, write_ahead_log(file)) if each])
    with closing(sqlite3.connect(place)) as database:  # SQLite rolls back as it reads first
        database.execute("SELECT count(*) FROM sqlite_master").fetchall()
    return place, keep
