# SPDX-License-Identifier: Apache-2.0
"""The arm's frames in the 3D view, against the chain that the arm is moved by."""

from __future__ import annotations

import urllib.request
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.demo.arm_view import arm_paths, arm_quaternions
from dexndm_ros.demo.run import Picture
from dexndm_ros.demo.viewer import Viewer
from dexndm_ros.demo.world_summary import WorldSummary
from dexndm_ros.teleop.bulb import READY_RAD
from dexndm_ros.teleop.chain import ArmChain
from dexndm_ros.teleop.fr3 import ARM_JOINTS, ARM_LOWER_RAD, ARM_UPPER_RAD, FLANGE_M

ANGLES = st.tuples(
    *(st.floats(low, up) for low, up in zip(ARM_LOWER_RAD, ARM_UPPER_RAD, strict=True))
).map(np.array)


@settings(max_examples=30)
@given(ANGLES)
def test_the_frames_put_the_flange_where_the_chain_has_it(q) -> None:
    place, turn = np.zeros(3), Rotation.identity()
    for joint, (w, x, y, z) in zip(ARM_JOINTS, arm_quaternions(q), strict=True):
        place = place + turn.apply(joint.xyz_m)
        turn = turn * Rotation.from_quat([x, y, z, w])
    flange = ArmChain().pose(q)
    np.testing.assert_allclose(place + turn.apply(FLANGE_M), flange.position_m, atol=1e-9)
    assert (turn.inv() * flange.rotation).magnitude() < 1e-7


def test_each_joint_is_below_the_one_before_it() -> None:
    paths = arm_paths()
    assert len(paths) == 7
    assert all(later.startswith(f"{path}/") for path, later in pairwise(paths))


def test_arm_hand_and_object_are_served_on_loopback() -> None:
    world = WorldSummary("cylinder", 0.034, 0.03, grasp_centre_m=(-0.005, -0.04, -0.125))
    now = Picture(np.zeros(16), None, None, "it moves", np.array(READY_RAD))
    with Viewer(lambda: now, world, port=18180, arm=True) as viewer:
        viewer._draw(now)
        with urllib.request.urlopen(viewer.url, timeout=30) as page:
            assert b"<html" in page.read().lower()
