# SPDX-License-Identifier: Apache-2.0
"""A clock that only moves when a loop sleeps or a test says so."""

from __future__ import annotations


class ManualClock:
    """Time as a ``DeadlineLoop`` sees it, without waiting.

    Attributes:
        now: monotonic time, ns.
        wake_late_ns: how late each sleep returns.
    """

    def __init__(self, start_ns: int = 0, wake_late_ns: int = 0) -> None:
        self.now = start_ns
        self.wake_late_ns = wake_late_ns

    def now_ns(self) -> int:
        return self.now

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.now = max(self.now, deadline_ns + self.wake_late_ns)

    def advance(self, ns: int) -> None:
        self.now += ns
