# SPDX-License-Identifier: Apache-2.0
"""The rotation environment: orders, observations, rewards, falls, and sameness for a seed."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import ACTION_SCALE_RAD, EnvConfig, RotationEnv
from dexndm_ros.sim.fall import FallLimits
from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.grasp_cache import GraspCache, GraspError
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.rewards import (
    PAPER,
    RewardWeights,
    StepQuantities,
    off_axis_weight,
    reward_terms,
)
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.tasks import TaskDraw
from dexndm_ros.sim.worlds import ObjectConfig, World

Z = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def grasps() -> GraspCache:
    return make_grasps([World(physics="fast")] * 32, 48, seed=3)


def make_env(grasps, axis=Z, worlds=None, **kwargs) -> RotationEnv:
    worlds = worlds or [World(physics="fast")] * 4
    return RotationEnv(worlds, grasps, axis, EnvConfig(**kwargs), seed=5)


def test_the_batch_moves_each_joint_to_the_target_of_its_own_motor_id():
    batch = HandBatch([World(physics="fast")] * 16)
    q = np.tile(0.3 * np.ones(16), (16, 1))
    away = np.tile([0.0, 0.0, -0.6], (16, 1))
    batch.set_state(np.arange(16), q, away, np.tile([0, 0, 0, 1.0], (16, 1)))
    target = q + 0.2 * np.eye(16)
    for _ in range(20):
        batch.step(target)
    moved = batch.q - q
    assert (np.argmax(moved, axis=1) == np.arange(16)).all()
    np.testing.assert_allclose(np.diag(moved), 0.2, atol=0.08)


@pytest.mark.parametrize(("held", "tolerance"), [(False, 1e-9), (True, 3e-3)])
def test_a_batch_of_one_is_what_plain_mujoco_does(grasps, held, tolerance):
    """The same targets through the batch and through mj_step, free and with the object in the fingers.

    In contact the solvers start from different guesses, hence the tolerance.
    """
    world = World(physics="ref", wrist="palm_up")
    batch = HandBatch([world], threads=1)
    position = grasps.position[:1] if held else np.array([[0.0, 0.0, -0.6]])
    batch.set_state(np.array([0]), grasps.q[:1], position, grasps.rotation_xyzw[:1])
    model = build_model(world)
    data = mujoco.MjData(model)
    slots = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
    data.qpos[:] = batch._state[0, 1 : 1 + model.nq]
    rng = np.random.default_rng(0)
    for _ in range(5):
        target = np.clip(grasps.target[:1] + rng.uniform(-0.1, 0.1, (1, 16)), LOWER_RAD, UPPER_RAD)
        batch.step(target)
        data.ctrl[:] = target[0]
        mujoco.mj_step(model, data, world.preset.substeps)
    np.testing.assert_allclose(batch.q[0], data.qpos[slots], atol=tolerance)


def test_grasps_hold_and_keep_their_targets(grasps, tmp_path):
    assert len(grasps) == 48
    assert np.abs(grasps.target - grasps.q).max() > 0.02  # grip force is target minus angle
    grasps.save(tmp_path / "grasps.npz")
    again = GraspCache.load(tmp_path / "grasps.npz")
    np.testing.assert_allclose(again.target, grasps.target, atol=1e-6)
    assert again.meta["accepted"] == grasps.meta["accepted"]
    env = make_env(grasps)
    start = env.batch.object_position.copy()
    for _ in range(20):
        env.step(np.zeros((4, 16)))
    assert np.linalg.norm(env.batch.object_position - start, axis=1).max() < 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_cache_is_refused_and_a_whole_one_is_not(saved, where, change):
    data = bytearray(saved.read_bytes())
    data[where % len(data)] ^= change
    broken = saved.with_name("broken.npz")
    broken.write_bytes(data)
    whole = GraspCache.load(saved)
    try:
        read = GraspCache.load(broken)
    except GraspError as error:
        assert str(broken) in str(error)
    else:  # a byte that nobody reads
        assert read.sha256 == whole.sha256 == whole.meta["sha256"]


@pytest.fixture(scope="module")
def saved(grasps, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "grasps.npz"
    grasps.save(path)
    return path


def test_actions_are_bounded_deltas_of_the_previous_target(grasps):
    env = make_env(grasps)
    before = env.target.copy()
    action = np.full((4, 16), 7.0)
    env.step(action)
    expected = np.clip(before + ACTION_SCALE_RAD, LOWER_RAD, UPPER_RAD)
    np.testing.assert_allclose(env.target, expected)


def test_the_proprioceptive_observation_is_the_policys_own(grasps):
    env = make_env(grasps)
    for step in range(3):
        env.step(np.full((4, 16), 0.1 * step))
    observation = env.proprioceptive()
    assert observation.shape == (4, 327)
    newest = observation[:, 288:320]
    np.testing.assert_allclose(newest[:, 16:], env.target, atol=1e-6)
    np.testing.assert_allclose(newest[:, :16], env.batch.q, atol=2 * np.pi / 4096)
    np.testing.assert_allclose(observation[:, 320:324], np.tile([1, 0, 0, 0], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(observation[:, 324:], np.tile(Z, (4, 1)))


def test_another_axis_and_another_wrist_change_reward_and_observation(grasps):
    action = np.random.default_rng(1).uniform(-1, 1, (6, 4, 16))

    def returns(axis, wrist):
        worlds = [World(physics="fast", wrist=wrist)] * 4
        env = make_env(grasps, axis, worlds)
        total = np.zeros(4)
        for a in action:
            total += env.step(a).terms["rotation"]
        return total, env.privileged()

    plus, obs_plus = returns(Z, "palm_up")
    minus, _ = returns(-Z, "palm_up")
    turned, obs_turned = returns(Z, "thumb_up")
    np.testing.assert_allclose(plus, -minus, atol=1e-9)
    assert np.abs(plus).max() > 1e-4
    assert np.abs(plus - turned).max() > 1e-6
    assert np.abs(obs_plus - obs_turned).max() > 0.1


def test_turning_is_counted_about_the_axis_with_its_sign(grasps):
    """An object put into the world turning about the palm's z is counted on z and on nothing else."""
    world = World(physics="fast", wrist="palm_up")
    env = make_env(grasps, Z, [world])
    batch = env.batch
    batch.set_state(
        np.array([0]), np.zeros((1, 16)), np.array([[0.0, 0.0, -0.5]]), np.array([[0, 0, 0, 1.0]])
    )
    model = batch.models[0]
    free = 1 + model.nq + model.joint("object_free").dofadr[0]
    # Free-joint angular velocity is in the object's frame; the palm is turned half about x: -z there is +z here.
    batch._state[0, free + 3 : free + 6] = [0.0, 0.0, 2.0]
    result = env.step_target(np.zeros((1, 16)), np.zeros((1, 16)))
    assert result.turned_rad[0] == pytest.approx(2.0 * 0.05, rel=1e-3)
    assert result.off_axis_rad[0] < 1e-6


def test_episodes_end_by_fall_or_by_time_and_begin_anew(grasps):
    env = make_env(grasps, episode_steps=5)
    for step in range(5):
        result = env.step(np.zeros((4, 16)))
        assert result.truncated.all() == (step == 4)
    assert (env.episode_step == 0).all()
    env.target[:] = np.where(np.arange(16) % 4 == 1, -0.3, 0.0)  # let go
    seen = np.zeros(4, dtype=bool)
    env = make_env(grasps, auto_reset=False)
    for _ in range(40):
        result = env.step_target(np.zeros((4, 16)), np.zeros((4, 16)))
        seen |= result.terminated
        assert not (result.terminated & result.truncated).any()
    assert seen.all()


def quantities(n=3, **changes) -> StepQuantities:
    base = StepQuantities(
        axis=np.tile(Z, (n, 1)),
        angular_velocity=np.zeros((n, 3)),
        velocity=np.zeros((n, 3)),
        pose_error=np.zeros((n, 16)),
        torque=np.zeros((n, 16)),
        joint_velocity=np.zeros((n, 16)),
        fingertips=np.zeros(n),
        fallen=np.zeros(n, dtype=bool),
        goal_error=np.full(n, np.pi / 2),
    )
    return dataclasses.replace(base, **changes)


def test_reward_terms_one_by_one():
    w = RewardWeights()
    late = int(w.off_axis_end_steps)
    omega = np.array([[0, 0, 0.3], [0, 0, 9.0], [0.4, 0.2, -9.0]])
    terms = reward_terms(quantities(angular_velocity=omega), w, late)
    np.testing.assert_allclose(terms["rotation"], [0.3, 0.5, -0.5])
    np.testing.assert_allclose(terms["off_axis"], [0, 0, -0.1 * 0.6])
    terms = reward_terms(quantities(velocity=np.array([[0.1, -0.2, 0.3]] * 3)), w, 0)
    np.testing.assert_allclose(terms["linear"], -0.3 * 0.6)
    assert (
        reward_terms(quantities(pose_error=np.full((3, 16), 0.5)), w, 0)["pose"] == -0.15 * 4.0
    ).all()
    assert reward_terms(quantities(torque=np.full((3, 16), 0.1)), w, 0)["torque"] == pytest.approx(
        -0.3 * 0.16
    )
    work = reward_terms(
        quantities(torque=np.full((3, 16), -0.1), joint_velocity=np.ones((3, 16))), w, 0
    )["work"]
    assert work == pytest.approx(-0.1 * 1.6)
    assert (reward_terms(quantities(fingertips=np.full(3, 4.0)), w, 0)["fingertips"] == 0.12).all()
    assert (reward_terms(quantities(fallen=np.ones(3, dtype=bool)), w, 0)["fall"] == -5.0).all()


def test_both_readings_of_the_terms_where_paper_and_code_differ():
    omega = np.zeros((3, 16))
    omega[:, :2] = [2.0, -1.0]
    s = quantities(
        velocity=np.tile([0.1, -0.2, 0.2], (3, 1)), torque=np.full((3, 16), 0.5), joint_velocity=omega
    )  # fmt: skip

    def term(name, **readings):
        return reward_terms(s, RewardWeights(**{name: 1.0}, **readings), 0)[name]

    np.testing.assert_allclose(term("work", work_reading="abs"), -1.5)
    np.testing.assert_allclose(term("work", work_reading="signed"), -0.5)
    np.testing.assert_allclose(term("work", work_reading="squared"), -0.25)
    np.testing.assert_allclose(term("linear", linear_reading="l1"), -0.5)
    np.testing.assert_allclose(term("linear", linear_reading="squared"), -0.09)
    for field in ("work_reading", "linear_reading", "pose_reading"):
        with pytest.raises(ValueError, match=field):
            RewardWeights(**{field: "other"})


def test_the_goal_pays_more_the_nearer_it_is_and_a_bonus_at_it():
    w = RewardWeights(goal=2.0, goal_gain=0.1, goal_soften_rad=0.1, goal_cap=0.8, goal_bonus=3.0)
    near = quantities(goal_error=np.array([0.9, 0.3, 0.01]))
    np.testing.assert_allclose(reward_terms(near, w, 0)["goal"], [0.2, 0.5, 2 * (0.8 + 3.0)])


def test_the_paper_counts_resets_of_one_environment():
    assert off_axis_weight(PAPER, 10**9, resets=10) == 0.0
    assert off_axis_weight(PAPER, 0, resets=55) == pytest.approx(0.05)
    assert off_axis_weight(PAPER, 0, resets=1000) == pytest.approx(0.1)


def test_the_goal_is_a_quarter_turn_ahead_and_moves_on_when_it_is_near(grasps):
    """The goal pays when the object has been turned to it, by hand here, and is then a quarter turn further."""
    env = make_env(grasps, reward=RewardWeights(goal=1.0))
    start = env.batch.object_rotation
    still = env.step_target(env.target, env.target).terms["goal"]
    np.testing.assert_allclose(still, 0.1 / (np.pi / 2 + 0.1), rtol=0.05)
    rows = np.arange(4)
    for quarter in (1, 2):
        there = Rotation.from_rotvec([0, 0, quarter * np.pi / 2]) * start
        env.batch.set_state(
            rows, env.batch.q, env.batch.object_position, there.as_quat(), env.target
        )
        assert (env.step_target(env.target, env.target).terms["goal"] > 1.0).all()
        assert (env.step_target(env.target, env.target).terms["goal"] < 0.1).all()


def test_tasks_are_drawn_at_each_reset_and_turn_gravity(grasps):
    env = make_env(
        grasps,
        worlds=[World(physics="fast", wrist="palm_down")] * 64,
        tasks=TaskDraw(("all",), ("all",)),
    )
    seen = set()
    for _ in range(4):
        env.reset()
        np.testing.assert_allclose(env.proprioceptive()[:, 324:], env.axes, atol=1e-6)
        np.testing.assert_allclose(
            env.batch.up, Rotation.from_quat(env.wrists).inv().apply([0, 0, 1]), atol=1e-12
        )
        tasks = np.concatenate([env.axes, env.batch.up], axis=1)
        seen |= {tuple(task) for task in np.round(tasks, 3).tolist()}
    assert len(seen) > 100  # of 32 x 6, in 256 draws


def test_a_hand_that_is_turned_is_one_that_was_built_so(grasps):
    """What gravity does to the object under each wrist, before anything else touches it."""
    for wrist, quaternion in WRISTS.items():
        built = HandBatch([World(physics="fast", wrist=wrist)], 1)
        turned = HandBatch([World(physics="fast", wrist="palm_down")], 1)
        turned.turn(np.array([0]), np.array([quaternion]))
        np.testing.assert_allclose(turned.up, built.up, atol=1e-12)
        away = np.array([[0.0, 0.0, -0.6]])
        for batch in (built, turned):
            batch.set_state(np.array([0]), np.zeros((1, 16)), away, np.array([[0, 0, 0, 1.0]]))
            for _ in range(4):
                batch.step(np.zeros((1, 16)))
        fell = built.object_position - away
        assert np.linalg.norm(fell) > 0.1
        np.testing.assert_allclose(turned.object_position, built.object_position, atol=1e-6)
        np.testing.assert_allclose(turned.q, built.q, atol=1e-6)


def test_pushes_are_as_large_as_asked_and_only_then(grasps):
    heavy = dataclasses.replace(
        World(physics="fast"), object=dataclasses.replace(World().object, mass_kg=0.1)
    )
    worlds = [World(physics="fast")] * 200 + [heavy] * 200
    env = RotationEnv(worlds, grasps, Z, EnvConfig(push_m_s2=2.0, push_probability=1.0), seed=1)
    force = env._draw_push()
    np.testing.assert_allclose(force[:200].std(), 2.0 * 0.05, rtol=0.1)
    np.testing.assert_allclose(force[200:].std(), 2.0 * 0.1, rtol=0.1)
    assert make_env(grasps)._draw_push() is None
    free = HandBatch([World(physics="fast")] * 2, 1)
    free.set_state(
        np.arange(2), np.zeros((2, 16)), np.full((2, 3), -0.6), np.tile([0, 0, 0, 1.0], (2, 1))
    )
    free.step(np.zeros((2, 16)), push=np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0]]))
    apart = free.palm_rotation[0].apply(free.object_position[0] - free.object_position[1])
    np.testing.assert_allclose(apart, [0.0, 0.5 * (0.1 / 0.05) * 0.05**2, 0.0], atol=6e-4)


def test_the_off_axis_weight_rises_between_its_two_counts():
    w = RewardWeights()
    assert off_axis_weight(w, 0) == 0.0
    assert off_axis_weight(w, 850_000) == pytest.approx(0.05)
    assert off_axis_weight(w, 10**8) == pytest.approx(0.1)


def test_the_fall_rule():
    limits = FallLimits()
    axis = np.tile(Z, (5, 1))
    displacement = np.array([[0, 0, 0], [0, 0, 0.04], [0.06, 0, 0], [0, 0, 0], [np.nan, 0, 0]])
    body = axis.copy()
    body[3] = [1.0, 0.0, 0.0]
    assert limits.fallen(displacement, body, axis).tolist() == [False, True, True, True, True]


def test_draws_repeat_for_a_seed_and_stay_in_range():
    ranges = Randomisation()
    first = draw_worlds(World(), 20, ranges, 7)
    assert first == draw_worlds(World(), 20, ranges, 7)
    assert first != draw_worlds(World(), 20, ranges, 8)
    assert all(
        0.7 <= w.object.friction <= 1.1 and 0.031 <= w.object.radius_m <= 0.037 for w in first
    )
    assert draw_worlds(World(), 3, None, 0) == [World()] * 3


def test_same_seed_same_rollout_whatever_the_number_of_threads(grasps):
    def rollout(threads):
        worlds = draw_worlds(World(physics="fast"), 5, Randomisation(), 1)
        env = RotationEnv(worlds, grasps, Z, EnvConfig(), seed=9, threads=threads)
        rng = np.random.default_rng(0)
        for _ in range(15):
            env.step(rng.uniform(-1, 1, (5, 16)))
        return env.batch.q, env.batch.object_position

    for one, two in zip(rollout(1), rollout(2), strict=True):
        np.testing.assert_array_equal(one, two)


def test_canonical_pose_is_where_the_fingers_meet_the_object():
    """The paper's pose, wrongly permuted, does not hold anything."""
    worlds = [World(physics="fast")] * 32
    good = make_grasps(worlds, 16, seed=0)
    assert good.meta["accepted"] / good.meta["tried"] > 0.4
    np.testing.assert_allclose(good.target.mean(axis=0), CANONICAL_POSE_RAD, atol=0.2)


def states_of(batch: HandBatch) -> tuple[np.ndarray, ...]:
    return batch.q, batch.qd, batch.object_position, batch.object_rotation.as_quat(), batch.tip_force  # fmt: skip


@pytest.mark.parametrize(
    "gap",
    [GapConfig(), GapConfig(delay_s=0.06, backlash_rad=0.05, torque_loss=0.5, heat_time_s=1.0)],
    ids=["nominal", "gap"],
)
def test_a_copied_state_goes_on_as_the_original_does(grasps, gap):
    """From one batch to rows of another, with what the servos remember and gravity turned."""
    world = World(physics="fast", gap=gap)
    env = make_env(grasps, worlds=[world] * 2)
    env.batch.turn(np.array([1]), np.array([WRISTS["thumb_up"]]))
    rng = np.random.default_rng(0)
    for _ in range(5):
        env.step(rng.uniform(-1, 1, (2, 16)))
    other = HandBatch([world] * 3)
    of = np.array([1, 0, 1])
    other.copy_states(np.arange(3), env.batch, of)
    np.testing.assert_array_equal(other.up, env.batch.up[of])
    for _ in range(5):
        target = env.target + rng.uniform(-0.1, 0.1, (2, 16))
        env.batch.step(target)
        other.step(target[of])
        for copied, original in zip(states_of(other), states_of(env.batch), strict=True):
            np.testing.assert_array_equal(copied, original[of])


def test_a_state_is_copied_into_coarser_physics_as_it_is(grasps):
    fine, coarse = (HandBatch([World(physics=p)]) for p in ("ref", "fast"))
    row, target = np.array([0]), grasps.target[:1]
    fine.set_state(row, grasps.q[:1], grasps.position[:1], grasps.rotation_xyzw[:1], target)
    fine.step(target)
    coarse.copy_states(row, fine, row)
    for copied, original in zip(states_of(coarse), states_of(fine), strict=True):
        np.testing.assert_array_equal(copied, original)
    for batch in (fine, coarse):
        batch.step(target)
    assert 0.0 < np.abs(coarse.q - fine.q).max() < 0.03


def test_states_that_do_not_fit_are_refused(grasps):
    batch, row = make_env(grasps).batch, np.array([0])
    turned = HandBatch([World(physics="fast", wrist="palm_down")])
    with pytest.raises(ValueError, match="same wrist"):
        turned.copy_states(row, batch, row)
    empty = HandBatch([World(physics="fast", object=ObjectConfig(kind="none"))])
    with pytest.raises(ValueError, match="without one"):
        empty.copy_states(row, batch, row)
