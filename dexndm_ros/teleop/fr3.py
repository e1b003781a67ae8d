# SPDX-License-Identifier: Apache-2.0
"""The one joint table of the Franka Research 3: frames, limits, and how fast it may turn where.

Frames and limits are franka_description's ``fr3``; the limit of the speed near a joint's end is the one that
libfranka's rate limiter (``rate_limiting.h``) computes and the robot enforces. Numbers only; newer robots
carry the same ones in their URDF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ARM_JOINTS",
    "ARM_JOINT_NAMES",
    "ARM_LOWER_RAD",
    "ARM_UPPER_RAD",
    "BASE_FRAME",
    "FLANGE_M",
    "HOME_RAD",
    "JOINT_BRAKE_RAD_S2",
    "MAX_JOINT_ACCELERATION_RAD_S2",
    "MAX_JOINT_RAD_S",
    "ArmJoint",
    "velocity_bounds_rad_s",
]

Vector = NDArray[np.float64]
_QUARTER = math.pi / 2
BASE_FRAME = "fr3_link0"
FLANGE_M = (0.0, 0.0, 0.107)
"""The flange (link 8) in link 7; not turned."""
MAX_JOINT_ACCELERATION_RAD_S2 = 10.0


@dataclass(frozen=True)
class ArmJoint:
    """One revolute joint; it turns about the z axis of its own frame.

    Attributes:
        name: as in the URDF.
        xyz_m: its frame's origin in the frame before it.
        roll_rad: its frame's turn about x there (there is no pitch and no yaw).
        lower_rad: lower limit.
        upper_rad: upper limit.
        velocity_rad_s: speed limit far from both ends.
        torque_nm: torque limit.
        brake_offset_rad_s: see ``velocity_bounds_rad_s``.
        brake_rad_s2: twice the deceleration that it must be able to stop with.
        stop_lower_rad: where it must stand at the latest, lower end.
        stop_upper_rad: likewise, upper end.
    """

    name: str
    xyz_m: tuple[float, float, float]
    roll_rad: float
    lower_rad: float
    upper_rad: float
    velocity_rad_s: float
    torque_nm: float
    brake_offset_rad_s: float
    brake_rad_s2: float
    stop_lower_rad: float
    stop_upper_rad: float


def _joint(
    number: int, xyz_m: tuple[float, float, float], roll_rad: float, *rest: float
) -> ArmJoint:
    return ArmJoint(f"fr3_joint{number}", xyz_m, roll_rad, *rest)


ARM_JOINTS: tuple[ArmJoint, ...] = (
    _joint(1, (0.0, 0.0, 0.333), 0.0, -2.7437, 2.7437, 2.62, 87.0, 0.30, 12.0, -2.75010, 2.75010),
    _joint(2, (0.0, 0.0, 0.0), -_QUARTER, -1.7837, 1.7837, 2.62, 87.0, 0.20, 5.17, -1.79180, 1.79180),
    _joint(3, (0.0, -0.316, 0.0), _QUARTER, -2.9007, 2.9007, 2.62, 87.0, 0.20, 7.0, -2.90650, 2.90650),
    _joint(4, (0.0825, 0.0, 0.0), _QUARTER, -3.0421, -0.1518, 2.62, 87.0, 0.30, 8.0, -3.0481, -0.1458),
    _joint(5, (-0.0825, 0.384, 0.0), -_QUARTER, -2.8065, 2.8065, 5.26, 12.0, 0.35, 34.0, -2.81010, 2.81010),
    _joint(6, (0.0, 0.0, 0.0), _QUARTER, 0.5445, 4.5169, 4.18, 12.0, 0.35, 11.0, 0.54092, 4.52050),
    _joint(7, (0.088, 0.0, 0.0), _QUARTER, -3.0159, 3.0159, 5.26, 12.0, 0.35, 34.0, -3.01960, 3.01960),
)  # fmt: skip
ARM_JOINT_NAMES: tuple[str, ...] = tuple(joint.name for joint in ARM_JOINTS)


def _frozen(values: list[float]) -> Vector:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


ARM_LOWER_RAD = _frozen([joint.lower_rad for joint in ARM_JOINTS])
"""Lower joint limits, shape (7,)."""
ARM_UPPER_RAD = _frozen([joint.upper_rad for joint in ARM_JOINTS])
"""Upper joint limits, shape (7,)."""
HOME_RAD = _frozen([0.0, -math.pi / 4, 0.0, -3 * math.pi / 4, 0.0, math.pi / 2, math.pi / 4])
"""Where franka_ros2 puts the arm at the start, far from every limit; shape (7,)."""
MAX_JOINT_RAD_S = _frozen([joint.velocity_rad_s for joint in ARM_JOINTS])
"""Speed limits far from every end, shape (7,)."""
_OFFSET_RAD_S = _frozen([joint.brake_offset_rad_s for joint in ARM_JOINTS])
JOINT_BRAKE_RAD_S2 = _frozen([joint.brake_rad_s2 for joint in ARM_JOINTS])
"""Twice the deceleration that each joint must be able to stop with, shape (7,)."""
_STOP_LOWER_RAD = _frozen([joint.stop_lower_rad for joint in ARM_JOINTS])
_STOP_UPPER_RAD = _frozen([joint.stop_upper_rad for joint in ARM_JOINTS])


def velocity_bounds_rad_s(q_rad: Vector) -> tuple[Vector, Vector]:
    """Least and greatest joint velocity that the robot accepts in a pose.

    ``min(v_max, max(0, -offset + sqrt(max(0, c (q_stop - q)))))`` upwards, mirrored downwards.

    Args:
        q_rad: joint angles, shape (7,).

    Returns:
        Lower (<= 0) and upper (>= 0) bounds, shape (7,) each.
    """

    def towards(distance_rad: Vector) -> Vector:
        free = np.sqrt(np.maximum(0.0, JOINT_BRAKE_RAD_S2 * distance_rad)) - _OFFSET_RAD_S
        return np.clip(free, 0.0, MAX_JOINT_RAD_S)

    return -towards(q_rad - _STOP_LOWER_RAD), towards(_STOP_UPPER_RAD - q_rad)
