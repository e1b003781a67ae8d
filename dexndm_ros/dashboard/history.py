# SPDX-License-Identifier: Apache-2.0
"""Histories of fixed size: a whole night or a whole month fits, only coarser."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["CompletionRate", "ThinningSeries"]


class ThinningSeries:
    """Samples over time in at most ``capacity`` buckets; when they are full, neighbours are merged.

    Args:
        capacity: buckets, even.
        period_s: time that a bucket spans at first; it doubles with each merge.
        peak: keep the largest value of a bucket, not the mean.
    """

    def __init__(self, capacity: int = 240, period_s: float = 5.0, peak: bool = False) -> None:
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity is {capacity}; give an even number from 2")
        self.period_s = period_s
        self._capacity = capacity
        self._peak = peak
        self._buckets: list[tuple[int, float, int]] = []  # number, value, samples in it

    def add(self, t_s: float, value: float) -> None:
        """Take a sample; what is not finite, or older than the newest bucket, is left out.

        Args:
            t_s: time since a fixed start, s, not negative.
            value: the sample.
        """
        if not (math.isfinite(t_s) and t_s >= 0.0 and math.isfinite(value)):
            return
        number = int(t_s // self.period_s)
        if self._buckets and number < self._buckets[-1][0]:
            return
        if self._buckets and number == self._buckets[-1][0]:
            self._buckets[-1] = self._merged(number, self._buckets[-1], (number, value, 1))
            return
        self._buckets.append((number, value, 1))
        if len(self._buckets) > self._capacity:
            self._halve()

    def points(self) -> list[tuple[float, float]]:
        """Middle of each bucket (s) and its value, oldest first."""
        return [((number + 0.5) * self.period_s, value) for number, value, _ in self._buckets]

    def __len__(self) -> int:
        return len(self._buckets)

    def _halve(self) -> None:
        self.period_s *= 2.0
        merged: list[tuple[int, float, int]] = []
        for number, value, count in self._buckets:
            half = number // 2
            if merged and merged[-1][0] == half:
                merged[-1] = self._merged(half, merged[-1], (half, value, count))
            else:
                merged.append((half, value, count))
        # Gaps may leave every bucket without a neighbour to merge with; then the oldest give way.
        self._buckets = merged[-self._capacity :]

    def _merged(
        self, number: int, a: tuple[int, float, int], b: tuple[int, float, int]
    ) -> tuple[int, float, int]:
        count = a[2] + b[2]
        if self._peak:
            return number, max(a[1], b[1]), count
        return number, a[1] + (b[1] - a[1]) * (b[2] / count), count


class CompletionRate:
    """Trajectories an hour, from the moments at which the count of finished ones rose.

    Args:
        window_s: moments older than this are forgotten.
        keep: most moments kept.
    """

    def __init__(self, window_s: float = 1800.0, keep: int = 100) -> None:
        self._window_s = window_s
        self._moments: deque[tuple[float, int]] = deque(maxlen=keep)

    def see(self, t_s: float, done: int) -> None:
        """Take the present count; one that fell means another campaign, and starts afresh."""
        if self._moments and (done < self._moments[-1][1] or t_s < self._moments[-1][0]):
            self._moments.clear()
        if not self._moments or done > self._moments[-1][1]:
            self._moments.append((t_s, done))
        while len(self._moments) > 2 and self._moments[0][0] < t_s - self._window_s:
            self._moments.popleft()

    def per_hour(self, t_s: float) -> float:
        """The rate now; NaN until two have finished. It falls while nothing finishes.

        The first moment is when the count was first seen, not when a trajectory ended, and is not used.
        """
        moments = list(self._moments)[1:]
        if len(moments) < 2:
            return math.nan
        (first_s, first), (last_s, last) = moments[0], moments[-1]
        if last_s <= first_s:
            return math.nan
        gap_s = (last_s - first_s) / (last - first)
        # The next one is due a gap after the last: until then its absence says nothing.
        return 3600.0 * (last - first) / (max(last_s, t_s - gap_s) - first_s)
