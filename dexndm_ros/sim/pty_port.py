# SPDX-License-Identifier: Apache-2.0
"""The hand's end of a pseudo-terminal that other programs open as a serial port, by a stable link."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import struct
import tty
from pathlib import Path

__all__ = ["PortLinkError", "PtyPort"]


class PortLinkError(OSError):
    """The link cannot be made; the message says what stands there and what to do."""


class PtyPort:
    """A pty in raw mode and a symbolic link to it.

    The other side stays open here too: programs (the SDK among them) close and reopen the port, and
    without a holder the pty would hang up in between.

    Args:
        link: path for the link; None = only the pty's own name.

    Raises:
        PortLinkError: the path exists and is not a link to a pty of ours, or its folder is missing.
    """

    def __init__(self, link: str | Path | None = None) -> None:
        self._link = None if link is None else Path(link)
        if self._link is not None:
            _check_free(self._link)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        _mark(self._slave)
        self.device = os.ttyname(self._slave)
        """The pty's own name, /dev/pts/N."""
        self._wake_read, self._wake_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        if self._link is not None:
            try:
                _link_atomically(self.device, self._link)
            except OSError as error:
                self.close()
                raise PortLinkError(f"cannot create {self._link}: {error.strerror}") from error

    @property
    def path(self) -> str:
        """What to open: the link, or the pty itself."""
        return self.device if self._link is None else str(self._link)

    def read(self) -> bytes:
        """Wait for bytes; empty when woken by `wake` or when the port is gone."""
        self._poll.poll()
        try:
            return os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Send bytes; what a full buffer cannot take is lost, as on a wire nobody listens to."""
        try:
            os.write(self._master, data)
        except (BlockingIOError, OSError):
            return

    def wake(self) -> None:
        """Make the `read` in progress, or the next one, return."""
        os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Remove the link, if it is still ours, and hang up."""
        if self._link is not None and _target(self._link) == self.device:
            self._link.unlink(missing_ok=True)
        for fd in (self._master, self._slave, self._wake_read, self._wake_write):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = self._wake_read = self._wake_write = -1


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _check_free(link: Path) -> None:
    """Refuse anything but a free name or a link that an earlier hand left behind."""
    if not link.parent.is_dir():
        raise PortLinkError(f"cannot create {link}: folder {link.parent} does not exist; create it")
    try:
        mode = link.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise PortLinkError(f"cannot create {link}: {error.strerror}") from error
    if not stat.S_ISLNK(mode):
        raise PortLinkError(f"{link} exists and is not a link; remove it or choose another path")
    target = _target(link) or ""
    if not target.startswith("/dev/pts/"):
        raise PortLinkError(f"{link} is a link to {target}, not to a virtual hand; remove it")
    if _marked(target):
        raise PortLinkError(
            f"{link} already leads to {target}: another virtual hand is running there; "
            "stop it or choose another path"
        )


# A killed hand leaves its link behind, and the kernel gives the pty's number to the next terminal. A record
# lock tells who is who: held by the open file of the hand, it ends with the hand and with nothing else, and
# it does not disturb programs that ask for the port exclusively (those use flock or TIOCEXCL).
def _record_lock(kind: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)


def _mark(fd: int) -> None:
    """Say that a virtual hand serves this pty."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _record_lock(fcntl.F_WRLCK))


def _marked(device: str) -> bool:
    """Whether a virtual hand serves this pty."""
    try:
        fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _record_lock(fcntl.F_WRLCK))
        return bool(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(fd)


def _link_atomically(target: str, link: Path) -> None:
    """Put the link in place in one step, so that nobody ever sees the path missing or half made."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
