# SPDX-License-Identifier: Apache-2.0
"""When a campaign may move the hand: local times of day, and a longest time.

Pure: the caller brings the time. Local wall-clock times are naive ``datetime`` objects, as a person reads a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

__all__ = ["ScheduleConfig", "time_of_day"]

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY = timedelta(days=1)


def time_of_day(text: str) -> time | None:
    """``"HH:MM"`` as a time of day; None for anything else, so also for ``""``."""
    match = _CLOCK.fullmatch(text)
    return time(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class ScheduleConfig:
    """When to run. All empty: at once, until everything is done.

    With both times it is a window that opens every day (18:00 to 08:00 crosses midnight); with ``start`` alone the
    campaign waits for that time once; with ``stop`` alone it starts at once and ends when that time next comes.

    Attributes:
        start: "HH:MM", local time; "" = at once.
        stop: "HH:MM", local time; "" = when everything is done.
        max_hours: longest time from the beginning of the run, hours; 0 = no limit.
    """

    start: str = ""
    stop: str = ""
    max_hours: float = 0.0

    def in_schedule(self, now: datetime, begun: datetime) -> bool:
        """Whether the hand may move at ``now`` in a run that began at ``begun`` (both local, naive)."""
        if self._limit(begun) <= now:
            return False
        start, stop = time_of_day(self.start), time_of_day(self.stop)
        if start and stop:
            clock = now.time()
            return start <= clock < stop if start < stop else not stop <= clock < start
        if start:
            return now >= _next(begun, start)
        if stop:
            return now < _next(begun, stop, after=True)
        return True

    def until(self, now: datetime, begun: datetime) -> datetime | None:
        """When ``in_schedule`` next changes, local time; None = it stays as it is for good."""
        limit = self._limit(begun)
        if limit <= now:
            return None
        start, stop = time_of_day(self.start), time_of_day(self.stop)
        allowed = self.in_schedule(now, begun)
        change = datetime.max
        if start and stop:
            change = _next(now, stop if allowed else start, after=True)
        elif start and not allowed:
            change = _next(begun, start)
        elif stop and allowed:
            change = _next(begun, stop, after=True)
        if allowed:
            change = min(change, limit)
        return None if change == datetime.max or (not allowed and change >= limit) else change

    def _limit(self, begun: datetime) -> datetime:
        return begun + timedelta(hours=self.max_hours) if self.max_hours > 0 else datetime.max


def _next(moment: datetime, clock: time, after: bool = False) -> datetime:
    """The first time from ``moment`` on (``after``: later than it) at which clocks show ``clock``."""
    candidate = datetime.combine(moment.date(), clock)
    while candidate < moment or (after and candidate == moment):
        candidate += _DAY
    return candidate
