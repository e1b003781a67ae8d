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
from dexndm_ros.teleop.fr3 import ARM_LOWER_RAD, ARM_UPPER_RAD, HOME_RAD
from dexndm_ros.teleop.franka import RobotMode
from dexndm_ros.teleop.mapping import MappingConfig, anchor_pose
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import CommandKind, load_profile

PERIOD_S = 0.01
HOME = ArmDrive(load_profile("crisp")).chain.pose(HOME_RAD)


def moved_by(pose: Pose, *metres: float) -> Pose:
    return Pose(pose.position_m + np.array(metres), pose.rotation)


class Bench:
    """A drive, and an arm that goes where it is told at once: by its pose, or by its joints."""

    def __init__(self, name: str = "crisp") -> None:
        self.drive, self.now_s, self.arm = ArmDrive(load_profile(name)), 100.0, HOME
        self.q_rad = np.array(HOME_RAD)
        self.rests_at_rad = None  # the joints, when nothing more is said
        self.stands = False  # it is held, or nobody obeys

    @property
    def joints(self) -> bool:
        return self.drive.profile.command is CommandKind.JOINTS

    def tick(self, target: Pose | None = None, tells: bool = True):
        self.now_s += PERIOD_S
        if tells and self.joints:
            self.drive.saw_joints(self.q_rad, self.now_s)
        elif tells:
            self.drive.saw_pose(self.arm, self.now_s)
        if target is not None:
            self.drive.target(target, self.now_s)
        told = self.drive.tick(self.now_s)
        if not self.stands:
            self.obey(told)
        return told

    def obey(self, told) -> None:
        if told.pose is not None:
            self.arm = told.pose
        if told.points:
            first = told.points[0]  # a lead ahead of where the joints shall be now
            self.q_rad = first.q_rad - first.v_rad_s * self.drive.profile.lead_s
            self.arm = self.drive.chain.pose(self.q_rad)
            self.rests_at_rad = told.points[-1].q_rad

    def freeze(self, seconds: float) -> None:
        """The program stands still; the controller goes on to the end of what it was told."""
        self.now_s += seconds
        if not self.stands and self.rests_at_rad is not None:
            self.q_rad = self.rests_at_rad
            self.arm = self.drive.chain.pose(self.q_rad)


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


def speaks(told) -> bool:
    return told.pose is not None or bool(told.points)


@pytest.mark.parametrize("name", ["crisp", "jtc", "virtual"])
@pytest.mark.parametrize("turned", [False, True])
def test_an_arm_that_stands_is_a_fault_and_never_makes_up_for_where_the_hand_went(
    name, turned
) -> None:
    bench, goal = Bench(name), moved_by(HOME, 0.0, 0.15, 0.0)
    if turned:
        goal = Pose(HOME.position_m, Rotation.from_rotvec([0, 0, 0.4]) * HOME.rotation)
    bench.stands = True
    told = [bench.tick(goal) for _ in range(200)]
    faults = [each.fault for each in told]
    first = next(k for k, fault in enumerate(faults) if fault)
    assert faults[first].startswith("the arm does not go where it is told: ")
    assert all(faults[first:])
    bench.stands = False
    assert not any(speaks(bench.tick(goal)) for _ in range(100)), "it made up for it"
    for _ in range(80):
        bench.tick()
    for _ in range(200):
        told = bench.tick(goal)
        assert not told.fault
    assert np.linalg.norm(bench.arm.offset(goal)) < 5e-3


def test_an_arm_that_is_slow_or_far_behind_the_hand_but_comes_is_followed() -> None:
    bench, goal = Bench(), moved_by(HOME, 0.15, 0.2, 0.0)
    bench.stands = True
    for _ in range(600):
        told = bench.tick(goal)
        assert not told.fault
        if told.pose is not None:  # a third of a second behind: at the leash's end on the way
            away, turn = bench.arm.offset(told.pose)
            bench.arm = Pose(
                bench.arm.position_m + 0.03 * away,
                Rotation.from_rotvec(0.03 * turn) * bench.arm.rotation,
            )
    assert np.linalg.norm(bench.arm.offset(goal)) < 5e-3


class Joints:
    """The arm behind a joint trajectory controller, and an operator who presses and lets go."""

    def __init__(self) -> None:
        self.arm = VirtualArm(dataclasses.replace(World(), object=ObjectConfig(kind="none")))
        self.drive, self.now_s = ArmDrive(load_profile("jtc")), 0.0

    def run(self, periods: int, target: Pose | None = None):
        """What was said to the controller, period by period."""
        spoken = []
        for _ in range(periods):
            self.now_s += PERIOD_S
            self.drive.saw_joints(self.arm.q_rad, self.now_s)
            self.drive.operator(engaged=target is not None)
            if target is not None:
                self.drive.target(target, self.now_s)
            told = self.drive.tick(self.now_s)
            if told.points:
                spoken.append(told)
                self.arm.follow(told.points)
            for _ in range(2):
                self.arm.step()
        return spoken

    def press(self) -> float:
        """How far the first message of a press is from where the joints are; rad."""
        here = self.arm.q_rad
        commanded = self.drive.tick(self.now_s).commanded
        start = anchor_pose(commanded, self.arm.palm, MappingConfig())
        points = self.run(1, start)[0].points
        return max(float(np.abs(point.q_rad - here).max()) for point in points)


@pytest.mark.parametrize("moves", [7, 20, 45])
def test_a_press_after_letting_go_in_mid_motion_begins_where_the_joints_are(moves) -> None:
    bench = Joints()
    bench.run(5, bench.arm.palm)
    bench.run(moves, moved_by(bench.arm.palm, 0.0, 0.25, -0.05))
    braked = bench.run(300)
    assert not braked[-1].points[-1].v_rad_s.any()
    assert np.ptp([point.q_rad for point in braked[-1].points], axis=0).max() < 1e-9
    rest = bench.arm.palm
    assert bench.press() < 3e-3
    bench.run(100, rest)
    assert np.linalg.norm(rest.offset(bench.arm.palm)[0]) < 2e-3


def test_a_press_after_the_elbow_was_moved_begins_where_the_joints_are() -> None:
    bench = Joints()
    bench.run(60, bench.arm.palm)
    bench.run(100)
    q = bench.arm.q_rad
    jacobian = bench.drive.chain.pose_and_jacobian(q)[1]
    free = np.linalg.svd(jacobian)[2][-1]
    bench.arm = VirtualArm(
        dataclasses.replace(World(), object=ObjectConfig(kind="none")), q + 0.04 * free
    )
    before = bench.arm.palm
    assert np.linalg.norm(before.offset(bench.drive.chain.pose(q))[0]) < 5e-3
    assert bench.press() < 3e-3


def test_a_press_after_a_freeze_in_mid_motion_begins_where_the_joints_are() -> None:
    bench = Joints()
    bench.run(40, moved_by(bench.arm.palm, 0.0, 0.25, -0.05))
    for _ in range(500):
        bench.arm.step()
    bench.now_s += 5.0
    bench.run(20)
    assert bench.press() < 3e-3


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
            elif self.quiet * PERIOD_S > bench.drive.profile.target_stale_s - 1e-6:
                self.must_let_go = False  # at the limit itself, rounding decides
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
        bench.drive.saw_pose(HOME, bench.now_s)
        told = bench.tick(moved_by(HOME, 0.05, 0, 0), tells=False)
    assert "not known" in told.fault
    assert told.points == ()


class AnyJointEvents(RuleBasedStateMachine):
    """The same for joints: within their limits, and each motion begins where they are, whatever came before."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench("jtc")
        self.told_rad = self.v_rad_s = None
        self.run(1, None)

    def run(self, periods, target, tells=True) -> None:
        ik = self.bench.drive.profile.ik
        for _ in range(periods):
            before = self.bench.q_rad
            told = self.bench.tick(target, tells)
            if not told.points:
                assert self.v_rad_s is None or not self.v_rad_s.any(), "it fell silent in motion"
                self.v_rad_s = None
                continue
            first, last = told.points
            now_rad = first.q_rad - first.v_rad_s * self.bench.drive.profile.lead_s
            if self.v_rad_s is None:
                jump = np.abs(now_rad - before).max()
                assert jump <= 0.004 + ik.acceleration_rad_s2 * PERIOD_S**2 + 1e-9
            else:
                np.testing.assert_allclose(
                    now_rad, self.told_rad + first.v_rad_s * PERIOD_S, atol=1e-9
                )
            change = first.v_rad_s - (0.0 if self.v_rad_s is None else self.v_rad_s)
            assert np.abs(change).max() <= ik.acceleration_rad_s2 * PERIOD_S + 1e-9
            assert not last.v_rad_s.any()
            self.told_rad, self.v_rad_s = now_rad, first.v_rad_s

    @rule(
        away=st.tuples(*[st.floats(-0.2, 0.2)] * 3),
        turn=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
        periods=st.integers(1, 30),
    )
    def target(self, away, turn, periods) -> None:
        self.run(periods, Pose(HOME.position_m + away, Rotation.from_rotvec(turn) * HOME.rotation))

    @rule(periods=st.integers(1, 40))
    def silence(self, periods) -> None:
        self.run(periods, None)

    @rule(periods=st.integers(1, 20))
    def arm_is_silent(self, periods) -> None:
        self.run(periods, self.bench.arm, tells=False)

    @rule(mode=st.sampled_from([2, 2, 2, 4]))
    def robot(self, mode) -> None:
        self.bench.drive.saw_robot(mode, [], self.bench.now_s)

    @rule()
    def the_program_freezes(self) -> None:
        self.bench.freeze(1.0)
        self.v_rad_s = None  # the arm came to rest by itself
        self.run(1, None)

    @rule(by=st.lists(st.floats(-0.03, 0.03), min_size=7, max_size=7))
    def the_arm_at_rest_is_pushed(self, by) -> None:
        self.run(100, None)
        q_rad = np.clip(self.bench.q_rad + by, ARM_LOWER_RAD, ARM_UPPER_RAD)
        self.bench.q_rad, self.bench.arm = q_rad, self.bench.drive.chain.pose(q_rad)
        self.run(2, None)  # the drive hears of it

    @rule(stands=st.booleans())
    def the_arm_is_held(self, stands) -> None:
        self.run(100, None)
        self.bench.stands = stands


AnyJointEvents.TestCase.settings = settings(max_examples=10, stateful_step_count=10, deadline=None)
TestAnyJointEvents = AnyJointEvents.TestCase
