# SPDX-License-Identifier: Apache-2.0
"""What the guard lets through, what it refuses, and how it moves."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.errors import GuardRefusedError
from dexndm_ros.hand.guard import Accepted, Guard, GuardConfig, Mode, Rejected
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, LOWER_RAD, UPPER_RAD

OPEN = np.zeros(16)
PERIOD_S = 0.05
TICK_S = 0.01


class Bench:
    """A guard with its own clock, commands counted up, measured pose = last target."""

    def __init__(self, config=None):
        self.guard = Guard(config or GuardConfig())
        self.now_s = 100.0
        self.seq = 0
        self.measured = OPEN.copy()

    def command(self, position, source="policy", seq=None):
        self.seq += 1
        return self.guard.accept(
            list(position), self.seq if seq is None else seq, source, self.now_s
        )

    def tick(self, seconds=TICK_S, measured="last"):
        self.now_s += seconds
        pose = self.measured if isinstance(measured, str) else measured
        return self.guard.tick(pose, self.now_s)

    def follow(self, position, seconds):
        """Command a pose at 20 Hz, tick at 100 Hz."""
        out = None
        for k in range(round(seconds / TICK_S)):
            if k % 5 == 0:
                assert isinstance(self.command(position), Accepted)
            out = self.tick()
        return out

    def active(self):
        """Bring the guard to ACTIVE at the open pose."""
        self.guard.enable(OPEN)
        out = self.follow(OPEN, PERIOD_S)
        assert out.mode is Mode.ACTIVE
        return self


def test_starts_relaxed_and_gives_no_target():
    bench = Bench()
    out = bench.tick()
    assert out.mode is Mode.RELAXED
    assert out.target is None
    assert "hand/enable" in bench.command(OPEN).reason


def test_enable_holds_the_measured_pose_until_a_command_comes():
    bench = Bench()
    bench.guard.enable(OPEN + 0.1)
    out = bench.tick()
    assert out.mode is Mode.HOLDING
    assert out.source == ""
    np.testing.assert_array_equal(out.target, OPEN + 0.1)


def test_the_first_target_is_approached_at_ramp_speed():
    bench = Bench()
    bench.guard.enable(OPEN)
    bench.tick()
    assert isinstance(bench.command(OPEN + 0.5), Accepted)
    out = bench.tick()
    assert out.mode is Mode.RAMPING
    assert out.limited
    np.testing.assert_allclose(out.target, 0.01)
    out = bench.follow(OPEN + 0.5, 0.6)
    assert out.mode is Mode.ACTIVE
    np.testing.assert_array_equal(out.target, OPEN + 0.5)


def test_a_late_tick_does_not_turn_the_ramp_into_a_jump():
    bench = Bench(GuardConfig(stale_s=10.0))
    bench.guard.enable(OPEN)
    bench.tick()
    bench.command(OPEN + 0.9)
    assert np.max(bench.tick(seconds=5.0).target) == pytest.approx(0.05)


def test_a_policy_step_passes_at_once_and_whole():
    bench = Bench().active()
    step = OPEN + 1 / 24
    bench.command(step)
    out = bench.tick()
    np.testing.assert_array_equal(out.target, step)
    assert not out.limited
    assert (out.command_seq, out.source) == (bench.seq, "policy")
    assert bench.guard.limited_commands == 0


def test_a_far_command_is_slewed_relative_to_the_last_target_not_the_measured_angle():
    bench = Bench().active()
    targets = []
    for _ in range(4):
        bench.command(OPEN + 0.9)
        # The fingers are blocked: the measured pose stays at zero, the grip still tightens.
        targets += [bench.tick().target[1] for _ in range(5)]
    assert targets[0] == pytest.approx(0.15)
    assert np.all(np.diff(targets) <= 0.15 * TICK_S / PERIOD_S + 1e-12)
    assert targets[-1] == pytest.approx(0.15 + 19 * 0.03)
    assert bench.guard.limited_commands == 4


@pytest.mark.parametrize(
    ("position", "word"),
    [
        (OPEN[:15], "(15,)"),
        (np.zeros(17), "(17,)"),
        ([], "(0,)"),
        ("open", "numbers"),
        (np.where(np.arange(16) == 7, math.nan, 0.0), "middle_dip"),
        (np.where(np.arange(16) == 12, math.inf, 0.0), "thumb_cmc"),
        (np.where(np.arange(16) == 4, UPPER_RAD[4] + 0.01, 0.0), "middle_mcp_side"),
        (np.where(np.arange(16) == 14, LOWER_RAD[14] - 0.01, 0.0), "thumb_mcp"),
    ],
)
def test_bad_commands_are_refused_by_name_and_nothing_moves(position, word):
    bench = Bench().active()
    bench.command(OPEN + 0.9)
    before = bench.tick().target
    answer = bench.command(position)
    assert isinstance(answer, Rejected)
    assert word in answer.reason
    assert bench.guard.last_rejection == answer.reason
    for _ in range(5):
        np.testing.assert_array_equal(bench.tick().target, before)


def test_a_refused_command_does_not_end_the_ramp():
    bench = Bench()
    bench.guard.enable(OPEN)
    bench.command(OPEN + 0.9)
    bench.tick()
    bench.command(OPEN + math.nan)
    assert bench.tick().mode is Mode.RAMPING
    bench.command(OPEN + 0.9)
    assert np.max(bench.tick().target) <= 0.02 + 1e-12


def test_a_hair_beyond_a_limit_is_clipped():
    bench = Bench().active()
    assert bench.command(np.where(np.arange(16) == 1, LOWER_RAD[1] - 5e-4, 0.0)) == Accepted(True)
    bench.follow(np.where(np.arange(16) == 1, LOWER_RAD[1] - 5e-4, 0.0), 0.2)
    assert bench.tick().target[1] == LOWER_RAD[1]


def test_a_stale_command_holds_the_pose_measured_then():
    bench = Bench().active()
    bench.measured = OPEN + 0.02
    out = bench.tick(seconds=0.16)
    assert out.mode is Mode.HOLDING
    assert "policy" in out.reason
    np.testing.assert_array_equal(out.target, OPEN + 0.02)
    bench.measured = OPEN + 0.4  # pushed by hand afterwards: the captured pose stays
    np.testing.assert_array_equal(bench.tick().target, OPEN + 0.02)
    bench.command(OPEN)
    assert bench.tick().mode is Mode.RAMPING


def test_holding_waits_for_a_whole_read():
    bench = Bench().active()
    bench.command(OPEN + 0.1)
    last = bench.tick().target
    np.testing.assert_array_equal(bench.tick(0.16, measured=None).target, last)
    broken = np.where(np.arange(16) == 3, math.nan, 0.02)
    np.testing.assert_array_equal(bench.tick(measured=broken).target, last)
    np.testing.assert_array_equal(bench.tick(measured=OPEN + 0.02).target, OPEN + 0.02)


def test_two_sources_hold_until_one_is_alone():
    bench = Bench().active()
    bench.command(OPEN)
    bench.tick()
    answer = bench.command(OPEN + 0.1, source="replay")
    assert "policy, replay" in answer.reason
    assert bench.tick().mode is Mode.HOLDING
    assert "policy, replay" in bench.tick().reason
    assert isinstance(bench.command(OPEN + 0.1), Rejected)
    for _ in range(8):  # replay falls silent
        bench.tick(0.02)
        answer = bench.command(OPEN)
    assert isinstance(answer, Accepted)
    assert bench.tick().source == "policy"


@pytest.mark.parametrize("gap", [0, 3, 500])
def test_two_publishers_of_one_name_are_told_apart(gap):
    bench = Bench().active()
    answers = []
    for k in range(6):
        bench.tick(0.025)
        first = bench.command(OPEN + 0.01, seq=1000 + k)
        bench.tick(0.025)
        answers += [first, bench.command(OPEN - 0.01, seq=1000 + gap + k)]
    assert all(isinstance(a, Rejected) for a in answers[5:])
    assert "two publishers" in answers[-1].reason
    assert bench.tick().mode is Mode.HOLDING


def test_a_publisher_that_never_counts_is_one_publisher():
    """What `ros2 topic pub` sends: the same message again and again."""
    bench = Bench().active()
    bench.tick(0.2)
    for _ in range(10):
        assert isinstance(bench.command(OPEN + 0.1, seq=0, source="cli"), Accepted)
        bench.tick(0.05)


def test_fault_needs_recover_and_then_enable():
    bench = Bench().active()
    bench.guard.fault("motor 3: overheating")
    bench.guard.fault("a later one")
    out = bench.tick()
    assert (out.mode, out.target, out.reason) == (Mode.FAULT, None, "motor 3: overheating")
    assert "FAULT" in bench.command(OPEN).reason
    bench.guard.relax()
    with pytest.raises(GuardRefusedError, match="recover"):
        bench.guard.enable(OPEN)
    bench.guard.recover()
    bench.command(OPEN + 0.1)
    assert bench.tick().mode is Mode.RELAXED
    bench.guard.enable(OPEN)
    assert bench.tick().mode is Mode.HOLDING
    with pytest.raises(GuardRefusedError, match="nothing to recover"):
        bench.guard.recover()


def test_enable_refuses_a_pose_far_outside_the_limits():
    bench = Bench()
    with pytest.raises(GuardRefusedError, match="ring_pip"):
        bench.guard.enable(np.where(np.arange(16) == 10, UPPER_RAD[10] + 0.2, 0.0))
    with pytest.raises(GuardRefusedError, match="every motor"):
        bench.guard.enable(np.full(16, math.nan))
    bench.guard.enable(np.where(np.arange(16) == 10, UPPER_RAD[10] + 0.1, 0.0))
    assert bench.tick().target[10] == UPPER_RAD[10] + 0.1  # held where it is, not pulled back


def test_relax_gives_the_torque_up_and_forgets_the_command():
    bench = Bench().active()
    bench.command(CANONICAL_POSE_RAD)
    bench.guard.relax()
    assert bench.tick().target is None
    bench.guard.enable(OPEN)
    np.testing.assert_array_equal(bench.tick().target, OPEN)


def test_a_hand_that_holds_for_long_without_a_command_relaxes_and_says_why():
    bench = Bench(GuardConfig(relax_after_s=2.0)).active()
    while (out := bench.tick(0.1)).mode is not Mode.HOLDING:
        pass
    began_s = bench.now_s
    while (out := bench.tick(0.1)).mode is Mode.HOLDING:
        assert out.target is not None
    assert bench.now_s - began_s == pytest.approx(2.0, abs=0.11)
    assert out.mode is Mode.RELAXED
    assert out.target is None
    assert "held 2 s without a command: the torque is off" in out.reason
    assert "hand/enable" in out.reason
    # The reason stays until somebody does something.
    assert bench.tick().reason == out.reason
    assert isinstance(bench.command(OPEN), Rejected)
    bench.guard.enable(OPEN)
    assert bench.tick().mode is Mode.HOLDING


def test_an_enabled_hand_that_nobody_commands_relaxes_and_enabling_starts_the_time_anew():
    bench = Bench(GuardConfig(relax_after_s=2.0))
    for _ in range(3):
        bench.tick(100.0)
        bench.guard.enable(OPEN)
        # The first tick may come late: time counts from there.
        assert bench.tick(50.0).mode is Mode.HOLDING
        assert bench.tick(1.9).mode is Mode.HOLDING
        assert bench.tick(0.2).mode is Mode.RELAXED


def test_by_default_a_hand_holds_for_ever():
    bench = Bench()
    bench.guard.enable(OPEN)
    bench.tick()
    assert bench.tick(1e6).mode is Mode.HOLDING


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["command", "bad", "enable", "relax", "wait"]), st.floats(0, 0.6)
        ),
        max_size=60,
    )
)
def test_only_holding_relaxes_and_never_before_its_time(events):
    bench = Bench(GuardConfig(relax_after_s=1.0))
    held_since = None
    for event, seconds in events:
        if event == "command":
            bench.command(OPEN)
        elif event == "bad":
            bench.command([math.nan] * 16)
        elif event != "wait":
            getattr(bench.guard, event)(*([OPEN] if event == "enable" else []))
        if bench.guard.mode is not Mode.HOLDING:
            held_since = None
        before = bench.guard.mode
        out = bench.tick(seconds)
        if out.mode is Mode.HOLDING and held_since is None:
            held_since = bench.now_s
        if out.mode is Mode.HOLDING:
            assert bench.now_s - held_since < 1.0
        elif out.mode is Mode.RELAXED and before is not Mode.RELAXED:
            assert before is Mode.HOLDING
            assert held_since is not None
            assert bench.now_s - held_since >= 1.0
            assert out.reason
            held_since = None


@pytest.mark.parametrize(
    "bad",
    [
        {"max_step_rad": 0.0},
        {"stale_s": math.nan},
        {"lower_rad": (0.0,) * 15},
        {"upper_rad": tuple(LOWER_RAD)},
        {"ramp_speed_rad_s": math.inf},
        {"limit_tolerance_rad": -1.0},
        {"relax_after_s": -1.0},
        {"relax_after_s": math.nan},
    ],
)
def test_a_config_that_guards_nothing_is_refused(bad):
    with pytest.raises(ValueError, match="guard"):
        replace(GuardConfig(), **bad)


def test_a_joint_a_little_beyond_its_limit_is_held_there_and_ramped_in():
    """Pulling it back when the torque comes on would be a jump of that little."""
    guard = Guard()
    pose = np.zeros(16)
    pose[0] = UPPER_RAD[0] + 0.1
    guard.enable(pose)
    held = guard.tick(pose, 0.0).target
    assert held is not None
    assert held[0] == pose[0]
    command = np.zeros(16)
    command[0] = UPPER_RAD[0]
    now_s, previous = 0.0, held[0]
    for step in range(40):
        now_s += 0.01
        assert isinstance(guard.accept(command.tolist(), step, "policy", now_s), Accepted)
        target = guard.tick(pose, now_s).target
        assert target is not None
        assert previous - target[0] <= 0.01 * guard.config.ramp_speed_rad_s + 1e-9
        previous = target[0]
    assert previous == UPPER_RAD[0]


@given(
    st.lists(st.sampled_from(["good", "far", "bad", "none", "relax"]), max_size=20),
    st.integers(0, 19),
)
def test_a_guard_that_goes_on_from_anothers_state_decides_the_same(events, moment):
    guard, other = Guard(), Guard()
    guard.enable(CANONICAL_POSE_RAD)
    now = 0.0
    for k, event in enumerate(events):
        if k == moment:
            other.resume(guard.state)
        followers = (guard, other) if k >= moment else (guard,)
        now += 0.03
        outputs = []
        for each in followers:
            if event == "relax":
                each.relax()
            elif event != "none":
                offset = {"good": 0.02, "far": 0.3, "bad": 9.0}[event]
                each.accept(CANONICAL_POSE_RAD + offset * (-1) ** k, k, "policy", now)
            outputs.append(each.tick(CANONICAL_POSE_RAD, now))
        for output in outputs[1:]:
            assert (output.mode, output.command_seq, output.arrived_s) == (
                outputs[0].mode,
                outputs[0].command_seq,
                outputs[0].arrived_s,
            )
            assert np.array_equal(output.target, outputs[0].target)
