# SPDX-License-Identifier: Apache-2.0
"""The rotation axis in force: one from a parameter stays; one that is told may be lent for a time only.

With a lease, who tells an axis must tell it again and again, as ``quest_bridge`` does: when it dies, freezes or is not
heard, the fingers stop. They then go on only after it has told to stop once, which it does when the operator lets go.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AskedAxis"]

Vector = NDArray[np.float64]


class _Asked(NamedTuple):
    """What was asked last; replaced as a whole, for it is read in another thread.

    Attributes:
        axis: unit or zero, palm frame, (3,).
        refusal: why it was refused; empty = it was not.
        told_ns: when it was told, monotonic; None = by a parameter.
        lapsed: a lease ran out, and nobody has told to stop since.
    """

    axis: Vector
    refusal: str
    told_ns: int | None
    lapsed: bool


class AskedAxis:
    """Keeps the axis.

    Args:
        first: in force until one is told, unit or zero, palm frame, (3,).
        lease_s: an axis that was told is in force for so long after it was told; 0 = until the next one.

    Raises:
        ValueError: a lease that is no time.
    """

    def __init__(self, first: Vector, lease_s: float = 0.0) -> None:
        if not (math.isfinite(lease_s) and lease_s >= 0.0):
            raise ValueError(f"command_lease_s is {lease_s!r}; it must be 0 (none) or more")
        self._lease_ns = round(lease_s * 1e9)
        self._words = (
            f"rotation/command was not told again for over {lease_s:g} s: is who tells it running? "
            "Let its button go and press it again"
        )
        self._asked = _Asked(first, "", None, False)

    def told(self, axis: Vector, now_ns: int) -> None:
        """An axis was told, unit or zero, (3,); monotonic time."""
        lapsed = bool(axis.any()) and self._lapsed(now_ns)
        self._asked = _Asked(axis, "", now_ns, lapsed)

    def refused(self, why: str, now_ns: int) -> None:
        """Something was told that is no axis."""
        self._asked = _Asked(np.zeros(3), why, now_ns, self._lapsed(now_ns))

    def at(self, now_ns: int) -> tuple[Vector, str]:
        """The axis in force, (3,), zero = stop; and why it is zero where nobody asked for that."""
        asked = self._asked
        if asked.refusal or not asked.axis.any():
            return asked.axis, asked.refusal
        if asked.lapsed or self._is_over(asked, now_ns):
            return np.zeros(3), self._words
        return asked.axis, ""

    def _lapsed(self, now_ns: int) -> bool:
        return self._asked.lapsed or self._is_over(self._asked, now_ns)

    def _is_over(self, asked: _Asked, now_ns: int) -> bool:
        if not self._lease_ns or asked.told_ns is None or not asked.axis.any():
            return False
        return now_ns - asked.told_ns > self._lease_ns
