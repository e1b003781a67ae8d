# SPDX-License-Identifier: Apache-2.0
"""From the operator's hand to the arm: relative to where both were when the clutch engaged.

The operator and the arm's base share gravity, so only a yaw may stand between their frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.pose import Pose

__all__ = ["Anchor", "MappingConfig", "anchor_pose", "forward_yaw_rad"]

# A hand that points nearly up or down has no heading worth taking.
_LEVEL = 0.3


@dataclass(frozen=True)
class MappingConfig:
    """How the hand's motion becomes the arm's.

    Attributes:
        scale: metres of the arm for a metre of the hand; rotations are never scaled.
        yaw_rad: the operator's frame turned about the vertical into the arm's base frame.
        turn: the arm turns with the hand; otherwise its orientation stays as it was.
        trust_m: the anchor is the commanded pose while the arm is this close to it, else the measured one;
        trust_rad: and turned from it by no more than this.
    """

    scale: float = 1.0
    yaw_rad: float = 0.0
    turn: bool = True
    trust_m: float = 0.02
    trust_rad: float = math.radians(5.0)

    def __post_init__(self) -> None:
        """Refuse what is not a scale or an angle."""
        if not 0.0 < self.scale <= 4.0:
            raise ValueError(f"mapping scale must be > 0 and <= 4, got {self.scale}")
        if not math.isfinite(self.yaw_rad):
            raise ValueError(f"mapping yaw_rad must be finite, got {self.yaw_rad}")


@dataclass(frozen=True)
class Anchor:
    """Where hand and arm were when the clutch engaged.

    Attributes:
        hand: the controller, in the operator frame.
        arm: the arm, in its base frame.
        config: the scale, and whether it turns.
        yaw_rad: the operator's frame turned into the base frame.
    """

    hand: Pose
    arm: Pose
    config: MappingConfig
    yaw_rad: float

    def target(self, hand: Pose) -> Pose:
        """The arm's pose for a pose of the hand; ``arm`` itself for the hand at the anchor."""
        turned = Rotation.from_euler("z", self.yaw_rad)
        moved_m = turned.apply(hand.position_m - self.hand.position_m)
        position_m = self.arm.position_m + self.config.scale * moved_m
        if not self.config.turn:
            return Pose(position_m, self.arm.rotation)
        turn = turned * hand.rotation * self.hand.rotation.inv() * turned.inv()
        return Pose(position_m, turn * self.arm.rotation)


def anchor_pose(commanded: Pose | None, measured: Pose, config: MappingConfig) -> Pose:
    """Which pose of the arm a new motion starts from.

    The commanded one, while the arm keeps to it: an arm that yields to gravity would else sag a little with every
    press. An arm that was moved away from it (by hand, by another program) starts where it is.
    """
    if commanded is None:
        return measured
    close = distance_m(commanded, measured) <= config.trust_m
    return commanded if close and angle_rad(commanded, measured) <= config.trust_rad else measured


def forward_yaw_rad(hand: Pose) -> float | None:
    """The yaw that makes the way a controller points the arm's forward (x); None where it points up or down."""
    x, y, _ = hand.rotation.apply(np.array([1.0, 0.0, 0.0]))
    return None if math.hypot(x, y) < _LEVEL else -math.atan2(y, x)
