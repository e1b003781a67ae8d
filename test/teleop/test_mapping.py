# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.mapping import Anchor, MappingConfig, anchor_pose, forward_yaw_rad
from dexndm_ros.teleop.pose import Pose
from support.operator import poses

scales = st.floats(0.05, 4.0)
yaws = st.floats(-math.pi, math.pi)


@given(poses(), poses(), scales, yaws, st.booleans())
def test_at_the_anchor_nothing_jumps(hand, arm, scale, yaw_rad, turn) -> None:
    got = Anchor(hand, arm, MappingConfig(scale=scale, turn=turn), yaw_rad).target(hand)
    assert distance_m(got, arm) < 1e-9
    assert angle_rad(got, arm) < 1e-6


@given(poses(), poses(), poses(), scales, yaws)
def test_it_moves_scale_times_as_far_and_turns_as_much(hand, arm, then, scale, yaw_rad) -> None:
    got = Anchor(hand, arm, MappingConfig(scale=scale), yaw_rad).target(then)
    assert distance_m(got, arm) == pytest.approx(scale * distance_m(then, hand), abs=1e-9)
    assert angle_rad(got, arm) == pytest.approx(angle_rad(then, hand), abs=1e-6)
    height_m = got.position_m[2] - arm.position_m[2]  # gravity is shared: up stays up
    assert height_m == pytest.approx(scale * (then.position_m[2] - hand.position_m[2]), abs=1e-9)


@given(poses(), poses(), poses(), yaws)
def test_it_does_not_matter_which_way_the_operator_stands(hand, arm, then, yaw_rad) -> None:
    """An operator turned by an angle, and the yaw that takes it back, drive the arm alike."""
    about = Pose(np.zeros(3), Rotation.from_euler("z", -yaw_rad))
    one = Anchor(hand, arm, MappingConfig(), 0.0).target(then)
    other = Anchor(about * hand, arm, MappingConfig(), yaw_rad).target(about * then)
    assert distance_m(one, other) < 1e-9
    assert angle_rad(one, other) < 1e-6


def test_a_quarter_turn_of_yaw_takes_forward_to_left() -> None:
    here = Pose(np.zeros(3), Rotation.identity())
    then = Pose(np.array([0.1, 0.0, 0.0]), Rotation.from_euler("x", 0.5))
    got = Anchor(here, here, MappingConfig(), math.pi / 2).target(then)
    np.testing.assert_allclose(got.position_m, [0.0, 0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(got.rotation.as_rotvec(), [0.0, 0.5, 0.0], atol=1e-12)


@given(poses(), poses(), poses())
def test_without_turning_the_orientation_stays(hand, arm, then) -> None:
    got = Anchor(hand, arm, MappingConfig(turn=False), 0.3).target(then)
    assert angle_rad(got, arm) == 0.0


@given(poses(), st.floats(0.0, 0.04), st.floats(0.0, math.radians(10)))
def test_the_anchor_is_what_was_commanded_while_the_arm_keeps_to_it(
    measured, way_m, turn_rad
) -> None:
    turn = Rotation.from_rotvec([turn_rad, 0.0, 0.0])
    commanded = Pose(measured.position_m + np.array([way_m, 0, 0]), turn * measured.rotation)
    got = anchor_pose(commanded, measured, MappingConfig())
    if way_m < 0.0199 and turn_rad < math.radians(4.99):
        assert got is commanded
    if way_m > 0.0201 or turn_rad > math.radians(5.01):
        assert got is measured
    assert anchor_pose(None, measured, MappingConfig()) is measured


@given(yaws, st.floats(-1.2, 1.2), st.floats(-3.0, 3.0))
def test_set_forward_makes_where_the_controller_points_forward(heading, pitch, roll) -> None:
    hand = Pose(np.zeros(3), Rotation.from_euler("ZYX", [heading, pitch, roll]))
    yaw_rad = forward_yaw_rad(hand)
    assert yaw_rad is not None
    x, y, _ = Rotation.from_euler("z", yaw_rad).apply(hand.rotation.apply([1.0, 0.0, 0.0]))
    assert y == pytest.approx(0.0, abs=1e-9)
    assert x > 0


def test_a_controller_that_points_up_has_no_heading() -> None:
    assert forward_yaw_rad(Pose(np.zeros(3), Rotation.from_euler("y", -1.5))) is None


@pytest.mark.parametrize(
    "setting", [{"scale": 0.0}, {"scale": math.nan}, {"scale": 9.0}, {"yaw_rad": math.inf}]
)
def test_a_mapping_that_is_none_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        MappingConfig(**setting)
