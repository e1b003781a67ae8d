# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and folders that change places in one step."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.replay.lock import LockedError

__all__ = ["exchange", "link", "new_file", "refused", "sync_folder", "sync_tree"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ENOTTY)


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """Say in words that the disk refuses.

    Raises:
        DatasetWriteError: an ``OSError`` in the block.
    """
    try:
        yield
    except LockedError:  # an OSError, but not one of the disk
        raise
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        cure = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to it"
        raise DatasetWriteError(
            f"cannot write {path}: {why}. The dataset is as it was, and what is done so far is kept: "
            f"{cure} and run the same command again"
        ) from error


@contextlib.contextmanager
def new_file(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file that gets its name when all of it is written; until then, and after an error, it is not there.

    Args:
        path: its name.
        sync: wait until it is on the disk, so that not even a power cut leaves half of it under its name.

    Raises:
        DatasetWriteError: the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with refused(path):
        try:
            with temporary.open("wb") as file:
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """The same file under another name too, or a copy of it where the filesystem has no links.

    Raises:
        OSError: the disk refuses.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (*_NO_EXCHANGE, errno.EMLINK, errno.EXDEV):
            raise
        shutil.copyfile(source, target)


def exchange(one: Path, other: Path) -> bool:
    """Two folders change names, in one step that cannot be seen half done.

    Returns:
        False where the filesystem cannot do that; then nothing has happened.

    Raises:
        OSError: it can, and refuses.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:  # musl, or a glibc before 2.28
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one))


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Wait until all files in a folder and below, and their names, are on the disk."""
    for where, _, files in os.walk(folder):
        for name in files:
            path = Path(where) / name
            if stat.S_ISREG(path.lstat().st_mode):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(Path(where))
