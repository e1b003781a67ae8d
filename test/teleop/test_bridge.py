# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.axis import AxisConfig
from dexndm_ros.teleop.bridge import (
    ENGAGED_PULSE,
    FAULT_PULSE,
    ArmSeen,
    Bridge,
    BridgeConfig,
)
from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.frames import angle_rad, distance_m
from dexndm_ros.teleop.mapping import MappingConfig
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import load_profile
from support.operator import Operator, controller, poses

HOME = Pose(np.array([0.45, 0.0, 0.4]), Rotation.from_euler("x", math.pi))
AT_HOME = ArmSeen(measured=HOME, commanded=HOME)


class Session:
    """An operator and a bridge, frame by frame; the arm stands still at home unless a test moves it."""

    def __init__(self, config: BridgeConfig | None = None) -> None:
        self.operator = Operator()
        self.bridge = Bridge(config)
        self.arm = AT_HOME

    def frame(self, **other):
        sample = self.operator.frame(**other)
        return self.bridge.tick(self.operator.now_s, sample, self.arm)

    def engage(self):
        self.operator.squeeze(0.0)
        self.frame()
        self.operator.squeeze(1.0)
        return self.frame()


@pytest.fixture
def session() -> Session:
    return Session()


def test_the_arm_follows_while_the_grip_is_held(session) -> None:
    first = session.engage()
    assert first.state is State.ENGAGED
    assert first.target is HOME
    assert (first.reason, first.pulse) == ("", ENGAGED_PULSE)
    for _ in range(90):
        session.operator.move((0.001, 0.0, 0.0))
        last = session.frame()
    assert last.pulse is None
    assert last.target.position_m[0] - HOME.position_m[0] == pytest.approx(0.09, abs=0.003)
    session.operator.squeeze(0.0)
    released = session.frame()
    assert (released.state, released.target, released.pulse) == (State.READY, None, None)
    assert "hold the right grip" in released.reason


@given(poses(), poses(), st.floats(0.1, 3.0), st.floats(-3, 3))
def test_engaging_never_jumps(hand, arm, scale, yaw_rad) -> None:
    session = Session(BridgeConfig(mapping=MappingConfig(scale=scale, yaw_rad=yaw_rad)))
    session.operator.right = controller(hand)
    session.arm = ArmSeen(measured=arm, commanded=arm)
    for _ in range(2):
        decision = session.engage()
        assert decision.target is arm
        still = session.frame()
        assert distance_m(still.target, arm) < 1e-9
        assert angle_rad(still.target, arm) < 1e-6


def test_an_old_motion_of_the_filter_does_not_reach_the_next_press(session) -> None:
    session.engage()
    for _ in range(20):
        session.operator.move((0.02, 0.0, 0.0))
        session.frame()
    assert session.engage().target is HOME
    assert distance_m(session.frame().target, HOME) < 1e-9


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"visible": False}, "not in view"),
        ({"recentred": True}, "recentred"),
        ({"right": None}, "not there"),
        ({"seq": 0}, "anew"),
    ],
)
def test_a_fault_holds_until_a_fresh_press(session, other, words) -> None:
    session.engage()
    fault = session.frame(**other)
    assert (fault.state, fault.target, fault.pulse) == (State.FAULT_HOLD, None, FAULT_PULSE)
    assert words in fault.reason
    if "seq" not in other:
        for _ in range(5):
            held = session.frame()
            assert (held.state, held.target, held.pulse) == (State.FAULT_HOLD, None, None)
            assert "release the right grip" in held.reason
            assert words in held.reason
    assert session.engage().state is State.ENGAGED


def test_silence_holds_and_says_so_without_a_new_sample(session) -> None:
    session.engage()
    sample, now_s = session.operator.frame(), session.operator.now_s
    states = [
        session.bridge.tick(now_s + 0.005 + k * 0.01, sample, AT_HOME).state for k in range(40)
    ]
    assert states == [State.ENGAGED] * 15 + [State.DISCONNECTED] * 25
    later = session.bridge.tick(now_s + 5.0, None, AT_HOME)
    assert (later.target, later.reason) == (None, "no headset is connected")


def test_between_two_samples_the_target_stays(session) -> None:
    session.engage()
    session.operator.move((0.01, 0.0, 0.0))
    sample = session.operator.frame()
    first = session.bridge.tick(session.operator.now_s, sample, AT_HOME)
    again = session.bridge.tick(session.operator.now_s + 0.005, sample, AT_HOME)
    assert again.target is first.target
    assert (first.fresh, again.fresh) == (True, False)


def test_a_pose_that_is_lost_for_a_moment_stops_the_target_and_no_more(session) -> None:
    session.engage()
    here = session.frame().target
    lost = session.frame(right=replace(session.operator.right, tracked=False))
    assert lost.target is here
    assert session.frame().state is State.ENGAGED


def test_a_press_while_the_pose_is_lost_engages_when_it_is_found(session) -> None:
    session.frame()
    session.operator.squeeze(1.0)
    lost = session.frame(right=replace(session.operator.right, tracked=False))
    assert (lost.state, lost.target) == (State.READY, None)
    assert session.frame().target is HOME


def test_letting_go_counts_also_while_the_pose_is_lost(session) -> None:
    session.engage()
    lost = session.frame(right=replace(session.operator.right, tracked=False, squeeze=0.0))
    assert (lost.state, lost.target) == (State.READY, None)


def test_a_fault_of_the_arm_holds_and_needs_a_fresh_press(session) -> None:
    session.engage()
    session.arm = replace(AT_HOME, fault="the robot is in REFLEX")
    assert session.frame().state is State.FAULT_HOLD
    session.operator.squeeze(0.0)
    session.frame()  # a release while the fault lasts does not count
    session.arm = AT_HOME
    session.operator.squeeze(1.0)
    held = session.frame()
    assert held.state is State.FAULT_HOLD
    assert "REFLEX" in held.reason
    assert session.engage().state is State.ENGAGED


def test_without_the_arms_pose_nothing_engages(session) -> None:
    session.arm = ArmSeen()
    decision = session.engage()
    assert decision.target is None
    assert "driver" in decision.reason


def test_an_arm_that_stands_stops_the_operator_and_starts_again_where_it_is(session) -> None:
    """With the drive in between: what is told stays on a leash from an arm that somebody holds."""
    drive, told = ArmDrive(load_profile("crisp")), None
    session.engage()
    for _ in range(200):
        session.operator.move((0.003, 0.0, 0.0))
        decision = session.frame()
        now_s = session.operator.now_s
        drive.saw_pose(HOME, now_s)
        drive.operator(engaged=decision.state is State.ENGAGED)
        if decision.target is not None:
            drive.target(decision.target, now_s)
        told = drive.tick(now_s)
        session.arm = ArmSeen(HOME, told.commanded, told.fault)
        if decision.state is not State.ENGAGED:
            break
    assert decision.state is State.FAULT_HOLD
    assert decision.reason.startswith("the arm does not go where it is told: ")
    session.arm = ArmSeen(HOME, told.commanded)
    assert session.frame().target is None
    assert session.engage().target is HOME


def test_an_arm_that_sags_a_little_begins_where_it_was_told_to_be(session) -> None:
    sagged = Pose(HOME.position_m - np.array([0.0, 0.0, 0.01]), HOME.rotation)
    session.arm = ArmSeen(measured=sagged, commanded=HOME)
    assert session.engage().target is HOME


def test_an_arm_that_was_pushed_away_begins_where_it_is(session) -> None:
    pushed = Pose(HOME.position_m + np.array([0.0, 0.05, 0.0]), HOME.rotation)
    session.arm = ArmSeen(measured=pushed, commanded=HOME)
    assert session.engage().target is pushed


class TestForward:
    def test_the_stick_sets_forward_once_and_never_while_engaged(self, session) -> None:
        heading = Rotation.from_euler("z", 0.7)
        session.operator.right = controller(
            Pose(np.array([0.4, 0.0, 1.0]), heading), buttons=frozenset({"RJ"})
        )
        session.frame()
        assert session.bridge.yaw_rad == pytest.approx(-0.7)
        session.operator.move(by_rotvec=(0.0, 0.0, 0.3))
        session.frame()  # still held
        assert session.bridge.yaw_rad == pytest.approx(-0.7)
        session.operator.right = replace(session.operator.right, buttons=frozenset())
        session.engage()
        session.operator.right = replace(session.operator.right, buttons=frozenset({"RJ"}))
        session.frame()
        assert session.bridge.yaw_rad == pytest.approx(-0.7)

    def test_as_a_service_it_says_whether_it_could(self, session) -> None:
        assert "no headset" in Bridge().set_forward()
        session.frame()
        assert session.bridge.set_forward() == ""
        session.engage()
        assert "release the right grip" in session.bridge.set_forward()

    def test_a_controller_that_points_up_has_no_forward(self, session) -> None:
        up = Rotation.from_euler("y", -math.pi / 2)
        session.operator.right = controller(Pose(np.array([0.4, 0.0, 1.0]), up))
        session.frame()
        assert "level" in session.bridge.set_forward()

    @pytest.mark.parametrize(
        "other",
        [
            {"recentred": True},
            {"visible": False},
            {"right": None},
            {"right": controller(tracked=False)},
            {"right": controller(emulated=True)},
            {"right": controller(Pose(np.array([0.4, 0.5, 1.1]), Rotation.from_euler("z", 1.0)))},
        ],
    )
    def test_a_pose_that_is_not_believed_has_no_forward(self, session, other) -> None:
        session.frame()
        yaw_rad = session.bridge.yaw_rad
        session.frame(**other)
        assert session.bridge.set_forward() != ""
        assert session.bridge.yaw_rad == yaw_rad

    def test_nor_has_one_that_is_old(self, session) -> None:
        sample = session.operator.frame()
        session.bridge.tick(sample.arrived_s, sample, session.arm)
        session.bridge.tick(sample.arrived_s + 0.14, sample, session.arm)
        assert session.bridge.set_forward() == ""
        session.bridge.tick(sample.arrived_s + 0.16, sample, session.arm)
        assert "too old" in session.bridge.set_forward()


class TestAxis:
    def left(self, session, *names) -> list[float]:
        session.operator.left = controller(buttons=frozenset(names))
        return session.frame().axis.tolist()

    def test_it_needs_no_right_hand(self, session) -> None:
        session.operator.right = None
        assert self.left(session) == [0, 0, 0]
        assert self.left(session, "X") == [0, 0, 1]

    @pytest.mark.parametrize("other", [{"visible": False}, {"recentred": True}])
    def test_it_stops_when_the_stream_is_not_to_be_believed(self, session, other) -> None:
        session.bridge = Bridge(BridgeConfig(axis=AxisConfig(latch=True)))
        self.left(session)
        assert self.left(session, "Y") == [0, 0, -1]
        assert session.frame(**other).axis.tolist() == [0, 0, 0]
        assert self.left(session, "Y") == [0, 0, 0]
        self.left(session)
        assert self.left(session, "Y") == [0, 0, -1]

    @pytest.mark.parametrize("right", [True, False])
    def test_it_stops_when_the_bridge_itself_stood_still(self, session, right) -> None:
        if not right:
            session.operator.right = None
        self.left(session)
        self.left(session, "Y")
        session.operator.now_s += 0.5
        assert self.left(session, "Y") == [0, 0, 0]
        assert self.left(session, "Y") == [0, 0, 0]
        self.left(session)
        assert self.left(session, "Y") == [0, 0, -1]

    def test_it_stops_in_silence(self, session) -> None:
        self.left(session)
        self.left(session, "Y")
        late = session.bridge.tick(
            session.operator.now_s + 0.2, session.operator.frame(0.0), AT_HOME
        )
        assert late.axis.tolist() == [0, 0, 0]
