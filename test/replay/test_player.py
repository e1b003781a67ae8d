# SPDX-License-Identifier: Apache-2.0
"""The ramp and the steps of one trajectory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.joints import LOWER_RAD, UPPER_RAD
from dexndm_ros.replay.ledger import Claim
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.player import Player, load

STEPS = 12


def loaded(first: float = 0.3, attempt: int = 1):
    # Each value encodes its step and joint: a permuted or shifted array is seen.
    clean = first + 0.01 * np.arange(STEPS)[:, None] + 0.001 * np.arange(16)
    claim = Claim(entry=7, attempt=attempt, trajectory=3, seed=99)
    return load(claim, clean, NoiseConfig())


def play(player: Player, may_step: bool = True) -> list:
    ticks = []
    while not player.done:
        ticks.append(player.tick(may_step))
        assert len(ticks) < 10_000
    return ticks


def test_a_trajectory_is_sent_whole_in_order_and_exactly() -> None:
    given_ = loaded()
    ticks = [
        tick for tick in play(Player(given_, np.zeros(16), 3.0, 0.05)) if tick.step is not None
    ]
    assert [tick.step for tick in ticks] == list(range(STEPS))
    assert np.array_equal([tick.target for tick in ticks], given_.target_rad)


def test_its_name_tells_row_and_attempt() -> None:
    assert loaded(attempt=2).episode == "e000007_a2"


def test_targets_are_clean_plus_noise_within_the_limits() -> None:
    given_ = loaded()
    assert np.any(given_.noise_rad)
    expected = np.clip(given_.clean_rad + given_.noise_rad, LOWER_RAD, UPPER_RAD)
    assert np.array_equal(given_.target_rad, expected)


@given(
    start=st.lists(st.floats(-0.3, 1.5), min_size=16, max_size=16),
    speed=st.floats(0.05, 3.0),
)
def test_the_ramp_never_goes_faster_than_asked_and_wastes_no_tick(start, speed) -> None:
    pose, given_ = np.array(start), loaded()
    ticks = play(Player(given_, pose, speed, 0.05))
    first = next(k for k, tick in enumerate(ticks) if tick.step == 0)
    path = np.array([pose, *(tick.target for tick in ticks[: first + 1])])
    assert np.abs(np.diff(path, axis=0)).max() <= speed * 0.05 + 1e-9
    distance = np.abs(given_.target_rad[0] - pose).max()
    assert first <= max(0, np.ceil(distance / (speed * 0.05) - 1e-6) - 1)


def test_it_waits_at_the_first_pose_until_it_may_step() -> None:
    given_ = loaded()
    player = Player(given_, given_.target_rad[0] - 0.2, 1.0, 0.05)
    waiting = [player.tick(False) for _ in range(20)]
    assert all(tick.step is None for tick in waiting)
    assert np.array_equal(waiting[-1].target, given_.target_rad[0])
    assert player.tick(True).step == 0
    assert player.tick(False).step == 1  # once begun, it goes on


def test_after_the_end_it_holds_the_last_target() -> None:
    given_ = loaded()
    player = Player(given_, np.zeros(16), 3.0, 0.05)
    play(player)
    tick = player.tick(True)
    assert tick.step is None
    assert np.array_equal(tick.target, given_.target_rad[-1])


@pytest.mark.parametrize("entry", [0, 12, 123456])
def test_names_sort_as_entries_do(entry: int) -> None:
    claim = Claim(entry=entry, attempt=1, trajectory=0, seed=0)
    name = load(claim, np.full((3, 16), 0.4), NoiseConfig()).episode
    assert int(name[1:7]) == entry
