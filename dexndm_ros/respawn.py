# SPDX-License-Identifier: Apache-2.0
"""When a process that ended is started again, and when it is given up.

Pure: ends and times come in, delays come out. One crash is mended at once, a crash loop is slowed
down, and one that never heals ends within the budget, so that a person hears of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["REFUSED", "RespawnBudget", "RespawnRule"]

REFUSED = 2
"""Exit status of a program that cannot work with what it was given: starting it again is no help."""


@dataclass(frozen=True)
class RespawnRule:
    """How often and how soon a process is started again.

    Attributes:
        delay_s: wait before a new start.
        delay_max_s: the wait doubles with each short life, up to this.
        healthy_s: a life this long is not short: the wait begins anew at ``delay_s``.
        budget: starts again within ``window_s``; one more end and the process is given up.
        window_s: see ``budget``.
    """

    delay_s: float = 0.5
    delay_max_s: float = 30.0
    healthy_s: float = 10.0
    budget: int = 20
    window_s: float = 600.0


class RespawnBudget:
    """What one process has used up of its rule.

    Args:
        rule: delays and budget.
    """

    def __init__(self, rule: RespawnRule = RespawnRule()) -> None:
        self._rule = rule
        self._recent_s: deque[float] = deque()
        self._short_lives = 0
        self.used = 0
        """Starts again so far, all of them."""

    def ended(self, now_s: float, lived_s: float, code: int) -> float | None:
        """The process has ended.

        Args:
            now_s: monotonic time.
            lived_s: how long it had lived.
            code: its exit status.

        Returns:
            seconds to wait before the new start; None = give it up.
        """
        rule = self._rule
        while self._recent_s and self._recent_s[0] <= now_s - rule.window_s:
            self._recent_s.popleft()
        if code == REFUSED or len(self._recent_s) >= rule.budget:
            return None
        self._recent_s.append(now_s)
        self.used += 1
        if lived_s >= rule.healthy_s:
            self._short_lives = 0
        # The exponent is bounded: a float overflows long before a night is over.
        delay_s = min(rule.delay_s * 2.0 ** min(self._short_lives, 60), rule.delay_max_s)
        self._short_lives += 1
        return delay_s
