# SPDX-License-Identifier: Apache-2.0
"""Tells a moving headset from moving hands, where poses are relative to the headset.

Both hands then seem to move, and as one rigid body: their pose relative to each other stays what it was.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from dexndm_ros.teleop.frames import angle_rad, distance_m, is_pose, pose_of
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Sample

__all__ = ["HeadGuard", "HeadGuardConfig"]


@dataclass(frozen=True)
class HeadGuardConfig:
    """When a common motion is taken for the headset's.

    Attributes:
        window_s: over how much time motions are compared.
        moved_m: both hands came at least so far, or
        moved_rad: turned at least so much;
        rigid_m: and one stands to the other as before, to within this much
        rigid_rad: and this much.
    """

    window_s: float = 0.3
    moved_m: float = 0.05
    moved_rad: float = math.radians(6.0)
    rigid_m: float = 0.004
    rigid_rad: float = math.radians(1.0)


class HeadGuard:
    """Remembers both hands for a moment."""

    def __init__(self, config: HeadGuardConfig | None = None) -> None:
        self.config = config or HeadGuardConfig()
        self._past: deque[tuple[float, Pose, Pose]] = deque()

    def reset(self) -> None:
        """Forget."""
        self._past.clear()

    def moved(self, sample: Sample) -> bool:
        """Take a sample's hands; True where the headset is likely to have moved within the window."""
        hands = (sample.right, sample.left)
        if any(hand is None or not hand.tracked or not is_pose(hand) for hand in hands):
            self.reset()
            return False
        right, left = (pose_of(hand) for hand in hands if hand is not None)
        now_s = sample.captured_s
        while self._past and now_s - self._past[0][0] > self.config.window_s:
            self._past.popleft()
        self._past.append((now_s, right, left))
        _, right0, left0 = self._past[0]
        return (
            self._far(right0, right)
            and self._far(left0, left)
            and self._rigid(right0, left0, right, left)
        )

    def _far(self, before: Pose, after: Pose) -> bool:
        config = self.config
        return (
            distance_m(before, after) > config.moved_m
            or angle_rad(before, after) > config.moved_rad
        )

    def _rigid(self, right0: Pose, left0: Pose, right: Pose, left: Pose) -> bool:
        before, after = right0.inverse() * left0, right.inverse() * left
        return (
            distance_m(before, after) < self.config.rigid_m
            and angle_rad(before, after) < self.config.rigid_rad
        )
