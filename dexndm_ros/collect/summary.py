# SPDX-License-Identifier: Apache-2.0
"""What there is to say of a campaign when the hand has stopped."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dexndm_ros.replay.ledger import Counts, Ledger
from dexndm_ros.replay.pace import STEP_S, Pace, period_error

__all__ = ["Summary"]


@dataclass(frozen=True)
class Summary:
    """A campaign in numbers, from its ledger.

    Attributes:
        counts: rows of the plan by state.
        lost: messages that were published and are in no bag.
        bytes: of all bags.
        unfinished: attempts that came to nothing; their rows are done again, or rejected.
        duty_cycle: share of the time spent replaying; NaN = not known.
        period_error_ms: difference of a tick's period and 50 ms: 99 % are below the first number, all
            below the second; NaN = not known.
    """

    counts: Counts
    lost: int
    bytes: int
    unfinished: int
    duty_cycle: float
    period_error_ms: tuple[float, float]

    @classmethod
    def read(cls, ledger: Path) -> Self:
        """Read it from a ledger that may be in use.

        Raises:
            LedgerError: it cannot be read.
        """
        with Ledger.read_only(ledger) as book:
            attempts = book.attempts()
            results = [attempt.result for attempt in attempts if attempt.result is not None]
            kept = book.statistics()
            pace, error = kept.get("pace"), period_error(kept)
            worst_ms = error.max_ns / 1e6 if error.count else math.nan
            return cls(
                counts=book.counts(),
                lost=sum(r.lost + r.dropped for r in results),
                bytes=sum(r.bytes for r in results),
                unfinished=sum(a.state in ("rejected", "interrupted") for a in attempts),
                duty_cycle=Pace(STEP_S, **pace).duty_cycle if pace else math.nan,
                period_error_ms=(error.quantile_ms(0.99), worst_ms),
            )

    @property
    def left(self) -> int:
        """Trajectories still to do."""
        return self.counts.total - self.counts.done - self.counts.rejected

    def lines(self, out: Path) -> list[str]:
        """It in words.

        Args:
            out: the campaign's folder.
        """
        counts = self.counts
        parts = [
            f"{counts.done} of {counts.total} trajectories done",
            f"{counts.rejected} rejected",
        ]
        if self.left:
            parts.append(f"{self.left} to do")
        parts += [f"{self.lost} messages lost", f"{self.unfinished} attempts cut short"]
        lines = [", ".join(parts)]
        if counts.done:
            p99_ms, worst_ms = self.period_error_ms
            lines.append(
                f"duty cycle {100.0 * self.duty_cycle:.1f} %, period error p99 {p99_ms:.2f} ms "
                f"(worst {worst_ms:.2f} ms)"
            )
        lines.append(f"bags: {out / 'bags'} ({self.bytes / 1e6:.1f} MB)")
        if counts.done:
            words = [
                "dexndm",
                "convert",
                str(out),
                "--out",
                str(out.with_name(f"{out.name}_dataset")),
            ]
            lines.append(f"make a dataset of them: {shlex.join(words)}")
        return lines
