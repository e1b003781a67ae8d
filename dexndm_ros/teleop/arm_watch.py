# SPDX-License-Identifier: Apache-2.0
"""Whether the arm goes where it is told: an arm that does not is stuck, blocked, or somebody else's.

What an arm is told stays on a leash from where it is (``limiter``). One that is only slow is at the leash's end too,
and comes; one that is there and gains nothing is held, switched off, or deaf. It is to be told so: else the operator's
hand goes on, and the arm makes up for all of it on the day it is let go.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.teleop.limiter import LimiterConfig
from dexndm_ros.teleop.pose import Pose

__all__ = ["PATIENCE_S", "ArmWatch"]

Vector = NDArray[np.float64]
PATIENCE_S = 0.5
"""An arm at the leash's end must have come closer to what it is told after so long."""
_END = 0.9
"""From this share of the leash on it is at its end."""
_GAIN = 0.1
"""And must gain this share of it."""
_WORDS = "the arm does not go where it is told: see what blocks it, and its controller"


class _Strand:
    """The leash of the position, or of the turn.

    Args:
        length: of the leash, m or rad.
    """

    def __init__(self, length: float) -> None:
        self._length = length
        self.reset()

    def reset(self) -> None:
        self._since_s: float | None = None

    def stuck(self, away: Vector, moved: Vector | None, now_s: float) -> bool:
        """Whether it has been at its end for too long.

        Args:
            away: from the measured to the told, shape (3,).
            moved: of the measured since the last period, shape (3,); None = not known.
            now_s: our monotonic time.
        """
        far = float(np.linalg.norm(away))
        if far < _END * self._length or moved is None:
            self.reset()
            return False
        if self._since_s is None:
            self._since_s, self._gained = now_s, 0.0
        self._gained += float(moved @ away) / far
        if self._gained >= _GAIN * self._length:
            self._since_s, self._gained = now_s, 0.0
        return now_s - self._since_s > PATIENCE_S


class ArmWatch:
    """Compares what the arm is told with where it is, while it follows.

    Args:
        limits: with the leash.
    """

    def __init__(self, limits: LimiterConfig) -> None:
        self._strands = (_Strand(limits.leash_m), _Strand(limits.leash_rad))
        self._last: Pose | None = None

    def reset(self) -> None:
        """The arm does not follow: there is nothing to compare."""
        self._last = None
        for strand in self._strands:
            strand.reset()

    def check(self, told: Pose, measured: Pose, now_s: float) -> str:
        """What is wrong, in words; empty = nothing, or not for long enough.

        Args:
            told: where the controller was told to have the palm now, base frame.
            measured: where it is.
            now_s: our monotonic time.
        """
        moved = self._last.offset(measured) if self._last is not None else (None, None)
        self._last = measured
        ends = zip(self._strands, measured.offset(told), moved, strict=True)
        stuck = [strand.stuck(away, way, now_s) for strand, away, way in ends]
        return _WORDS if any(stuck) else ""
