# SPDX-License-Identifier: Apache-2.0
"""What a joint trajectory controller is told: go on like this for a moment, then brake.

Two points. The first is where the joints will be a little later, so that a controller which needs that time to get
there is not late. The second is the end of a braking: Jazzy's controller refuses a trajectory that ends in motion
(``allow_nonzero_velocity_at_trajectory_end``), and an arm that hears no more comes to rest by itself.

Where messages were held up on the way, the arm is behind; the first point then comes later, so that it is not thrown
there within the lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.teleop.fr3 import ARM_LOWER_RAD, ARM_UPPER_RAD, MAX_JOINT_RAD_S

__all__ = ["JointPoint", "joint_trajectory"]

Vector = NDArray[np.float64]
_CATCH_UP_RAD_S = 0.4 * MAX_JOINT_RAD_S
"""Mean speed with which the joints may go to the first point; a spline's peak is half as much again."""


@dataclass(frozen=True, eq=False)
class JointPoint:
    """One point of a joint trajectory.

    Attributes:
        q_rad: joint angles, shape (7,).
        v_rad_s: joint velocities there, shape (7,).
        at_s: when, counted from the message.
    """

    q_rad: Vector
    v_rad_s: Vector
    at_s: float


def joint_trajectory(
    q_rad: Vector,
    v_rad_s: Vector,
    lead_s: float,
    brake_rad_s2: float,
    measured_rad: Vector | None = None,
) -> tuple[JointPoint, JointPoint]:
    """The points for joints that are to be here now, at these velocities.

    Args:
        q_rad: joint angles of this moment, shape (7,).
        v_rad_s: their velocities, shape (7,).
        lead_s: how far ahead the first point is, at least.
        brake_rad_s2: deceleration of the fastest joint after it.
        measured_rad: where they really are, as far as is known, shape (7,); None = here.
    """

    def within(q: Vector) -> Vector:
        return np.clip(q, ARM_LOWER_RAD, ARM_UPPER_RAD)

    ahead = within(q_rad + v_rad_s * lead_s)
    behind = ahead - (q_rad if measured_rad is None else measured_rad)
    arrival_s = max(lead_s, float((np.abs(behind) / _CATCH_UP_RAD_S).max()))
    # never shorter than the lead: a controller is not to meet two points in one of its periods
    braking_s = max(lead_s, float(np.abs(v_rad_s).max()) / brake_rad_s2)
    end = within(ahead + v_rad_s * (braking_s / 2.0))
    return (
        JointPoint(ahead, v_rad_s, arrival_s),
        JointPoint(end, np.zeros_like(v_rad_s), arrival_s + braking_s),
    )
