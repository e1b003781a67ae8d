# SPDX-License-Identifier: Apache-2.0
"""The drive between operator and controller: what it holds, what it starts from, and what no event makes it do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.fr3 import HOME_RAD
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import load_profile

PERIOD_S = 0.01
HOME = ArmDrive(load_profile("crisp")).chain.pose(HOME_RAD)


def moved_by(pose: Pose, *metres: float) -> Pose:
    return Pose(pose.position_m + np.array(metres), pose.rotation)


class Bench:
    """A drive, and an arm that goes where it is told at once."""

    def __init__(self, name: str = "crisp") -> None:
        self.drive, self.now_s, self.arm = ArmDrive(load_profile(name)), 100.0, HOME
        self.stands = False  # it is held, or nobody obeys

    def tick(self, target: Pose | None = None, tells: bool = True):
        self.now_s += PERIOD_S
        if tells:
            self.drive.saw_pose(self.arm, self.now_s)
        if target is not None:
            self.drive.target(target, self.now_s)
        told = self.drive.tick(self.now_s)
        if told.pose is not None and not self.stands:
            self.arm = told.pose
        return told


def test_nothing_is_published_until_a_target_comes_and_after_it_has_come_to_rest() -> None:
    bench = Bench()
    assert [bench.tick().pose for _ in range(20)] == [None] * 20
    goal = moved_by(HOME, 0.03, 0, 0)
    told = [bench.tick(goal) for _ in range(100)]
    assert all(each.pose is not None for each in told)
    np.testing.assert_allclose(told[-1].pose.position_m, goal.position_m, atol=1e-3)
    assert [bench.tick().pose for _ in range(100)][-1] is None


def test_it_starts_from_the_measured_pose_and_without_a_jump() -> None:
    bench = Bench()
    told = bench.tick(moved_by(HOME, 0.05, 0, 0))
    far, turn = HOME.offset(told.pose)
    assert np.linalg.norm(far) < 1e-3
    assert np.linalg.norm(turn) < 1e-3


@pytest.mark.parametrize(("sag_m", "kept"), [(0.01, True), (0.05, False)])
def test_it_starts_again_from_the_commanded_pose_unless_the_arm_was_moved(sag_m, kept) -> None:
    bench = Bench()
    for _ in range(60):
        bench.tick(moved_by(HOME, 0.02, 0, 0))
    for _ in range(60):
        last = bench.tick()
    sagged = moved_by(last.commanded, 0, 0, -sag_m)
    bench.arm, bench.stands = sagged, True
    told = bench.tick(last.commanded)
    begun = last.commanded if kept else sagged
    np.testing.assert_allclose(told.pose.position_m, begun.position_m, atol=1e-3)


@pytest.mark.parametrize("trouble", ["reflex", "silence"])
def test_after_trouble_it_waits_until_the_targets_have_stopped(trouble) -> None:
    bench, goal = Bench(), moved_by(HOME, 0.06, 0, 0)
    for _ in range(15):
        bench.tick(goal)
    if trouble == "reflex":
        bench.drive.saw_robot(RobotMode.REFLEX, ["joint_velocity_violation"], bench.now_s)
    for _ in range(30):
        told = bench.tick(goal, tells=trouble != "silence")
    assert told.fault
    assert told.pose is None
    bench.drive.saw_robot(RobotMode.MOVE, [], bench.now_s)
    for _ in range(50):
        told = bench.tick(goal)
        assert told.pose is None, "it moved although the operator never let go"
        assert told.fault.endswith("release the right grip, then press it again")
    for _ in range(20):
        bench.tick()
    assert bench.tick(goal).pose is not None


def test_an_operators_side_that_falls_silent_engaged_must_say_that_it_let_go() -> None:
    bench, goal = Bench(), moved_by(HOME, 0.06, 0, 0)
    bench.drive.operator(engaged=True)
    for _ in range(15):
        bench.tick(goal)
    silent = [bench.tick() for _ in range(60)]
    assert silent[-1].pose is None
    assert silent[-1].fault.startswith("the operator's targets stopped coming: release")
    held = bench.arm
    assert [bench.tick(goal).pose for _ in range(50)] == [None] * 50
    bench.drive.operator(engaged=False)
    assert not bench.tick().fault
    bench.drive.operator(engaged=True)
    told = bench.tick(held)
    np.testing.assert_allclose(told.pose.position_m, held.position_m, atol=1e-3)


def test_letting_go_stops_at_once_and_is_no_fault() -> None:
    bench, goal = Bench(), moved_by(HOME, 0.2, 0, 0)
    bench.drive.operator(engaged=True)
    for _ in range(100):
        bench.tick(goal)
    bench.drive.operator(engaged=False)
    limits = bench.drive.profile.limits
    brake = int(np.ceil(limits.speed_m_s / limits.stop_m_s2 / PERIOD_S)) + 1
    told = [bench.tick() for _ in range(brake + 1)]
    assert told[-1].pose is None
    assert not any(each.fault for each in told)


@pytest.mark.parametrize("pushed_m", [0.0, 0.05])
def test_a_drive_that_stood_still_says_nothing_until_a_fresh_press(pushed_m) -> None:
    bench, goal = Bench(), moved_by(HOME, 0.2, 0, 0)
    bench.drive.operator(engaged=True)
    for _ in range(30):
        bench.tick(goal)
    bench.now_s += 0.5
    bench.arm = moved_by(bench.arm, 0, pushed_m, 0)
    for _ in range(30):
        told = bench.tick(goal)
        assert told.pose is None
        assert "stood still" in told.fault
    bench.drive.operator(engaged=False)
    bench.tick()
    here = bench.arm
    told = bench.tick(goal)
    assert np.linalg.norm(told.pose.position_m - here.position_m) < 1e-3


def test_a_robot_that_tells_its_mode_no_more_is_a_fault_and_one_that_never_did_is_none() -> None:
    bench, goal = Bench(), moved_by(HOME, 0.2, 0, 0)
    bench.drive.saw_robot(RobotMode.MOVE, [], bench.now_s)
    faults = [bench.tick(goal).fault for _ in range(130)]
    assert not any(faults[:90])
    assert "tells its mode no more" in faults[-1]


def test_what_is_forbidden_does_not_move() -> None:
    bench, goal = Bench(), moved_by(HOME, 0.06, 0, 0)
    bench.drive.forbid("there are two of us: stop one")
    assert {bench.tick(goal).pose for _ in range(20)} == {None}
    assert bench.tick(goal).fault == "there are two of us: stop one"


class AnyEvents(RuleBasedStateMachine):
    """Targets, silences and faults in any order and at any time."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.velocity = np.zeros(3)
        self.must_let_go = False
        self.quiet = 100  # periods without a target
        self.run(1, None)

    def run(self, periods, target, tells=True) -> None:
        bench, limits = self.bench, self.bench.drive.profile.limits
        for _ in range(periods):
            before = self.last_commanded()
            told = bench.tick(target, tells)
            self.quiet = 0 if target is not None else self.quiet + 1
            if told.fault:
                self.must_let_go = True
            elif self.quiet * PERIOD_S > bench.drive.profile.target_stale_s:
                self.must_let_go = False
            velocity = np.zeros(3)
            if told.pose is not None and before is not None:
                velocity = (told.pose.position_m - before.position_m) / PERIOD_S
                speed_up = np.linalg.norm(velocity) - np.linalg.norm(self.velocity)
                assert np.linalg.norm(velocity) <= limits.speed_m_s + 1e-9
                assert (
                    np.linalg.norm(velocity - self.velocity) <= limits.stop_m_s2 * PERIOD_S + 1e-9
                )
                assert not (self.must_let_go and speed_up > 1e-9), (
                    "it follows without a fresh start"
                )
            self.velocity = velocity

    def last_commanded(self):
        limiter = self.bench.drive._limiter
        return limiter.pose if limiter is not None else None

    @rule(
        away=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
        turn=st.tuples(*[st.floats(-1, 1)] * 3),
        periods=st.integers(1, 30),
    )
    def target(self, away, turn, periods) -> None:
        self.run(periods, Pose(HOME.position_m + away, Rotation.from_rotvec(turn) * HOME.rotation))

    @rule(periods=st.integers(1, 30))
    def silence(self, periods) -> None:
        self.run(periods, None)

    @rule(periods=st.integers(1, 20), away=st.floats(-0.2, 0.2))
    def arm_is_silent(self, periods, away) -> None:
        self.run(periods, moved_by(HOME, away, 0, 0), tells=False)

    @rule(mode=st.sampled_from([1, 2, 2, 2, 4, 5]))
    def robot(self, mode) -> None:
        self.bench.drive.saw_robot(mode, [], self.bench.now_s)

    @invariant()
    def in_the_box(self) -> None:
        limits, last = self.bench.drive.profile.limits, self.last_commanded()
        if last is not None:
            assert (last.position_m >= np.array(limits.box_lower_m) - 1e-9).all()
            assert (last.position_m <= np.array(limits.box_upper_m) + 1e-9).all()


AnyEvents.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestAnyEvents = AnyEvents.TestCase


def test_joints_follow_on_the_virtual_arm_from_grip_to_rest() -> None:
    arm = VirtualArm(dataclasses.replace(World(), object=ObjectConfig(kind="none")))
    drive, now_s, start = ArmDrive(load_profile("jtc")), 0.0, arm.palm
    goal = Pose(
        start.position_m + np.array([0.0, 0.08, 0.04]),
        Rotation.from_rotvec([0, 0, 0.3]) * start.rotation,
    )
    published = 0
    for period in range(400):
        now_s += PERIOD_S
        drive.saw_joints(arm.q_rad, now_s)
        drive.saw_robot(arm.mode, arm.errors, now_s)
        if 50 <= period < 250:
            drive.target(goal, now_s)
        told = drive.tick(now_s)
        assert told.fault == ""
        if told.points:
            published += 1
            arm.follow(told.points)
        for _ in range(2):
            arm.step()
    far, turn = goal.offset(arm.palm)
    assert np.linalg.norm(far) < 2e-3
    assert np.linalg.norm(turn) < 5e-3
    assert 200 <= published < 230
    np.testing.assert_allclose(arm.v_rad_s, 0.0, atol=2e-3)


def test_without_joints_a_joint_controller_is_not_driven() -> None:
    bench = Bench("jtc")
    for _ in range(30):
        told = bench.tick(moved_by(HOME, 0.05, 0, 0))
    assert "not known" in told.fault
    assert told.points == ()
