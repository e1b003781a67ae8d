# SPDX-License-Identifier: Apache-2.0
"""The plan of a campaign: which trajectories, in which order, with which seeds.

The selection is uniform over the trajectories of a wrist: without repetition while there are enough, else whole
passes and a remainder. It follows from the campaign's seed alone. Within blocks of 250, each a uniform sample itself,
the order shortens the ramps (the shipped library: 0.13 s of 20 s instead of 0.16 s); the blocks keep a campaign that
ends early from having seen one corner of the library only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_rows import PlanEntry
from dexndm_ros.replay.noise import trajectory_seed
from dexndm_ros.replay.ramp_order import ends, order_by_ramp
from dexndm_ros.replay.trajectory import TrajectorySource

__all__ = ["BLOCK", "make_plan", "select"]

BLOCK = 250
"""Trajectories that are ordered among themselves."""


def make_plan(campaign: Campaign, source: TrajectorySource) -> list[PlanEntry]:
    """All rows of a campaign, in the order of the replay; the same for the same campaign and source.

    Raises:
        LibraryError: the source has no trajectories for the campaign's wrist.
    """
    selected = select(source.ids(campaign.wrist), campaign.count, campaign.seed)
    ids, which = np.unique(selected, return_inverse=True)
    first_rad, last_rad = ends(source, ids)
    ordered: list[int] = []
    for start in range(0, len(which), BLOCK):
        block = which[start : start + BLOCK]
        ordered += ids[block[order_by_ramp(first_rad[block], last_rad[block])]].tolist()
    return [
        PlanEntry(entry, name, trajectory_seed(campaign.seed, entry))
        for entry, name in enumerate(ordered)
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
