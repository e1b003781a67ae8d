# SPDX-License-Identifier: Apache-2.0
"""Waiting with microseconds, for threads that imitate hardware."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable

__all__ = ["Pace", "be_prompt", "sleep_until"]

_PR_SET_TIMERSLACK = 29
_LONGEST_NAP_S = 0.05
_NICE = -10
_LATEST_S = 0.1
"""A simulation later than this, in its own time, slows down instead of hurrying after."""


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


class Pace:
    """When a simulation's steps are due, and what time it is in it. Real times are the caller's.

    One thread steps; any may ask for the time.

    Args:
        dt_s: simulated time of a step.
        speed: simulated seconds in a real one.
        now_s: real time at which the first step begins.

    Attributes:
        steps: steps done.
        slipped_s: real time that the steps could not keep up with; simulated time stood still for as long.
    """

    def __init__(self, dt_s: float, speed: float, now_s: float) -> None:
        self._dt_s = dt_s
        self._speed = speed
        self._deadline_s = now_s
        self._reached = (0, now_s)
        self.steps = 0
        self.slipped_s = 0.0

    def stepped(self, now_s: float) -> float:
        """Note that a step is done; returns when the next one is due."""
        self.steps += 1
        self._deadline_s += self._dt_s / self._speed
        late_s = now_s - self._deadline_s
        if late_s * self._speed > _LATEST_S:
            self.slipped_s += late_s
            self._deadline_s = now_s
        self._reached = (self.steps, self._deadline_s)
        return self._deadline_s

    def time_s(self, now_s: float) -> float:
        """Simulated time: even between steps, and never ahead of the last one."""
        steps, deadline_s = self._reached
        ahead_s = (deadline_s - now_s) * self._speed
        return steps * self._dt_s - min(max(ahead_s, 0.0), self._dt_s if steps else 0.0)
