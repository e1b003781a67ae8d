# SPDX-License-Identifier: Apache-2.0
"""The virtual arm: an FR3 that carries the virtual hand, under the controller that a real one would have.

Torques are those of franka_ros2's ``fr3_arm_controller`` (a joint trajectory controller on effort, its gains), over the
robot's own compensation of gravity and of what it carries. As the real arm it stops itself when a joint is too fast or
too far, and then follows nothing until a person has recovered it.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.arm_model import ARM_ACTUATORS, GAINS
from dexndm_ros.sim.hand_model import xyzw
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import World
from dexndm_ros.teleop.fr3 import ARM_JOINTS, ARM_LOWER_RAD, ARM_UPPER_RAD, HOME_RAD
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.pose import Pose

__all__ = ["VirtualArm"]

Vector = NDArray[np.float64]
_DAMPING_S = np.array([kd / kp for kp, kd in GAINS])
_MAX_RAD_S = np.array([joint.velocity_rad_s for joint in ARM_JOINTS])


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
        self._goal, self._goal_v = np.array(q_rad), np.zeros(len(ARM_JOINTS))
        self._ahead_s = 0.0

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

    def tell(self, q_rad: Vector, v_rad_s: Vector, in_s: float) -> None:
        """One point of a joint trajectory: to be at these angles, that fast, in so much time.

        Nobody listens while the robot has stopped itself.
        """
        if self.mode is RobotMode.REFLEX:
            return
        self.mode = RobotMode.MOVE
        self._goal, self._goal_v, self._ahead_s = np.array(q_rad), np.array(v_rad_s), in_s

    def recover(self) -> None:
        """A person's decision: the arm holds where it stands and listens again."""
        self.mode, self.errors = RobotMode.IDLE, ()
        self._hold()

    def step(self) -> None:
        """Advance by one step of the physics."""
        dt_s = self.model.opt.timestep
        # where the trajectory is at the end of this step; past its only point it stands still
        goal_v = self._goal_v if self._ahead_s > 0.0 else np.zeros_like(self._goal_v)
        self._ahead_s = max(0.0, self._ahead_s - dt_s)
        goal = self._goal - goal_v * self._ahead_s
        self.data.ctrl[self._motors] = goal + _DAMPING_S * goal_v
        self.data.qfrc_applied[self._dofs] = self.data.qfrc_bias[self._dofs]
        mujoco.mj_step(self.model, self.data)
        self._watch()

    def _hold(self) -> None:
        self._goal, self._goal_v, self._ahead_s = self.q_rad, np.zeros(len(ARM_JOINTS)), 0.0

    def _watch(self) -> None:
        """Stop as the robot does where a joint is too fast or too far."""
        q, found = self.q_rad, []
        if (np.abs(self.v_rad_s) > _MAX_RAD_S).any():
            found.append("joint_velocity_violation")
        if ((q < ARM_LOWER_RAD) | (q > ARM_UPPER_RAD)).any():
            found.append("joint_position_limits_violation")
        if found and self.mode is not RobotMode.REFLEX:
            self.mode, self.errors = RobotMode.REFLEX, tuple(found)
            self._hold()
