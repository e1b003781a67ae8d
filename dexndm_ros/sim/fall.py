# SPDX-License-Identifier: Apache-2.0
"""When an object counts as having left the hand: one rule for training, evaluation and the virtual hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FallLimits"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FallLimits:
    """Limits of the object's displacement since the start of the episode, palm frame (probe, section 2).

    Attributes:
        max_normal_m: along the palm's normal (z).
        max_sideways_m: perpendicular to it.
        max_tilt_rad: of the rotation axis as fixed in the object at the start.
    """

    max_normal_m: float = 0.035
    max_sideways_m: float = 0.05
    max_tilt_rad: float = math.pi / 3

    def fallen(self, displacement: Array, body_axis: Array, axis: Array) -> NDArray[np.bool_]:
        """Which objects are lost.

        Args:
            displacement: object centre minus its start, (N, 3) m, palm frame.
            body_axis: the axis fixed in the object that was the rotation axis at the start, (N, 3), palm frame.
            axis: rotation axis, (N, 3), palm frame.
        """
        sunk = np.abs(displacement[:, 2]) > self.max_normal_m
        drifted = np.linalg.norm(displacement[:, :2], axis=1) > self.max_sideways_m
        tilted = (body_axis * axis).sum(axis=1) < math.cos(self.max_tilt_rad)
        # Written so that a NaN counts as lost.
        return np.asarray(~(~sunk & ~drifted & ~tilted & np.isfinite(displacement).all(axis=1)))
