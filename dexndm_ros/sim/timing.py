# SPDX-License-Identifier: Apache-2.0
"""Waiting with microseconds, for threads that imitate hardware."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable

__all__ = ["be_prompt", "sleep_until"]

_PR_SET_TIMERSLACK = 29
_LONGEST_NAP_S = 0.05
_NICE = -10


def be_prompt() -> None:
    """Ask for prompt wake-ups of the calling thread: no timer slack, and priority where that is allowed.

    What the thread imitates does not wait for a CPU in reality, so it goes before its clients.
    """
    # Linux delays short sleeps by 50 us to batch wake-ups: a fifth of a sync write on the wire.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def sleep_until(
    deadline_s: float, stopped: Callable[[], bool] = lambda: False, spin_s: float = 0.0
) -> None:
    """Wait for a monotonic deadline: sleep most of the way, spin the last microseconds if asked to.

    Args:
        deadline_s: on the clock of ``time.monotonic``.
        stopped: asked now and then; True ends the wait early.
        spin_s: time before the deadline from which to spin; it keeps other Python threads waiting.
    """
    while (left := deadline_s - time.monotonic()) > spin_s:
        if left > _LONGEST_NAP_S and stopped():
            return
        time.sleep(min(left - spin_s, _LONGEST_NAP_S))
    while time.monotonic() < deadline_s:
        pass
