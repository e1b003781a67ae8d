# SPDX-License-Identifier: Apache-2.0
"""The task of ``dexndm teleop``: a cylinder of a light bulb's size is taken from a stand, carried to a socket, turned.

One place for what the virtual arm, the recorded operator and the picture must agree on.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.rehearsal import Step

__all__ = ["OPERATOR", "READY_RAD", "STAND_AWAY_M", "TO_SOCKET_M", "TO_SOCKET_RAD", "socket_palm"]

READY_RAD = (-0.0436, -0.1579, -0.0761, -2.4949, -0.1705, 3.9141, -2.2456)
"""The arm at the start: palm down, fingers forward, 0.58 m before the base and 0.55 m above it."""
STAND_AWAY_M = (0.0, 0.0, -0.08)
"""The object on its stand, from where the open hand could take it at the start; base frame."""
_LIFT_M = (0.0, 0.0, 0.10)
TO_SOCKET_M = (0.02, 0.20, 0.08)
"""From above the stand to the socket, base frame."""
TO_SOCKET_RAD = (0.10, 0.0, 0.45)
"""The hand's turn on that way, a rotation vector in the base frame."""


def socket_palm(ready: Pose) -> Pose:
    """The palm at the socket, from the palm at the start, base frame."""
    way = np.add(STAND_AWAY_M, _LIFT_M) + TO_SOCKET_M
    return Pose(ready.position_m + way, Rotation.from_rotvec(TO_SOCKET_RAD) * ready.rotation)


def _back(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = vector
    return (-x, -y, -z)


OPERATOR: tuple[Step, ...] = (
    Step(0.6),
    Step(2.2, button="X"),  # the hand, limp before, opens
    Step(0.3),
    Step(0.4, grip=True),
    Step(2.2, grip=True, by_m=STAND_AWAY_M),  # to the object
    Step(0.4, grip=True),
    Step(7.5, button="X"),  # it closes, and the object begins to turn
    Step(0.4),
    Step(0.4, grip=True),
    Step(1.6, grip=True, by_m=_LIFT_M),
    Step(0.3, grip=True),
    Step(0.3),
    Step(0.4, grip=True),
    Step(3.0, grip=True, by_m=TO_SOCKET_M, by_rad=TO_SOCKET_RAD),
    Step(0.5, grip=True),
    Step(5.5, grip=True, button="X"),  # in
    Step(0.4, grip=True),
    Step(5.0, grip=True, button="Y"),  # and out again
    Step(0.4, grip=True, button="LJ"),
    Step(0.4),
    Step(0.4, grip=True),
    Step(3.0, grip=True, by_m=_back(TO_SOCKET_M), by_rad=_back(TO_SOCKET_RAD)),
    Step(1.2, grip=True, by_m=(0.0, 0.0, -0.02)),  # where it began
    Step(0.8),
)
"""What the operator does: 37 s, each way with a press of its own, and the arm stands again where it stood."""
