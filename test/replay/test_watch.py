# SPDX-License-Identifier: Apache-2.0
"""Stuck fingers, currents, clocks and the load."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dexndm_ros.replay.campaign import CoolingConfig, JamConfig, LoadCheckConfig
from dexndm_ros.replay.watch import ClockWatch, CurrentWatch, JamWatch, LoadWatch, Tally

ZERO = np.zeros(16)


def one(joint: int, value: float) -> np.ndarray:
    vector = np.zeros(16)
    vector[joint] = value
    return vector


def test_a_finger_that_is_far_from_its_target_and_still_is_stuck_after_the_time() -> None:
    watch = JamWatch(JamConfig(error_rad=0.5, still_rad_s=0.1, time_s=1.0), 20.0)
    texts = [watch.look(one(9, 0.6), ZERO, ZERO) for _ in range(20)]
    assert texts[:19] == [""] * 19
    assert "motor 9" in texts[19] and "0.60 rad" in texts[19]


@pytest.mark.parametrize(
    ("error", "speed"),
    [(0.4, 0.0), (0.6, 0.2)],
    ids=["near its target", "on its way"],
)
def test_a_finger_that_is_near_or_moves_is_not_stuck(error: float, speed: float) -> None:
    watch = JamWatch(JamConfig(error_rad=0.5, still_rad_s=0.1, time_s=0.2), 20.0)
    assert not any(watch.look(one(3, error), ZERO, one(3, speed)) for _ in range(50))


def test_a_moment_of_motion_starts_the_time_anew() -> None:
    watch = JamWatch(JamConfig(error_rad=0.5, still_rad_s=0.1, time_s=0.5), 20.0)
    for _ in range(5):
        assert not any(watch.look(one(3, 0.6), ZERO, ZERO) for _ in range(9))
        assert not watch.look(one(3, 0.6), ZERO, one(3, 1.0))


def test_the_mean_current_counts_and_not_its_peaks() -> None:
    watch = CurrentWatch(CoolingConfig(current_a=0.4, current_window_s=1.0), 20.0)
    assert not any(watch.look(one(5, 0.6 if k % 2 else 0.0)) for k in range(400))
    texts = [watch.look(one(5, -0.6)) for _ in range(60)]
    assert "motor 5" in texts[-1]
    watch.reset()
    assert watch.look(one(5, 0.6)) == ""


def test_a_wall_clock_that_is_set_is_told_once_and_drift_never() -> None:
    watch = ClockWatch()
    times = [(100.0 + 0.05 * k * 1.0001, 10.0 + 0.05 * k) for k in range(100)]
    assert not any(watch.look(*pair) for pair in times)
    wall, monotonic = times[-1]
    assert watch.look(wall - 3600.0, monotonic) == pytest.approx(-3600.0)
    assert watch.look(wall - 3600.0 + 0.05, monotonic + 0.05) == 0.0


def test_a_tally_is_the_mean_of_what_it_was_shown() -> None:
    tally = Tally(rate_hz=1)
    currents = np.outer([0.1, -0.3, 0.2, 0.4], np.linspace(0.5, 1.5, 16))
    for k, row in enumerate(currents):
        tally.state(row, k, k // 2)
    tally.tick(one(0, 0.4), ZERO, math.nan)
    tally.tick(ZERO, one(0, 0.3), 41.0)
    tally.tick(ZERO, ZERO, 40.0)
    numbers = tally.numbers()
    assert numbers.current_mean_a == pytest.approx(np.abs(currents).mean(axis=0))
    assert numbers.current_spread_a == 0.0  # one second with currents only
    assert numbers.tracking_rms_rad == pytest.approx(np.sqrt((0.16 + 0.09) / 16 / 3))
    assert numbers.temperature_max_c == 41.0


def test_a_hand_that_slips_out_of_the_balls_is_seen_against_the_campaigns_beginning() -> None:
    watch = LoadWatch(LoadCheckConfig(window=4, min_ratio=0.7), (0.10, 0.11, 0.09, 0.10, 0.10))
    assert watch.warning() == ""
    for _ in range(4):
        watch.add(0.06)
    assert "still in the balls" in watch.warning()
    for _ in range(4):
        watch.add(0.095)
    assert watch.warning() == ""


def test_a_box_that_was_empty_from_the_start_is_seen_against_a_free_hand() -> None:
    watch = LoadWatch(LoadCheckConfig(window=3, min_ratio=0.7, free_hand_a=0.05))
    for _ in range(3):
        watch.add(0.052)
    assert "free hand" in watch.warning()
    assert LoadWatch(LoadCheckConfig(window=3)).warning() == ""


def test_commands_that_no_state_shows_are_counted_where_the_states_prove_it() -> None:
    tally = Tally()
    for seq, command in [(10, 1), (11, 2), (12, 4), (14, 9), (15, 9), (16, 12)]:
        tally.state(ZERO, seq, command)
    assert tally.skipped == 1 + 2  # between 12 and 14 a state is missing: nothing is known


def test_the_spread_is_that_of_one_second_means() -> None:
    tally, rng = Tally(rate_hz=2), np.random.default_rng(3)
    means = np.outer([0.1, 0.3, 0.2], np.linspace(0.5, 1.5, 16))
    seq = 0
    for mean in means:
        ripple = rng.normal(size=(10, 16))
        for current in mean + ripple - ripple.mean(axis=0):  # motion within a second does not count
            tally.state(current, seq := seq + 1, 0)
        for _ in range(2):
            tally.tick(ZERO, ZERO, 30.0)
    assert tally.numbers().current_spread_a == pytest.approx(means.std(axis=0).mean())


def test_a_trajectory_nobody_measured_says_nothing_of_the_load() -> None:
    watch = LoadWatch(LoadCheckConfig(window=2), (0.02, 0.02))
    watch.add(math.nan)
    watch.add(math.nan)
    assert watch.warning() == ""
