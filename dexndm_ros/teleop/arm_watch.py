# SPDX-License-Identifier: Apache-2.0
"""Whether the arm goes where it is told: an arm that does not is stuck, blocked, or somebody else's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.pose import Pose

__all__ = ["ArmWatch", "ArmWatchConfig"]


@dataclass(frozen=True)
class ArmWatchConfig:
    """How far behind the arm may be.

    Attributes:
        error_m: farther from the commanded pose than this,
        error_rad: or turned from it by more than this,
        patience_s: for so long, is a fault.
    """

    error_m: float = 0.10
    error_rad: float = math.radians(20.0)
    patience_s: float = 0.3


class ArmWatch:
    """Compares the commanded with the measured pose while the arm follows."""

    def __init__(self, config: ArmWatchConfig | None = None) -> None:
        self.config = config or ArmWatchConfig()
        self._behind_since_s: float | None = None

    def reset(self) -> None:
        """The arm does not follow: there is nothing to compare."""
        self._behind_since_s = None

    def check(self, commanded: Pose | None, measured: Pose, now_s: float) -> str:
        """What is wrong, in words; empty = nothing, or not for long enough."""
        if commanded is None or not self._behind(commanded, measured):
            self.reset()
            return ""
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        if now_s - self._behind_since_s <= self.config.patience_s:
            return ""
        return "the arm does not go where it is told: see what blocks it, and its controller"

    def _behind(self, commanded: Pose, measured: Pose) -> bool:
        far = distance_m(commanded, measured) > self.config.error_m
        return far or angle_rad(commanded, measured) > self.config.error_rad
