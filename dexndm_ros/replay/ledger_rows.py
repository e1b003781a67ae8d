# SPDX-License-Identifier: Apache-2.0
"""What a campaign's ledger holds, as values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

__all__ = [
    "Attempt",
    "Claim",
    "Counts",
    "Event",
    "PlanEntry",
    "Result",
    "episode_name",
    "parse_episode",
]

_EPISODE = re.compile(r"e([0-9]{6,})_a([1-9][0-9]*)")


def episode_name(entry: int, attempt: int) -> str:
    """Name of the recording of an attempt, also its bag's: ``"e000012_a1"``."""
    return f"e{entry:06d}_a{attempt}"


def parse_episode(name: str) -> tuple[int, int] | None:
    """(entry, attempt) of a recording's name; None = it is not one."""
    match = _EPISODE.fullmatch(name)
    if match is None or episode_name(int(match[1]), int(match[2])) != name:
        return None
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class PlanEntry:
    """A row of the plan.

    Attributes:
        entry: from 0, in the order of the replay.
        trajectory: id in the library.
        seed: of the noise, 63 bit; the same for all attempts.
    """

    entry: int
    trajectory: int
    seed: int


@dataclass(frozen=True)
class Claim:
    """An attempt at a row, under way.

    Attributes:
        entry: row of the plan.
        attempt: from 1.
        trajectory: id in the library.
        seed: of the noise.
    """

    entry: int
    attempt: int
    trajectory: int
    seed: int

    @property
    def episode(self) -> str:
        """Name of its recording."""
        return episode_name(self.entry, self.attempt)


@dataclass(frozen=True)
class Result:
    """What is kept of a finished trajectory. NaN and () stand for what nobody measured.

    Attributes:
        bag: folder name of its bag.
        messages: in the bag.
        lost: published while it was recorded, never came.
        dropped: came, not written.
        bytes: size on disk.
        started_ns: time of its first step, clock of the replay.
        duration_s: from the first step to the tick after the last.
        temperature_max_c: of the hottest motor.
        current_mean_a: mean absolute current of each motor, (16,).
        current_spread_a: standard deviation of the currents' one-second means, mean over the motors.
        tracking_rms_rad: root mean square of target minus position.
        period_error_ms_p99: 99 % of the tick periods were within this.
        missed_ticks: slots skipped.
    """

    bag: str
    messages: int
    lost: int
    dropped: int
    bytes: int
    started_ns: int
    duration_s: float
    temperature_max_c: float = math.nan
    current_mean_a: tuple[float, ...] = ()
    current_spread_a: float = math.nan
    tracking_rms_rad: float = math.nan
    period_error_ms_p99: float = math.nan
    missed_ticks: int = 0


@dataclass(frozen=True)
class Attempt:
    """A try at a row, as the ledger keeps it.

    Attributes:
        claim: which one.
        state: "claimed" (under way), "done", "rejected" or "interrupted" (not counted against the row).
        reason: why it was rejected or interrupted; "" else.
        bag: folder name of its bag, or of what was put aside; "" = none.
        claimed_ns: wall-clock time at which it was claimed.
        ended_ns: and at which it ended; None = under way.
        result: of a done one; None else.
    """

    claim: Claim
    state: str
    reason: str
    bag: str
    claimed_ns: int
    ended_ns: int | None
    result: Result | None


@dataclass(frozen=True)
class Event:
    """A line of the campaign's journal.

    Attributes:
        time_ns: wall clock.
        kind: one word.
        text: what happened.
        numbers: what goes with it.
    """

    time_ns: int
    kind: str
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Rows of the plan by state; ``total`` is the sum of the others."""

    total: int
    done: int
    rejected: int
    claimed: int
    planned: int
