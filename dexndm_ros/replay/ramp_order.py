# SPDX-License-Identifier: Apache-2.0
"""An order of trajectories in which the hand has the shortest way from each end to the next start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.replay.trajectory import TrajectorySource

__all__ = ["ends", "order_by_ramp", "ramp_rad"]


def ends(
    source: TrajectorySource, ids: Iterable[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last targets of trajectories, two arrays (n, 16) rad."""
    first, last = [], []
    for name in ids:
        targets = source.trajectory(int(name)).targets_rad
        first.append(targets[0])
        last.append(targets[-1])
    shape = (-1, JOINT_COUNT)
    return np.array(first).reshape(shape), np.array(last).reshape(shape)


def ramp_rad(
    starts_rad: NDArray[np.float64], ends_rad: NDArray[np.float64], order: Sequence[int]
) -> NDArray[np.float64]:
    """Way of the joint that has furthest to go, from each end to the next start, (n - 1,) rad."""
    ways = np.abs(starts_rad[list(order)][1:] - ends_rad[list(order)][:-1])
    return np.asarray(ways.max(axis=1)) if len(ways) else np.zeros(0)


def order_by_ramp(
    starts_rad: NDArray[np.float64], ends_rad: NDArray[np.float64], first: int = 0
) -> NDArray[np.intp]:
    """Greedy order: from each end on to the nearest start that is left.

    Deterministic; of equally near starts the lowest index is taken. The greedy way's last few ramps are long, as
    only the outliers are left by then.

    Args:
        starts_rad: first targets, (n, 16).
        ends_rad: last targets, (n, 16).
        first: index to begin with.

    Returns:
        A permutation of 0..n-1, (n,).
    """
    count = len(starts_rad)
    left = np.ones(count, dtype=bool)
    order = np.empty(count, dtype=np.intp)
    at = first
    for place in range(count):
        order[place] = at
        left[at] = False
        if place + 1 < count:
            rest = np.flatnonzero(left)
            ways = np.abs(starts_rad[rest] - ends_rad[at]).max(axis=1)
            at = int(rest[np.argmin(ways)])
    return order
