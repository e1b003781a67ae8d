# SPDX-License-Identifier: Apache-2.0
"""From OpenXR's axes (x right, y up, z back) to ROS's (x forward, y left, z up), and how poses differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Head, Quaternion, Vector

__all__ = [
    "angle_rad",
    "distance_m",
    "from_xr_position",
    "from_xr_rotation",
    "is_pose",
    "pose_of",
    "unit",
]

# A unit quaternion that passed through text or float32 is off by less than this.
_UNIT_TOLERANCE = 1e-2


def pose_of(part: Hand | Head) -> Pose:
    """The pose of a controller or the headset."""
    return Pose(np.array(part.position_m), Rotation.from_quat(part.rotation_xyzw))


def distance_m(a: Pose, b: Pose) -> float:
    """How far apart two poses' positions are."""
    return math.dist(a.position_m, b.position_m)


def angle_rad(a: Pose, b: Pose) -> float:
    """Angle of the rotation from one pose to the other, 0..pi."""
    return float((a.rotation.inv() * b.rotation).magnitude())


def from_xr_position(xyz: Sequence[float]) -> Vector:
    """OpenXR's x, y, z in ROS's axes."""
    x, y, z = xyz
    return (-z, -x, y)


def from_xr_rotation(xyzw: Sequence[float]) -> Quaternion:
    """An OpenXR quaternion in ROS's axes; those of the turned body are renamed too."""
    x, y, z, w = xyzw
    return (-z, -x, y, w)


def unit(xyzw: Sequence[float]) -> Quaternion | None:
    """A quaternion of length 1; None where its length is not 1, or not a number, to begin with."""
    length = math.hypot(*xyzw)
    if len(xyzw) != 4 or not abs(length - 1.0) <= _UNIT_TOLERANCE:  # so written that NaN fails it
        return None
    x, y, z, w = (part / length for part in xyzw)
    return (x, y, z, w)


def is_pose(part: Hand | Head) -> bool:
    """Finite numbers and a unit quaternion."""
    return all(map(math.isfinite, part.position_m)) and unit(part.rotation_xyzw) is not None
