# SPDX-License-Identifier: Apache-2.0
"""What stands between the operator's hand and the arm: a box, speeds, accelerations and a leash.

Pure: no clock, no ROS. A loop calls ``PoseLimiter.step`` once a period (late slots are skipped, so a late arm is
a slower one) and publishes what comes out. Whatever goes in: the pose never leaves the box it started in, never
moves faster than the limit and never changes its velocity faster than the limit.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.braking import (
    approach_velocity,
    change_velocity,
    shortened,
    stopping_speed,
)
from dexndm_ros.teleop.pose import Pose

__all__ = ["SPEED_CEILING_M_S", "Limited", "LimiterConfig", "PoseLimiter"]

Vector = NDArray[np.float64]
SPEED_CEILING_M_S = 0.6
"""No configuration lets a teleoperated arm move faster."""


@dataclass(frozen=True)
class LimiterConfig:
    """What the arm may do.

    Attributes:
        box_lower_m: corner of the workspace, base frame.
        box_upper_m: the opposite corner.
        speed_m_s: greatest speed of the palm.
        acceleration_m_s2: greatest change of it, a second.
        stop_m_s2: greatest deceleration when the operator lets go or a gate closes.
        turn_rad_s: greatest angular speed.
        turn_acceleration_rad_s2: greatest change of it, a second.
        leash_m: the target stays this near to the measured position ...
        leash_rad: ... and orientation: an arm that is held does not wind up.
        approach_s: time constant of the last millimetres.
        follow_s: the target's own velocity is taken over so much time.
        period_s: of one step.
    """

    box_lower_m: tuple[float, float, float] = (0.25, -0.45, 0.10)
    box_upper_m: tuple[float, float, float] = (0.75, 0.45, 0.80)
    speed_m_s: float = 0.25
    acceleration_m_s2: float = 2.0
    stop_m_s2: float = 4.0
    turn_rad_s: float = 0.8
    turn_acceleration_rad_s2: float = 6.0
    leash_m: float = 0.08
    leash_rad: float = math.radians(15.0)
    approach_s: float = 0.05
    follow_s: float = 0.03
    period_s: float = 0.01

    def __post_init__(self) -> None:
        """Refuse limits under which nothing is limited."""
        corners = zip(self.box_lower_m, self.box_upper_m, strict=True)
        if len(self.box_lower_m) != 3 or not all(
            math.isfinite(low) and math.isfinite(up) and low < up for low, up in corners
        ):
            raise ValueError("the workspace box needs three finite numbers with lower < upper")
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.name.startswith("box") and not 0 < value < math.inf:
                raise ValueError(f"limiter {field.name} must be finite and > 0, got {value}")
        if self.speed_m_s > SPEED_CEILING_M_S:
            raise ValueError(f"speed_m_s {self.speed_m_s} is above {SPEED_CEILING_M_S} m/s")
        if self.stop_m_s2 < self.acceleration_m_s2:
            raise ValueError("stop_m_s2 must not be below acceleration_m_s2")


@dataclass(frozen=True)
class Limited:
    """What the arm is told in this period.

    Attributes:
        pose: where the palm is to be.
        velocity_m_s: of it, shape (3,), base frame.
        turn_rad_s: its angular velocity, shape (3,), base frame.
        limits: what keeps it from the operator's target: "box", "leash", "speed", "turn speed".
    """

    pose: Pose
    velocity_m_s: Vector
    turn_rad_s: Vector
    limits: frozenset[str]


class PoseLimiter:
    """The pose that the arm is told, and how it may move on.

    Args:
        config: what is allowed.
        pose: where it begins, at rest; may be outside the box, and then only moves towards it.
    """

    def __init__(self, config: LimiterConfig, pose: Pose) -> None:
        self.config = config
        self._lower, self._upper = np.array(config.box_lower_m), np.array(config.box_upper_m)
        samples = max(1, round(config.follow_s / config.period_s))
        self._targets: deque[Pose] = deque(maxlen=samples + 1)
        self.reset(pose)

    @property
    def pose(self) -> Pose:
        """The last one told."""
        return self._pose

    @property
    def at_rest(self) -> bool:
        """Nothing moves."""
        return not (self._velocity.any() or self._turn.any())

    def reset(self, pose: Pose) -> None:
        """Begin anew somewhere, at rest; for when nobody follows the pose."""
        self._pose = pose
        self._velocity, self._turn = np.zeros(3), np.zeros(3)
        self._targets.clear()

    def step(self, target: Pose | None, measured: Pose | None) -> Limited:
        """Move on by one period.

        Args:
            target: where the operator wants the palm, base frame; None = stop and hold.
            measured: where it is; None = not known, then the arm stops too.
        """
        config, limits = self.config, set[str]()
        if target is None or measured is None or not (_finite(target) and _finite(measured)):
            self._targets.clear()
            wanted, wanted_turn, most = np.zeros(3), np.zeros(3), config.stop_m_s2
        else:
            reachable = self._reachable(target, measured, limits)
            wanted, wanted_turn = self._wanted(reachable, measured, limits)
            most = config.acceleration_m_s2
        below, above = self._walls()
        self._velocity = change_velocity(
            self._velocity,
            np.clip(self._velocity, below, above),
            np.clip(wanted, below, above),
            most * config.period_s,
        )
        self._turn = change_velocity(
            self._turn, self._turn, wanted_turn, config.turn_acceleration_rad_s2 * config.period_s
        )
        self._pose = Pose(
            self._pose.position_m + self._velocity * config.period_s,
            Rotation.from_rotvec(self._turn * config.period_s) * self._pose.rotation,
        )
        return Limited(self._pose, self._velocity, self._turn, frozenset(limits))

    def _walls(self) -> tuple[Vector, Vector]:
        """Velocities with which each axis can still stop at its walls."""
        # three walls can meet in a corner, and all three brakings must fit into one acceleration
        brake, dt = self.config.acceleration_m_s2 / math.sqrt(3.0), self.config.period_s
        here = self._pose.position_m
        return (
            -stopping_speed(here - self._lower, brake, dt),
            stopping_speed(self._upper - here, brake, dt),
        )

    def _reachable(self, target: Pose, measured: Pose, limits: set[str]) -> Pose:
        """The target put into the box (sliding along its walls) and on the leash."""
        inside = np.clip(target.position_m, self._lower, self._upper)
        if (inside != target.position_m).any():
            limits.add("box")
        away, turn = measured.offset(Pose(inside, target.rotation))
        near, near_turn = (
            shortened(away, self.config.leash_m),
            shortened(turn, self.config.leash_rad),
        )
        if near is not away or near_turn is not turn:
            limits.add("leash")
        return Pose(measured.position_m + near, Rotation.from_rotvec(near_turn) * measured.rotation)

    def _wanted(self, target: Pose, measured: Pose, limits: set[str]) -> tuple[Vector, Vector]:
        """Velocities that catch the target and go with it."""
        config = self.config
        self._targets.append(target)
        span_s = max(1, len(self._targets) - 1) * config.period_s
        moved, turned = self._targets[0].offset(target)
        along = shortened(moved / span_s, config.speed_m_s)
        along_turn = shortened(turned / span_s, config.turn_rad_s)
        error, turn_error = self._pose.offset(target)
        # what is left when this step has gone along with the target
        wanted = along + approach_velocity(
            error - along * config.period_s, config.acceleration_m_s2, config.approach_s
        )
        wanted_turn = along_turn + approach_velocity(
            turn_error - along_turn * config.period_s,
            config.turn_acceleration_rad_s2,
            config.approach_s,
        )
        slow, slow_turn = (
            shortened(wanted, config.speed_m_s),
            shortened(wanted_turn, config.turn_rad_s),
        )
        if slow is not wanted:
            limits.add("speed")
        if slow_turn is not wanted_turn:
            limits.add("turn speed")
        return self._on_leash(slow, measured), slow_turn

    def _on_leash(self, wanted: Vector, measured: Pose) -> Vector:
        """Without the part that would run beyond the leash's end."""
        config = self.config
        away = self._pose.position_m - measured.position_m
        far = float(np.linalg.norm(away))
        if far == 0.0:
            return wanted
        outward = float(wanted @ away) / far
        most = stopping_speed(config.leash_m - far, config.acceleration_m_s2, config.period_s)
        return wanted if outward <= most else wanted - (outward - most) / far * away


def _finite(pose: Pose) -> bool:
    return bool(np.isfinite(pose.position_m).all() and np.isfinite(pose.xyzw).all())
