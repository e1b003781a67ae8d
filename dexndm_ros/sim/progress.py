# SPDX-License-Identifier: Apache-2.0
"""How far the object has turned since the episode began, and whether it has fallen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.fall import FallLimits

__all__ = ["Progress", "RotationTracker"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """Rotation of one episode.

    Attributes:
        angle_rad: turned about the commanded axis, counted over full turns.
        off_axis_rad: accumulated rotation perpendicular to it.
        time_s: simulated time since the object was let go.
        fallen: it left the hand.
        episode: number of episodes begun; 0 before the first.
    """

    angle_rad: float = 0.0
    off_axis_rad: float = 0.0
    time_s: float = 0.0
    fallen: bool = False
    episode: int = 0


class RotationTracker:
    """Adds up the relative rotations between looks at the object, as evaluation does.

    Args:
        limits: when the object counts as fallen.
    """

    def __init__(self, limits: FallLimits | None = None) -> None:
        self._limits = limits or FallLimits()
        self._axis = np.zeros(3)
        self._upright = np.array([0.0, 0.0, 1.0])
        self._body_axis = self._upright
        self._start = np.zeros(3)
        self._last: Rotation | None = None
        self.progress = Progress()

    def set_axis(self, axis: Vector) -> None:
        """Count rotation about this axis from now on; zero counts none. Palm frame, shape (3,)."""
        if np.array_equal(axis, self._axis):
            return
        self._axis = np.array(axis, dtype=np.float64)
        if self._axis.any():
            self._upright = self._axis
        if self._last is not None:
            self._body_axis = self._last.inv().apply(self._upright)

    def begin(self, position: Vector, rotation: Rotation) -> None:
        """A new episode begins with the object here, palm frame."""
        self._start = position.copy()
        self._last = rotation
        self._body_axis = rotation.inv().apply(self._upright)
        self.progress = Progress(episode=self.progress.episode + 1)

    def end(self) -> None:
        """No episode is under way; the last one's numbers stay."""
        self._last = None

    def look(self, position: Vector, rotation: Rotation, elapsed_s: float) -> None:
        """Account for the motion since the last look.

        Args:
            position: object centre, palm frame, m.
            rotation: object in palm frame.
            elapsed_s: simulated time since the last look.
        """
        if self._last is None or self.progress.fallen:
            return
        turned = (rotation * self._last.inv()).as_rotvec()
        self._last = rotation
        along = float(turned @ self._axis)
        across = float(np.linalg.norm(turned - along * self._axis)) if self._axis.any() else 0.0
        fallen = self._limits.fallen(
            (position - self._start)[None],
            rotation.apply(self._body_axis)[None],
            self._upright[None],
        )
        before = self.progress
        self.progress = replace(
            before,
            angle_rad=before.angle_rad + along,
            off_axis_rad=before.off_axis_rad + across,
            time_s=before.time_s + elapsed_s,
            fallen=bool(fallen[0]),
        )
