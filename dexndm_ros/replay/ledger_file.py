# SPDX-License-Identifier: Apache-2.0
"""The ledger's file: opened, recognised, and its errors in words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dexndm_ros.replay.ledger_schema import APPLICATION_ID, SCHEMA_VERSION

__all__ = ["LedgerError", "LedgerStateError", "connect", "errors", "recognise", "sync_folder"]

_BUSY_S = 5.0
_CURES = {
    "SQLITE_FULL": "the disk is full: make room and try again; what was written before is safe",
    "SQLITE_BUSY": "another program is writing to it: close it (a database browser?) and try again",
    "SQLITE_LOCKED": "another program has it locked: close it and try again",
    "SQLITE_READONLY": "it may not be written: check the rights of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened: check that it exists, and the rights of the file and its folder",
    "SQLITE_IOERR": "the disk fails: check it (dmesg), then try again",
    "SQLITE_NOTADB": "this is no ledger of a campaign: give another folder",
    "SQLITE_CORRUPT": "the file is damaged: keep it and the bags, and collect into a new folder",
}


class LedgerError(RuntimeError):
    """The ledger could not be read or written; the message names the file and what mends it."""


class LedgerStateError(LedgerError):
    """A call that does not fit what the ledger holds; trying again does not help."""


@contextlib.contextmanager
def errors(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, with what mends them."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise LedgerStateError(f"{path}: refused: {error}") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        cure = next((cure for code, cure in _CURES.items() if name.startswith(code)), str(error))
        raise LedgerError(f"{path}: {cure}{f' ({name})' if name else ''}") from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file; ``mode`` is "rwc" (make it), "rw" or "ro".

    Raises:
        sqlite3.Error: see ``errors``.
    """
    if mode == "ro" and not os.access(path.parent, os.W_OK) and not _journal(path).exists():
        mode = "ro&immutable=1"  # a folder on a medium that cannot be written has no room for locks
    database = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_S, isolation_level=None
    )
    try:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def recognise(database: sqlite3.Connection, path: Path) -> None:
    """Refuse what is not a ledger of this version.

    Raises:
        LedgerError: another kind of file, or another version.
        sqlite3.Error: see ``errors``.
    """
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise LedgerError(f"{path} is no ledger of a campaign: give another folder")
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"{path} is a ledger of version {version}, this program writes version {SCHEMA_VERSION}: go on with the "
            "release of dexndm_ros that made it, or collect into a new folder"
        )


def sync_folder(folder: Path) -> None:
    """Make names given in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
