# SPDX-License-Identifier: Apache-2.0
"""Two points for any motion: where it goes on to, and a rest within the joints' limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.fr3 import ARM_JOINTS, ARM_LOWER_RAD, ARM_UPPER_RAD, HOME_RAD
from dexndm_ros.teleop.trajectory import joint_trajectory

MAX_RAD_S = np.array([joint.velocity_rad_s for joint in ARM_JOINTS])
VELOCITIES = st.tuples(*[st.floats(-2, 2)] * 7).map(np.array)
ANGLES = st.tuples(
    *(st.floats(low, up) for low, up in zip(ARM_LOWER_RAD, ARM_UPPER_RAD, strict=True))
).map(np.array)


@given(ANGLES, VELOCITIES, st.floats(0.01, 0.2), st.floats(0.5, 5.0))
def test_it_ends_at_rest_later_and_within_the_limits(q, v, lead_s, brake) -> None:
    ahead, end = joint_trajectory(q, v, lead_s, brake)
    assert 0 < ahead.at_s < end.at_s
    assert not end.v_rad_s.any()
    for point in (ahead, end):
        assert (point.q_rad >= ARM_LOWER_RAD).all()
        assert (point.q_rad <= ARM_UPPER_RAD).all()


@given(VELOCITIES, st.floats(0.5, 5.0))
def test_the_braking_is_even_and_as_hard_as_allowed(v, brake) -> None:
    ahead, end = joint_trajectory(HOME_RAD, 0.1 * v, 0.001, brake)
    span_s = end.at_s - ahead.at_s
    assert np.abs(0.1 * v).max() / span_s <= brake * (1 + 1e-9)
    np.testing.assert_allclose(end.q_rad - ahead.q_rad, 0.1 * v * span_s / 2, atol=1e-12)


def test_standing_joints_are_told_to_stand() -> None:
    ahead, end = joint_trajectory(HOME_RAD, np.zeros(7), 0.05, 2.0)
    np.testing.assert_array_equal(ahead.q_rad, HOME_RAD)
    np.testing.assert_array_equal(end.q_rad, HOME_RAD)


@given(ANGLES, ANGLES, VELOCITIES, st.floats(0.01, 0.2))
def test_an_arm_that_fell_behind_gets_the_time_to_come(q, measured, v, lead_s) -> None:
    ahead, end = joint_trajectory(q, v, lead_s, 2.0, measured)
    mean_rad_s = np.abs(ahead.q_rad - measured) / ahead.at_s
    assert (mean_rad_s <= 0.4 * MAX_RAD_S * (1 + 1e-9)).all()
    prompt, _ = joint_trajectory(q, v, lead_s, 2.0, q)
    np.testing.assert_array_equal(ahead.q_rad, prompt.q_rad)
    assert lead_s <= ahead.at_s < end.at_s
