# SPDX-License-Identifier: Apache-2.0
"""The virtual arm: MuJoCo's kinematics against the table's, a figure of eight, and its reflex."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.fr3 import (
    ARM_JOINT_NAMES,
    ARM_JOINTS,
    ARM_LOWER_RAD,
    ARM_UPPER_RAD,
    HOME_RAD,
)
from dexndm_ros.teleop.franka import RobotMode, robot_fault
from dexndm_ros.teleop.ik import ArmIk, IkConfig
from dexndm_ros.teleop.limiter import LimiterConfig, PoseLimiter
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import load_profile
from dexndm_ros.teleop.trajectory import JointPoint, joint_trajectory

EMPTY_HAND = dataclasses.replace(World(), object=ObjectConfig(kind="none"))
CHAIN = ArmChain(PALM_ON_FLANGE)
PERIOD_S = 0.01
MAX_RAD_S = np.array([joint.velocity_rad_s for joint in ARM_JOINTS])
ANGLES = st.tuples(
    *(st.floats(low, up) for low, up in zip(ARM_LOWER_RAD, ARM_UPPER_RAD, strict=True))
).map(np.array)


@pytest.fixture
def arm() -> VirtualArm:
    return VirtualArm(EMPTY_HAND)


def advance(arm: VirtualArm, seconds: float) -> None:
    for _ in range(round(seconds / arm.model.opt.timestep)):
        arm.step()


def test_mujoco_and_the_table_put_the_palm_in_one_place() -> None:
    arm = VirtualArm(EMPTY_HAND)

    @settings(max_examples=40, deadline=None)
    @given(ANGLES)
    def check(q) -> None:
        for name, angle in zip(ARM_JOINT_NAMES, q, strict=True):
            arm.data.joint(name).qpos[0] = angle
        mujoco.mj_kinematics(arm.model, arm.data)
        far, turn = arm.palm.offset(CHAIN.pose(q))
        assert np.linalg.norm(far) < 1e-9
        assert np.linalg.norm(turn) < 1e-7

    check()


def test_it_carries_the_hand_with_its_sixteen_motors_in_order(arm) -> None:
    names = [arm.model.actuator(k).name for k in range(arm.model.nu)]
    assert [name for name in names if name in JOINT_NAMES] == list(JOINT_NAMES)


def test_untold_it_stands_still_under_its_own_weight(arm) -> None:
    before = arm.palm
    advance(arm, 1.0)
    far, turn = before.offset(arm.palm)
    assert np.linalg.norm(far) < 1e-3
    assert np.linalg.norm(turn) < 5e-3


def eight(at_m: np.ndarray, speed_m_s: float, seconds: float):
    """An upright figure of eight, 0.4 m wide and 0.16 m high, at a constant speed after a gentle start."""
    along = 0.0
    for k in range(round(seconds / PERIOD_S)):
        slope = np.array([0.2 * np.cos(along), 0.16 * np.cos(2 * along)])
        along += min(speed_m_s, 0.4 * k * PERIOD_S) * PERIOD_S / np.linalg.norm(slope)
        yield at_m + np.array([0.0, 0.2 * np.sin(along), 0.08 * np.sin(2 * along)])


def test_a_figure_of_eight_at_200_mm_s_is_tracked_within_5_mm(arm) -> None:
    start = arm.palm
    ik = ArmIk(IkConfig(), CHAIN, arm.q_rad)
    limiter = PoseLimiter(LimiterConfig(), start)
    errors_m, places, before = [], [], start.position_m
    for goal_m in eight(start.position_m, 0.2, 12.0):
        told = ik.step(limiter.step(Pose(goal_m, start.rotation), arm.palm))
        arm.follow(joint_trajectory(told.q_rad, told.v_rad_s, 0.05, 2.0))
        advance(arm, PERIOD_S)
        errors_m.append(np.linalg.norm(arm.palm.position_m - goal_m))
        places.append(np.linalg.norm(goal_m - before) / PERIOD_S)
        before = goal_m
    assert np.median(places) == pytest.approx(0.2, rel=0.02), "the operator was not that fast"
    assert max(errors_m) < 0.005
    assert arm.mode is RobotMode.MOVE


@pytest.mark.parametrize("seed", range(3))
def test_orders_that_were_held_up_do_not_throw_the_arm_into_a_reflex(arm, seed) -> None:
    """A busy machine or network delays some of them by up to 0.4 s; the operator's hand goes on meanwhile."""
    rng = np.random.default_rng(seed)
    drive = ArmDrive(load_profile("jtc"))
    start, held_s, worst, q_rad = arm.palm, 0.0, 0.0, arm.q_rad
    for k, goal_m in enumerate(eight(start.position_m, 0.2, 6.0)):
        now_s = k * PERIOD_S
        if held_s <= 0.0 and rng.random() < 0.02:
            held_s = rng.uniform(0.1, 0.4)
        held_s -= PERIOD_S
        if held_s <= 0.0:
            q_rad = arm.q_rad
        # while orders are held up, so is what the arm tells, and is not yet too old
        drive.saw_joints(q_rad, now_s)
        drive.target(Pose(goal_m, start.rotation), now_s)
        told = drive.tick(now_s)
        if held_s <= 0.0 and told.points:
            arm.follow(told.points)
        advance(arm, PERIOD_S)
        worst = max(worst, float(np.abs(arm.v_rad_s / MAX_RAD_S).max()))
        assert arm.mode is not RobotMode.REFLEX, arm.errors
    assert worst < 0.9


def test_a_jump_of_the_joints_ends_in_a_reflex_until_a_person_recovers_it(arm) -> None:
    arm.follow([JointPoint(HOME_RAD + 1.0, np.zeros(7), 0.05)])
    advance(arm, 1.0)
    assert arm.mode is RobotMode.REFLEX
    assert "joint_velocity_violation" in arm.errors
    assert "joint velocity violation" in robot_fault(arm.mode, arm.errors)
    standing = arm.q_rad
    arm.follow([JointPoint(HOME_RAD, np.zeros(7), 0.5)])
    advance(arm, 0.5)
    assert arm.mode is RobotMode.REFLEX
    np.testing.assert_allclose(arm.q_rad, standing, atol=0.02)
    arm.recover()
    assert robot_fault(arm.mode, arm.errors) == ""
    advance(arm, 0.5)
    np.testing.assert_allclose(arm.q_rad, standing, atol=0.02)
    arm.follow([JointPoint(arm.q_rad + 0.01, np.zeros(7), 0.1)])
    advance(arm, 1.0)
    np.testing.assert_allclose(arm.q_rad, standing + 0.01, atol=0.02)
    assert arm.mode is RobotMode.MOVE


def test_an_arm_that_hears_no_more_comes_to_rest_without_a_jolt(arm) -> None:
    velocity = np.full(7, 0.2)
    arm.follow(joint_trajectory(HOME_RAD, velocity, 0.05, 2.0))
    advance(arm, 1.0)
    np.testing.assert_allclose(arm.v_rad_s, 0.0, atol=0.01)
    # 0.05 s ahead, then half of the braking's 0.1 s at that speed
    np.testing.assert_allclose(arm.q_rad, HOME_RAD + 0.2 * (0.05 + 0.05), atol=0.005)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [JointPoint(HOME_RAD, np.ones(7), 0.1)],
        [JointPoint(HOME_RAD, np.zeros(7), 0.1), JointPoint(HOME_RAD, np.zeros(7), 0.1)],
    ],
)
def test_a_trajectory_that_a_real_controller_refuses_is_refused(arm, points) -> None:
    with pytest.raises(ValueError, match="at rest"):
        arm.follow(points)
