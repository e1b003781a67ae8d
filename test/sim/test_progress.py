# SPDX-License-Identifier: Apache-2.0
"""Rotation is counted about the commanded axis, over turns, as evaluation counts it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.progress import RotationTracker

Z = np.array([0.0, 0.0, 1.0])
STILL = np.zeros(3)


def tracker(axis=Z, start=None):
    tracker = RotationTracker()
    tracker.set_axis(axis)
    tracker.begin(STILL, start or Rotation.identity())
    return tracker


@given(st.floats(-0.9, 0.9), st.integers(1, 60))
def test_turns_are_counted_beyond_a_full_one(step, count):
    t = tracker()
    for k in range(1, count + 1):
        t.look(STILL, Rotation.from_rotvec(Z * step * k), 0.05)
    assert t.progress.angle_rad == pytest.approx(step * count, abs=1e-6)
    assert t.progress.off_axis_rad == pytest.approx(0.0, abs=1e-6)
    assert t.progress.time_s == pytest.approx(0.05 * count)


def test_rotation_across_the_axis_is_off_axis():
    t = tracker()
    for k in range(1, 4):
        t.look(STILL, Rotation.from_rotvec([0.1 * k, 0.0, 0.0]), 0.05)
    assert t.progress.angle_rad == pytest.approx(0.0, abs=1e-9)
    assert t.progress.off_axis_rad == pytest.approx(0.3)


def test_the_axis_is_the_palms_whatever_way_the_object_came_in():
    start = Rotation.from_rotvec([0.0, 0.0, 2.5])
    t = tracker(-Z, start)
    t.look(STILL, Rotation.from_rotvec([0.0, 0.0, -0.2]) * start, 0.05)
    assert t.progress.angle_rad == pytest.approx(0.2)


def test_axis_zero_counts_nothing_and_a_tilt_is_still_a_fall():
    t = tracker()
    t.set_axis(np.zeros(3))
    t.look(STILL, Rotation.from_rotvec([0.0, 0.0, 0.3]), 0.05)
    assert (t.progress.angle_rad, t.progress.off_axis_rad, t.progress.fallen) == (0.0, 0.0, False)
    t.look(STILL, Rotation.from_rotvec([1.2, 0.0, 0.0]), 0.05)
    assert t.progress.fallen


@pytest.mark.parametrize(
    ("position", "fallen"),
    [
        ([0.0, 0.0, -0.034], False),
        ([0.0, 0.0, -0.036], True),
        ([0.049, 0.0, 0.0], False),
        ([0.04, 0.04, 0.0], True),
        ([np.nan, 0.0, 0.0], True),
    ],
)
def test_the_environments_rule_of_falling(position, fallen):
    t = tracker()
    t.look(np.array(position), Rotation.identity(), 0.05)
    assert t.progress.fallen is fallen


def test_a_fallen_object_turns_no_further_until_the_next_episode():
    t = tracker()
    t.look(np.array([0.0, 0.0, -0.1]), Rotation.identity(), 0.05)
    t.look(STILL, Rotation.from_rotvec(Z), 0.05)
    assert t.progress.angle_rad == 0.0
    t.begin(STILL, Rotation.identity())
    assert (t.progress.episode, t.progress.fallen) == (2, False)


def test_a_change_of_axis_keeps_what_was_turned():
    t = tracker()
    t.look(STILL, Rotation.from_rotvec(Z * 0.5), 0.05)
    t.set_axis(-Z)
    t.look(STILL, Rotation.from_rotvec(Z * 0.3), 0.05)
    assert t.progress.angle_rad == pytest.approx(0.7)
