# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.frames import from_xr_position, from_xr_rotation, is_pose, unit
from dexndm_ros.teleop.sample import Hand
from support.operator import rotations, vectors

# Columns: where OpenXR's right, up and back point in ROS's forward, left, up.
M = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_a_position_changes_its_axes() -> None:
    assert from_xr_position((1.0, 2.0, 3.0)) == (-3.0, -1.0, 2.0)


@pytest.mark.parametrize(
    ("xr", "degrees", "ros", "ros_degrees"),
    [("y", 90, "z", 90), ("x", 90, "y", -90), ("z", -90, "x", 90), ("z", 0, "x", 0)],
)
def test_a_turn_about_an_axis_becomes_the_turn_about_its_new_name(xr, degrees, ros, ros_degrees):
    got = from_xr_rotation(Rotation.from_euler(xr, degrees, degrees=True).as_quat())
    expected = Rotation.from_euler(ros, ros_degrees, degrees=True)
    assert (Rotation.from_quat(got).inv() * expected).magnitude() < 1e-12


@given(vectors(3.0), rotations())
def test_both_are_one_change_of_basis(position, rotation) -> None:
    np.testing.assert_allclose(from_xr_position(position), M @ position)
    got = Rotation.from_quat(from_xr_rotation(rotation.as_quat())).as_matrix()
    np.testing.assert_allclose(got, M @ rotation.as_matrix() @ M.T, atol=1e-12)


@given(st.lists(st.floats(), max_size=6))
def test_what_is_no_unit_quaternion_is_told(numbers) -> None:
    got = unit(numbers)
    if got is None:
        good = len(numbers) == 4 and all(map(math.isfinite, numbers))
        assert not (good and abs(math.hypot(*numbers) - 1.0) < 0.009)
    else:
        assert math.isclose(math.hypot(*got), 1.0)


def test_a_pose_needs_finite_numbers() -> None:
    good = (0.0, 0.0, 0.0, 1.0)
    assert is_pose(Hand((1.0, 2.0, 3.0), good))
    assert not is_pose(Hand((1.0, math.nan, 3.0), good))
    assert not is_pose(Hand((1.0, math.inf, 3.0), good))
    assert not is_pose(Hand((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 0.0)))
    assert not is_pose(Hand((1.0, 2.0, 3.0), (0.0, math.nan, 0.0, 1.0)))
