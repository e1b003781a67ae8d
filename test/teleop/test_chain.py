# SPDX-License-Identifier: Apache-2.0
"""The arm's kinematics against known poses, against differences, and its own limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.fr3 import (
    ARM_JOINTS,
    ARM_LOWER_RAD,
    ARM_UPPER_RAD,
    HOME_RAD,
    velocity_bounds_rad_s,
)
from dexndm_ros.teleop.pose import Pose

ANGLES = st.tuples(
    *(st.floats(low, up) for low, up in zip(ARM_LOWER_RAD, ARM_UPPER_RAD, strict=True))
).map(np.array)
# Computed from franka_description's fr3 with another program: joint angles, flange position, rotation rows.
KNOWN = [
    (np.zeros(7), (0.088, 0, 0.926), np.diag([1, -1, -1])),
    (
        HOME_RAD,
        (0.306891, 0, 0.590282),
        [[0.707107, -0.707107, 0], [-0.707107, -0.707107, 0], [0, 0, -1]],
    ),
    (
        np.array([0.1, -0.5, 0.2, -2.0, 0.3, 1.8, 0.7]),
        (0.384879, 0.169462, 0.679402),
        [
            [0.89705, -0.383494, 0.219623],
            [-0.433577, -0.859887, 0.269453],
            [0.085517, -0.336936, -0.937636],
        ],
    ),
]


@pytest.mark.parametrize(("q", "position", "rotation"), KNOWN)
def test_the_flange_is_where_the_description_puts_it(q, position, rotation) -> None:
    pose = ArmChain().pose(q)
    np.testing.assert_allclose(pose.position_m, position, atol=2e-6)
    np.testing.assert_allclose(pose.rotation.as_matrix(), rotation, atol=2e-6)


@given(ANGLES, st.integers(0, 6))
def test_the_jacobian_is_the_derivative_of_the_pose(q, joint) -> None:
    chain, step = ArmChain(PALM_ON_FLANGE), 1e-6
    ahead, behind = q.copy(), q.copy()
    ahead[joint] += step
    behind[joint] -= step
    _, jacobian = chain.pose_and_jacobian(q)
    moved = np.concatenate(chain.pose(behind).offset(chain.pose(ahead))) / (2 * step)
    np.testing.assert_allclose(jacobian[:, joint], moved, atol=1e-8)


@given(ANGLES)
def test_a_tool_is_carried_by_the_flange(q) -> None:
    carried = ArmChain(PALM_ON_FLANGE).pose(q)
    far, turn = (ArmChain().pose(q) * PALM_ON_FLANGE).offset(carried)
    assert np.abs(far).max() < 1e-12
    assert np.abs(turn).max() < 1e-7


@given(ANGLES)
def test_the_speed_limit_lets_every_joint_stop_before_its_end(q) -> None:
    lower, upper = velocity_bounds_rad_s(q)
    assert (lower <= 0).all()
    assert (upper >= 0).all()
    for joint, angle, up in zip(ARM_JOINTS, q, upper, strict=True):
        assert up <= joint.velocity_rad_s
        # braking with c / 2 from the allowed speed ends before the last place to stop
        assert angle + up**2 / joint.brake_rad_s2 <= joint.stop_upper_rad


def test_far_from_its_ends_a_joint_may_turn_at_full_speed_and_at_an_end_not_further() -> None:
    names = [joint.velocity_rad_s for joint in ARM_JOINTS]
    centre = (ARM_LOWER_RAD + ARM_UPPER_RAD) / 2
    lower, upper = velocity_bounds_rad_s(centre)
    np.testing.assert_allclose(upper[[0, 4, 6]], np.take(names, [0, 4, 6]))
    np.testing.assert_allclose(lower[[0, 4, 6]], -np.take(names, [0, 4, 6]))
    _, upper = velocity_bounds_rad_s(np.array(ARM_UPPER_RAD))
    lower, _ = velocity_bounds_rad_s(np.array(ARM_LOWER_RAD))
    assert upper.max() < 0.005
    assert lower.min() > -0.005


POSES = st.tuples(st.tuples(*[st.floats(-2, 2)] * 3), st.tuples(*[st.floats(-3, 3)] * 3)).map(
    lambda pair: Pose(np.array(pair[0]), Rotation.from_rotvec(pair[1]))
)


@given(POSES, POSES)
def test_offset_and_inverse_undo_what_they_say(here, there) -> None:
    metres, turn = here.offset(there)
    rebuilt = Pose(here.position_m + metres, Rotation.from_rotvec(turn) * here.rotation)
    for a, b in ((rebuilt, there), (here * (here.inverse() * there), there)):
        far, left = a.offset(b)
        assert np.abs(far).max() < 1e-9
        assert np.abs(left).max() < 1e-7


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [((0, 0), (0, 0, 0, 1)), ((0, 0, np.nan), (0, 0, 0, 1)), ((0, 0, 0), (0, 0, 0, 2)), ((0, 0, 0), (0,) * 4),
     ((0, 0, 0), (np.nan, 0, 0, 1))],
)  # fmt: skip
def test_what_is_no_pose_is_refused(position, quaternion) -> None:
    with pytest.raises(ValueError, match="needs"):
        Pose.of(position, quaternion)
