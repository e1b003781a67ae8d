# SPDX-License-Identifier: Apache-2.0
"""What the page's clock shows when ours shows a given time."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["ClockOffset"]


class ClockOffset:
    """Difference of two clocks from pings: of the last ones, that which came back fastest counts.

    The page's time is taken to be that of the middle of the round trip, so the error is at most half of it.

    Args:
        window_s: pings older than this are forgotten; clocks drift.
        keep: most pings kept.
    """

    def __init__(self, window_s: float = 10.0, keep: int = 100) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=keep)

    def add(self, sent_s: float, page_s: float, received_s: float) -> None:
        """Take a ping that has come back.

        Args:
            sent_s: our clock when it went.
            page_s: the page's clock when it answered.
            received_s: our clock when the answer came.
        """
        trip_s = received_s - sent_s
        if trip_s < 0.0:
            return
        self._seen.append((received_s, trip_s, sent_s + 0.5 * trip_s - page_s))
        while self._seen[0][0] < received_s - self._window_s:
            self._seen.popleft()

    @property
    def offset_s(self) -> float:
        """Our clock less the page's; NaN before the first ping."""
        return self._best()[1]

    @property
    def trip_s(self) -> float:
        """The fastest round trip of late; NaN before the first ping."""
        return self._best()[0]

    def delay_s(self, captured_s: float, arrived_s: float) -> float:
        """How long a frame was on its way; NaN before the first ping."""
        return arrived_s - captured_s - self.offset_s

    def _best(self) -> tuple[float, float]:
        if not self._seen:
            return math.nan, math.nan
        _, trip_s, offset_s = min(self._seen, key=lambda seen: seen[1])
        return trip_s, offset_s
