# SPDX-License-Identifier: Apache-2.0
"""The arm's joints behind the limiter: within what the robot takes, whatever the operator does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.fr3 import (
    ARM_LOWER_RAD,
    ARM_UPPER_RAD,
    HOME_RAD,
    velocity_bounds_rad_s,
)
from dexndm_ros.teleop.ik import ArmIk, IkConfig
from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.pose import Pose

CHAIN = ArmChain(PALM_ON_FLANGE)
CONFIG = IkConfig()
# A box that reaches beyond the arm, so that only the joints' own limits are left.
WIDE = LimiterConfig(box_lower_m=(-2, -2, -2), box_upper_m=(2, 2, 2), speed_m_s=0.6, turn_rad_s=2.0)
ANYWHERE = st.tuples(
    st.tuples(*[st.floats(-1.2, 1.2)] * 3).map(np.array),
    st.tuples(*[st.floats(-3, 3)] * 3).map(Rotation.from_rotvec),
).map(lambda pair: Pose(*pair))


def drive(targets, config=WIDE, steps=60, q=HOME_RAD):
    """Steps of the joints for targets that stand still for ``steps`` periods each."""
    ik = ArmIk(CONFIG, CHAIN, q)
    limiter = PoseLimiter(config, CHAIN.pose(q))
    for target in targets:
        for _ in range(steps):
            yield ik.step(limiter.step(target, CHAIN.pose(ik.q_rad)))


@settings(max_examples=15, deadline=None)
@given(st.lists(ANYWHERE, min_size=1, max_size=4))
def test_joints_stay_within_what_the_robot_accepts(targets) -> None:
    q, v = np.array(HOME_RAD), np.zeros(7)
    for step in drive(targets):
        lower, upper = velocity_bounds_rad_s(q)
        moved = (step.q_rad - q) / CONFIG.period_s
        assert (moved >= lower - 1e-9).all()
        assert (moved <= upper + 1e-9).all()
        assert (step.q_rad >= ARM_LOWER_RAD + CONFIG.margin_rad - 1e-9).all()
        assert (step.q_rad <= ARM_UPPER_RAD - CONFIG.margin_rad + 1e-9).all()
        assert np.abs(moved - v).max() <= CONFIG.acceleration_rad_s2 * CONFIG.period_s + 1e-9
        q, v = step.q_rad, moved


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*[st.floats(-0.06, 0.06)] * 3).map(np.array),
    st.tuples(*[st.floats(-0.12, 0.12)] * 3).map(Rotation.from_rotvec),
)
def test_it_arrives_where_the_arm_can_reach(away, turn) -> None:
    home = CHAIN.pose(HOME_RAD)
    goal = Pose(home.position_m + away, turn * home.rotation)
    *_, last = drive([goal], LimiterConfig(box_lower_m=(0.1, -0.5, 0.1)), steps=250)
    missing, left = CHAIN.pose(last.q_rad).offset(goal)
    assert np.linalg.norm(missing) < 2e-4
    assert np.linalg.norm(left) < 2e-3


def test_beyond_its_reach_the_arm_stretches_and_comes_back() -> None:
    home = CHAIN.pose(HOME_RAD)
    far = Pose(home.position_m + np.array([1.0, 0.0, 0.0]), home.rotation)
    steps = list(drive([far], steps=600))
    assert steps[-1].error_m > 0.01
    assert min(step.singular for step in steps) < CONFIG.near_singular
    assert np.abs(steps[-1].v_rad_s).max() < 0.05, "it still whirls"
    *_, back = drive([home], steps=800, q=steps[-1].q_rad)
    missing, _ = CHAIN.pose(back.q_rad).offset(home)
    assert np.linalg.norm(missing) < 1e-3


def test_turned_too_far_it_says_which_joint_is_at_its_end() -> None:
    home = CHAIN.pose(HOME_RAD)
    flange_z = home.rotation.apply([1.0, 0.0, 0.0])
    turns = [Rotation.from_rotvec(flange_z * angle) for angle in np.arange(0.2, 3.6, 0.2)]
    steps = list(drive([Pose(home.position_m, turn * home.rotation) for turn in turns]))
    assert "fr3_joint7" in {name for step in steps[-60:] for name in step.at_limit}


def test_a_pose_that_is_none_is_refused() -> None:
    for q in (np.zeros(6), np.full(7, np.nan)):
        with pytest.raises(ValueError, match="seven finite"):
            ArmIk(CONFIG, CHAIN, q)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"speed_share": 1.5}, "speed_share"),
        ({"acceleration_rad_s2": 20.0}, "acceleration"),
        ({"margin_rad": 0.0}, "margin_rad"),
        ({"margin_rad": 0.01}, "margin_rad"),
        ({"damping": np.nan}, "damping"),
        ({"rest_rad": (0.0,)}, "rest_rad"),
    ],
)
def test_settings_the_arm_cannot_keep_are_refused(change, word) -> None:
    with pytest.raises(ValueError, match=word):
        IkConfig(**change)
