# SPDX-License-Identifier: Apache-2.0
"""How long bus cycles took and how many there were, over the time between two looks."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

__all__ = ["CycleSummary", "CycleTimes"]


@dataclass(frozen=True)
class CycleSummary:
    """Cycles between two calls of ``CycleTimes.take``.

    Attributes:
        hz: completed cycles a second.
        p50_ms: median duration; NaN without cycles.
        max_ms: longest duration; NaN without cycles.
    """

    hz: float
    p50_ms: float
    max_ms: float


class CycleTimes:
    """Written by the bus thread, taken by another about once a second; neither waits."""

    def __init__(self, now_ns: int) -> None:
        self._durations_ns: list[int] = []
        self._since_ns = now_ns

    def record(self, duration_ns: int) -> None:
        """Count one completed cycle."""
        self._durations_ns.append(duration_ns)

    def take(self, now_ns: int) -> CycleSummary:
        """Summarise what was recorded since the last call, and start afresh."""
        # The swap is one step of the interpreter; a cycle recorded meanwhile lands in either list.
        taken, self._durations_ns = self._durations_ns, []
        elapsed_s = max(now_ns - self._since_ns, 1) * 1e-9
        self._since_ns = now_ns
        if not taken:
            return CycleSummary(0.0, math.nan, math.nan)
        return CycleSummary(
            len(taken) / elapsed_s, statistics.median(taken) * 1e-6, max(taken) * 1e-6
        )
