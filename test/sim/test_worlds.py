# SPDX-License-Identifier: Apache-2.0
"""World files: what is read, what is refused, and what the model built from one looks like."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import PHYSICS_PRESETS, ObjectConfig, World, WorldError

KEYS = {"name", "wrist", "physics", "servo", "hand", "object", "box", "gap"}


def test_the_shipped_world_is_the_default_one():
    world = World.load("nominal")
    assert world.object == ObjectConfig()
    assert world.servo == World().servo


@given(st.text(min_size=1).filter(lambda key: key not in KEYS))
def test_an_unknown_key_is_refused_by_name(key):
    with pytest.raises(WorldError) as error:
        World.from_dict({key: 1})
    assert repr(key) in str(error.value)
    assert "wrist" in str(error.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"servo": {"p_gian": 800}}, "p_gian"),
        ({"object": {"kind": "teapot"}}, "cylinder"),
        ({"object": {"mass_kg": -1}}, "mass_kg"),
        ({"object": {"mass_kg": float("nan")}}, "mass_kg"),
        ({"object": {"mass_kg": "heavy"}}, "mass_kg"),
        ({"object": {"half_size_m": [0.1, 0.1]}}, "half_size_m"),
        ({"servo": {"kp_scale": [1, 2, 3]}}, "kp_scale"),
        ({"wrist": "sideways"}, "wrist"),
        ({"physics": "magic"}, "fast"),
        ({"hand": {"armature_kg_m2": -0.1}}, "armature_kg_m2"),
        ({"object": 7}, "object"),
        ([1, 2], "mapping"),
    ],
)
def test_impossible_worlds_are_refused_with_the_key(data, words):
    with pytest.raises(WorldError, match=words):
        World.from_dict(data)


def test_files_that_cannot_be_read_are_one_clear_error(tmp_path):
    with pytest.raises((WorldError, FileNotFoundError), match="absent"):
        World.load(tmp_path / "absent.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1, 2")
    with pytest.raises(WorldError, match=r"bad\.yaml"):
        World.load(bad)


def test_a_world_file_reads_back_what_was_written(tmp_path):
    file = tmp_path / "mine.yaml"
    scale = [1.0 + 0.01 * k for k in range(16)]
    file.write_text(yaml.safe_dump({"wrist": "thumb_up", "servo": {"kp_scale": scale}}))
    world = World.load(file)
    assert world.wrist == "thumb_up"
    assert world.servo.kp_scale == tuple(scale)


@settings(max_examples=10, deadline=None)
@given(
    st.sampled_from(["cylinder", "cuboid", "sphere", "none"]),
    st.sampled_from(list(PHYSICS_PRESETS)),
)
def test_the_model_of_a_world(kind, physics):
    world = World(physics=physics, object=ObjectConfig(kind=kind))
    model = build_model(world)
    assert [model.actuator(k).name for k in range(16)] == list(JOINT_NAMES)
    for k, name in enumerate(JOINT_NAMES):
        joint = model.joint(name)
        assert tuple(joint.range) == pytest.approx((LOWER_RAD[k], UPPER_RAD[k]))
        assert model.actuator_trnid[k, 0] == joint.id
    gains = world.servo.gains()
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], gains.kp_nm_rad)
    np.testing.assert_allclose(model.actuator_forcerange[:, 1], gains.torque_limit_nm)
    assert model.opt.timestep * PHYSICS_PRESETS[physics].substeps == pytest.approx(0.05)
    if kind != "none":
        assert model.body("object").mass[0] == pytest.approx(world.object.mass_kg)


def test_the_wrist_turns_the_palm_and_carries_the_object_along():
    for wrist in ("palm_up", "palm_down", "base_up", "thumb_down"):
        world = World(wrist=wrist)
        model = build_model(world)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        palm = data.body("palm")
        rotation = palm.xmat.reshape(3, 3)
        centre = rotation.T @ (data.body("object").xpos - palm.xpos)
        np.testing.assert_allclose(centre, [-0.005, -0.040, -0.125], atol=1e-9)
        # The grasp side is -z of the palm: it looks up only with the palm up.
        looks_up = -rotation[2, 2]
        assert looks_up == pytest.approx({"palm_up": 1, "palm_down": -1}.get(wrist, 0), abs=1e-9)


def test_a_folder_of_that_name_does_not_hide_a_shipped_world(tmp_path, monkeypatch):
    (tmp_path / "nominal").mkdir()
    monkeypatch.chdir(tmp_path)
    assert World.load("nominal") == World()
