# SPDX-License-Identifier: Apache-2.0
"""The wrist in force: one from a parameter or a latched message stays; one of a stream counts while the stream goes on.

An arm tells its wrist again and again, and says no more where it does not know it: the palm may then be turned by hand,
and fingers that go on for the wrist of before drop what they hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["STREAM_STALE_NS", "ToldWrist"]

Vector = NDArray[np.float64]
STREAM_STALE_NS = 1_000_000_000
"""Two wrists no farther apart are a stream, and one older than this is over."""
_SILENT = "wrist/orientation is told no more: is the arm's pose known, and who tells it running?"


class _Told(NamedTuple):
    """Replaced as a whole, for it is read in another thread.

    Attributes:
        wrist: unit quaternion xyzw, (4,).
        refusal: why the last one was refused; empty = it was not.
        at_ns: when it was told, monotonic; None = by a parameter.
        streams: there was one not long before it, and none of the two was latched.
    """

    wrist: Vector
    refusal: str
    at_ns: int | None
    streams: bool


class ToldWrist:
    """Keeps the wrist.

    Args:
        first: in force until one is told, unit quaternion xyzw, (4,).
    """

    def __init__(self, first: Vector) -> None:
        self._told = _Told(first, "", None, False)
        self._latched_ns: int | None = None

    def told(self, wrist: Vector, now_ns: int, *, latched: bool) -> None:
        """A wrist was told, unit quaternion xyzw, (4,); monotonic time.

        Args:
            wrist: it.
            now_ns: our monotonic time.
            latched: it waits for late listeners; such a message comes twice, the other time as one that does not.
        """
        if latched:
            self._latched_ns = now_ns
        near = self._told.at_ns is not None and now_ns - self._told.at_ns <= STREAM_STALE_NS
        fixed = self._latched_ns is not None and now_ns - self._latched_ns <= STREAM_STALE_NS
        self._told = _Told(wrist, "", now_ns, not fixed and (near or self._told.streams))

    def refused(self, why: str) -> None:
        """Something was told that is no wrist."""
        self._told = self._told._replace(refusal=why)

    def at(self, now_ns: int) -> tuple[Vector, str]:
        """The wrist told last, (4,); and why it is not to be used, empty = it may."""
        told = self._told
        if told.refusal or not told.streams or told.at_ns is None:
            return told.wrist, told.refusal
        return told.wrist, _SILENT if now_ns - told.at_ns > STREAM_STALE_NS else ""
