# SPDX-License-Identifier: Apache-2.0
"""Stretches of a bag's time that a figure points out: missing states, modes of the hand, steps of the clock, faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SERIOUS", "Mark", "Marks"]

SERIOUS = ("gap", "FAULT", "clock", "damage")
"""Kinds that are told in words."""
_MODES = {0: "relaxed", 1: "ramping", 2: "active", 3: "holding", 4: "FAULT"}
_ACTIVE = 2
_STEP_NS = 2_000_000


@dataclass(frozen=True)
class Mark:
    """A stretch of time.

    Attributes:
        kind: gap, FAULT, holding, ramping, relaxed, clock or damage.
        begin_s: since the first state; NaN = not at any time.
        end_s: of it.
        text: what.
    """

    kind: str
    begin_s: float
    end_s: float
    text: str


class Marks:
    """Collects them, a stretch of the bag at a time."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._told: set[str] = set()
        self._last: tuple[int, float, int] | None = (
            None  # number, time and difference of the clocks
        )
        self._mode: tuple[int, float] | None = None

    def add(self, kind: str, begin_s: float, end_s: float, text: str) -> None:
        """One of them."""
        self._marks.append(Mark(kind, float(begin_s), float(end_s), text))

    def once(self, kind: str, begin_s: float, text: str) -> None:
        """One that may be said again and again; NaN = at no special time."""
        if text not in self._told:
            self._told.add(text)
            self.add(kind, begin_s, begin_s, text)

    def states(self, found: Any, rows: NDArray[np.bool_], time_s: NDArray[np.float64]) -> None:
        """Look at states of the hand.

        Args:
            found: columns seq, header.stamp, mode and perhaps monotonic_ns.
            rows: of them.
            time_s: of these rows.
        """
        numbers = found["seq"][rows].astype(np.int64)
        clock = np.zeros(len(numbers), dtype=np.int64)
        if "monotonic_ns" in found:
            clock = found["header.stamp"][rows] - found["monotonic_ns"][rows].astype(np.int64)
        before = self._last or (int(numbers[0]) - 1, float(time_s[0]), int(clock[0]))
        since_s = np.r_[before[1], time_s[:-1]]
        steps = np.diff(numbers, prepend=before[0])
        for k in np.flatnonzero(steps > 1):
            self.add("gap", since_s[k], time_s[k], f"{steps[k] - 1} states are missing")
        back = "the driver's numbers go back: it was started anew, or states are doubled"
        for k in np.flatnonzero(steps < 1):
            self.add("gap", since_s[k], time_s[k], back)
        jumps_ns = np.diff(clock, prepend=before[2])
        for k in np.flatnonzero(np.abs(jumps_ns) > _STEP_NS):
            text = f"the system time steps by {jumps_ns[k] / 1e6:+.1f} ms"
            self.add("clock", since_s[k], time_s[k], text)
        self._last = (int(numbers[-1]), float(time_s[-1]), int(clock[-1]))
        self._modes(found["mode"][rows].astype(int), time_s)

    def _modes(self, mode: NDArray[np.int64], time_s: NDArray[np.float64]) -> None:
        self._mode = self._mode or (int(mode[0]), float(time_s[0]))
        for k in np.flatnonzero(mode != np.r_[self._mode[0], mode[:-1]]):
            self._close_mode(float(time_s[k]))
            self._mode = (int(mode[k]), float(time_s[k]))

    def _close_mode(self, end_s: float) -> None:
        if self._mode is not None and self._mode[0] != _ACTIVE:
            name = _MODES.get(self._mode[0], f"mode {self._mode[0]}")
            self.add(name, self._mode[1], end_s, f"the hand was {name}")

    def finish(self) -> list[Mark]:
        """All, in the order of time; those without a time at the end."""
        if self._last is not None:
            self._close_mode(self._last[1])
            self._mode = None
        return sorted(self._marks, key=lambda mark: (np.isnan(mark.begin_s), mark.begin_s))
