# SPDX-License-Identifier: Apache-2.0
"""The 3D view: the scene's tree is the hand, and the server is on the loopback interface."""

from __future__ import annotations

import urllib.request

import mujoco
import numpy as np
import pytest
import viser
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.demo.run import Picture
from dexndm_ros.demo.viewer import Viewer, joint_quaternions, link_paths
from dexndm_ros.demo.world_summary import WorldSummary, summarise, with_wrist
from dexndm_ros.hand.description import LINKS
from dexndm_ros.hand.joints import JOINT_NAMES, JOINTS, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import world_path
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import World
from support.demo_events import START, pose


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(World())


@settings(max_examples=20)
@given(st.lists(st.floats(0.0, 1.0), min_size=16, max_size=16))
def test_the_tree_of_frames_poses_every_link_as_mujoco_does(model, parts) -> None:
    q = LOWER_RAD + np.array(parts) * (UPPER_RAD - LOWER_RAD)
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in JOINT_NAMES]] = q
    mujoco.mj_kinematics(model, data)
    turned = dict(zip((j.child for j in JOINTS), joint_quaternions(q), strict=True))
    by_child = {j.child: j for j in JOINTS}
    palm = data.body("palm")
    for link, path in link_paths().items():
        position, rotation = palm.xpos.copy(), Rotation.from_quat(np.roll(palm.xquat, -1))
        for name in path.split("/")[2:]:
            position = position + rotation.apply(by_child[name].xyz_m)
            rotation = rotation * Rotation.from_quat(np.roll(turned[name], -1))
        np.testing.assert_allclose(position, data.body(link).xpos, atol=1e-9)
        expected = Rotation.from_quat(np.roll(data.body(link).xquat, -1))
        assert (rotation.inv() * expected).magnitude() < 1e-6


def test_every_link_has_one_place_below_its_parent() -> None:
    paths = link_paths()
    assert set(paths) == set(LINKS)
    assert all(paths[j.child] == f"{paths[j.parent]}/{j.child}" for j in JOINTS)


@pytest.mark.parametrize("kind", ["cylinder", "cuboid", "sphere", "none"])
def test_it_serves_on_loopback_and_draws_what_it_is_told(kind) -> None:
    world = WorldSummary(kind, 0.03, 0.03, (0.03, 0.03, 0.03), (1.0, 0.0, 0.0, 0.0))
    now = Picture(np.zeros(16), pose(START, 1.0), (0.0, 0.0, 0.0, 1.0), "text")
    viewer = Viewer(lambda: now, world, port=18080)
    with viewer:
        assert viewer.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(viewer.url, timeout=30) as page:
            assert page.status == 200
        viewer._draw(now)
        scene: viser.SceneApi = viewer._server.scene
        assert scene.get_handle_by_name("/palm/object").visible
        assert scene.get_handle_by_name("/palm").wxyz == pytest.approx((1.0, 0.0, 0.0, 0.0))
        assert (scene.get_handle_by_name("/palm/object/shape") is None) == (kind == "none")


def test_a_summary_tells_object_and_wrist(tmp_path) -> None:
    world = with_wrist(world_path("nominal"), "palm_down", tmp_path)
    summary = summarise(str(world))
    assert summary.kind == "cylinder" and summary.radius_m > 0.0
    assert summary.wrist_xyzw == pytest.approx((0.0, 0.0, 0.0, 1.0))
    assert World.load(world).wrist == "palm_down"
    assert World.load(world).object == World.load("nominal").object


def test_a_world_that_cannot_be_read_gives_an_empty_summary(tmp_path) -> None:
    assert summarise(str(tmp_path / "missing.yaml")) == WorldSummary()
