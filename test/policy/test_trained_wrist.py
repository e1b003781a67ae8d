# SPDX-License-Identifier: Apache-2.0
"""A policy is told the wrist that it knows, whatever the heading, the sign and a little tilt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.policy.trained_wrist import TILT_RAD, wrist_as_trained
from dexndm_ros.policy.wrist import WRISTS

TRAINED = ("palm_up", "palm_down")
ANGLE = st.floats(-math.pi, math.pi)


@given(
    name=st.sampled_from(TRAINED),
    heading=ANGLE,
    tilt=st.floats(0.0, TILT_RAD - 0.01),
    about=ANGLE,
    sign=st.sampled_from([1.0, -1.0]),
)
def test_heading_sign_and_a_tilt_change_nothing(name, heading, tilt, about, sign) -> None:
    lean = Rotation.from_rotvec([tilt * math.cos(about), tilt * math.sin(about), 0.0])
    told = lean * Rotation.from_euler("z", heading) * Rotation.from_quat(WRISTS[name])
    np.testing.assert_array_equal(wrist_as_trained(sign * told.as_quat(), TRAINED), WRISTS[name])


@pytest.mark.parametrize("name", ["base_up", "thumb_up", "thumb_down"])
def test_a_wrist_that_it_does_not_know_is_told_as_it_is(name) -> None:
    np.testing.assert_array_equal(wrist_as_trained(WRISTS[name], TRAINED), WRISTS[name])


def test_a_policy_of_no_particular_wrist_is_told_all_of_it() -> None:
    told = Rotation.from_euler("xyz", [0.2, -0.1, 2.0]).as_quat()
    np.testing.assert_array_equal(wrist_as_trained(told, ()), told)
