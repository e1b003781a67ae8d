# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.one_euro import OneEuroConfig, OneEuroPose
from dexndm_ros.teleop.pose import Pose
from support.operator import FRAME_S, poses, rotations


def at(x=0.0, y=0.0, z=0.0, rotation=None) -> Pose:
    return Pose(np.array([x, y, z]), rotation or Rotation.identity())


@given(poses(), poses())
def test_the_first_pose_comes_out_as_it_is_also_after_a_reset(one, other) -> None:
    smooth = OneEuroPose()
    assert smooth.step(1.0, one) is one
    smooth.step(1.1, other)
    smooth.reset()
    assert smooth.step(0.5, other) is other


@given(poses(), poses())
def test_it_stays_between_what_was_and_what_is(before, after) -> None:
    smooth = OneEuroPose()
    smooth.step(0.0, before)
    got = smooth.step(FRAME_S, after)
    whole_m, whole_rad = distance_m(before, after), angle_rad(before, after)
    assert distance_m(before, got) + distance_m(got, after) == pytest.approx(whole_m, abs=1e-9)
    assert angle_rad(before, got) + angle_rad(got, after) == pytest.approx(whole_rad, abs=1e-6)


@given(rotations())
def test_it_has_no_axis_of_its_own(turn) -> None:
    """A motion that is turned as a whole is smoothed to the same motion, turned."""
    one, other = OneEuroPose(), OneEuroPose()
    for k in range(20):
        pose = at(0.1 * math.sin(k / 3), 0.002 * k, 0.0, Rotation.from_euler("z", k / 20))
        got = one.step(k * FRAME_S, pose)
        turned = other.step(k * FRAME_S, Pose(turn.apply(pose.position_m), turn * pose.rotation))
        np.testing.assert_allclose(turn.apply(got.position_m), turned.position_m, atol=1e-9)
        assert (turned.rotation.inv() * turn * got.rotation).magnitude() < 1e-6


def test_a_hand_that_moves_is_hardly_late() -> None:
    """0.2 m/s and 0.8 rad/s: less than 5 mm and 2 degrees behind."""
    smooth = OneEuroPose()
    for k in range(180):
        t = k * FRAME_S
        pose = at(0.2 * t, rotation=Rotation.from_euler("y", 0.8 * t))
        got = smooth.step(t, pose)
    assert distance_m(got, pose) < 0.005
    assert angle_rad(got, pose) < math.radians(2.0)


def test_a_hand_that_rests_is_calm() -> None:
    """Jitter of 0.5 mm and 0.2 degrees comes out at less than half."""
    random, smooth = np.random.default_rng(3), OneEuroPose()
    raw, out = [], []
    for k in range(2000):
        turn = Rotation.from_rotvec(random.normal(0, math.radians(0.2), 3))
        pose = Pose(random.normal(0, 0.0005, 3), turn)
        got = smooth.step(k * FRAME_S, pose)
        raw.append([*pose.position_m, *pose.rotation.as_rotvec()])
        out.append([*got.position_m, *got.rotation.as_rotvec()])
    assert (np.std(out, axis=0) < 0.5 * np.std(raw, axis=0)).all()


@pytest.mark.parametrize("time_s", [1.0, 0.5])
def test_time_that_does_not_pass_changes_nothing(time_s) -> None:
    smooth = OneEuroPose()
    smooth.step(1.0, at())
    assert smooth.step(time_s, at(x=1.0)).position_m.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "setting", [{"min_cutoff_hz": 0.0}, {"beta_per_m": -1.0}, {"speed_cutoff_hz": math.nan}]
)
def test_a_setting_that_makes_no_filter_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        OneEuroConfig(**setting)
