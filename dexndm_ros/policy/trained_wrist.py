# SPDX-License-Identifier: Apache-2.0
"""The wrist that a policy is told, from the wrist that an arm tells.

Only gravity reaches the fingers, so the heading of the palm is nothing to a policy; and a quaternion near half a turn
(palm up) changes the sign of all its numbers with the least tilt. A policy that was trained at a few wrists is told the
one of them that gravity sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.policy.wrist import parse_wrist

__all__ = ["TILT_RAD", "wrist_as_trained"]

TILT_RAD = math.radians(40.0)
"""A palm that leans farther from all trained wrists is told as it is: it is none of them."""


def wrist_as_trained(
    xyzw: ArrayLike, trained: Sequence[str], tilt_rad: float = TILT_RAD
) -> NDArray[np.float64]:
    """The trained wrist with gravity nearest to where it is now, or the wrist itself.

    Args:
        xyzw: orientation of the palm in the world (z up), unit quaternion, (4,).
        trained: wrists of the policy's spec; empty = it was trained at any.
        tilt_rad: farthest that gravity may be from the trained wrist's.

    Returns:
        A unit quaternion, (4,).
    """
    wrist = np.asarray(xyzw, dtype=np.float64)
    if not trained:
        return wrist
    wrists = np.array([parse_wrist(text) for text in trained])
    alike = _up(wrists) @ _up(wrist)
    nearest = int(np.argmax(alike))
    return wrists[nearest] if alike[nearest] >= math.cos(tilt_rad) else wrist


def _up(xyzw: NDArray[np.float64]) -> NDArray[np.float64]:
    """The world's z in the palm frame, (..., 3)."""
    x, y, z, w = np.moveaxis(xyzw, -1, 0)
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1)
