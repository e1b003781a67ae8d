# SPDX-License-Identifier: Apache-2.0
"""Targets and positions of the trajectory that runs and of the last one, thinned to what a plot shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dexndm_ros.dashboard.inputs import StepSeen
from dexndm_ros.hand.joints import JOINT_COUNT

__all__ = ["TraceKeeper", "TrajectoryTrace", "sixteen"]

STRIDE = 4
"""Every fourth step is kept: 100 points of 400 steps, 5 Hz, more than the plot has pixels to spare."""
MAX_POINTS = 200
_WORTH_SHOWING = 20
"""Points (4 s) that one cut short must have to take the place of another on the page."""
_NOTHING = (math.nan,) * JOINT_COUNT


@dataclass
class TrajectoryTrace:
    """What was kept of one trajectory.

    Attributes:
        key: trajectory, row of the plan, attempt.
        steps: the steps kept.
        targets_rad: targets of each of them, 16 numbers.
        positions_rad: measured joint angles of each.
    """

    key: tuple[int, int, int]
    steps: list[int] = field(default_factory=list)
    targets_rad: list[tuple[float, ...]] = field(default_factory=list)
    positions_rad: list[tuple[float, ...]] = field(default_factory=list)

    def view(self) -> dict[str, Any]:
        """For the page: one list a joint."""
        trajectory, entry, attempt = self.key
        return {
            "trajectory": trajectory,
            "entry": entry,
            "attempt": attempt,
            "steps": list(self.steps),
            "target": [[row[k] for row in self.targets_rad] for k in range(JOINT_COUNT)],
            "position": [[row[k] for row in self.positions_rad] for k in range(JOINT_COUNT)],
        }


class TraceKeeper:
    """Follows the steps; the trajectory before the present one is the last."""

    def __init__(self) -> None:
        self._running: TrajectoryTrace | None = None
        self.last: TrajectoryTrace | None = None

    def see(self, step: StepSeen) -> None:
        """Take a step, in order; any number of them may be missing."""
        key = (step.trajectory, step.entry, step.attempt)
        running = self._running
        again = running is not None and running.steps and step.step < running.steps[-1]
        if running is None or running.key != key or again:
            self.ended()
            running = self._running = TrajectoryTrace(key)
        if running.steps and step.step < running.steps[-1] + STRIDE:
            return
        if len(running.steps) < MAX_POINTS:
            running.steps.append(step.step)
            running.targets_rad.append(sixteen(step.target_rad))
            running.positions_rad.append(sixteen(step.position_rad))

    def ended(self) -> None:
        """No trajectory runs any more: what there is of it is the last, unless it is hardly anything."""
        running, self._running = self._running, None
        if running is not None and len(running.steps) >= (
            2 if self.last is None else _WORTH_SHOWING
        ):
            self.last = running


def sixteen(values: tuple[float, ...]) -> tuple[float, ...]:
    """The values, or as many NaN when they are not sixteen."""
    return values if len(values) == JOINT_COUNT else _NOTHING
