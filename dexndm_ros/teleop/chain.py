# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics of the arm and of what it carries: the pose of the palm, and how joints move it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.fr3 import ARM_JOINTS, FLANGE_M
from dexndm_ros.teleop.pose import Pose

__all__ = ["PALM_ON_FLANGE", "ArmChain"]

Vector = NDArray[np.float64]


def _palm_on_flange() -> Pose:
    fingers_out = Rotation.from_matrix([[0, 0, 1], [0, -1, 0], [1, 0, 0]])
    rotation = Rotation.from_rotvec([0.0, 0.0, 0.75 * math.pi]) * fingers_out
    plate_m, middle_of_wrist_m = np.array([0.0, 0.0, 0.01]), np.array([-0.1, -0.035, -0.0115])
    return Pose(plate_m - rotation.apply(middle_of_wrist_m), rotation)


PALM_ON_FLANGE = _palm_on_flange()
"""The palm frame on the flange, for a hand screwed on by its wrist with a plate of 10 mm between.

Fingers (+x) point away from the flange; with the arm in ``HOME_RAD`` they hang down and the grasp side looks forward.
"""


def _homogeneous(rotation: NDArray[np.float64], position_m: Vector) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position_m
    return matrix


class ArmChain:
    """The seven joints, the flange and a tool on it.

    Args:
        tool: the tool's frame on the flange; the flange itself without one.
    """

    def __init__(self, tool: Pose | None = None) -> None:
        self._before = [
            _homogeneous(
                Rotation.from_rotvec([joint.roll_rad, 0, 0]).as_matrix(), np.array(joint.xyz_m)
            )
            for joint in ARM_JOINTS
        ]
        self._last = _homogeneous(np.eye(3), np.array(FLANGE_M))
        if tool is not None:
            self._last = self._last @ _homogeneous(tool.rotation.as_matrix(), tool.position_m)

    def pose(self, q_rad: Vector) -> Pose:
        """The tool in the base frame.

        Args:
            q_rad: joint angles, shape (7,).
        """
        end = self._frames(q_rad)[-1]
        return Pose(end[:3, 3].copy(), Rotation.from_matrix(end[:3, :3]))

    def pose_and_jacobian(self, q_rad: Vector) -> tuple[Pose, NDArray[np.float64]]:
        """The tool, and its velocity for each joint's.

        Args:
            q_rad: joint angles, shape (7,).

        Returns:
            The pose, and the Jacobian (6, 7) in the base frame: m/s above rad/s.
        """
        *joints, end = self._frames(q_rad)
        axes = np.array([frame[:3, 2] for frame in joints])
        arms = end[:3, 3] - np.array([frame[:3, 3] for frame in joints])
        jacobian = np.vstack([np.cross(axes, arms).T, axes.T])
        return Pose(end[:3, 3].copy(), Rotation.from_matrix(end[:3, :3])), jacobian

    def _frames(self, q_rad: Vector) -> list[NDArray[np.float64]]:
        """Each joint's frame, turned, and the tool's; (4, 4) each, in the base frame."""
        frames, here = [], np.eye(4)
        for before, cosine, sine in zip(self._before, np.cos(q_rad), np.sin(q_rad), strict=True):
            here = here @ before
            x, y = here[:3, 0].copy(), here[:3, 1].copy()
            here[:3, 0], here[:3, 1] = cosine * x + sine * y, cosine * y - sine * x
            frames.append(here)
        return [*frames, here @ self._last]
