# SPDX-License-Identifier: Apache-2.0
"""The order with short ramps is an order of all trajectories, and its ramps are short."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dexndm_ros.replay.ramp_order import ends, order_by_ramp, ramp_rad
from dexndm_ros.replay.waves import BaseWaves

POSES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(2), st.just(16)), elements=st.floats(-2, 2)
)


@given(poses=POSES, data=st.data())
def test_every_trajectory_comes_once_and_each_next_start_is_the_nearest_left(poses, data):
    starts, finals = poses[:, 0], poses[:, 1]
    first = data.draw(st.integers(0, len(poses) - 1))
    order = order_by_ramp(starts, finals, first)
    assert order[0] == first
    assert sorted(order) == list(range(len(poses)))
    ways = ramp_rad(starts, finals, order)
    assert len(ways) == len(poses) - 1
    for place, way in enumerate(ways):
        for other in order[place + 1 :]:
            assert way <= np.abs(starts[other] - finals[order[place]]).max()


def test_a_chain_that_was_shuffled_is_found_again():
    rng = np.random.default_rng(1)
    chain = np.cumsum(rng.uniform(0.5, 1.0, (50, 16)), axis=0)
    shuffled = rng.permutation(49)
    order = order_by_ramp(chain[shuffled], chain[shuffled + 1], int(np.argmin(shuffled)))
    np.testing.assert_array_equal(shuffled[order], np.arange(49))
    assert ramp_rad(chain[shuffled], chain[shuffled + 1], order).max() == 0.0


def test_ends_are_the_first_and_last_targets():
    waves = BaseWaves(0, {"sine": 3})
    starts, finals = ends(waves, waves.ids("palm_up"))
    for name in range(3):
        np.testing.assert_array_equal(starts[name], waves.trajectory(name).targets_rad[0])
        np.testing.assert_array_equal(finals[name], waves.trajectory(name).targets_rad[-1])
    assert ends(waves, [])[0].shape == (0, 16)
    assert ramp_rad(*ends(waves, []), []).shape == (0,)
