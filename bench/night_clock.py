# SPDX-License-Identifier: Apache-2.0
"""The two clocks of a night: the monotonic one, and the system's, which may be set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOOT_NS", "Clock", "wall_ns"]

BOOT_NS = 20_000_000_000_000
"""Monotonic time at which the night began."""
_WALL_NS = 1_795_000_000_000_000_000


@dataclass(frozen=True, eq=False)
class Clock:
    """The system clock.

    Attributes:
        set_ns: monotonic times at which it was set, ascending.
        added_ns: what was added to it by then, one more: before the first, after it and so on.
    """

    set_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    added_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    @classmethod
    def of(cls, jumps: Sequence[tuple[int, float]]) -> Clock:
        """A clock that is set: monotonic time in ns, seconds."""
        ordered = sorted(jumps)
        added = np.cumsum([0, *(round(jump_s * 1e9) for _, jump_s in ordered)])
        return cls(np.array([at for at, _ in ordered], np.int64), added.astype(np.int64))


def wall_ns(clock: Clock, monotonic_ns: Any) -> Any:
    """System time of a monotonic time, or of an array of them."""
    added = clock.added_ns[np.searchsorted(clock.set_ns, monotonic_ns, "right")]
    return monotonic_ns - BOOT_NS + _WALL_NS + added
