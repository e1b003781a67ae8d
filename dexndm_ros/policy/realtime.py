# SPDX-License-Identifier: Apache-2.0
"""The opt-in block of real-time scheduling, which reports what it got.

Every thread of the process is raised, not only the control thread: a FIFO thread still waits for
the interpreter lock when the kernel has descheduled the normal-priority thread that holds it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RealtimeConfig", "RealtimeReport", "apply_realtime"]

_MCL_CURRENT, _MCL_FUTURE = 1, 2


@dataclass(frozen=True, kw_only=True)
class RealtimeConfig:
    """What to ask of the kernel; everything off by default.

    Attributes:
        fifo_priority: SCHED_FIFO priority of the control thread, 1..99; 0 = none is raised.
        other_priority: SCHED_FIFO priority of the process's other threads; 0 = leave them.
        cpus: cores that the process may run on; empty = all.
        lock_memory: keep all pages in memory (mlockall).
    """

    fifo_priority: int = 0
    other_priority: int = 50
    cpus: tuple[int, ...] = ()
    lock_memory: bool = False

    def __post_init__(self) -> None:
        for name in ("fifo_priority", "other_priority"):
            value = getattr(self, name)
            if not 0 <= value <= 99:
                raise ValueError(f"{name} is {value}; SCHED_FIFO priorities are 1..99, 0 = off")


@dataclass(frozen=True)
class RealtimeReport:
    """What was obtained.

    Attributes:
        obtained: what the kernel granted, in words.
        refused: what it refused, why, and what would grant it.
    """

    obtained: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether something asked for was refused."""
        return bool(self.refused)

    def __str__(self) -> str:
        parts = [*self.obtained, *(f"REFUSED {text}" for text in self.refused)]
        return "; ".join(parts) or "default scheduling"


def apply_realtime(config: RealtimeConfig) -> RealtimeReport:
    """Apply the block; the calling thread is the control thread. Never raises."""
    obtained: list[str] = []
    refused: list[str] = []
    threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    this = threading.get_native_id()
    if config.cpus:
        try:
            for thread in threads:
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.sched_setaffinity(thread, config.cpus)
            obtained.append(f"cores {sorted(os.sched_getaffinity(this))}")
        except OSError as error:
            refused.append(
                f"cores {list(config.cpus)} ({error.strerror}); this machine has {os.cpu_count()}"
            )
    if config.fifo_priority:
        try:
            os.sched_setscheduler(this, os.SCHED_FIFO, os.sched_param(config.fifo_priority))
            if config.other_priority:
                others = os.sched_param(config.other_priority)
                for thread in threads:
                    if thread == this:
                        continue
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setscheduler(thread, os.SCHED_FIFO, others)
            obtained.append(
                f"SCHED_FIFO {config.fifo_priority}, other threads {config.other_priority}"
            )
        except OSError as error:
            refused.append(
                f"SCHED_FIFO {config.fifo_priority} ({error.strerror}); "
                "give the user an rtprio limit in /etc/security/limits.d"
            )
    if config.lock_memory:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
            obtained.append("memory locked")
        else:
            refused.append(
                f"mlockall ({os.strerror(ctypes.get_errno())}); "
                "give the user a memlock limit in /etc/security/limits.d"
            )
    return RealtimeReport(tuple(obtained), tuple(refused))
