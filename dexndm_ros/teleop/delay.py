# SPDX-License-Identifier: Apache-2.0
"""How late samples come, told from two clocks that nobody compared."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Delay"]


class Delay:
    """How much longer a sample was under way than the quickest of the last minute.

    The clocks' offset is not known, so a delay that every sample has stays unseen; one that grows, as in a queue that
    is not emptied, shows. A minute is short enough that two clocks drift by a few milliseconds only.

    Args:
        window_s: how far back the quickest is looked for.
        buckets: into how many parts the window is cut.
    """

    def __init__(self, window_s: float = 60.0, buckets: int = 60) -> None:
        self._width_s = window_s / buckets
        self._least: deque[tuple[int, float]] = deque(maxlen=buckets)

    def update(self, captured_s: float, arrived_s: float) -> float:
        """Take a sample's two times; how late it is, s, >= 0."""
        bucket, offset_s = math.floor(arrived_s / self._width_s), arrived_s - captured_s
        if self._least and self._least[-1][0] == bucket:
            offset_s = min(offset_s, self._least.pop()[1])
        self._least.append((bucket, offset_s))
        oldest = bucket - (self._least.maxlen or 0)
        while self._least[0][0] <= oldest:
            self._least.popleft()
        return arrived_s - captured_s - min(least for _, least in self._least)

    def reset(self) -> None:
        """Forget: another clock follows."""
        self._least.clear()
