# SPDX-License-Identifier: Apache-2.0
"""The plan: uniform, without repetition while there are enough, and the same each time."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import trajectory_seed
from dexndm_ros.replay.plan import BLOCK, make_plan, select
from dexndm_ros.replay.ramp_order import ends, ramp_rad
from dexndm_ros.replay.trajectory import LibraryError
from dexndm_ros.replay.waves import BaseWaves

CAMPAIGN = Campaign("night-1", "palm_down", "waves", 30, seed=7)
IDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40, unique=True).map(
    lambda ids: np.array(sorted(ids), dtype=np.int64)
)


@given(IDS, st.integers(1, 200), st.integers(0, 2**63 - 1))
def test_every_trajectory_comes_as_often_as_the_others(ids, count, seed):
    chosen = select(ids, count, seed)
    assert len(chosen) == count
    times = Counter(chosen.tolist())
    assert set(times) <= set(ids.tolist())
    passes, rest = divmod(count, len(ids))
    assert sorted(times.values()) == sorted([passes + 1] * rest + [passes] * (len(times) - rest))
    for start in range(0, count, len(ids)):  # each pass has none twice
        one_pass = chosen[start : start + len(ids)]
        assert len(set(one_pass.tolist())) == len(one_pass)


def test_the_selection_is_uniform():
    ids = np.arange(20)
    seen = Counter(int(k) for seed in range(2000) for k in select(ids, 5, seed))
    # 500 of 2000 expected for each; six standard deviations are 116.
    assert all(abs(seen[k] - 500) < 116 for k in range(20))


def test_the_selection_of_a_seed_never_changes():
    rows = [4, 3, 2, 1, 6, 5, 7, 8, 0, 9, 4, 0, 6, 7]
    assert select(np.arange(10), 14, 7).tolist() == rows


def test_a_plan_has_a_row_for_each_and_seeds_of_its_own():
    source = BaseWaves(0, {"sine": 12, "square": 8})
    plan = make_plan(CAMPAIGN, source)
    assert [row.entry for row in plan] == list(range(30))
    assert sorted(Counter(row.trajectory for row in plan).values()) == [1] * 10 + [2] * 10
    assert [row.seed for row in plan] == [trajectory_seed(7, k) for k in range(30)]
    assert plan == make_plan(CAMPAIGN, source)
    assert plan != make_plan(dataclasses.replace(CAMPAIGN, seed=8), source)


def test_a_wrist_without_trajectories_is_refused():
    class Only:
        def ids(self, wrist):
            raise LibraryError(f"no trajectories for wrist {wrist!r}")

    with pytest.raises(LibraryError, match="palm_down"):
        make_plan(CAMPAIGN, Only())


def test_blocks_are_uniform_samples_with_shorter_ramps():
    """What is done when a campaign ends early must not be one corner of the library."""
    source = open_source("cylinder_z", check=False)
    campaign = dataclasses.replace(CAMPAIGN, count=2 * BLOCK + 7)
    rows = [row.trajectory for row in make_plan(campaign, source)]
    chosen = select(source.ids("palm_down"), len(rows), campaign.seed).tolist()
    for start in range(0, len(rows), BLOCK):
        assert sorted(rows[start : start + BLOCK]) == sorted(chosen[start : start + BLOCK])
    as_planned = ramp_rad(*ends(source, rows), range(len(rows))).mean()
    as_drawn = ramp_rad(*ends(source, chosen), range(len(rows))).mean()
    assert as_planned < 0.9 * as_drawn
