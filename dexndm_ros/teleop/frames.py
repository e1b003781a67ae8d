# SPDX-License-Identifier: Apache-2.0
"""Poses, and the change from OpenXR's axes (x right, y up, z back) to ROS's (x forward, y left, z up)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.sample import Hand, Head, Quaternion, Vector

__all__ = ["Pose", "angle_between_rad", "from_xr_position", "from_xr_rotation", "is_pose", "unit"]

# A unit quaternion that passed through text or float32 is off by less than this.
_UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Pose:
    """A position in metres, shape (3,), and a rotation."""

    position_m: NDArray[np.float64]
    rotation: Rotation

    @classmethod
    def of(cls, part: Hand | Head) -> Pose:
        """The pose of a controller or the headset."""
        return cls(np.array(part.position_m), Rotation.from_quat(part.rotation_xyzw))

    def distance_m(self, other: Pose) -> float:
        """How far apart the positions are."""
        return math.dist(self.position_m, other.position_m)

    def angle_rad(self, other: Pose) -> float:
        """Angle of the rotation between the two."""
        return angle_between_rad(self.rotation, other.rotation)


def angle_between_rad(a: Rotation, b: Rotation) -> float:
    """Angle of the rotation from one to the other, 0..pi."""
    return float((a.inv() * b).magnitude())


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
