# SPDX-License-Identifier: Apache-2.0
"""The plan of a campaign: which trajectories, in which order, with which seeds.

The selection is uniform over the trajectories of a wrist: without repetition while there are enough, else whole
passes and a remainder. It follows from the campaign's seed alone.

Within blocks of a few hundred, each a uniform sample of its own, the order follows the hand: a trajectory that begins
near where the last one ended comes next, so that little time goes into the ramps between them. The blocks keep a
campaign that ends early from having seen one corner of the library only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_rows import PlanEntry
from dexndm_ros.replay.noise import trajectory_seed
from dexndm_ros.replay.trajectory import TrajectorySource

__all__ = ["BLOCK", "make_plan", "nearest_order", "select"]

BLOCK = 250
"""Trajectories ordered among themselves."""

Poses = NDArray[np.float64]


def make_plan(campaign: Campaign, source: TrajectorySource) -> list[PlanEntry]:
    """All rows of a campaign, in the order of the replay; the same for the same campaign and source.

    Raises:
        LibraryError: the source has no trajectories for the campaign's wrist.
    """
    selected = select(source.ids(campaign.wrist), campaign.count, campaign.seed)
    ends = _ends(source, np.unique(selected))
    order: list[int] = []
    for start in range(0, len(selected), BLOCK):
        block = [int(name) for name in selected[start : start + BLOCK]]
        poses = np.array([ends[name] for name in block])
        last = ends[order[-1]][1] if order else None
        order += [block[k] for k in nearest_order(poses[:, 0], poses[:, 1], last)]
    return [
        PlanEntry(entry, name, trajectory_seed(campaign.seed, entry))
        for entry, name in enumerate(order)
    ]


def select(ids: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A uniform selection, (count,): passes over all ids, each shuffled anew, the last one cut short.

    Args:
        ids: what there is, ascending.
        count: how many are wanted.
        seed: the campaign's.
    """
    stream = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, 1])
    passes = -(-count // len(ids))
    return np.concatenate([stream.permutation(ids) for _ in range(passes)])[:count]


def nearest_order(first_rad: Poses, last_rad: Poses, start_rad: Poses | None) -> list[int]:
    """Indices so that each trajectory begins near the end of the one before (greedy).

    Args:
        first_rad: first poses, (n, 16).
        last_rad: last poses, (n, 16).
        start_rad: where the hand is, (16,); None = begin with index 0.
    """
    left = np.arange(len(first_rad))
    order: list[int] = []
    while len(left):
        pick = 0
        if start_rad is not None:  # the joint with the longest way makes the ramp's time
            pick = int(np.argmin(np.abs(first_rad[left] - start_rad).max(axis=1)))
        order.append(int(left[pick]))
        start_rad = last_rad[left[pick]]
        left = np.delete(left, pick)
    return order


def _ends(source: TrajectorySource, ids: NDArray[np.int64]) -> dict[int, Poses]:
    """First and last pose of each trajectory, (2, 16)."""
    return {int(name): source.trajectory(int(name)).targets_rad[[0, -1]] for name in ids}
