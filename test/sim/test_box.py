# SPDX-License-Identifier: Apache-2.0
"""The box of balls and the tied ball: what files say, where the balls are, and what the motors feel of them."""

from __future__ import annotations

import dataclasses
import functools

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.chaos_box import Replayer, recorded, slow_spread_a
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.sim.box import CLOSED_HAND_M, CLOSED_TIPS_M, BallView, BoxConfig, BoxError, prepare
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.virtual_hand import VirtualHand
from dexndm_ros.sim.worlds import ObjectConfig, World, WorldError

WORLDS = ("chaos_box", "chaos_box_half", "free_hand", "tied_ball")
TICKS = 100


@functools.cache
def replayed(world: str, wrist: str) -> tuple[Replayer, np.ndarray, np.ndarray]:
    """A few seconds of a shipped rollout: the world afterwards, currents and angles."""
    replayer = Replayer(World.load(world).with_wrist(wrist), seed=3)
    current, position, _ = replayer.replay(recorded(wrist, 1)[0][:TICKS])
    return replayer, current, position


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_the_shipped_worlds_are_there_in_every_wrist(name):
    world = World.load(name)
    assert world.name == name
    assert world.object.kind == "none"
    assert [world.with_wrist(w).wrist for w in WRISTS] == list(WRISTS)
    assert world.with_wrist("") is world
    with pytest.raises(WorldError, match="wrist"):
        world.with_wrist("sideways")


def test_full_and_half_are_the_same_balls_in_the_same_box():
    full, half = World.load("chaos_box"), World.load("chaos_box_half")
    assert dataclasses.replace(full.box, fill="half") == half.box
    assert full.box.count >= 100


def test_a_world_has_no_box_unless_it_says_so():
    assert World().box.kind == "none"
    model = build_model(World(object=ObjectConfig(kind="none")))
    assert len(BallView(model, mujoco.MjData(model))) == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"box": {"kind": "sand"}}, "balls"),
        ({"box": {"colour": "red"}}, "colour"),
        ({"box": {"fill": "brim"}}, "half"),
        ({"box": {"count": 99}}, "box.count"),
        ({"box": {"count": 120.5}}, "whole number"),
        ({"box": {"count": True}}, "count"),
        ({"box": {"mass_kg": 0}}, "box.mass_kg"),
        ({"box": {"softness_s": 0.001}}, "box.softness_s"),
        ({"box": {"hardness": [0.9, 0.5]}}, "box.hardness"),
        ({"box": {"hardness": 0.9}}, "hardness"),
        ({"box": {"kind": "balls"}}, "object.kind"),
        ({"box": 7}, "mapping"),
    ],
)
def test_impossible_boxes_are_refused_with_the_key(data, words):
    with pytest.raises(WorldError, match=words):
        World.from_dict(data)


@given(st.sampled_from([f.name for f in dataclasses.fields(BoxConfig) if f.type == "float"]))
def test_every_number_of_a_box_has_a_limit(name):
    for value in (-1.0, 1e6, float("nan")):
        with pytest.raises(BoxError, match=name):
            dataclasses.replace(BoxConfig(), **{name: value}).check()


@settings(max_examples=8, deadline=None)
@given(
    count=st.integers(100, 160),
    radius=st.floats(0.015, 0.03),
    wrist=st.sampled_from(sorted(WRISTS)),
    fill=st.sampled_from(["full", "half"]),
)
def test_the_model_has_the_balls_of_the_file(count, radius, wrist, fill):
    box = BoxConfig(kind="balls", count=count, radius_m=radius, fill=fill)
    world = World(wrist=wrist, physics="balls", object=ObjectConfig(kind="none"), box=box)
    model = build_model(world)
    balls = BallView(model, mujoco.MjData(model))
    radii = model.geom_size[balls.geoms, 0]
    assert len(balls) == count
    assert np.abs(radii / radius - 1.0).max() <= box.radius_spread + 1e-9
    assert model.nv == 16 + 3 * count


# --- where things are -----------------------------------------------------------------------------


def test_the_closed_hand_is_as_large_as_the_box_is_built_for():
    model = build_model(World(wrist="palm_down", object=ObjectConfig(kind="none")))
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in JOINT_NAMES]] = CANONICAL_POSE_RAD
    mujoco.mj_kinematics(model, data)
    palm = data.body("palm").xpos
    half = np.einsum("gij,gj->gi", np.abs(data.geom_xmat.reshape(-1, 3, 3)), model.geom_size)
    np.testing.assert_allclose(
        (data.geom_xpos - half).min(axis=0) - palm, CLOSED_HAND_M[0], atol=2e-3
    )
    np.testing.assert_allclose(
        (data.geom_xpos + half).max(axis=0) - palm, CLOSED_HAND_M[1], atol=2e-3
    )
    tips = np.mean([data.site(k).xpos for k in range(model.nsite)], axis=0)
    np.testing.assert_allclose(tips - palm, CLOSED_TIPS_M, atol=2e-3)


@pytest.mark.parametrize("wrist", WRISTS)
def test_the_hand_is_sunk_at_full_load_and_the_surface_is_at_the_fingertips_at_half(wrist):
    for name in ("chaos_box", "chaos_box_half"):
        world = World.load(name).with_wrist(wrist)
        model = build_model(world)
        data = mujoco.MjData(model)
        palm_m = model.body("palm").pos.copy()
        prepare(model, data, world.box, seed=0)
        assert data.time == 0.0
        np.testing.assert_array_equal(model.body("palm").pos, palm_m)
        tops = BallView(model, data).world_m()[:, 2] + world.box.radius_m
        surface = np.percentile(tops, 90)
        turned = Rotation.from_quat(world.wrist_xyzw())
        corners = np.array(np.meshgrid(*CLOSED_HAND_M.T)).reshape(3, -1).T
        heights = palm_m[2] + turned.apply(corners)[:, 2]
        tips = palm_m[2] + turned.apply(CLOSED_TIPS_M)[2]
        if name == "chaos_box":
            assert surface > heights.max()
        else:
            assert heights.min() < surface < heights.max()
            assert surface < tips + 2.0 * world.box.radius_m
        assert tops.min() - 2.0 * world.box.radius_m < heights.min()  # balls under the hand too


def test_the_same_seed_pours_the_same_balls_and_another_does_not():
    world = World.load("chaos_box_half")

    def poured(seed: int) -> tuple[np.ndarray, np.ndarray]:
        replayer = Replayer(world, seed)
        current, _ = replayer.hold(CANONICAL_POSE_RAD + 0.1)
        return replayer.balls.world_m(), current

    first, again, other = poured(5), poured(5), poured(6)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - other[0]).max() > 1e-3


# --- a replay -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrist", WRISTS)
def test_balls_stay_in_the_box_and_the_hand_moves(wrist):
    replayer, _, position = replayed("chaos_box", wrist)
    world = World.load("chaos_box")
    planes = replayer.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    walls = replayer.model.geom_pos[planes]
    balls = replayer.balls.world_m()
    assert np.isfinite(replayer.data.qpos).all()
    assert not any(warning.number for warning in replayer.data.warning)
    assert (np.abs(balls[:, :2] - walls[:, :2].mean(axis=0)) < world.box.width_m / 2.0).all()
    assert (balls[:, 2] > walls[:, 2].min()).all()
    assert balls[:, 2].max() < walls[:, 2].min() + 0.4
    assert np.ptp(position, axis=0).mean() > 0.1


@pytest.mark.parametrize("wrist", WRISTS)
def test_the_wandering_of_the_load_tells_a_full_box_from_an_empty_one(wrist):
    free, full = (
        slow_spread_a(replayed(name, wrist)[1], 120.0) for name in ("free_hand", "chaos_box")
    )
    assert full > 1.5 * free


def test_half_load_lies_between_free_and_full():
    free, half, full = (
        np.mean([slow_spread_a(replayed(name, wrist)[1], 120.0) for wrist in WRISTS])
        for name in ("free_hand", "chaos_box_half", "chaos_box")
    )
    assert 1.2 * free < half < full


@pytest.mark.parametrize("wrist", WRISTS)
def test_motors_stay_on_and_would_stay_cool_for_ever(wrist):
    for name in ("chaos_box", "tied_ball"):
        replayer, current, _ = replayed(name, wrist)
        assert replayer.bank.torque_on.all()
        assert not any(servo.get("hardware_error_status") for servo in replayer.bank.servos)
        # The emulated motor's steady state: 28 °C and 110 °C at 1 A, in the square.
        assert (28.0 + 110.0 * (current**2).mean(axis=0)).max() < 50.0


@pytest.mark.parametrize("wrist", WRISTS)
def test_the_tied_ball_stays_between_three_fingertips_and_loads_them(wrist):
    replayer, current, position = replayed("tied_ball", wrist)
    data = replayer.data
    ball = replayer.balls.world_m()[0]
    far = [np.linalg.norm(data.site(f"{k}_tip").xpos - ball) for k in ("index", "middle", "thumb")]
    assert max(far) < World.load("tied_ball").box.radius_m + 0.04
    assert np.ptp(position, axis=0).mean() > 0.1
    assert np.abs(current).mean() > np.abs(replayed("free_hand", wrist)[1]).mean()


def test_the_virtual_hand_shows_its_balls_and_needs_no_object():
    with VirtualHand(World.load("chaos_box_half").with_wrist("base_up"), seed=2) as hand:
        hand.reset()
        view = hand.snapshot()
    assert view.object_position_m is None
    assert view.phase is None
    assert view.ball_position_m.shape == (hand.world.box.count, 3)
    # base up: the fingers hang along +x of the palm, into the balls.
    assert np.abs(view.ball_position_m).max() < 0.5
    assert view.ball_position_m[:, 0].mean() > 0.0


def test_a_free_hand_has_no_balls_to_show():
    with VirtualHand("free_hand") as hand:
        assert hand.snapshot().ball_position_m.shape == (0, 3)
