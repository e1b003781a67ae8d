# SPDX-License-Identifier: Apache-2.0
"""What the check of a recording's decisions gives: how many were the same, and where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES

__all__ = ["CheckError", "CheckResult", "Divergence", "Trace", "Tracer", "Verdict", "compare"]

Vector = NDArray[np.float64]

KEPT = 20
"""Divergences told of one check; all are counted."""


class CheckError(ValueError):
    """Decisions that cannot be done again; the message says why, and what would help."""


class Verdict(IntEnum):
    """What a check says of one tick."""

    EQUAL = 0
    DIVERGED = 1
    UNKNOWN = 2  # the recording does not hold what the decision was made from


@dataclass(frozen=True)
class Divergence:
    """A tick at which the recording says something else than what was computed from it.

    Attributes:
        tick: number of it: PolicyStep.seq, HandState.seq or step of the trajectory.
        time_s: since the first message of the recording.
        field: what differs.
        joint: motor that differs most; -1 = it is no matter of a joint.
        recorded: the value in the recording (of that joint).
        computed: what came out now.
        size: how far apart they are; NaN where that has no meaning.
        text: the same as a sentence.
    """

    tick: int
    time_s: float
    field: str
    joint: int
    recorded: Any
    computed: Any
    size: float
    text: str


@dataclass(frozen=True)
class Trace:
    """Both sides over time, for the plot.

    Attributes:
        tick: (n,), numbers of the ticks.
        time_s: (n,), since the first message of the recording.
        recorded: (n, 16) rad.
        computed: (n, 16) rad; NaN where nothing could be computed.
        verdict: (n,), values of ``Verdict``.
    """

    tick: NDArray[np.int64]
    time_s: Vector
    recorded: Vector
    computed: Vector
    verdict: NDArray[np.int8]


@dataclass(frozen=True)
class CheckResult:
    """One check of one recording.

    Attributes:
        check: "policy", "guard", "driver" or "replay".
        what: what is counted, in the plural: "ticks", "cycles", "states", "steps".
        equal: of them that are equal to the last bit.
        diverged: of them that are not.
        unknown: of them that were not compared, by reason.
        idle: of the unknown ones, those in which there was nothing to compare.
        divergences: the first of them.
        max_difference_rad: (16,), largest difference of each joint.
        facts: with what it was computed, for the report.
        notes: what a reader should know beside the numbers.
        trace: for the plot; None = there is nothing to plot.
    """

    check: str
    what: str
    equal: int
    diverged: int
    unknown: Mapping[str, int] = field(default_factory=dict)
    idle: int = 0
    divergences: tuple[Divergence, ...] = ()
    max_difference_rad: Vector = field(default_factory=lambda: np.zeros(JOINT_COUNT))
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trace: Trace | None = None

    @property
    def first(self) -> Divergence | None:
        """Where it went wrong; None = nowhere."""
        return self.divergences[0] if self.divergences else None

    @property
    def compared(self) -> int:
        """How many were compared."""
        return self.equal + self.diverged

    @property
    def comparable(self) -> int:
        """How many would have been, of a recording in which nothing is missing."""
        return self.compared + sum(self.unknown.values()) - self.idle

    @property
    def share(self) -> float:
        """Compared of comparable, 0 to 1."""
        return self.compared / self.comparable if self.comparable else 0.0


class Tracer:
    """Collects a check, tick by tick.

    Args:
        check: name of the check.
        what: what is counted.
        begin_ns: log time of the recording's first message.
    """

    def __init__(self, check: str, what: str, begin_ns: int) -> None:
        self._check = check
        self._what = what
        self._begin_ns = begin_ns
        self._unknown: dict[str, int] = {}
        self._divergences: list[Divergence] = []
        self._diverged = self._idle = 0
        self._max = np.zeros(JOINT_COUNT)
        self._rows: list[tuple[int, float, Vector, Vector, int]] = []

    def seconds(self, log_ns: int) -> float:
        """Time since the recording began."""
        return float(int(log_ns) - self._begin_ns) / 1e9

    def equal(self, tick: int, log_ns: int, recorded: Vector, computed: Vector) -> None:
        """The same to the last bit."""
        self._row(tick, log_ns, recorded, computed, Verdict.EQUAL)

    def unknown(
        self, tick: int, log_ns: int, recorded: Vector, reason: str, idle: bool = False
    ) -> None:
        """Nothing can be said of this tick; ``idle``: there is nothing to be said, whatever was recorded."""
        self._idle += idle
        self._unknown[reason] = self._unknown.get(reason, 0) + 1
        self._row(tick, log_ns, recorded, np.full(JOINT_COUNT, np.nan), Verdict.UNKNOWN)

    def diverged(
        self,
        tick: int,
        log_ns: int,
        recorded: Vector,
        computed: Vector,
        found: tuple[str, int, Any, Any],
        context: str,
    ) -> None:
        """Not the same.

        Args:
            tick: number of the tick.
            log_ns: when it was recorded.
            recorded: (16,), for the plot.
            computed: (16,), likewise.
            found: what differs, as ``compare`` tells it: field, joint, value recorded, value computed.
            context: where to look, for the sentence: "on HandState 123".
        """
        name, joint, was, now = found
        size, time_s = _size(was, now), self.seconds(log_ns)
        whose = f" of {JOINT_NAMES[joint]} (motor {joint})" if joint >= 0 else ""
        off = f", {size:.3g} rad apart" if joint >= 0 and np.isfinite(size) else ""
        text = (
            f"{self._what.removesuffix('s')} {tick} at {time_s:.3f} s{' ' if context else ''}{context}: "
            f"{name}{whose} was {was!r} and comes out as {now!r}{off}"
        )
        self._diverged += 1
        if len(self._divergences) < KEPT:
            self._divergences.append(Divergence(tick, time_s, name, joint, was, now, size, text))
        difference = np.abs(np.asarray(recorded) - np.asarray(computed))
        self._max = np.fmax(self._max, difference)
        self._row(tick, log_ns, recorded, computed, Verdict.DIVERGED)

    def _row(
        self, tick: int, log_ns: int, recorded: Vector, computed: Vector, verdict: Verdict
    ) -> None:
        self._rows.append(
            (int(tick), self.seconds(log_ns), np.array(recorded), np.array(computed), int(verdict))
        )

    def result(self, facts: Mapping[str, Any], notes: Sequence[str] = ()) -> CheckResult:
        """What was found."""
        total = len(self._rows)
        columns: list[Any] = list(zip(*self._rows, strict=True)) or [[]] * 5
        trace = Trace(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.float64),
            np.array(columns[2], dtype=np.float64).reshape(total, JOINT_COUNT),
            np.array(columns[3], dtype=np.float64).reshape(total, JOINT_COUNT),
            np.array(columns[4], dtype=np.int8),
        )
        return CheckResult(
            check=self._check,
            what=self._what,
            equal=int(np.count_nonzero(trace.verdict == Verdict.EQUAL)),
            diverged=self._diverged,
            unknown=dict(self._unknown),
            idle=self._idle,
            divergences=tuple(self._divergences),
            max_difference_rad=self._max,
            facts=dict(facts),
            notes=tuple(notes),
            trace=trace if total else None,
        )


def compare(
    recorded: Mapping[str, Any], computed: Mapping[str, Any]
) -> tuple[str, int, Any, Any] | None:
    """The first field that is not the same to the last bit.

    Args:
        recorded: numbers, words or (16,) vectors by name, in the order in which they shall be looked at.
        computed: the same names.

    Returns:
        Name, joint that differs most (-1 = no vector), value recorded, value computed; None = all are equal.
    """
    for name, was in recorded.items():
        now = computed[name]
        if not isinstance(was, np.ndarray):
            if was != now:
                return name, -1, was, now
            continue
        a, b = np.asarray(was, dtype=np.float64), np.asarray(now, dtype=np.float64)
        if a.tobytes() != b.tobytes():
            # NaN on one side only is the largest difference that there is; 0.0 and -0.0 are one, too.
            differ = a.view(np.uint64) != b.view(np.uint64)
            apart = np.where(differ, np.nan_to_num(np.abs(a - b), nan=np.inf), -1.0)
            joint = int(np.argmax(apart))
            return name, joint, float(a[joint]), float(b[joint])
    return None


def _size(was: Any, now: Any) -> float:
    if isinstance(was, (int, float)) and isinstance(now, (int, float)):
        return abs(float(was) - float(now))
    return float("nan")
