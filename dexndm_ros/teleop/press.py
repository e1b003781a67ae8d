# SPDX-License-Identifier: Apache-2.0
"""Which targets the arm follows: after whatever was wrong, and after a silence, only those of a fresh press.

Pure. A stream of targets that ends says nothing of why: the grip was let go, or whoever told them died, froze or is
not heard. So the operator's side also tells whether its clutch is engaged; a stream that ends without its word waits
for its word.
"""

from __future__ import annotations

from dexndm_ros.teleop.pose import Pose

__all__ = ["FreshPress"]

_SILENT = "the operator's targets stopped coming"
_CURE = "release the right grip, then press it again"


class FreshPress:
    """Keeps the newest target, and whether it may be followed.

    Args:
        stale_s: a target older than this is not followed.
    """

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._target: tuple[Pose, float] | None = None
        self._engaged = (
            False  # as the operator's side said last; one that never says so needs no word
        )
        self._follows = False
        self._cause = ""

    def target(self, pose: Pose, at_s: float) -> None:
        """The operator wants the arm here; our monotonic time."""
        self._target = (pose, at_s)

    def operator(self, *, engaged: bool) -> None:
        """The operator's side tells of its clutch; letting go counts at once."""
        self._engaged = engaged
        if not engaged:
            self._target = None

    def check(self, fault: str, now_s: float) -> tuple[Pose | None, str]:
        """What to follow now.

        Args:
            fault: why the arm may not be moved now; empty = it may.
            now_s: our monotonic time.

        Returns:
            The target, None = none; and why none is followed though one may come, empty = it would be.
        """
        target = self._fresh(now_s)
        if fault:
            self._cause = fault
        elif self._follows and target is None:
            self._cause = _SILENT
        if not fault and target is None and not self._engaged:
            self._cause = ""
        self._follows = target is not None and not self._cause
        if not self._cause:
            return target, ""
        return None, fault or f"{self._cause.partition(': ')[0]}: {_CURE}"

    def _fresh(self, now_s: float) -> Pose | None:
        target = self._target  # one reading: it is told in another thread
        if target is None or now_s - target[1] > self._stale_s:
            return None
        return target[0]
