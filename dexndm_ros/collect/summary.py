# SPDX-License-Identifier: Apache-2.0
"""What there is to say of a campaign when the hand has stopped."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dexndm_ros.replay.ledger import Counts, Ledger
from dexndm_ros.replay.pace import Pace

__all__ = ["Summary"]

_STEP_S = 0.05


@dataclass(frozen=True)
class Summary:
    """A campaign in numbers, from its ledger.

    Attributes:
        counts: rows of the plan by state.
        lost: messages that were published and are in no bag.
        bytes: of all bags.
        faults: met since the campaign began, those recovered from too.
        duty_cycle: share of the time spent replaying; NaN = not known.
        period_error_ms: difference of a tick's period and 50 ms that 99 % of a trajectory's ticks stay
            below: median of the trajectories and the worst one; NaN = not known.
    """

    counts: Counts
    lost: int
    bytes: int
    faults: int
    duty_cycle: float
    period_error_ms: tuple[float, float]

    @classmethod
    def read(cls, ledger: Path) -> Self:
        """Read it from a ledger that may be in use.

        Raises:
            LedgerError: it cannot be read.
        """
        with Ledger.read_only(ledger) as book:
            results = [row.result for row in book.results() if row.result is not None]
            pace = book.statistic("pace")
            errors = [
                r.period_error_ms_p99 for r in results if not math.isnan(r.period_error_ms_p99)
            ]
            return cls(
                counts=book.counts(),
                lost=sum(r.lost + r.dropped for r in results),
                bytes=sum(r.bytes for r in results),
                faults=book.statistic("faults", 0),
                duty_cycle=Pace(_STEP_S, **pace).duty_cycle if pace else math.nan,
                period_error_ms=(
                    (statistics.median(errors), max(errors)) if errors else (math.nan, math.nan)
                ),
            )

    def lines(self, out: Path) -> list[str]:
        """It in words.

        Args:
            out: the campaign's folder.
        """
        counts = self.counts
        left = counts.total - counts.done - counts.rejected
        parts = [
            f"{counts.done} of {counts.total} trajectories done",
            f"{counts.rejected} rejected",
        ]
        if left:
            parts.append(f"{left} to do")
        parts += [f"{self.lost} messages lost", f"{self.faults} faults"]
        lines = [", ".join(parts)]
        if counts.done:
            median_ms, worst_ms = self.period_error_ms
            lines.append(
                f"duty cycle {100.0 * self.duty_cycle:.1f} %, period error p99 {median_ms:.2f} ms "
                f"(worst trajectory {worst_ms:.2f} ms)"
            )
        lines.append(f"bags: {out / 'bags'} ({self.bytes / 1e6:.1f} MB)")
        return lines
