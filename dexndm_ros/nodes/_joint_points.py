# SPDX-License-Identifier: Apache-2.0
"""A joint trajectory as the virtual arm takes it."""

from __future__ import annotations

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from dexndm_ros.teleop.trajectory import JointPoint

__all__ = ["joint_points"]


def joint_points(message: JointTrajectory) -> list[JointPoint]:
    """A trajectory's points, their joints in ``ARM_JOINT_NAMES``' order.

    Raises:
        ValueError: a joint is missing, or numbers that are none.
    """
    names = list(message.joint_names)
    if sorted(names) != sorted(ARM_JOINT_NAMES):
        raise ValueError(f"a trajectory needs the joints {', '.join(ARM_JOINT_NAMES)}, got {names}")
    order = [names.index(name) for name in ARM_JOINT_NAMES]
    points = []
    for point in message.points:
        if not len(point.positions) == len(point.velocities) == len(names):
            raise ValueError("each point needs the position and the velocity of every joint")
        q, v = np.array(point.positions)[order], np.array(point.velocities)[order]
        if not (np.isfinite(q).all() and np.isfinite(v).all()):
            raise ValueError("positions and velocities must be finite numbers")
        after = point.time_from_start
        points.append(JointPoint(q, v, after.sec + after.nanosec * 1e-9))
    return points
