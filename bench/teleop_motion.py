# SPDX-License-Identifier: Apache-2.0
"""The motion that teleoperation is measured with: a level figure-of-eight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPEED_M_S", "FigureOfEight", "as_page"]

SPEED_M_S = 0.2
_POINTS = 4000


class FigureOfEight:
    """Where a hand is that draws it again and again; it gathers speed in the first second.

    Args:
        speed_m_s: all along the path, or where it crosses itself.
        wide_m: its size across; it is half as deep, and its tightest corners have an eighth of it as radius.
        even: as fast in the corners as elsewhere; else slower there, as a hand that draws is.
    """

    def __init__(
        self, speed_m_s: float = SPEED_M_S, wide_m: float = 0.24, even: bool = True
    ) -> None:
        self.speed_m_s = speed_m_s
        angle = np.linspace(0.0, 2.0 * np.pi, _POINTS)
        self._path = (
            np.stack([0.25 * np.sin(2.0 * angle), 0.5 * np.sin(angle), np.zeros(_POINTS)], axis=1)
            * wide_m
        )
        steps = np.linalg.norm(np.diff(self._path, axis=0), axis=1)
        if not even:
            steps[:] = steps[0]
        self._along_m = np.concatenate([[0.0], np.cumsum(steps)])

    def at(self, seconds: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Displacement from the start in the arm's axes, m; shape (..., 3)."""
        t = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0)
        way_m = self.speed_m_s * np.where(t < 1.0, 0.5 * t**2, t - 0.5)
        along = np.mod(way_m, self._along_m[-1])
        return np.stack([np.interp(along, self._along_m, part) for part in self._path.T], axis=-1)


def as_page(displacement_m: NDArray[np.float64]) -> list[float]:
    """A displacement in the arm's axes (x forward, z up) in the page's (-z forward, y up)."""
    x, y, z = displacement_m.tolist()
    return [-y, z, -x]
