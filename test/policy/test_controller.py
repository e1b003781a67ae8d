# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.controller import PolicyStepError, load_policy
from dexndm_ros.policy.observation import ObservationHistory
from dexndm_ros.policy.spec import PolicySpecError
from support.tiny_policy import leap_seat, leap_spec, residual_spec, write_tiny_policy

WRIST = np.array([1.0, 0.0, 0.0, 0.0])
AXIS = np.array([0.0, 0.0, 1.0])
Q = CANONICAL_POSE_RAD + 0.01
SCALE = 1 / 24


def echo(position):
    """Weights that copy 16 numbers of the input to the output."""
    weight = np.zeros((327, 16))
    weight[position : position + 16] = np.eye(16)
    return weight


@pytest.fixture
def make(tmp_path):
    def make(residual=None, batch=None, **model):
        base = write_tiny_policy(tmp_path / "base.onnx", **model)
        if residual is not None:
            write_tiny_policy(tmp_path / "residual.onnx", **residual)
            residual = tmp_path / "residual.onnx"
        return load_policy(base, leap_seat(), residual, batch)

    return make


def test_each_joints_delta_goes_to_its_own_target(make):
    delta = np.linspace(-0.9, 0.6, 16)
    policy = make(bias=delta)
    start = np.zeros(16)
    policy.reset(Q, start)
    action = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(action.base, start + delta * SCALE, atol=1e-8)
    np.testing.assert_array_equal(action.residual, np.zeros(16))
    np.testing.assert_array_equal(action.target, action.base)
    action = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(action.base, start + 2 * delta * SCALE, atol=1e-8)


def test_a_delta_beyond_one_moves_one_step(make):
    policy = make(bias=np.where(np.arange(16) % 2, 5.0, -5.0))
    policy.reset(Q, np.zeros(16))
    action = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(np.abs(action.target), SCALE)


def test_the_target_stays_within_the_specs_limits(make):
    policy = make(bias=np.where(np.arange(16) % 2, 1.0, -1.0))
    policy.reset(Q, np.zeros(16))
    for _ in range(120):
        action = policy.step(Q, WRIST, AXIS)
    expected = np.where(np.arange(16) % 2, UPPER_RAD, LOWER_RAD)
    np.testing.assert_allclose(action.target, expected)


def test_the_network_sees_what_the_observation_function_builds(make):
    """One output at a time shows one slot of the observation; all 327 are compared."""
    history = ObservationHistory()
    rng = np.random.default_rng(3)
    states = rng.uniform(-0.2, 0.2, size=(13, 16))
    for position in (0, 16, 32 * 9, 32 * 9 + 16, 327 - 16):
        policy = make(weight=echo(position))
        policy.reset(states[0], np.zeros(16))
        history.reset(states[0], np.zeros(16))
        previous = np.zeros(16)
        for q in states:
            history.push(q, previous)
            seen = history.observation(WRIST, AXIS)[position : position + 16]
            action = policy.step(q, WRIST, AXIS)
            expected = np.clip(previous + np.clip(seen, -1, 1) * SCALE, LOWER_RAD, UPPER_RAD)
            np.testing.assert_allclose(action.base, expected, atol=1e-7)
            previous = action.base


def test_the_residual_is_added_and_the_history_keeps_the_base_action(make):
    correction = np.linspace(-0.02, 0.02, 16)
    # The base network's delta is its newest previous target: a history with the executed target in
    # it would show at the second step.
    weight = echo(32 * 9 + 16)
    policy = make(weight=weight, residual={"bias": correction, "spec": residual_spec(0.05)})
    alone = make(weight=weight)
    start = np.full(16, 0.1)
    policy.reset(Q, start)
    alone.reset(Q, start)
    for _ in range(5):
        with_residual, without = policy.step(Q, WRIST, AXIS), alone.step(Q, WRIST, AXIS)
        np.testing.assert_array_equal(with_residual.base, without.base)
        np.testing.assert_allclose(with_residual.residual, correction, atol=1e-8)
        np.testing.assert_allclose(with_residual.target, without.base + correction, atol=1e-8)


def test_the_residual_sees_the_observation_and_then_the_base_action(make):
    weight = np.zeros((343, 16))
    weight[327:] = np.eye(16)
    policy = make(bias=np.full(16, 0.5), residual={"weight": weight, "spec": residual_spec(0.5)})
    policy.reset(Q, np.arange(16) / 100)
    action = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(action.residual, action.base, atol=1e-6)


def test_the_residual_is_bounded_and_the_sum_within_limits(make):
    policy = make(bias=np.ones(16), residual={"bias": np.ones(16), "spec": residual_spec(0.03)})
    policy.reset(Q, UPPER_RAD)
    action = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(action.residual, 0.03)
    np.testing.assert_array_equal(action.target, UPPER_RAD)


@pytest.mark.parametrize("batch", [None, 3])
def test_a_refused_residual_leaves_the_base_policy_alone_and_says_why(make, batch):
    weight = echo(32 * 9)
    spec = residual_spec(0.05, refused="the hand answers a tick late")
    policy = make(weight=weight, batch=batch, residual={"bias": np.full(16, 0.04), "spec": spec})
    alone = make(weight=weight, batch=batch)
    assert policy.refused == "the hand answers a tick late"
    assert alone.refused == ""
    q = np.random.default_rng(5).uniform(-0.2, 0.2, (6, *((batch,) if batch else ()), 16))
    policy.reset(q[0], CANONICAL_POSE_RAD)
    alone.reset(q[0], CANONICAL_POSE_RAD)
    for row in q:
        ours, base = policy.step(row, WRIST, AXIS), alone.step(row, WRIST, AXIS)
        np.testing.assert_array_equal(ours.target, base.target)
        np.testing.assert_array_equal(ours.target, ours.base)
        assert not ours.residual.any()
    assert np.ptp(base.target) > 0.0


def test_a_residual_that_nobody_refused_runs(make):
    policy = make(residual={"bias": np.full(16, 0.04), "spec": residual_spec(0.05)})
    policy.reset(Q, np.zeros(16))
    assert policy.refused == ""
    np.testing.assert_allclose(policy.step(Q, WRIST, AXIS).residual, 0.04, atol=1e-7)


def test_a_refused_residual_must_fit_the_hand_all_the_same(make):
    spec = residual_spec(0.05, refused="some reason", rate_hz=30.0)
    with pytest.raises(PolicySpecError, match="rate_hz"):
        make(residual={"spec": spec})


def test_a_batch_equals_its_hands_one_by_one(make):
    rng = np.random.default_rng(11)
    model = {
        "weight": rng.normal(0, 0.1, (327, 16)),
        "residual": {"weight": rng.normal(0, 0.01, (343, 16)), "spec": residual_spec(0.05)},
    }
    hands = 4
    batch = make(batch=hands, **model)
    singles = [make(**model) for _ in range(hands)]
    for k in range(25):
        q = rng.uniform(-0.3, 0.3, (hands, 16))
        if k == 0:
            batch.reset(q, CANONICAL_POSE_RAD)
            for hand in range(hands):
                singles[hand].reset(q[hand], CANONICAL_POSE_RAD)
        if k == 12:
            batch.reset_rows([False, True, False, True], q, q / 2)
            for hand in (1, 3):
                singles[hand].reset(q[hand], q[hand] / 2)
        rows = batch.step(q, WRIST, AXIS)
        for hand in range(hands):
            one = singles[hand].step(q[hand], WRIST, AXIS)
            np.testing.assert_allclose(rows.target[hand], one.target, atol=2e-6)
            np.testing.assert_allclose(rows.base[hand], one.base, atol=2e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("joint", [0, 15])
def test_a_measured_angle_that_is_not_finite_gives_no_target(make, value, joint):
    policy = make()
    policy.reset(Q, CANONICAL_POSE_RAD)
    q = Q.copy()
    q[joint] = value
    with pytest.raises(PolicyStepError, match="finite"):
        policy.step(q, WRIST, AXIS)


def test_a_network_that_overflows_gives_no_target(make, tmp_path):
    policy = make(weight=np.full((327, 16), 3e38))
    policy.reset(np.ones(16), np.ones(16))
    with pytest.raises(PolicyStepError, match=r"base\.onnx"):
        policy.step(np.ones(16), WRIST, AXIS)


def test_a_failed_step_leaves_the_action_where_it_was(make):
    policy = make(bias=np.full(16, 0.5))
    policy.reset(Q, np.zeros(16))
    first = policy.step(Q, WRIST, AXIS)
    with pytest.raises(PolicyStepError):
        policy.step(np.full(16, np.nan), WRIST, AXIS)
    second = policy.step(Q, WRIST, AXIS)
    np.testing.assert_allclose(second.base - first.base, 0.5 * SCALE, atol=1e-8)


def test_the_policy_tells_its_spec(make):
    assert make(spec=leap_spec(commit="abc")).spec == leap_spec(commit="abc")


def test_a_policy_goes_on_from_a_recorded_history_as_if_it_had_run(make):
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(327, 16)) * 0.2
    first, second = make(weight=weight), make(weight=weight)
    q = [CANONICAL_POSE_RAD + rng.normal(0, 0.02, 16) for _ in range(14)]
    first.reset(q[0], CANONICAL_POSE_RAD)
    targets = [CANONICAL_POSE_RAD]
    targets.extend(first.step(measured, WRIST, AXIS).base for measured in q[:12])
    second.resume(q[2:12], targets[2:12], targets[12])
    for measured in q[12:]:
        expected, got = first.step(measured, WRIST, AXIS), second.step(measured, WRIST, AXIS)
        assert got.target.tobytes() == expected.target.tobytes()
