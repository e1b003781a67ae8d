# SPDX-License-Identifier: Apache-2.0
"""A rigid pose, as the arm's side of teleoperation passes it around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["Pose"]


@dataclass(frozen=True, eq=False)
class Pose:
    """Position and orientation of one frame in another.

    Attributes:
        position_m: shape (3,).
        rotation: a single rotation.
    """

    position_m: NDArray[np.float64]
    rotation: Rotation

    @classmethod
    def of(cls, position_m: Sequence[float], xyzw: Sequence[float]) -> Pose:
        """From the numbers of a ROS message.

        Raises:
            ValueError: not three and four finite numbers, or a quaternion that is not of length 1.
        """
        position, quaternion = np.asarray(position_m, float), np.asarray(xyzw, float)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise ValueError(f"a position needs three finite numbers, got {position.tolist()}")
        if quaternion.shape != (4,) or not abs(np.linalg.norm(quaternion) - 1.0) <= 1e-2:
            raise ValueError(f"a rotation needs a unit quaternion xyzw, got {quaternion.tolist()}")
        return cls(position, Rotation.from_quat(quaternion))

    @property
    def xyzw(self) -> NDArray[np.float64]:
        """The quaternion, shape (4,)."""
        return self.rotation.as_quat()

    def __mul__(self, other: Pose) -> Pose:
        """This pose, then ``other`` seen from it: frames chain from left to right."""
        return Pose(
            self.position_m + self.rotation.apply(other.position_m), self.rotation * other.rotation
        )

    def inverse(self) -> Pose:
        """The pose of the other frame in this one."""
        back = self.rotation.inv()
        return Pose(-back.apply(self.position_m), back)

    def offset(self, other: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From here to ``other``, in the common frame: metres (3,) and a rotation vector (3,) in rad."""
        turn = (other.rotation * self.rotation.inv()).as_rotvec()
        return other.position_m - self.position_m, turn
