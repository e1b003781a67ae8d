# SPDX-License-Identifier: Apache-2.0
"""The plan of a campaign: which trajectories, in which order, with which seeds.

The selection is uniform over the trajectories of a wrist: without repetition while there are enough, else whole
passes and a remainder. It follows from the campaign's seed alone, and any part from the beginning of it is a uniform
sample too, so that a campaign that ends early has not seen one corner of the library only. Any other order would be
as uniform as a whole; going to the nearest next trajectory within blocks of 250 was measured and shortens the ramps
of the shipped library by 0.03 s of 20 s, which is not worth it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_rows import PlanEntry
from dexndm_ros.replay.noise import trajectory_seed
from dexndm_ros.replay.trajectory import TrajectorySource

__all__ = ["make_plan", "select"]


def make_plan(campaign: Campaign, source: TrajectorySource) -> list[PlanEntry]:
    """All rows of a campaign, in the order of the replay; the same for the same campaign and source.

    Raises:
        LibraryError: the source has no trajectories for the campaign's wrist.
    """
    selected = select(source.ids(campaign.wrist), campaign.count, campaign.seed)
    return [
        PlanEntry(entry, int(name), trajectory_seed(campaign.seed, entry))
        for entry, name in enumerate(selected)
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
