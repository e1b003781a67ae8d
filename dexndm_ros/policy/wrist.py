# SPDX-License-Identifier: Apache-2.0
"""Wrist orientations by name, and rotation axes and wrists as a person writes them.

Palm frame: fingers along +x, thumb along +y, the grasp side faces -z. A wrist orientation is the
rotation of the palm frame in the world (z up), quaternion xyzw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "WRISTS",
    "AxisError",
    "WristError",
    "axis_word",
    "check_axis",
    "check_wrist",
    "parse_axis",
    "parse_wrist",
]

_HALF = math.sqrt(0.5)

WRISTS: dict[str, tuple[float, float, float, float]] = {
    "palm_up": (1.0, 0.0, 0.0, 0.0),  # half a turn about x: the grasp side looks up
    "palm_down": (0.0, 0.0, 0.0, 1.0),  # the palm frame is the world's
    "base_up": (0.0, _HALF, 0.0, _HALF),  # quarter turn about y: fingers hang down
    "base_down": (0.0, -_HALF, 0.0, _HALF),  # fingers point up
    "thumb_up": (_HALF, 0.0, 0.0, _HALF),  # quarter turn about x
    "thumb_down": (-_HALF, 0.0, 0.0, _HALF),
}
"""Quaternion xyzw of the palm frame in the world, by name."""

# A unit vector that passed through text or float32 is off by less than this.
_UNIT_TOLERANCE = 1e-3


class AxisError(ValueError):
    """A rotation axis that is neither a unit vector nor zero."""


class WristError(ValueError):
    """A wrist orientation that is neither a known name nor a unit quaternion."""


def check_axis(axis: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """A unit axis, normalised, or zero (= stop), shape (3,).

    Raises:
        AxisError: not three finite numbers, or of a length that is neither 1 nor 0.
    """
    vector = np.asarray(axis, dtype=np.float64)
    if vector.shape != (3,):
        raise AxisError(f"rotation axis has shape {vector.shape}; give three numbers x, y, z")
    if not np.isfinite(vector).all():
        raise AxisError(
            f"rotation axis {vector.tolist()} is not finite; give a unit vector or zero"
        )
    if not vector.any():
        return vector
    length = math.hypot(*vector)  # squares would lose very small and very large numbers
    if abs(length - 1.0) > _UNIT_TOLERANCE:
        raise AxisError(
            f"rotation axis {vector.tolist()} has length {length:.4g}; "
            "give a unit vector in the palm frame, or zero to stop"
        )
    return vector / length


def parse_axis(text: str) -> NDArray[np.float64]:
    """``+z``, ``-x``, ``y``, three numbers ``0,0,1``, or ``stop`` (zero), as a vector (3,).

    Raises:
        AxisError: anything else.
    """
    word = text.strip().lower()
    if word == "stop":
        return np.zeros(3)
    sign, letter = (word[0], word[1:]) if word[:1] in ("+", "-") else ("+", word)
    if letter in ("x", "y", "z"):
        vector = np.zeros(3)
        vector["xyz".index(letter)] = -1.0 if sign == "-" else 1.0
        return vector
    try:
        numbers = [float(part) for part in word.strip("[]()").replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise AxisError(
            f"rotation axis {text!r} is not understood; write +x, -x, +y, -y, +z, -z, "
            "three numbers such as 0,0,1, or stop"
        )
    return check_axis(numbers)


def axis_word(axis: Sequence[float] | NDArray[np.floating]) -> str:
    """A unit axis as ``parse_axis`` reads it: ``+z``, or three numbers with spaces between them.

    Raises:
        AxisError: no unit vector.
    """
    vector = check_axis(axis)
    if not vector.any():
        return "stop"
    largest = int(np.argmax(np.abs(vector)))
    if np.count_nonzero(vector) == 1:
        return f"{'-' if vector[largest] < 0 else '+'}{'xyz'[largest]}"
    return " ".join(f"{value:.6f}" for value in vector)


def check_wrist(xyzw: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """A unit quaternion xyzw, normalised, shape (4,).

    Raises:
        WristError: not four finite numbers, or not of length 1.
    """
    quaternion = np.asarray(xyzw, dtype=np.float64)
    if quaternion.shape != (4,):
        raise WristError(
            f"wrist quaternion has shape {quaternion.shape}; give four numbers x, y, z, w"
        )
    length = math.hypot(*quaternion)
    if not abs(length - 1.0) <= 10 * _UNIT_TOLERANCE:  # written so that NaN fails it
        raise WristError(
            f"wrist quaternion {quaternion.tolist()} has length {length:.4g}; "
            "give a unit quaternion xyzw"
        )
    return quaternion / length


def parse_wrist(text: str) -> NDArray[np.float64]:
    """A name of ``WRISTS`` or four numbers ``x,y,z,w``, as a unit quaternion (4,).

    Raises:
        WristError: anything else.
    """
    word = text.strip().lower()
    if word in WRISTS:
        return check_wrist(WRISTS[word])
    try:
        numbers = [float(part) for part in word.strip("[]()").replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise WristError(
            f"wrist orientation {text!r} is not understood; write one of {', '.join(WRISTS)} "
            "or a quaternion x,y,z,w"
        )
    return check_wrist(numbers)
