# SPDX-License-Identifier: Apache-2.0
"""One campaign in a folder, one campaign on a hand: locks that the death of their holder opens (flock)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["CampaignLock", "FileLock", "LockedError", "hand_lock"]


class LockedError(OSError):
    """Another process holds the lock; the message names it and what to do."""


class FileLock:
    """A lock file, held from construction until ``release`` or the end of the process.

    Args:
        path: the lock file; made if it is not there, and left there: removing it would open the lock to two.
        what: what is locked, for the message of the one who comes second.
        holder: what to write about the holder besides its process id.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, what: str, holder: str = "") -> None:
        self.path = path
        self._file: int | None = None
        file = _open(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = os.pread(file, 200, 0).decode("utf-8", "replace").split("\n")[0]
            os.close(file)
            raise LockedError(
                f"{what} is in use by {found or 'another process'}: end it first, or wait until it is done "
                f"(lock file {path})"
            ) from None
        except BaseException:
            os.close(file)
            raise
        self._file = file
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(file, 0)
            text = f"process {os.getpid()}" + (f" ({holder})" if holder else "") + "\n"
            os.pwrite(file, text.encode(), 0)

    def release(self) -> None:
        """Let go; calling it again does nothing."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class CampaignLock(FileLock):
    """The right to write the ledger in a campaign's folder.

    Args:
        directory: the campaign's folder; it must exist.
        holder: the campaign's name, for the message of the one who comes second.

    Raises:
        LockedError: another process holds it.
        OSError: the folder cannot be written.
    """

    def __init__(self, directory: Path, holder: str = "") -> None:
        super().__init__(directory / "campaign.lock", f"the campaign's folder {directory}", holder)


def hand_lock(name: str, holder: str = "") -> FileLock:
    """The right to run a campaign on a hand, among the processes of this machine.

    Args:
        name: the hand's port (links are followed: two names of one adapter are one hand), or what else tells hands
            apart, e.g. ``"domain 42 /left"`` for a ROS domain and namespace.
        holder: the campaign's name.

    Raises:
        LockedError: another campaign runs on it.
    """
    key = str(Path(name).resolve()) if name.startswith("/") else name
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"dexndm_ros_hand_{digest}.lock"
    return FileLock(path, f"the hand at {name}", holder)


def _open(path: Path) -> int:
    """Open or make a lock file that every user of the machine may open."""
    with contextlib.suppress(FileNotFoundError):
        # Without O_CREAT first: in /tmp the kernel refuses it on another user's file.
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with contextlib.suppress(OSError):
        os.fchmod(file, 0o666)
    return file
