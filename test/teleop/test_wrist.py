# SPDX-License-Identifier: Apache-2.0
"""The palm in the world, whoever tells it: a world is made, its parts are measured, and the palm must come out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.transform import Rotation

from dexndm_ros.policy.wrist import WRISTS, WristError
from dexndm_ros.teleop.wrist import Wrist, WristConfig, WristSource
from support.operator import rotations

NOW_S = 10.0


def same(a: Rotation, b: Rotation) -> bool:
    return bool((a.inv() * b).magnitude() < 1e-9)


@given(rotations(), rotations())
def test_an_imu_screwed_on_anyhow_tells_the_palm(palm, mount) -> None:
    wrist = Wrist(WristConfig(WristSource.IMU, imu_mount=mount))
    # a vector that is fixed to the IMU, seen in the palm and then in the world
    imu_in_world = palm * mount
    wrist.saw_imu(imu_in_world.as_quat().tolist(), NOW_S)
    assert same(wrist.palm(None, NOW_S), palm)
    probe = np.array([0.3, -0.2, 0.9])
    seen = wrist.palm(None, NOW_S).apply(mount.apply(probe))
    np.testing.assert_allclose(seen, imu_in_world.apply(probe), atol=1e-9)


@given(rotations(), rotations())
def test_an_arm_on_a_wall_tells_the_palm(base, in_base) -> None:
    wrist = Wrist(WristConfig(WristSource.ARM, base=base))
    down = base.inv().apply([0.0, 0.0, -1.0])  # gravity, as the base sees it
    palm = wrist.palm(in_base, NOW_S)
    np.testing.assert_allclose(
        palm.inv().apply([0.0, 0.0, -1.0]), in_base.inv().apply(down), atol=1e-9
    )


@given(rotations(), rotations(), rotations(), rotations())
def test_arm_and_imu_agree_on_one_hand(base, in_base, mount, turned) -> None:
    arm = Wrist(WristConfig(WristSource.ARM, base=base))
    imu = Wrist(WristConfig(WristSource.IMU, imu_mount=mount))
    for palm_in_base in (in_base, turned * in_base):
        imu.saw_imu((base * palm_in_base * mount).as_quat().tolist(), NOW_S)
        assert same(imu.palm(None, NOW_S), arm.palm(palm_in_base, NOW_S))


@pytest.mark.parametrize("name", WRISTS)
def test_a_hand_that_stands_still_is_turned_as_it_was_said(name) -> None:
    fixed = Rotation.from_quat(WRISTS[name])
    wrist = Wrist(WristConfig(WristSource.FIXED, fixed=fixed))
    assert same(wrist.palm(None, NOW_S), fixed)


def test_a_source_that_does_not_tell_leaves_it_unknown() -> None:
    upright = Rotation.identity()
    assert Wrist(WristConfig(WristSource.ARM)).palm(None, NOW_S) is None
    assert Wrist(WristConfig(WristSource.NONE)).palm(upright, NOW_S) is None
    wrist = Wrist(WristConfig(WristSource.IMU, imu_stale_s=0.2))
    assert wrist.palm(upright, NOW_S) is None
    wrist.saw_imu([0.0, 0.0, 0.0, 1.0], NOW_S)
    assert wrist.palm(upright, NOW_S + 0.2) is not None
    assert wrist.palm(upright, NOW_S + 0.3) is None


@pytest.mark.parametrize(
    ("xyzw", "known"),
    [([0.0] * 4, True), ([math.nan, 0, 0, 1], True), ([1, 1, 0, 0], True), ([0, 0, 0, 1], False)],
)
def test_what_is_no_orientation_is_refused_and_changes_nothing(xyzw, known) -> None:
    wrist = Wrist(WristConfig(WristSource.IMU))
    wrist.saw_imu([1.0, 0.0, 0.0, 0.0], NOW_S)
    with pytest.raises(WristError):
        wrist.saw_imu(xyzw, NOW_S + 0.1, known=known)
    assert same(wrist.palm(None, NOW_S + 0.1), Rotation.from_quat([1.0, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("stale_s", [0.0, -1.0, math.nan, 2.0])
def test_an_age_that_nothing_has_is_refused(stale_s) -> None:
    with pytest.raises(ValueError, match="imu_stale_s"):
        WristConfig(imu_stale_s=stale_s)
