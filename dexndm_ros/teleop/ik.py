# SPDX-License-Identifier: Apache-2.0
"""From the palm's pose to the arm's joints, for controllers that take joints.

Differential inverse kinematics as a bounded least-squares problem (scipy's ``lsq_linear``, Stark and Parker's BVLS):
joint velocities that give the palm's wanted velocity as well as they can, within what each joint may do now.
The bounds are hard: the joint's speed, its acceleration, and a speed from which it can still stop before its end.
Near a singularity damping grows (Maciejewski and Klein, 1988), and the arm lags instead of whirling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from dexndm_ros.teleop.braking import shortened, stopping_speed
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.fr3 import (
    ARM_JOINT_NAMES,
    ARM_JOINTS,
    ARM_LOWER_RAD,
    ARM_UPPER_RAD,
    HOME_RAD,
    JOINT_BRAKE_RAD_S2,
    MAX_JOINT_ACCELERATION_RAD_S2,
    MAX_JOINT_RAD_S,
)
from dexndm_ros.teleop.limiter import Limited

__all__ = ["ArmIk", "IkConfig", "IkStep"]

Vector = NDArray[np.float64]
_LEAST_MARGIN_RAD = 0.03
"""With less the braking below would be later than the robot's own limit allows near a joint's end."""
_BRAKE_RAD_S2 = JOINT_BRAKE_RAD_S2 / 4.0


@dataclass(frozen=True)
class IkConfig:
    """How joints follow the palm.

    Attributes:
        speed_share: of each joint's greatest speed that is used.
        acceleration_rad_s2: greatest change of a joint's speed, a second.
        margin_rad: joints stay so far from their ends.
        recover_s: time constant with which an error goes away.
        recover_m_s: greatest speed of that, on top of the palm's own velocity ...
        recover_rad_s: ... and of the turn.
        rad_as_m: a turn of one rad counts as so many metres.
        near_singular: below this smallest singular value of the Jacobian (metres) damping begins.
        damping: of joint speeds, at the singularity itself.
        posture_weight: of the wish to have the free seventh joint angle near ``rest_rad``.
        posture_s: time constant of that wish.
        rest_rad: where the joints like to be.
        period_s: of one step.
    """

    speed_share: float = 0.5
    acceleration_rad_s2: float = 5.0
    margin_rad: float = 0.05
    recover_s: float = 0.05
    recover_m_s: float = 0.15
    recover_rad_s: float = 0.5
    rad_as_m: float = 0.2
    near_singular: float = 0.04
    damping: float = 0.1
    posture_weight: float = 0.01
    posture_s: float = 1.0
    rest_rad: tuple[float, ...] = tuple(HOME_RAD.tolist())
    period_s: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what the arm cannot do."""
        for field in fields(self):
            if field.name != "rest_rad" and not 0 < getattr(self, field.name) < math.inf:
                raise ValueError(f"ik {field.name} must be finite and > 0")
        if self.speed_share > 1.0:
            raise ValueError(f"speed_share {self.speed_share} is above 1")
        most = MAX_JOINT_ACCELERATION_RAD_S2
        if not _BRAKE_RAD_S2.min() <= self.acceleration_rad_s2 <= most:
            raise ValueError(
                f"acceleration_rad_s2 must be {_BRAKE_RAD_S2.min():.2f}..{most:g} rad/s²"
            )
        if self.margin_rad < _LEAST_MARGIN_RAD:
            raise ValueError(f"margin_rad must be at least {_LEAST_MARGIN_RAD}")
        if len(self.rest_rad) != len(ARM_JOINTS):
            raise ValueError(f"rest_rad needs {len(ARM_JOINTS)} angles, got {len(self.rest_rad)}")


@dataclass(frozen=True)
class IkStep:
    """What the joints are told in this period.

    Attributes:
        q_rad: joint angles, shape (7,).
        v_rad_s: joint velocities that lead there, shape (7,).
        error_m: how far the palm then is from its pose.
        error_rad: how far it is turned from it.
        singular: smallest singular value of the Jacobian, metres.
        at_limit: joints that would have to go faster or further than they may.
    """

    q_rad: Vector
    v_rad_s: Vector
    error_m: float
    error_rad: float
    singular: float
    at_limit: tuple[str, ...]


class ArmIk:
    """The joint angles that the arm is told, and how they go on.

    Args:
        config: how they may move.
        chain: the arm and its tool.
        q_rad: where they begin, at rest, shape (7,).
    """

    def __init__(self, config: IkConfig, chain: ArmChain, q_rad: Vector) -> None:
        self.config, self.chain = config, chain
        self._brake = np.minimum(_BRAKE_RAD_S2, config.acceleration_rad_s2)
        self._rest = np.array(config.rest_rad)
        self.reset(q_rad)

    def reset(self, q_rad: Vector) -> None:
        """Begin anew at measured angles, at rest.

        Raises:
            ValueError: not seven finite angles.
        """
        q = np.array(q_rad, dtype=np.float64)
        if q.shape != (len(ARM_JOINTS),) or not np.isfinite(q).all():
            raise ValueError(f"the arm's pose needs seven finite angles, got {q.tolist()}")
        self._q, self._v = q, np.zeros(len(ARM_JOINTS))

    @property
    def q_rad(self) -> Vector:
        """The last angles told, shape (7,)."""
        return self._q

    @property
    def at_rest(self) -> bool:
        """No joint moves."""
        return not self._v.any()

    def brake(self) -> Vector:
        """Come to rest by one period, wherever the palm was to be; returns the joint velocities, shape (7,)."""
        change = self.config.acceleration_rad_s2 * self.config.period_s
        self._v = self._v - np.clip(self._v, -change, change)
        self._q = self._q + self._v * self.config.period_s
        return self._v

    def step(self, told: Limited) -> IkStep:
        """Follow the palm by one period."""
        pose, jacobian = self.chain.pose_and_jacobian(self._q)
        lower, upper = self._bounds()
        rows, wanted, singular = self._problem(jacobian, *pose.offset(told.pose), told)
        free = lsq_linear(rows, wanted, (lower, upper), method="bvls")
        self._v = np.clip(free.x, lower, upper)
        self._q = self._q + self._v * self.config.period_s
        error, turn = self.chain.pose(self._q).offset(told.pose)
        stuck = np.asarray(free.active_mask) != 0
        names = tuple(name for name, at in zip(ARM_JOINT_NAMES, stuck, strict=True) if at)
        return IkStep(
            self._q,
            self._v,
            float(np.linalg.norm(error)),
            float(np.linalg.norm(turn)),
            singular,
            names,
        )

    def _bounds(self) -> tuple[Vector, Vector]:
        """Velocities each joint may take now; lower < upper, and zero is never further than a braking away."""
        config, dt = self.config, self.config.period_s
        change = config.acceleration_rad_s2 * dt
        most = config.speed_share * MAX_JOINT_RAD_S
        down = self._q - (ARM_LOWER_RAD + config.margin_rad)
        up = (ARM_UPPER_RAD - config.margin_rad) - self._q
        lower = np.maximum(-most, -stopping_speed(down, self._brake, dt))
        upper = np.minimum(most, stopping_speed(up, self._brake, dt))
        # the solver wants an interval that is not empty; a joint that may not move at all gets a hair
        return np.maximum(lower, self._v - change) - 1e-12, np.minimum(
            upper, self._v + change
        ) + 1e-12

    def _problem(
        self, jacobian: NDArray[np.float64], error: Vector, turn: Vector, told: Limited
    ) -> tuple[NDArray[np.float64], Vector, float]:
        """Rows and right side of the least squares, and the smallest singular value."""
        config, dt = self.config, self.config.period_s
        # the part of the error that is not this step's own motion
        late, late_turn = error - told.velocity_m_s * dt, turn - told.turn_rad_s * dt
        back = shortened(late / config.recover_s, config.recover_m_s)
        back_turn = shortened(late_turn / config.recover_s, config.recover_rad_s)
        task = np.concatenate(
            [told.velocity_m_s + back, config.rad_as_m * (told.turn_rad_s + back_turn)]
        )
        task_rows = jacobian * np.repeat([1.0, config.rad_as_m], 3)[:, None]
        singular = float(np.linalg.svd(task_rows, compute_uv=False)[-1])
        near = max(0.0, 1.0 - singular / config.near_singular)
        home = (self._rest - self._q) / config.posture_s
        rows = np.vstack(
            [task_rows, config.damping * near * np.eye(7), config.posture_weight * np.eye(7)]
        )
        return rows, np.concatenate([task, np.zeros(7), config.posture_weight * home]), singular
