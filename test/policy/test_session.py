# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.controller import PolicyAction, PolicyStepError
from dexndm_ros.policy.session import (
    HandMode,
    HandSample,
    Phase,
    RotationSession,
    SessionConfig,
    open_pose,
)
from support.tiny_policy import leap_spec

PERIOD_NS = 50_000_000
WRIST = np.array([1.0, 0.0, 0.0, 0.0])
Z = np.array([0.0, 0.0, 1.0])
STOP = np.zeros(3)
FAST = SessionConfig(open_s=0.2, place_s=0.1, close_s=0.2, settle_s=0.1)
START_TICKS = 4 + 2 + 4 + 2
FLAT = np.linspace(0.0, 0.15, 16)


class CirclePolicy:
    """Another kind of policy in the same seat: no network, no delta, a target of its own."""

    def __init__(self, spec=None):
        self.spec = spec or leap_spec()
        self.resets = []
        self.steps = []
        self.fail = False

    def reset(self, q, target):
        self.resets.append((np.array(q), np.array(target)))

    def step(self, q, wrist_xyzw, axis):
        if self.fail:
            raise PolicyStepError("the network gave NaN")
        self.steps.append((np.array(q), np.array(wrist_xyzw), np.array(axis)))
        base = CANONICAL_POSE_RAD + 0.02 * np.sin(len(self.steps) + np.arange(16))
        residual = np.full(16, 0.001)
        return PolicyAction(base, residual, base + residual)


class Rig:
    """A session with a hand that follows at once and a clock that the test moves."""

    def __init__(self, config=FAST):
        self.policy = CirclePolicy()
        self.session = RotationSession(self.policy, config)
        self.now_ns = 1_000_000_000
        self.seq = 100
        self.mode = HandMode.HOLDING
        self.q = FLAT.copy()
        self.alive = True
        self.sample = None

    def tick(self, axis=Z, refusal=""):
        self.now_ns += PERIOD_NS
        if self.alive:
            self.seq += 5
            self.sample = HandSample(self.seq, self.q.copy(), self.mode, self.now_ns - 2_000_000)
        result = self.session.tick(self.now_ns, self.sample, WRIST, axis, refusal)
        if result.command is not None and self.alive and self.mode not in (0, 4):
            self.mode = HandMode.ACTIVE
            self.q = result.command.copy()
        return result

    def ticks(self, count, **inputs):
        return [self.tick(**inputs) for _ in range(count)]

    def run(self):
        """Through the start sequence, to the first tick of the policy."""
        self.ticks(START_TICKS)
        result = self.tick()
        assert result.phase is Phase.RUNNING
        assert result.action is not None
        return result


@pytest.fixture
def rig():
    return Rig()


def test_the_hand_opens_waits_closes_settles_and_runs(rig):
    results = rig.ticks(START_TICKS)
    opened = open_pose(CANONICAL_POSE_RAD, JOINT_NAMES, FAST.open_rad)
    np.testing.assert_allclose(results[3].command, opened)
    np.testing.assert_array_equal(results[5].command, opened)
    np.testing.assert_allclose(results[9].command, CANONICAL_POSE_RAD)
    np.testing.assert_array_equal(results[11].command, CANONICAL_POSE_RAD)
    assert all(result.action is None and not result.stopped for result in results)
    running = rig.tick()
    assert running.action is not None
    np.testing.assert_array_equal(running.command, running.action.target)
    ((q, target),) = rig.policy.resets
    np.testing.assert_array_equal(target, CANONICAL_POSE_RAD)
    np.testing.assert_array_equal(q, CANONICAL_POSE_RAD)


def test_the_start_slides_from_the_measured_pose_without_a_jump(rig):
    previous = rig.q.copy()
    limit = np.abs(CANONICAL_POSE_RAD - FLAT).max() / 4 + 1e-9
    for result in rig.ticks(START_TICKS):
        assert np.abs(result.command - previous).max() <= limit
        previous = result.command


def test_a_measured_pose_beyond_a_limit_starts_from_the_limit(rig):
    rig.q = LOWER_RAD - 0.05
    for result in rig.ticks(START_TICKS):
        assert (result.command >= LOWER_RAD).all()
        assert (result.command <= UPPER_RAD).all()


def test_the_open_pose_moves_flexion_joints_and_the_thumbs_base_only():
    opened = open_pose(CANONICAL_POSE_RAD, JOINT_NAMES, 0.5)
    for name, before, after in zip(JOINT_NAMES, CANONICAL_POSE_RAD, opened, strict=True):
        if name.endswith(("_mcp_forward", "_pip", "_dip")) or name == "thumb_cmc":
            assert after == pytest.approx(max(before - 0.5, min(before, 0.0)))
        else:
            assert after == before
    assert (opened >= LOWER_RAD).all()


def test_nothing_is_sent_before_a_state_and_before_the_hand_is_enabled(rig):
    rig.alive = False
    results = rig.ticks(30)
    assert {result.command for result in results} == {None}
    assert "no hand/state" in results[-1].reason
    rig.alive = True
    for mode in (HandMode.RELAXED, HandMode.FAULT):
        rig.mode = mode
        results = rig.ticks(5)
        assert {result.command for result in results} == {None}
        assert all(result.stopped and result.phase is Phase.WAITING for result in results)
        assert "hand/enable" in results[-1].reason
    rig.mode = HandMode.HOLDING
    assert rig.tick().phase is Phase.OPENING


def test_zero_axis_holds_the_last_target_and_keeps_sending_it(rig):
    last = rig.run()
    for result in rig.ticks(40, axis=STOP):
        assert result.stopped
        assert result.action is None
        np.testing.assert_array_equal(result.command, last.command)
        assert "axis is zero" in result.reason


def test_after_a_stop_the_history_begins_anew_from_the_base_action(rig):
    rig.run()
    last = rig.tick()
    rig.ticks(5, axis=STOP)
    result = rig.tick()
    assert not result.stopped
    q, target = rig.policy.resets[-1]
    assert len(rig.policy.resets) == 2
    np.testing.assert_array_equal(target, last.action.base)
    np.testing.assert_array_equal(q, last.command)
    rig.ticks(5)
    assert len(rig.policy.resets) == 2


def test_turning_the_axis_while_running_does_not_reset(rig):
    rig.run()
    rig.tick(axis=-Z)
    assert len(rig.policy.resets) == 1
    np.testing.assert_array_equal(rig.policy.steps[-1][2], -Z)


def test_a_refused_input_stops_with_its_reason_also_in_the_start_sequence(rig):
    rig.ticks(3)
    results = rig.ticks(10, refusal="rotation/command refused: length 2")
    assert {result.reason for result in results} == {"rotation/command refused: length 2"}
    for result in results:
        assert result.stopped
        np.testing.assert_array_equal(result.command, results[0].command)
    assert rig.tick().phase is Phase.PLACING  # it goes on where it stood


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_stops(rig, value):
    last = rig.run()
    rig.q = np.where(np.arange(16) == 7, value, 0.0)
    result = rig.tick()
    assert result.stopped
    assert "7" in result.reason
    assert result.action is None
    np.testing.assert_array_equal(result.command, last.command)


def test_a_stale_state_stops_and_a_fresh_one_goes_on(rig):
    rig.run()
    rig.alive = False
    reasons = [rig.tick().reason for _ in range(5)]
    assert reasons[:2] == ["", ""]  # 52 and 102 ms are still fresh
    assert all("stale" in reason for reason in reasons[2:])
    rig.alive = True
    assert not rig.tick().stopped
    assert len(rig.policy.resets) == 2


def test_a_state_that_stays_away_ends_the_run(rig):
    rig.run()
    rig.alive = False
    results = rig.ticks(40)
    assert results[15].command is not None
    assert results[-1].command is None
    assert results[-1].phase is Phase.HALTED
    assert "policy/restart" in results[-1].reason
    rig.alive = True
    assert rig.tick().command is None


@pytest.mark.parametrize("mode", [HandMode.RELAXED, HandMode.FAULT])
@pytest.mark.parametrize("after_ticks", [3, START_TICKS + 5])
def test_a_hand_taken_away_is_left_alone_until_restart(rig, mode, after_ticks):
    rig.ticks(after_ticks)
    rig.mode = mode
    result = rig.tick()
    assert result.command is None
    assert result.phase is Phase.HALTED
    assert "policy/restart" in result.reason
    rig.mode = HandMode.HOLDING  # somebody recovers and enables it
    assert all(result.command is None for result in rig.ticks(40))
    rig.session.restart()
    assert rig.tick().phase is Phase.OPENING
    rig.ticks(START_TICKS)
    assert rig.tick().action is not None


def test_a_restarted_driver_is_left_alone(rig):
    rig.run()
    rig.seq = 0
    result = rig.tick()
    assert result.command is None
    assert "driver was restarted" in result.reason


def test_a_holding_driver_gets_the_last_target_until_it_follows_again(rig):
    last = rig.run()
    for mode in (HandMode.HOLDING, HandMode.RAMPING):
        rig.mode = mode
        result = rig.tick()
        assert result.stopped
        np.testing.assert_array_equal(result.command, last.command)
        steps = len(rig.policy.steps)
    assert rig.tick().action is not None
    assert len(rig.policy.steps) == steps + 1
    assert len(rig.policy.resets) == 2


def test_the_policy_waits_for_the_ramp_to_end(rig):
    rig.ticks(START_TICKS)
    rig.mode = HandMode.RAMPING
    result = rig.tick()
    assert result.stopped
    assert not rig.policy.steps


def test_a_step_without_a_target_halts_and_holds(rig):
    last = rig.run()
    rig.policy.fail = True
    result = rig.tick()
    assert result.stopped
    assert "NaN" in result.reason
    np.testing.assert_array_equal(result.command, last.command)
    rig.policy.fail = False
    for result in rig.ticks(5):
        assert result.phase is Phase.HALTED
        np.testing.assert_array_equal(result.command, last.command)


def test_restart_in_mid_run_slides_from_the_target_in_force(rig):
    rig.run()
    last = rig.tick()
    rig.q = rig.q - 0.05  # the object presses the fingers back
    rig.session.restart()
    first = rig.tick()
    assert first.phase is Phase.OPENING
    opened = open_pose(CANONICAL_POSE_RAD, JOINT_NAMES, FAST.open_rad)
    np.testing.assert_allclose(first.command, last.command + (opened - last.command) / 4)


@pytest.mark.parametrize(
    "change",
    [{"open_s": 0.0}, {"close_s": float("nan")}, {"rate_hz": -1.0}, {"place_s": -0.1},
     {"stale_s": 2.0, "lost_s": 1.0}, {"open_rad": float("inf")}],
)  # fmt: skip
def test_impossible_times_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(FAST, **change)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "zero", "refuse", "silent", "nan", "restart", "seq"]),
            st.sampled_from(list(HandMode)),
            st.integers(1, 15),
        ),
        max_size=12,
    )
)
def test_whatever_happens_commands_are_sound_and_stops_do_not_move(events):
    rig = Rig()
    previous = None
    for what, mode, count in events:
        rig.mode = mode
        rig.alive = what != "silent"
        if what == "restart":
            rig.session.restart()
        if what == "seq":
            rig.seq = 0
        for _ in range(count):
            kept = rig.q.copy()
            if what == "nan":
                rig.q[3] = np.nan
            result = rig.tick(
                axis=STOP if what == "zero" else Z, refusal="refused" if what == "refuse" else ""
            )
            if what == "nan":
                rig.q = kept
            command = result.command
            assert result.stopped == bool(result.reason)
            assert (result.action is None) or not result.stopped
            if command is not None:
                assert np.isfinite(command).all()
                assert (command >= LOWER_RAD).all()
                assert (command <= UPPER_RAD).all()
            if result.stopped and command is not None:
                np.testing.assert_array_equal(command, previous)
            if what in ("zero", "refuse", "nan"):
                assert result.stopped
            if rig.alive and mode in (HandMode.RELAXED, HandMode.FAULT):
                assert command is None
            previous = command
