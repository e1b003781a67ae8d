# SPDX-License-Identifier: Apache-2.0
"""The task of ``dexndm teleop``: a cylinder of a light bulb's size is taken from a stand, carried to a socket, turned.

One place for what the virtual arm, the recorded operator and the picture must agree on.
"""

from __future__ import annotations

from dexndm_ros.teleop.rehearsal import Step

__all__ = ["OPERATOR", "READY_RAD", "STAND_AWAY_M", "TO_SOCKET_M", "TO_SOCKET_RAD"]

READY_RAD = (-0.0608, -0.1324, -0.0805, -2.8095, -0.1571, 4.2517, -2.2966)
"""The arm at the start: palm down, fingers forward, 0.5 m before the base and 0.45 m above it."""
STAND_AWAY_M = (0.0, 0.0, -0.08)
"""The object on its stand, from where the open hand could take it at the start; base frame."""
_LIFT_M = (0.0, 0.0, 0.10)
TO_SOCKET_M = (0.02, 0.20, 0.08)
"""From above the stand to the socket, base frame."""
TO_SOCKET_RAD = (0.10, 0.0, 0.45)
"""The hand's turn on that way, a rotation vector in the base frame."""


def _back(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = vector
    return (-x, -y, -z)


OPERATOR: tuple[Step, ...] = (
    Step(0.8),
    Step(0.4, grip=True),
    Step(2.2, grip=True, by_m=STAND_AWAY_M),  # to the object
    Step(0.4, grip=True),
    Step(6.5, grip=True, button="X"),  # the hand opens, closes, and the object begins to turn
    Step(0.4, grip=True),
    Step(1.6, grip=True, by_m=_LIFT_M),
    Step(3.0, grip=True, by_m=TO_SOCKET_M, by_rad=TO_SOCKET_RAD),
    Step(0.6, grip=True),
    Step(7.0, grip=True, button="X"),  # in
    Step(0.4, grip=True),
    Step(7.0, grip=True, button="Y"),  # and out again
    Step(0.4, grip=True, button="LJ"),
    Step(0.4),
    Step(0.4, grip=True),
    Step(3.0, grip=True, by_m=_back(TO_SOCKET_M), by_rad=_back(TO_SOCKET_RAD)),
    Step(1.2, grip=True, by_m=(0.0, 0.0, -0.02)),  # where it began
    Step(0.8),
)
"""What the operator does: 37 s, and the arm stands again where it stood."""
