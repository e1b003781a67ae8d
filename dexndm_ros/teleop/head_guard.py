# SPDX-License-Identifier: Apache-2.0
"""Tells a moving headset from moving hands, where poses are relative to the headset.

Both hands then seem to move as one rigid body: their pose relative to each other stays what it was, and both turn
alike even while one of them is carried elsewhere. It takes both hands: from one alone nobody can tell. A headset that
slides without turning while the right hand moves is not told either; that is why it is to be parked.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from dexndm_ros.teleop.frames import angle_rad, distance_m, is_pose, pose_of
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Quaternion, Sample

__all__ = ["HeadGuard", "HeadGuardConfig", "is_seen"]


@dataclass(frozen=True)
class HeadGuardConfig:
    """When a common motion is taken for the headset's.

    Attributes:
        windows_s: over how much time motions are compared, from short to long: a short one tells a quick motion
            although the hands moved a moment before, a long one tells a slow motion.
        moved_m: both hands came at least so far, or
        moved_rad: turned at least so much;
        rigid_m: and one stands to the other as before, to within this much
        rigid_rad: and this much.
    """

    windows_s: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    moved_m: float = 0.05
    moved_rad: float = math.radians(6.0)
    rigid_m: float = 0.004
    rigid_rad: float = math.radians(1.0)

    def __post_init__(self) -> None:
        """Refuse a guard that would never tell."""
        if not self.windows_s or not all(0.0 < window < math.inf for window in self.windows_s):
            raise ValueError(f"head windows_s must be finite and > 0, got {self.windows_s}")


@dataclass(frozen=True, eq=False)
class _Hands:
    captured_s: float
    right: Pose
    left: Pose
    right_xyzw: Quaternion
    left_xyzw: Quaternion


class HeadGuard:
    """Remembers both hands for as long as its longest window."""

    def __init__(self, config: HeadGuardConfig | None = None) -> None:
        self.config = config or HeadGuardConfig()
        self._pasts: tuple[deque[_Hands], ...] = tuple(deque() for _ in self.config.windows_s)

    def reset(self) -> None:
        """Forget."""
        for past in self._pasts:
            past.clear()

    def moved(self, sample: Sample) -> bool:
        """Take a sample's hands; True where the headset is likely to have moved within a window.

        A sample without both hands is passed over: it is the caller who must not follow it.
        """
        if not is_seen(sample.right) or not is_seen(sample.left):
            return False
        assert sample.right is not None and sample.left is not None
        right, left = pose_of(sample.right), pose_of(sample.left)
        now = _Hands(sample.captured_s, right, left, _xyzw(right), _xyzw(left))
        told = False
        for window_s, past in zip(self.config.windows_s, self._pasts, strict=True):
            while past and now.captured_s - past[0].captured_s > window_s:
                past.popleft()
            past.append(now)
            told = told or self._as_one(past[0], now)
        if told:  # once told, it is told on for as long as it moves, not for the longest window
            for past in self._pasts[1:]:
                past.clear()
        return told

    def _as_one(self, before: _Hands, after: _Hands) -> bool:
        config = self.config
        turned = (
            _turned_rad(before.right_xyzw, after.right_xyzw) > config.moved_rad
            and _turned_rad(before.left_xyzw, after.left_xyzw) > config.moved_rad
        )
        came = (
            distance_m(before.right, after.right) > config.moved_m
            and distance_m(before.left, after.left) > config.moved_m
        )
        if not turned and not came:
            return False
        relative0 = before.right.inverse() * before.left
        relative = after.right.inverse() * after.left
        # Hands that turn alike are turned by the head, whatever else the right one does.
        return angle_rad(relative0, relative) < config.rigid_rad and (
            turned or distance_m(relative0, relative) < config.rigid_m
        )


def _xyzw(pose: Pose) -> Quaternion:
    x, y, z, w = pose.xyzw.tolist()
    return (x, y, z, w)


def _turned_rad(before: Quaternion, after: Quaternion) -> float:
    """As ``angle_rad``, a tenth of its time: it is asked for every window of every sample."""
    return 2.0 * math.acos(min(1.0, abs(sum(a * b for a, b in zip(before, after, strict=True)))))


def is_seen(hand: Hand | None) -> bool:
    """There is a pose that a motion could be told by."""
    return hand is not None and hand.tracked and is_pose(hand)
