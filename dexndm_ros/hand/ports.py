# SPDX-License-Identifier: Apache-2.0
"""What Linux tells about a serial port: who has it open, its USB latency timer, which adapters there are."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "adapters",
    "holders",
    "is_pseudo_terminal",
    "is_terminal",
    "latency_timer_ms",
    "latency_timer_path",
]

_BY_ID = Path("/dev/serial/by-id")
_DEV = Path("/dev")


def _device(port: str) -> Path:
    return Path(port).resolve()


def is_pseudo_terminal(port: str) -> bool:
    """True when the port leads to a pty: an emulated hand."""
    return str(_device(port)).startswith("/dev/pts/")


def is_terminal(port: str) -> bool:
    """Whether the port is a terminal device; True also where that cannot be found out."""
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def latency_timer_path(port: str) -> Path:
    """The sysfs attribute that FTDI adapters have; other adapters and ptys have none."""
    return Path("/sys/class/tty") / _device(port).name / "device" / "latency_timer"


def latency_timer_ms(port: str) -> int | None:
    """How long an FTDI adapter waits before it hands a short reply over, ms; None = no such timer."""
    try:
        return int(latency_timer_path(port).read_text().strip())
    except (OSError, ValueError):
        return None


def holders(port: str) -> list[str]:
    """Other processes that have the port open, as ``name (pid N)``; those we may look into."""
    device = str(_device(port))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            descriptors = list((process / "fd").iterdir())
            if any(_links_to(fd, device) for fd in descriptors):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
        except OSError:  # not ours, or gone meanwhile
            continue
    return found


def _links_to(descriptor: Path, device: str) -> bool:
    try:
        return str(descriptor.readlink()) == device
    except OSError:
        return False


def adapters() -> list[str]:
    """Serial adapters that could carry a hand: our udev link first, stable names before ttyUSBn."""
    fixed = [_DEV / "leap_hand"] if (_DEV / "leap_hand").exists() else []
    by_id = sorted(_BY_ID.iterdir()) if _BY_ID.is_dir() else []
    found: dict[Path, Path] = {}
    for path in (*fixed, *by_id, *sorted(_DEV.glob("ttyUSB*")), *sorted(_DEV.glob("ttyACM*"))):
        found.setdefault(path.resolve(), path)
    return [str(path) for path in found.values()]
