# SPDX-License-Identifier: Apache-2.0
"""How fast a campaign goes: share of the time spent replaying, when it will be done, how even its ticks are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dexndm_ros.policy.clock import Histogram

__all__ = ["PERIOD_ERROR", "STEP_S", "Pace", "period_error"]

_NS = 1e9
STEP_S = 0.05
"""Time between two steps of a trajectory, 20 Hz."""
PERIOD_ERROR = "period_error/"
"""Statistics of the ledger under these names are histograms, one of each life of the replay."""


def period_error(statistics: Mapping[str, Any]) -> Histogram:
    """The period errors of all lives of a campaign's replay, from its ledger's statistics."""
    histogram = Histogram()
    for name, data in statistics.items():
        if name.startswith(PERIOD_ERROR):
            histogram.add(data)
    return histogram


class Pace:
    """Adds up time; what earlier lives of the process spent is carried on.

    Args:
        period_s: of a step.
        elapsed_s: time that earlier lives took.
        replayed_s: of it, spent in steps of trajectories.
        finished: trajectories they finished.
    """

    def __init__(
        self, period_s: float, elapsed_s: float = 0.0, replayed_s: float = 0.0, finished: int = 0
    ) -> None:
        self._period_s = period_s
        self.elapsed_s = elapsed_s
        """Time that was meant for replaying: all but waits that a person or a schedule asked for."""
        self.replayed_s = replayed_s
        self.finished = finished
        self._last_ns: int | None = None

    def tick(self, now_ns: int, counts: bool, stepped: bool) -> None:
        """Note one tick.

        Args:
            now_ns: clock of the loop.
            counts: the time since the last tick was meant for replaying.
            stepped: a step of a trajectory was sent.
        """
        if self._last_ns is not None and counts:
            self.elapsed_s += max(0, now_ns - self._last_ns) / _NS
        self._last_ns = now_ns
        self.replayed_s += self._period_s * stepped

    @property
    def duty_cycle(self) -> float:
        """Share of the time in which steps were sent, 0..1; whole trajectories or not."""
        return min(1.0, self.replayed_s / self.elapsed_s) if self.elapsed_s > 0 else 0.0

    def eta_s(self, left: int) -> float:
        """Time until ``left`` more trajectories are finished; NaN = not known yet."""
        if left == 0:
            return 0.0
        return left * self.elapsed_s / self.finished if self.finished else float("nan")

    def to_dict(self) -> dict[str, float]:
        """For the ledger; the constructor's arguments, but for the period."""
        return {
            "elapsed_s": self.elapsed_s,
            "replayed_s": self.replayed_s,
            "finished": self.finished,
        }
