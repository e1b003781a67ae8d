# SPDX-License-Identifier: Apache-2.0
"""The virtual arm: an FR3 that carries the virtual hand, under the controller that a real one would have.

It behaves as franka_ros2's ``fr3_arm_controller`` (a joint trajectory controller on effort): its gains, its splines
between points, over the robot's own compensation of gravity and of what it carries. As the real arm it stops itself
when a joint is too fast or too far, and then follows nothing until a person has recovered it.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.arm_model import ARM_ACTUATORS, GAINS
from dexndm_ros.sim.hand_model import xyzw
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import World
from dexndm_ros.teleop.fr3 import (
    ARM_JOINTS,
    ARM_LOWER_RAD,
    ARM_UPPER_RAD,
    HOME_RAD,
    MAX_JOINT_RAD_S,
)
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.trajectory import JointPoint

__all__ = ["VirtualArm", "check_trajectory"]

Vector = NDArray[np.float64]
_DAMPING_S = np.array([kd / kp for kp, kd in GAINS])


def check_trajectory(points: Sequence[JointPoint]) -> None:
    """Refuse what a real controller refuses.

    Raises:
        ValueError: it ends in motion, or its times do not grow.
    """
    times = [0.0, *(point.at_s for point in points)]
    if len(times) < 2 or points[-1].v_rad_s.any() or (np.diff(times) <= 0).any():
        raise ValueError("a trajectory needs growing times and an end at rest")


class VirtualArm:
    """Arm, hand and object of a world, in simulated time.

    Args:
        world: hand, object and physics.
        q_rad: joint angles at the start, shape (7,).
        visual: also what pictures need.

    Attributes:
        model: the MuJoCo model.
        data: its state; the hand's joints are found by name.
        mode: of the robot.
        errors: names of the errors that are set, as ``franka_msgs/Errors`` has them.
    """

    def __init__(self, world: World, q_rad: Vector = HOME_RAD, visual: bool = False) -> None:
        self.model = build_model(world, visual, q_rad)
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(joint.name) for joint in ARM_JOINTS]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dofs = np.array([joint.dofadr[0] for joint in joints])
        self._motors = np.array([self.model.actuator(name).id for name in ARM_ACTUATORS])
        self._palm = self.model.body("palm").id
        self.data.qpos[self._qpos] = q_rad
        mujoco.mj_forward(self.model, self.data)
        self.mode, self.errors = RobotMode.IDLE, tuple[str, ...]()
        self._hold()

    @property
    def q_rad(self) -> Vector:
        """Measured joint angles, shape (7,)."""
        return self.data.qpos[self._qpos].copy()

    @property
    def v_rad_s(self) -> Vector:
        """Measured joint velocities, shape (7,)."""
        return self.data.qvel[self._dofs].copy()

    @property
    def palm(self) -> Pose:
        """The palm frame in the arm's base frame."""
        return Pose(
            self.data.xpos[self._palm].copy(), Rotation.from_quat(xyzw(self.data.xquat[self._palm]))
        )

    def follow(self, points: Sequence[JointPoint]) -> None:
        """Take a new trajectory, from where the last one is now; it stands still after its last point.

        Nobody listens while the robot has stopped itself.

        Raises:
            ValueError: it ends in motion, or its times do not grow.
        """
        if self.mode is RobotMode.REFLEX:
            return
        check_trajectory(points)
        self.mode = RobotMode.MOVE
        q, v = self._desired()
        self._path = CubicHermiteSpline(
            [0.0, *(p.at_s for p in points)],
            [q, *(p.q_rad for p in points)],
            [v, *(p.v_rad_s for p in points)],
        )
        self._since_s = 0.0

    def recover(self) -> None:
        """A person's decision: the arm holds where it stands and listens again."""
        self.mode, self.errors = RobotMode.IDLE, ()
        self._hold()

    def step(self) -> None:
        """Advance by one step of the physics."""
        self.drive()
        mujoco.mj_step(self.model, self.data)
        self.watch()

    def drive(self) -> None:
        """Before a step of the physics, whoever makes it: what the controller does in it."""
        self._since_s += self.model.opt.timestep
        q, v = self._desired()
        self.data.ctrl[self._motors] = q + _DAMPING_S * v
        self.data.qfrc_applied[self._dofs] = self.data.qfrc_bias[self._dofs]

    def _desired(self) -> tuple[Vector, Vector]:
        """Where the trajectory is now, and how fast."""
        now_s = min(self._since_s, self._path.x[-1])
        return self._path(now_s), self._path(now_s, 1)

    def _hold(self) -> None:
        still = np.zeros(len(ARM_JOINTS))
        self._path = CubicHermiteSpline([0.0, 1.0], [self.q_rad] * 2, [still] * 2)
        self._since_s = 0.0

    def watch(self) -> None:
        """After the step: bodies are where the joints are, and the robot stops if one is too fast or too far."""
        mujoco.mj_kinematics(self.model, self.data)
        q, found = self.q_rad, []
        if (np.abs(self.v_rad_s) > MAX_JOINT_RAD_S).any():
            found.append("joint_velocity_violation")
        if ((q < ARM_LOWER_RAD) | (q > ARM_UPPER_RAD)).any():
            found.append("joint_position_limits_violation")
        if found and self.mode is not RobotMode.REFLEX:
            self.mode, self.errors = RobotMode.REFLEX, tuple(found)
            self._hold()
