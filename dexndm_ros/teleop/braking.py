# SPDX-License-Identifier: Apache-2.0
"""How fast something may go that must be able to stop: the arithmetic under the arm's limiter.

Positions here move in steps of one period with a constant velocity, so the formulas are those of steps and hold
exactly, not only for short periods.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["approach_velocity", "change_velocity", "shortened", "stopping_speed"]

Vector = NDArray[np.float64]


def stopping_speed(distance: Any, deceleration: Any, period_s: float) -> Any:
    """Greatest speed of the next step after which a stop within ``distance`` is still possible.

    From ``v dt + v**2 / (2 a) <= distance``; who obeys it at one step can obey it at the next.

    Args:
        distance: what is left, a number or an array; below zero counts as zero.
        deceleration: ``a`` of the braking, a number or one for each distance.
        period_s: ``dt`` of a step.

    Returns:
        Speed >= 0, shaped as ``distance``.
    """
    a, dt = deceleration, period_s
    return a * (np.sqrt(dt * dt + 2.0 * np.maximum(distance, 0.0) / a) - dt)


def approach_velocity(error: Vector, deceleration: float, time_constant_s: float) -> Vector:
    """Velocity that brings an error to zero and can always brake in time.

    Proportional when near, the square root of the distance when far, smooth where they meet.

    Args:
        error: from here to there, shape (3,).
        deceleration: greatest change of the velocity on the way, per second.
        time_constant_s: of the last, exponential part.
    """
    far = float(np.linalg.norm(error))
    gain = 1.0 / time_constant_s
    knee = deceleration / gain**2
    if far <= knee:
        return gain * error
    return error * (math.sqrt(2.0 * deceleration * (far - knee / 2.0)) / far)


def change_velocity(velocity: Vector, allowed: Vector, wanted: Vector, most: float) -> Vector:
    """The velocity nearest to ``wanted`` on the way from ``allowed`` that one step may reach.

    Args:
        velocity: of the step before, shape (3,).
        allowed: a velocity that must be reachable (a braking that cannot wait), not further than ``most``.
        wanted: where it should go; all between ``allowed`` and it is safe too.
        most: greatest length of the change.
    """
    forced, way = allowed - velocity, wanted - allowed
    a = float(way @ way)
    if a == 0.0:
        return allowed
    b, c = float(forced @ way), min(0.0, float(forced @ forced) - most * most)
    share = (math.sqrt(b * b - a * c) - b) / a
    return allowed + min(1.0, share) * way


def shortened(vector: Vector, longest: float) -> Vector:
    """The vector, cut to a length."""
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)
