# SPDX-License-Identifier: Apache-2.0
"""What the sixteen motors turn: a `Plant`, either a light joint model in numpy or a MuJoCo world.

Both drive each joint with the same law, so a servo cannot tell them apart:
torque = clip(bias + kp (goal - position) - kd velocity, +-limit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.sim.gap import GapConfig, ServoGap

__all__ = ["JointPlant", "JointPlantConfig", "MujocoPlant", "Plant"]

Vector = NDArray[np.float64]


class Plant(Protocol):
    """Sixteen joints in motor order, stepped in fixed time steps.

    Attributes:
        dt_s: length of one step.
        position_rad: shape (16,), 0 = flat open.
        velocity_rad_s: shape (16,).
        torque_nm: shape (16,), what the servos exerted in the last step.
    """

    @property
    def dt_s(self) -> float: ...  # noqa: D102

    @property
    def position_rad(self) -> Vector: ...  # noqa: D102

    @property
    def velocity_rad_s(self) -> Vector: ...  # noqa: D102

    @property
    def torque_nm(self) -> Vector: ...  # noqa: D102

    def set_servo(self, kp: Vector, kd: Vector, limit: Vector, bias: Vector) -> None:
        """Gains (N·m/rad, N·m·s/rad), torque limit and constant torque (N·m), each shape (16,)."""

    def set_goal(self, goal_rad: Vector) -> None:
        """Goal positions, shape (16,)."""

    def step(self) -> None:
        """Advance by ``dt_s``."""


@dataclass(frozen=True)
class JointPlantConfig:
    """Sixteen independent joints without gravity or contact.

    Attributes:
        dt_s: time step.
        inertia_kg_m2: rotor and link, seen at the joint.
        damping_nms_rad: passive damping.
        friction_nm: dry friction.
    """

    dt_s: float = 0.002
    inertia_kg_m2: float = 0.0012
    damping_nms_rad: float = 0.005
    friction_nm: float = 0.005


class JointPlant:
    """A plant for tests and for driving the bus without a world."""

    def __init__(
        self, config: JointPlantConfig | None = None, position_rad: Vector | None = None
    ) -> None:
        self._config = config or JointPlantConfig()
        self.dt_s = self._config.dt_s
        self.position_rad: Vector = np.zeros(JOINT_COUNT) if position_rad is None else position_rad
        self.velocity_rad_s: Vector = np.zeros(JOINT_COUNT)
        self.torque_nm: Vector = np.zeros(JOINT_COUNT)
        self._goal = self.position_rad.copy()
        self._kp = self._kd = self._limit = self._bias = np.zeros(JOINT_COUNT)

    def set_servo(self, kp: Vector, kd: Vector, limit: Vector, bias: Vector) -> None:
        """See `Plant`."""
        self._kp, self._kd, self._limit, self._bias = kp, kd, limit, bias

    def set_goal(self, goal_rad: Vector) -> None:
        """See `Plant`."""
        self._goal = goal_rad

    def step(self) -> None:
        """Semi-implicit Euler; the servo's spring and damper are implicit, so stiff gains stay stable."""
        config, dt = self._config, self.dt_s
        gain = dt / config.inertia_kg_m2
        velocity = self.velocity_rad_s
        spring = self._bias + self._kp * (self._goal - self.position_rad)
        damping = self._kd + dt * self._kp
        free = (velocity + gain * spring) / (1.0 + gain * damping)
        self.torque_nm = np.clip(spring - damping * free, -self._limit, self._limit)
        velocity = (velocity + gain * self.torque_nm) / (1.0 + gain * config.damping_nms_rad)
        velocity = np.sign(velocity) * np.maximum(np.abs(velocity) - gain * config.friction_nm, 0.0)
        position = self.position_rad + dt * velocity
        self.position_rad = np.clip(position, LOWER_RAD, UPPER_RAD)
        self.velocity_rad_s = np.where(position == self.position_rad, velocity, 0.0)


class MujocoPlant:
    """A plant that is a MuJoCo model with the hand's joints and actuators.

    Args:
        model: joints and actuators named as ``JOINT_NAMES``; actuators are position servos.
        data: its state; stepping releases the GIL, readers see copies.
        gap: what its servos do beyond gains; the model already has the friction and the masses.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, gap: GapConfig | None = None
    ) -> None:
        self.model = model
        self.data = data
        self.dt_s = float(model.opt.timestep)
        self._qpos = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._qvel = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._actuator = np.array([model.actuator(name).id for name in JOINT_NAMES])
        self._read()
        self._goal = data.ctrl[self._actuator]
        gains = model.actuator_gainprm[:, 0], -model.actuator_biasprm[:, 2]
        self._law = np.stack([*gains, model.actuator_forcerange[:, 1]])[:, None, self._actuator]
        self._gap = ServoGap([gap or GapConfig()], self.dt_s, self.position_rad[None])

    def set_servo(self, kp: Vector, kd: Vector, limit: Vector, bias: Vector) -> None:
        """See `Plant`."""
        ids = self._actuator
        self.model.actuator_gainprm[ids, 0] = kp
        self.model.actuator_biasprm[ids, 0] = bias
        self.model.actuator_biasprm[ids, 1] = -kp
        self.model.actuator_biasprm[ids, 2] = -kd
        self.model.actuator_forcerange[ids, 0] = -limit
        self.model.actuator_forcerange[ids, 1] = limit
        self._law = np.stack([kp, kd, limit])[:, None]

    def set_goal(self, goal_rad: Vector) -> None:
        """See `Plant`."""
        self._goal = goal_rad
        self.data.ctrl[self._actuator] = goal_rad

    def step(self) -> None:
        """See `Plant`."""
        if self._gap.any:
            control = self._gap.commands(self._goal[None], 1)[:, 0]
            if self._gap.bends_torque:
                limit = self._gap.limit(self._law[2])[0]
                self.model.actuator_forcerange[self._actuator] = np.stack([-limit, limit], axis=1)
                q, qd = self.position_rad[None], self.velocity_rad_s[None]
                control = self._gap.control(control, q, qd, *self._law)
            self.data.ctrl[self._actuator] = control[0]
        mujoco.mj_step(self.model, self.data)
        self._read()

    def _read(self) -> None:
        self.position_rad = self.data.qpos[self._qpos]
        self.velocity_rad_s = self.data.qvel[self._qvel]
        self.torque_nm = self.data.actuator_force[self._actuator]
