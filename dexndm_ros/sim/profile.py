# SPDX-License-Identifier: Apache-2.0
"""Motion profiles of the servos: goals that travel with a limited velocity and acceleration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Profiles"]

_TICKS_PER_S = 0.229 / 60.0 * 4096.0
"""Profile Velocity (112): 0.229 rpm."""
_TICKS_PER_S2 = 214.577 / 3600.0 * 4096.0
"""Profile Acceleration (108): 214.577 rev/min^2."""


class Profiles:
    """One trajectory generator for each motor; Profile Velocity 0 passes the goal on unchanged.

    Attributes:
        position: trajectory, ticks, shape (n,).
        velocity: its speed, ticks/s, shape (n,).
        running: 1 while a profile is under way, shape (n,).
    """

    def __init__(self, count: int) -> None:
        self.position = np.zeros(count)
        self.velocity = np.zeros(count)
        self.running = np.zeros(count, dtype=np.uint8)
        self._active = np.zeros(count, dtype=bool)
        self._time_based = np.zeros(count, dtype=bool)
        self._span_s = np.zeros(count)
        self._ramp_s = np.zeros(count)
        self._top = np.full(count, np.inf)
        self._slope = np.full(count, np.inf)
        self._goal = np.full(count, np.nan)

    def configure(
        self, k: int, start: float, velocity: int, acceleration: int, time_based: bool
    ) -> None:
        """Take over a motor's profile registers.

        Args:
            k: motor.
            start: where the trajectory begins if none is under way, ticks.
            velocity: Profile Velocity register; 0 = no profile.
            acceleration: Profile Acceleration register; 0 = no limit.
            time_based: Drive Mode bit 2: both registers are milliseconds.
        """
        active = velocity > 0
        if active and not self._active[k]:
            self.position[k], self.velocity[k], self._goal[k] = start, 0.0, np.nan
        self._active[k] = active
        self._time_based[k] = time_based
        if time_based:
            self._span_s[k] = velocity * 1e-3
            self._ramp_s[k] = min(acceleration, velocity / 2) * 1e-3
            self._goal[k] = np.nan
        else:
            self._top[k] = velocity * _TICKS_PER_S
            self._slope[k] = acceleration * _TICKS_PER_S2 if acceleration else math.inf

    def stop(self, k: int) -> None:
        """Abandon a motor's profile; the next goal is taken at once until the registers are written again."""
        self._active[k] = False

    def step(self, goal: NDArray[np.float64], dt_s: float) -> NDArray[np.float64]:
        """Advance all trajectories towards the goals.

        Args:
            goal: goal positions, ticks, shape (n,).
            dt_s: time step.

        Returns:
            positions to hold now, ticks, shape (n,).
        """
        if not self._active.any():
            self.position = goal.copy()
            self.velocity[:] = 0.0
            self.running[:] = 0
            return self.position
        fresh = self._active & self._time_based & (goal != self._goal)
        for k in np.flatnonzero(fresh):
            self._plan_by_time(int(k), abs(goal[k] - self.position[k]))
        self._goal = goal.copy()
        distance = goal - self.position
        with np.errstate(invalid="ignore"):
            reach = np.sqrt(2.0 * self._slope * np.abs(distance))
        reach[distance == 0.0] = 0.0
        wanted = np.sign(distance) * np.minimum(self._top, reach)
        change = np.clip(wanted - self.velocity, -self._slope * dt_s, self._slope * dt_s)
        velocity = self.velocity + change
        arrives = (np.abs(distance) <= np.abs(velocity) * dt_s) & (velocity * distance >= 0.0)
        done = arrives | ~self._active
        self.velocity = np.where(done, 0.0, velocity)
        self.position = np.where(done, goal, self.position + self.velocity * dt_s)
        self.running = (~done).astype(np.uint8)
        return self.position

    def _plan_by_time(self, k: int, distance: float) -> None:
        span, ramp = self._span_s[k], self._ramp_s[k]
        self._top[k] = distance / max(span - ramp, 1e-3)
        self._slope[k] = self._top[k] / ramp if ramp > 0.0 else math.inf
