# SPDX-License-Identifier: Apache-2.0
"""What a servo with a gap does: each kind against its closed form, in a batch, and the same in the virtual hand."""

from __future__ import annotations

import dataclasses
import math

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.description import LINKS
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, LOWER_RAD, UPPER_RAD
from dexndm_ros.hand.units import per_joint_gains, rad_from_ticks, ticks_from_rad
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.gap import GapConfig, ServoGap
from dexndm_ros.sim.motors import MotorBankConfig
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import ObjectConfig, World, WorldError
from support.emulated import EmulatedHand

FREE = World(physics="ref", object=ObjectConfig(kind="none"))
EVERYTHING = GapConfig(
    target_offset_rad=tuple(np.linspace(-0.03, 0.03, 16)),
    backlash_rad=0.02,
    delay_s=0.012,
    friction_loss_nm=tuple(np.linspace(0.0, 0.03, 16)),
    load_gain=0.5,
    torque_loss=0.3,
    heat_time_s=1.0,
    link_mass_scale=tuple(np.linspace(0.8, 1.2, 17)),
)


def servo(step_s=0.005, hands=1, **gap):
    return ServoGap([GapConfig(**gap)] * hands, step_s, np.zeros((hands, 16)))


def commanded(gap, targets, steps=1):
    """Targets in force of joint 0, when these are commanded for some physics steps each."""
    rows = [gap.commands(np.full((1, 16), target), steps)[0, :, 0] for target in targets]
    return np.concatenate(rows)


# --- targets ---


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.sampled_from([0.0, 0.05, 0.2]),
    st.integers(1, 10), st.floats(0.0, 0.06),
)  # fmt: skip
def test_play_delay_and_offset_are_what_they_say(targets, play, steps, delay_s):
    got = commanded(
        servo(backlash_rad=play, delay_s=delay_s, target_offset_rad=0.1), targets, steps
    )
    held, played = 0.0, []
    for target in targets:
        held = min(max(held, target - play / 2), target + play / 2)
        played += [held] * steps
    times = np.arange(len(played)) - delay_s / 0.005
    # A target holds from its step to the next; a part of a step is shared between old and new.
    late = np.interp(times, np.arange(-30, len(played)), np.concatenate([np.zeros(30), played]))
    np.testing.assert_allclose(got, late + 0.1, atol=1e-7)


def test_a_reset_forgets_commands_under_way_and_takes_up_the_play():
    gap = servo(backlash_rad=0.1, delay_s=0.05, hands=2)
    gap.commands(np.ones((2, 16)), 5)
    gap.reset(np.array([1]), np.full((1, 16), 0.5))
    late = gap.commands(np.full((2, 16), 0.5), 10)
    np.testing.assert_allclose(late[0, :5], 0.0)
    np.testing.assert_allclose(late[0, 5:], 0.95)
    np.testing.assert_allclose(late[1], 0.5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.sampled_from([0.0, 0.2]), st.floats(0.0, 0.05)
)  # fmt: skip
def test_a_copied_memory_lets_commands_arrive_on_time_in_other_physics_steps(
    targets, play, delay_s
):
    fine, coarse = (
        servo(0.05 / steps, backlash_rad=play, delay_s=delay_s, target_offset_rad=0.1)
        for steps in (10, 6)
    )
    commanded(fine, targets, 10)
    coarse.copy_memory(np.array([0]), fine, np.array([0]))
    begun, copied = commanded(fine, [0.3], 10), commanded(coarse, [0.3], 6)
    np.testing.assert_allclose(copied.mean(), begun.mean(), atol=1e-6)


# --- torque ---


def test_a_spring_softens_with_load_and_a_warm_motor_is_weak():
    gap = servo(load_gain=0.5, torque_loss=0.4, heat_time_s=1.0)
    q = qd = np.zeros((1, 16))
    kp, kd, limit = np.full((1, 16), 2.0), np.full((1, 16), 0.1), np.full((1, 16), 0.25)
    for share in (0.1, 0.5, 1.0):
        control = gap.control(q + share * limit / kp, q, qd, kp, kd, limit)
        np.testing.assert_allclose(kp * control / limit, share / (1 + 0.5 * share))
    np.testing.assert_allclose(gap.limit(limit), limit, rtol=0.005)
    gap.reset(np.array([0]), q)
    for _ in range(200):  # one time constant at the limit, which falls with it
        gap.control(q + 10.0, q, qd, kp, kd, limit)
    assert 0.4 < gap.heat()[0, 0] < 1 - math.exp(-1)
    np.testing.assert_allclose(gap.limit(limit), limit * (1 - 0.4 * gap.heat()))
    for _ in range(1000):  # switched off: five time constants to cool
        gap.control(q + 10.0, q, qd, 0.0 * kp, kd, limit)
    assert gap.heat()[0, 0] < 0.01


# --- in the simulator ---


def walk(steps=30, seed=0):
    rng = np.random.default_rng(seed)
    path = CANONICAL_POSE_RAD + np.cumsum(rng.uniform(-1, 1, (steps, 16)) / 24.0, axis=0)
    return np.clip(path, LOWER_RAD, UPPER_RAD)


def in_batch(worlds, targets):
    """Joint angles (T, N, 16) of a batch that starts in the canonical pose."""
    batch = HandBatch(worlds)
    batch.set_state(np.arange(len(worlds)), np.tile(CANONICAL_POSE_RAD, (len(worlds), 1)))
    seen = []
    for target in targets:
        batch.step(np.tile(target, (len(worlds), 1)))
        seen.append(batch.q)
    return np.array(seen), batch


def in_virtual_hand(world, targets):
    """The same as the virtual hand's plant turns, stepped as its motors do."""
    model = build_model(world)
    data = mujoco.MjData(model)
    for k in range(16):
        data.qpos[model.actuator_trnid[k, 0]] = CANONICAL_POSE_RAD[k]
    plant = MujocoPlant(model, data, world.gap)
    gains = world.servo.gains()
    plant.set_servo(gains.kp_nm_rad, gains.kd_nms_rad, gains.torque_limit_nm, np.zeros(16))
    seen = []
    for target in targets:
        plant.set_goal(target)
        for _ in range(world.preset.substeps):
            plant.step()
        seen.append(plant.position_rad)
    return np.array(seen)


@pytest.mark.parametrize("gap", [GapConfig(), EVERYTHING], ids=["none", "everything"])
def test_training_and_the_virtual_hand_are_the_same_hand(gap):
    targets = walk()
    world = dataclasses.replace(FREE, gap=gap)
    batch, _ = in_batch([world], targets)
    hand = in_virtual_hand(world, targets)
    np.testing.assert_allclose(batch[:, 0], hand, atol=1e-6)
    coarse, _ = in_batch([dataclasses.replace(world, physics="fast")], targets)
    assert np.abs(coarse - batch).mean() < 0.003


def test_behind_registers_it_is_still_the_same_hand():
    """Goals through the bus, gains through true_gains; a hand switched off is limp, gap or not."""
    world = dataclasses.replace(World.load("twin"), object=FREE.object, wrist="palm_down")
    model = build_model(world)
    plant = MujocoPlant(model, mujoco.MjData(model), world.gap)
    hand = EmulatedHand(plant=plant, bank_options={"true_gains": world.servo.true_gains})
    hand.switch_on()
    for gain, value in (("position_p_gain", 800), ("position_d_gain", 200)):
        hand.sync_write(gain, dict(enumerate(per_joint_gains(value).tolist())))
    batch = HandBatch([world])
    batch.set_state(np.array([0]), np.zeros((1, 16)))
    for target in walk():
        ticks = ticks_from_rad(0.5 * target)
        hand.sync_write("goal_position", dict(enumerate(ticks.tolist())))
        hand.run(0.05)
        batch.step(rad_from_ticks(ticks)[None])
        np.testing.assert_allclose(plant.position_rad, batch.q[0], atol=1e-6)
    hand.sync_write("torque_enable", dict.fromkeys(range(16), 0))
    hand.run(0.5)
    assert np.abs(plant.torque_nm).max() <= MotorBankConfig().gear_friction_nm + 1e-12
    assert np.isfinite(plant.position_rad).all()


def test_no_gap_is_the_same_bytes_alone_and_beside_others():
    """Zeros written out are no gap, and a hand without one is not touched by its neighbours'."""
    zeros = World.from_dict({"gap": {"load_gain": [0.0] * 16, "backlash_rad": 0, "delay_s": 0.0}})
    zeros = dataclasses.replace(zeros, object=FREE.object)
    targets = walk()
    alone, _ = in_batch([FREE], targets)
    np.testing.assert_array_equal(in_batch([zeros], targets)[0], alone)
    moving = GapConfig(target_offset_rad=0.05, delay_s=0.02)
    beside, _ = in_batch([FREE, dataclasses.replace(FREE, gap=moving)], targets)
    np.testing.assert_array_equal(beside[:, 0], alone[:, 0])
    assert np.abs(beside[:, 1] - alone[:, 0]).max() > 0.02
    soft, _ = in_batch([FREE, dataclasses.replace(FREE, gap=EVERYTHING)], targets)
    np.testing.assert_allclose(soft[:, 0], alone[:, 0], atol=1e-6)


def test_equal_worlds_with_a_gap_move_alike_and_warm_up_alone():
    world = dataclasses.replace(FREE, gap=EVERYTHING)
    batch = HandBatch([world] * 2)
    pose = np.tile(CANONICAL_POSE_RAD, (2, 1))
    batch.set_state(np.arange(2), pose)
    pressed = pose.copy()
    pressed[1] = UPPER_RAD
    for _ in range(20):
        batch.step(pressed)
    limits = [model.actuator_forcerange[0, 1] for model in batch.models]
    assert limits[1] < 0.95 * limits[0]
    assert np.abs(batch.torque(pressed)[1]).max() <= batch.torque_limit.max()
    batch.set_state(np.arange(2), pose)
    batch.step(pose)
    np.testing.assert_array_equal(batch.q[0], batch.q[1])


def test_friction_and_masses_are_the_model_s():
    scale = np.linspace(0.5, 1.5, 17)
    world = World.from_dict(
        {
            "hand": {"friction_loss_nm": 0.01, "armature_kg_m2": [0.001] * 15 + [0.002]},
            "gap": {"friction_loss_nm": [0.001 * k for k in range(16)], "link_mass_scale": list(scale)},
        }
    )  # fmt: skip
    model, nominal = build_model(world), build_model(World())
    joints = model.actuator_trnid[:, 0]
    dofs = model.jnt_dofadr[joints]
    np.testing.assert_allclose(model.dof_frictionloss[dofs], 0.01 + 0.001 * np.arange(16))
    np.testing.assert_allclose(model.dof_armature[dofs], [0.001] * 15 + [0.002])
    for k, name in enumerate(LINKS):
        assert model.body(name).mass[0] == pytest.approx(nominal.body(name).mass[0] * scale[k])
        np.testing.assert_allclose(model.body(name).inertia, nominal.body(name).inertia * scale[k])


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        ({"backlash_rad": -0.01}, r"gap\.backlash_rad.*0 \.\. 0\.3"),
        ({"delay_s": 2.0}, r"gap\.delay_s.*0\.5"),
        ({"delay_s": [0.01] * 16}, "delay_s: expected one number, got 16"),
        ({"torque_loss": 1.0}, r"gap\.torque_loss"),
        ({"load_gain": [0.1] * 3}, "expected 16 numbers, got 3"),
        ({"link_mass_scale": [1.0] * 16}, "expected 17 numbers, got 16"),
        ({"link_mass_scale": 1.0}, "expected 17 numbers"),
        ({"friction": 0.1}, "unknown key 'friction'.*friction_loss_nm"),
    ],
)
def test_impossible_gaps_are_refused_with_the_key(gap, words):
    with pytest.raises(WorldError, match=words):
        World.from_dict({"gap": gap})
