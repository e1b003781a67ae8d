# SPDX-License-Identifier: Apache-2.0
"""The one joint table of the LEAP hand (v1, right): names, motor IDs, limits, frames and orders.

Everything that talks about joints reads this table: the driver, the simulator, the URDF, the policy
file's spec and the converter. Vectors of 16 are in *motor order* (motor IDs 0..15) unless a name says
otherwise; angles are radians with 0 = flat open hand.

Sources: frames and limits are those of LEAP_Hand_Sim's ``robot.urdf``; the orders are the ones that
LEAP_Hand_API, LEAP_Hand_Sim (Isaac Gym), MuJoCo Menagerie and LEAP_Hand_Isaac_Lab use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CANONICAL_POSE_RAD",
    "JOINTS",
    "JOINT_COUNT",
    "JOINT_NAMES",
    "LOWER_RAD",
    "ORDERS",
    "SIDE_JOINTS",
    "UPPER_RAD",
    "Joint",
    "permutation",
]

_FINGER_MCP_QUAT = (0.5, 0.5, 0.5, -0.5)
_FINGER_SIDE_QUAT = (0.5, -0.5, -0.5, 0.5)
_FINGER_PIP_QUAT = (0.5, 0.5, -0.5, 0.5)
_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_SQRT_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Joint:
    """One revolute joint; it turns about (0, 0, -1) of its child link's frame.

    Attributes:
        motor_id: Dynamixel ID, and the index in every vector in motor order.
        name: the name used in ``joint_states``, the URDF and policy files.
        menagerie_name: the joint's name in MuJoCo Menagerie's ``leap_hand``.
        parent: parent link's name.
        child: child link's name (the joint sits at its origin).
        xyz_m: child frame's origin in the parent frame, metres.
        quat_wxyz: child frame's rotation in the parent frame.
        lower_rad: lower limit.
        upper_rad: upper limit.
    """

    motor_id: int
    name: str
    menagerie_name: str
    parent: str
    child: str
    xyz_m: tuple[float, float, float]
    quat_wxyz: tuple[float, float, float, float]
    lower_rad: float
    upper_rad: float


def _finger(name: str, short: str, first_id: int, base_y_m: float, base_z_m: float) -> list[Joint]:
    """The four joints of index, middle or ring; flexion is proximal, abduction is its child."""
    links = [f"{name}_{part}" for part in ("base", "proximal", "middle", "distal")]
    return [
        Joint(first_id, f"{name}_mcp_side", f"{short}_rot", links[0], links[1],
              (-0.0122, 0.0381, 0.0145), _FINGER_SIDE_QUAT, -1.047, 1.047),
        Joint(first_id + 1, f"{name}_mcp_forward", f"{short}_mcp", "palm", links[0],
              (-0.00709525, base_y_m, base_z_m), _FINGER_MCP_QUAT, -0.314, 2.230),
        Joint(first_id + 2, f"{name}_pip", f"{short}_pip", links[1], links[2],
              (0.0150, 0.0143, -0.0130), _FINGER_PIP_QUAT, -0.506, 1.885),
        Joint(first_id + 3, f"{name}_dip", f"{short}_dip", links[2], links[3],
              (0.0, -0.0361, 0.0002), _IDENTITY, -0.366, 2.042),
    ]  # fmt: skip


def _thumb() -> list[Joint]:
    links = ["thumb_base", "thumb_axial", "thumb_proximal", "thumb_distal"]
    return [
        Joint(12, "thumb_cmc", "th_cmc", "palm", links[0],
              (-0.06939525, -0.00124224, -0.02162240), (_SQRT_HALF, 0.0, _SQRT_HALF, 0.0),
              -0.349, 2.094),
        # Menagerie lists other limits for 13 and 14 (a one-row slip); URDF, dex-urdf and the API agree on these.
        Joint(13, "thumb_axl", "th_axl", links[0], links[1],
              (0.0, 0.0143, -0.0130), _FINGER_PIP_QUAT, -0.470, 2.443),
        Joint(14, "thumb_mcp", "th_mcp", links[1], links[2],
              (0.0, 0.0145, -0.0170), (_SQRT_HALF, -_SQRT_HALF, 0.0, 0.0), -1.200, 1.900),
        Joint(15, "thumb_ipl", "th_ipl", links[2], links[3],
              (0.0, 0.0466, 0.0002), (0.0, 0.0, 0.0, 1.0), -1.340, 1.880),
    ]  # fmt: skip


JOINTS: tuple[Joint, ...] = (
    *_finger("index", "if", 0, 0.02305776, -0.01872240),
    *_finger("middle", "mf", 4, -0.02239224, -0.01872240),
    *_finger("ring", "rf", 8, -0.06784224, -0.01872241),
    *_thumb(),
)
JOINT_COUNT = len(JOINTS)
JOINT_NAMES: tuple[str, ...] = tuple(joint.name for joint in JOINTS)
SIDE_JOINTS: tuple[int, ...] = (0, 4, 8)
"""Motor IDs of the three abduction joints, whose gains LEAP_Hand_API scales by 0.75."""


def _frozen(values: list[float]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


LOWER_RAD: NDArray[np.float64] = _frozen([joint.lower_rad for joint in JOINTS])
"""Lower joint limits, shape (16,), motor order."""
UPPER_RAD: NDArray[np.float64] = _frozen([joint.upper_rad for joint in JOINTS])
"""Upper joint limits, shape (16,), motor order."""

ORDERS: dict[str, tuple[int, ...]] = {
    "motor": tuple(range(16)),
    "isaac_gym": (1, 0, 2, 3, 12, 13, 14, 15, 5, 4, 6, 7, 9, 8, 10, 11),
    "menagerie": (1, 0, 2, 3, 5, 4, 6, 7, 9, 8, 10, 11, 12, 13, 14, 15),
    "isaac_lab": (1, 12, 5, 9, 0, 13, 4, 8, 2, 14, 6, 10, 3, 15, 7, 11),
}
"""Motor ID held by each position of a vector, for the four orders in use."""


def permutation(source: str, destination: str) -> NDArray[np.intp]:
    """Gather index that reorders a vector: ``out = vector[permutation(source, destination)]``.

    Args:
        source: order of the vector at hand, a key of ``ORDERS``.
        destination: order wanted, a key of ``ORDERS``.

    Raises:
        ValueError: an unknown order; the message lists the known ones.
    """
    for order in (source, destination):
        if order not in ORDERS:
            raise ValueError(f"unknown joint order {order!r}; known orders: {', '.join(ORDERS)}")
    position = {motor_id: k for k, motor_id in enumerate(ORDERS[source])}
    return np.array([position[motor_id] for motor_id in ORDERS[destination]], dtype=np.intp)


# The grasp pose of paper section C, given there in Isaac Gym order.
_CANONICAL_ISAAC_GYM = [
    1.244, 0.082, 0.265, 0.298, 1.163, 1.104, 0.953, -0.138,
    1.096, 0.005, 0.080, 0.150, 1.337, 0.029, 0.285, 0.317,
]  # fmt: skip
CANONICAL_POSE_RAD: NDArray[np.float64] = _frozen(
    [_CANONICAL_ISAAC_GYM[k] for k in permutation("isaac_gym", "motor")]
)
"""Canonical grasp pose, shape (16,), radians, motor order (paper, section C)."""
