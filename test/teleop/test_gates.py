# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.teleop.gates import Fault, GateConfig, Gates
from dexndm_ros.teleop.pose import Pose
from support.operator import FRAME_S, Operator, controller


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def gates(operator) -> Gates:
    gates = Gates()
    for _ in range(3):
        assert see(gates, operator.frame()).follow
    return gates


def see(gates, sample):
    return gates.check(sample, sample.arrived_s)


def test_before_the_first_sample_there_is_no_headset() -> None:
    verdict = Gates().check(None, 5.0)
    assert verdict.fault is Fault.NO_SAMPLE
    assert not verdict.follow


def test_a_sample_is_followed_once(gates, operator) -> None:
    sample = operator.frame()
    assert gates.check(sample, operator.now_s).follow
    again = gates.check(sample, operator.now_s + 0.005)
    assert (again.fault, again.fresh, again.follow) == (None, False, False)


def test_an_old_sample_is_stale_and_the_next_one_is_good_again(gates, operator) -> None:
    sample = operator.frame()
    assert see(gates, sample).follow
    assert gates.check(sample, operator.now_s + 0.149).fault is None
    assert gates.check(sample, operator.now_s + 0.151).fault is Fault.STALE
    assert see(gates, operator.frame(0.3)).follow


def test_what_waited_in_a_queue_is_stale_though_it_has_just_come(gates, operator) -> None:
    operator.clock_offset_s -= 0.2
    late = operator.frame(0.25)
    assert see(gates, late).fault is Fault.STALE


def test_what_every_sample_has_counts_too_where_the_clocks_were_compared() -> None:
    """From the first on, each is 40 ms on its way: against the quickest of them nothing of it would show."""
    gates, operator = Gates(), Operator()
    for _ in range(10):
        sample = operator.frame(delay_s=0.04)
        assert see(gates, sample).follow
        assert gates.age_s(sample.arrived_s + 0.01) == pytest.approx(0.05)
    assert gates.check(sample, sample.arrived_s + 0.10).fault is None
    assert gates.check(sample, sample.arrived_s + 0.12).fault is Fault.STALE


@given(st.lists(st.tuples(st.floats(0.0, 0.1), st.floats(-0.01, 0.01)), min_size=1, max_size=30))
def test_a_sample_is_never_younger_than_either_clock_says(told) -> None:
    gates, operator = Gates(), Operator()
    quickest_s = min(late_s for late_s, _ in told[:1])
    for late_s, error_s in told:
        quickest_s = min(quickest_s, late_s)
        sample = operator.frame(0.2)
        sample = replace(sample, captured_s=sample.captured_s - late_s, delay_s=late_s + error_s)
        see(gates, sample)
        age_s = gates.age_s(sample.arrived_s)
        assert age_s >= max(0.0, late_s - quickest_s, late_s + error_s) - 1e-6
        assert age_s <= max(late_s, late_s + error_s) + 1e-6


def test_a_bridge_that_stood_still_believes_nothing_although_samples_came(gates, operator) -> None:
    for _ in range(20):
        newest = operator.frame()  # nobody asks
    assert see(gates, newest).fault is Fault.FROZEN
    assert see(gates, operator.frame()).follow


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"visible": False}, Fault.HIDDEN),
        ({"recentred": True}, Fault.RECENTRED),
        ({"right": None}, Fault.MISSING),
        ({"right": controller(squeeze=math.nan)}, Fault.BROKEN),
        ({"right": replace(controller(), position_m=(math.nan, 0.0, 0.0))}, Fault.BROKEN),
        ({"right": replace(controller(), rotation_xyzw=(0.0, 0.0, 0.0, 0.0))}, Fault.BROKEN),
        ({"seq": 1}, Fault.RESTARTED),
        ({"captured_s": 0.0}, Fault.RESTARTED),
        ({"source": "recording"}, Fault.RESTARTED),
    ],
)
def test_what_is_never_followed(gates, operator, other, fault) -> None:
    verdict = see(gates, operator.frame(**other))
    assert verdict.fault is fault
    assert not verdict.follow
    assert gates.counts == {fault: 1}


@pytest.mark.parametrize(
    ("hand", "fault"),
    [
        (controller(tracked=False), Fault.UNTRACKED),
        (controller(emulated=True), Fault.EMULATED),
    ],
)
def test_a_lost_pose_is_waited_for_but_not_for_long(gates, operator, hand, fault) -> None:
    good, operator.right = operator.right, hand
    began_s = operator.now_s + FRAME_S
    while operator.now_s + FRAME_S - began_s <= 0.05:
        verdict = see(gates, operator.frame())
        assert (verdict.fault, verdict.follow) == (None, False)
    assert see(gates, operator.frame()).fault is fault
    operator.right = good
    assert see(gates, operator.frame()).follow


def test_the_grace_ends_also_when_nothing_comes(gates, operator) -> None:
    sample = operator.frame(right=controller(tracked=False))
    assert gates.check(sample, operator.now_s + 0.04).fault is None
    assert gates.check(sample, operator.now_s + 0.06).fault is Fault.UNTRACKED


def test_a_pose_found_again_elsewhere_is_a_jump(gates, operator) -> None:
    """The place where it was last believed counts, not the one before the gap's last frame."""
    good = operator.right
    operator.right = controller(tracked=False)
    see(gates, operator.frame())
    operator.right = good
    operator.move((0.07, 0.0, 0.0))
    assert see(gates, operator.frame()).fault is Fault.JUMPED
    assert see(gates, operator.frame()).follow


def test_after_the_view_was_recentred_another_place_is_no_jump(gates, operator) -> None:
    operator.move((0.5, 0.0, 0.0))
    assert see(gates, operator.frame(recentred=True)).fault is Fault.RECENTRED
    assert see(gates, operator.frame()).follow


def test_a_guessed_position_may_be_allowed(operator) -> None:
    gates = Gates(GateConfig(refuse_emulated=False))
    operator.right = controller(emulated=True)
    assert see(gates, operator.frame()).follow


@pytest.mark.parametrize(
    ("passed_s", "by_m", "by_rotvec", "jumped"),
    [
        (FRAME_S, (0.030, 0.0, 0.0), (0.0, 0.0, 0.0), False),  # 2.7 m/s
        (FRAME_S, (0.035, 0.0, 0.0), (0.0, 0.0, 0.0), True),  # 3.2 m/s
        (0.1, (0.0, 0.059, 0.0), (0.0, 0.0, 0.0), False),
        (0.1, (0.0, 0.061, 0.0), (0.0, 0.0, 0.0), True),
        (FRAME_S, (0.0, 0.0, 0.0), (0.0, math.radians(24), 0.0), False),
        (FRAME_S, (0.0, 0.0, 0.0), (0.0, math.radians(26), 0.0), True),
        (
            0.001,
            (0.020, 0.0, 0.0),
            (0.0, 0.0, 0.0),
            False,
        ),  # the stamp is rough, not the hand quick
    ],
)
def test_jumps(gates, operator, passed_s, by_m, by_rotvec, jumped) -> None:
    operator.move(by_m, by_rotvec)
    verdict = see(gates, operator.frame(passed_s))
    assert verdict.fault is (Fault.JUMPED if jumped else None)


def test_a_fault_is_counted_when_it_begins(gates, operator) -> None:
    for visible in (False, False, True, False):
        see(gates, operator.frame(visible=visible))
    assert gates.counts == {Fault.HIDDEN: 2}


def test_a_headset_that_turns_is_seen_where_it_matters(operator) -> None:
    """Both hands come round together; only a source that is relative to the headset cares."""
    for source, expected in (("oculus_reader", Fault.HEAD_MOVED), ("webxr", None)):
        gates = Gates()
        operator = Operator(source=source)
        found = set()
        for k in range(30):
            turn = 0.01 * k
            operator.right = controller(turned_about_head(0.4, -0.2, turn))
            operator.left = controller(turned_about_head(0.4, 0.2, turn))
            found.add(see(gates, operator.frame()).fault)
        assert found == {None, expected}


@pytest.mark.parametrize("left", [None, controller(tracked=False)])
@pytest.mark.parametrize(
    ("source", "expected"), [("oculus_reader", Fault.LEFT_UNSEEN), ("webxr", None)]
)
def test_a_turning_headset_needs_the_left_hand_to_be_followed(left, source, expected) -> None:
    gates, operator = Gates(), Operator(source=source, left=left)
    for k in range(30):
        operator.right = controller(turned_about_head(0.4, -0.2, 0.5 * k * FRAME_S))
        verdict = see(gates, operator.frame())
        assert not (expected and verdict.follow)
    assert verdict.fault is expected


def test_a_left_hand_that_is_lost_for_a_moment_is_waited_for(operator) -> None:
    gates, operator = Gates(), Operator(source="oculus_reader", left=controller())
    assert see(gates, operator.frame()).follow
    verdict = see(gates, operator.frame(left=None))
    assert (verdict.fault, verdict.follow) == (None, False)
    assert see(gates, operator.frame()).follow


def turned_about_head(x, y, turn):
    about = Rotation.from_euler("z", turn)
    return Pose(about.apply([x, y, -0.3]), about)


@given(st.lists(st.sampled_from(["good", "lost", "none", "hidden", "far", "again"]), max_size=40))
def test_two_poses_that_are_followed_in_turn_are_never_far_apart(events) -> None:
    gates, operator, last, followed = Gates(), Operator(), None, None
    for event in events:
        operator.right = operator.right or controller()
        other = {}
        if event == "lost":
            other = {"right": controller(tracked=False)}
        elif event == "none":
            other = {"right": None}
        elif event == "hidden":
            other = {"visible": False}
        elif event == "far":
            operator.move((0.5, 0.0, 0.0))
        else:
            operator.move((0.01, 0.0, 0.0))
        sample = last if event == "again" and last else operator.frame(**other)
        verdict, last = gates.check(sample, operator.now_s), sample
        assert not (verdict.follow and verdict.fault)
        if verdict.fault:
            followed = None
        elif verdict.follow:
            here = sample.right.position_m
            assert followed is None or math.dist(here, followed) <= 0.06
            followed = here


@pytest.mark.parametrize(
    "setting", [{"stale_s": 0.0}, {"jump_m": math.inf}, {"grace_s": 0.2}, {"speed_m_s": math.nan}]
)
def test_a_gate_that_would_not_close_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        GateConfig(**setting)
