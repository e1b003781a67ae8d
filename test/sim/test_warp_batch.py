# SPDX-License-Identifier: Apache-2.0
"""The GPU lane against the CPU lane, on warp's CPU device: the same worlds, states and commands.

warp computes in float32. What the two may differ by is measured: in 100 control steps of two kinds of object, each
begun from the same state, the median world and step differed by 5e-6 rad and 2e-7 m, nine in ten by less than
2e-3 rad and 1.5e-4 m. In the rest a contact came or went: there MuJoCo itself differs by up to 7 mm from MuJoCo whose
state was rounded to float32.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.wrist import WRISTS, parse_wrist
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import ACTION_SCALE_RAD, EnvConfig, RotationEnv
from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import ObjectConfig, World

pytest.importorskip("mujoco_warp", reason="mujoco_warp is not installed: requirements-gpu.txt")

from dexndm_ros.sim.warp_batch import WarpHandBatch
from dexndm_ros.sim.warp_model import WarpConfig, WarpError, WarpOverflowError

pytestmark = (
    pytest.mark.slow
)  # on a new machine warp first compiles its kernels, for a minute or two
COUNT = 3
ROWS = np.arange(COUNT)
SIZES = {
    "cylinder": [{"radius_m": 0.032 + 0.002 * k} for k in range(COUNT)],
    "cuboid": [{"half_size_m": (0.027 + 0.001 * k, 0.028, 0.03)} for k in range(COUNT)],
}


def worlds_of(kind: str) -> list[World]:
    """Worlds that differ in size, mass, friction, gains and centre of mass."""
    ranges = Randomisation(centre_of_mass_share=0.1)
    drawn = draw_worlds(World(physics="fast", object=ObjectConfig(kind=kind)), COUNT, ranges, 0)
    return [
        dataclasses.replace(world, object=dataclasses.replace(world.object, **size))
        for world, size in zip(drawn, SIZES[kind], strict=True)
    ]


@pytest.fixture(scope="module", params=["cylinder", "cuboid"])
def lanes(request):
    """The CPU lane, the GPU lane on a CPU, and a grasp for each world."""
    worlds = worlds_of(request.param)
    cpu = HandBatch(worlds, threads=1)
    cache = make_grasps(worlds, 24, seed=1, batch=cpu)
    env = RotationEnv(worlds, cache, np.array([0.0, 0.0, 1.0]), EnvConfig(), seed=2, batch=cpu)
    return cpu, WarpHandBatch(worlds, device="cpu"), env.starts(np.ones(COUNT, dtype=bool))


def place(hands, grasps):
    hands.set_state(ROWS, grasps.q, grasps.position, grasps.rotation_xyzw, grasps.target)


def angle_between(a, b):
    return (a.object_rotation * b.object_rotation.inv()).magnitude()


def test_a_free_hand_moves_as_in_mujoco_for_a_hundred_random_steps(lanes):
    """So near the canonical pose no finger touches another, and the object falls far below."""
    cpu, gpu, _ = lanes
    q = np.tile(CANONICAL_POSE_RAD, (COUNT, 1))
    below = np.tile([0.0, 0.0, 0.6], (COUNT, 1))
    for hands in lanes[:2]:
        hands.set_state(ROWS, q, below, np.tile([0.0, 0.0, 0.0, 1.0], (COUNT, 1)))
    rng = np.random.default_rng(0)
    target = q.copy()
    for _ in range(100):
        target += rng.uniform(-1, 1, q.shape) * ACTION_SCALE_RAD
        target = np.clip(target, np.maximum(q - 0.05, LOWER_RAD), np.minimum(q + 0.05, UPPER_RAD))
        cpu.step(target)
        gpu.step(target)
        np.testing.assert_allclose(gpu.q, cpu.q, atol=1e-4)
        np.testing.assert_allclose(gpu.qd, cpu.qd, atol=1e-2)
        np.testing.assert_allclose(gpu.tip_position, cpu.tip_position, atol=1e-5)
    np.testing.assert_allclose(gpu.object_position, cpu.object_position, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gpu.torque(target), cpu.torque(target), atol=1e-3)
    assert np.ptp(cpu.q, axis=0).max() > 1e-3  # gains differ, so the worlds must as well


def test_a_held_object_moves_as_in_mujoco_in_each_of_a_hundred_random_steps(lanes):
    cpu, gpu, grasps = lanes
    rng = np.random.default_rng(1)
    apart = []
    for step in range(100):
        if step % 20 == 0:  # before it is lost
            place(cpu, grasps)
            target = grasps.target.copy()
        target += rng.uniform(-1, 1, target.shape) * ACTION_SCALE_RAD
        target = np.clip(target, LOWER_RAD, UPPER_RAD)
        push = rng.normal(size=(COUNT, 3)) * 0.1
        gpu.recall(cpu.memory())
        cpu.step(target, push=push)
        gpu.step(target, push=push)
        position = np.abs(gpu.object_position - cpu.object_position).max(axis=1)
        force = np.abs(gpu.tip_force - cpu.tip_force).max(axis=1)
        apart.append([np.abs(gpu.q - cpu.q).max(axis=1), position, angle_between(gpu, cpu), force])
    apart = np.concatenate(np.transpose(apart, (0, 2, 1)))
    assert (np.median(apart, axis=0) < [1e-4, 1e-5, 3e-4, 1e-2]).all()
    assert (np.quantile(apart, 0.9, axis=0) < [1e-2, 1e-3, 3e-2, 1.0]).all()
    assert cpu.tip_force.max() > 0.1  # it was in the fingers


def test_a_grasp_holds_alike_and_overlaps_alike_for_half_a_second(lanes):
    cpu, gpu, grasps = lanes
    place(cpu, grasps)
    place(gpu, grasps)
    np.testing.assert_allclose(gpu.penetration(), cpu.penetration(), atol=1e-5)
    for _ in range(10):
        cpu.step(grasps.target)
        gpu.step(grasps.target)
    np.testing.assert_allclose(gpu.object_position, cpu.object_position, atol=2e-3)
    np.testing.assert_allclose(gpu.q, cpu.q, atol=2e-2)
    assert angle_between(gpu, cpu).max() < 0.1


def test_hands_turn_and_loads_pull_in_both_lanes(lanes):
    cpu, gpu, grasps = lanes
    wrists = np.array([parse_wrist(name) for name in list(WRISTS)[:COUNT]])
    away = np.tile([0.0, 0.0, 0.6], (COUNT, 1))
    for hands in (cpu, gpu):
        hands.set_state(ROWS, grasps.q, away, grasps.rotation_xyzw)
        hands.turn(ROWS, wrists)
        hands.step(grasps.q, load=lambda q, qd: 0.05 * np.ones_like(q))
        hands.turn(ROWS, np.array([w.wrist_xyzw() for w in hands.worlds]))
    np.testing.assert_allclose(gpu.q, cpu.q, atol=1e-4)
    np.testing.assert_allclose(gpu.up, cpu.up, atol=1e-7)
    np.testing.assert_allclose(gpu.object_position, cpu.object_position, atol=1e-5)
    before = gpu.q.copy()
    gpu.step(grasps.q)  # the load of the last step is gone
    assert np.abs(gpu.q - before).max() > 1e-3


def test_the_environment_runs_on_it(lanes):
    _, gpu, grasps = lanes
    kinds = {"objects": grasps.meta["objects"], "joint_names": grasps.meta["joint_names"]}
    cache = dataclasses.replace(grasps, meta=kinds)
    config = EnvConfig(push_m_s2=2.0, episode_steps=4)
    env = RotationEnv(gpu.worlds, cache, np.array([0.0, 0.0, 1.0]), config, batch=gpu)
    for _ in range(6):
        result = env.step(np.zeros((COUNT, 16)))
        assert result.finite.all()
    assert env.privileged().shape == (COUNT, 126)
    assert (env.episode_step < 4).all()


def test_room_that_is_too_small_is_an_error_that_names_the_setting(lanes):
    cpu, _, grasps = lanes
    for room, setting in ((WarpConfig(nconmax=1), "nconmax"), (WarpConfig(njmax=2), "njmax")):
        small = WarpHandBatch(cpu.worlds, room, device="cpu")
        place(small, grasps)
        with pytest.raises(WarpOverflowError, match=rf"world 0.*raise --{setting}"):
            small.step(grasps.target)


def test_a_number_that_went_bad_is_seen(lanes):
    _, gpu, grasps = lanes
    place(gpu, grasps)
    memory = gpu.memory()
    memory["state"][1, gpu._velocities] = np.nan
    gpu.recall(memory)
    gpu.step(grasps.target)
    assert gpu.finite().tolist() == [True, False, True]
    place(gpu, grasps)
    gpu.step(grasps.target)
    assert gpu.finite().all()


@pytest.mark.parametrize(
    ("worlds", "reason"),
    [
        ([World(physics="fast", object=ObjectConfig(kind=k)) for k in ("cylinder", "cuboid")], "geom_type.*cuboid"),
        ([World(gap=GapConfig(delay_s=0.01))], "a gap .*--engine cpu"),
        ([World(gap=GapConfig(torque_loss=0.2))], "a gap .*--engine cpu"),
        ([World(physics="fast"), World(physics="ref")], "presets fast and ref"),
    ],
)  # fmt: skip
def test_worlds_that_it_cannot_step_together_are_refused(worlds, reason):
    with pytest.raises(WarpError, match=reason):
        WarpHandBatch(worlds, device="cpu")
