# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexndm_ros.policy.observation import (
    HISTORY_LENGTH,
    OBSERVATION_SIZE,
    ObservationHistory,
    canonical_quaternion,
)

WRIST = np.array([0.0, 0.0, 0.0, 1.0])
AXIS = np.array([0.0, 0.0, 1.0])
JOINTS = np.arange(16)


def angle(k, joint, hand=0):
    """A measured angle that tells its tick, joint and hand; exact in float32."""
    return k + joint / 32 + hand / 1024


def target(k, joint, hand=0):
    return -angle(k, joint, hand)


def test_layout_is_ten_pairs_oldest_first_then_wrist_then_axis():
    history = ObservationHistory()
    history.reset(angle(0, JOINTS), target(0, JOINTS))
    for k in range(1, 24):
        history.push(angle(k, JOINTS), target(k - 1, JOINTS))
    observation = history.observation([0.5, -0.5, 0.5, 0.5], [0.0, -1.0, 0.0])

    assert observation.shape == (OBSERVATION_SIZE,) == (327,)
    assert observation.dtype == np.float32
    for slot, k in enumerate(range(14, 24)):
        for joint in range(16):
            assert observation[32 * slot + joint] == angle(k, joint)
            assert observation[32 * slot + 16 + joint] == target(k - 1, joint)
    np.testing.assert_array_equal(observation[320:324], [0.5, -0.5, 0.5, 0.5])
    np.testing.assert_array_equal(observation[324:], [0.0, -1.0, 0.0])


def test_reset_fills_every_slot():
    history = ObservationHistory()
    history.push(angle(9, JOINTS), target(9, JOINTS))
    history.reset(angle(3, JOINTS), target(4, JOINTS))
    pairs = history.observation(WRIST, AXIS)[:320].reshape(HISTORY_LENGTH, 2, 16)
    assert (pairs[:, 0] == angle(3, JOINTS)).all()
    assert (pairs[:, 1] == target(4, JOINTS)).all()


def test_an_observation_is_not_changed_by_what_comes_later():
    history = ObservationHistory()
    history.push(angle(1, JOINTS), target(1, JOINTS))
    first = history.observation(WRIST, AXIS)
    kept = first.copy()
    history.push(angle(2, JOINTS), target(2, JOINTS))
    np.testing.assert_array_equal(first, kept)


def test_batch_rows_equal_single_hands_with_their_own_resets_and_wrists():
    hands = 5
    rng = np.random.default_rng(7)
    wrists = rng.normal(size=(hands, 4))
    wrists /= np.linalg.norm(wrists, axis=1, keepdims=True)
    axes = np.eye(3)[rng.integers(3, size=hands)]
    batch = ObservationHistory(batch=hands)
    singles = [ObservationHistory() for _ in range(hands)]
    for k in range(30):
        q = np.array([angle(k, JOINTS, hand) for hand in range(hands)])
        a = np.array([target(k, JOINTS, hand) for hand in range(hands)])
        if k == 0:
            batch.reset(q, a)
            mask = np.ones(hands, dtype=bool)
        else:
            mask = rng.random(hands) < 0.1
            batch.push(q, a)
            batch.reset_rows(mask, q, a)
        for hand, single in enumerate(singles):
            if mask[hand]:
                single.reset(q[hand], a[hand])
            else:
                single.push(q[hand], a[hand])
        rows = batch.observation(wrists, axes)
        for hand, single in enumerate(singles):
            np.testing.assert_array_equal(rows[hand], single.observation(wrists[hand], axes[hand]))


def test_batch_takes_one_pose_wrist_and_axis_for_all():
    batch = ObservationHistory(batch=3)
    batch.reset(angle(1, JOINTS), target(1, JOINTS))
    batch.reset_rows([False, True, False], angle(2, JOINTS), target(2, JOINTS))
    rows = batch.observation(WRIST, AXIS)
    assert rows.shape == (3, 327)
    assert [row[0] for row in rows] == [angle(1, 0), angle(2, 0), angle(1, 0)]


def test_reset_rows_of_a_single_hand_says_what_to_do():
    with pytest.raises(ValueError, match="use reset"):
        ObservationHistory().reset_rows([True], JOINTS, JOINTS)


@given(arrays(np.float64, (4,), elements=st.floats(-1, 1)))
def test_q_and_minus_q_are_one_rotation(q):
    length = np.linalg.norm(q)
    if length < 1e-3:
        return
    q = q / length
    canonical = canonical_quaternion(q)
    np.testing.assert_array_equal(canonical, canonical_quaternion(-q))
    assert canonical[3] >= -1e-6
    assert abs(abs(np.dot(canonical, q)) - 1.0) < 1e-6


@pytest.mark.parametrize(
    ("given_xyzw", "expected"),
    [
        ([-1, 0, 0, 0], [1, 0, 0, 0]),
        ([0, -1, 0, 0], [0, 1, 0, 0]),
        ([0, 0, -1, 0], [0, 0, 1, 0]),
        ([-0.6, 0.8, 0, 0], [0.6, -0.8, 0, 0]),
        # What is left of a zero after composing rotations decides nothing.
        ([1, 0, 0, -1e-17], [1, 0, 0, 0]),
        ([-1e-12, 0, -1, 1e-12], [0, 0, 1, 0]),
    ],
)
def test_ties_at_half_a_turn(given_xyzw, expected):
    np.testing.assert_allclose(canonical_quaternion(given_xyzw), expected, atol=1e-9)
