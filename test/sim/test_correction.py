# SPDX-License-Identifier: Apache-2.0
"""Corrections in the environment: nothing changes nothing, a target is what the motors get, a torque turns joints."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.correction import step_corrected
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.worlds import World

WORLD = World(physics="fast")
FREE = World.load("nominal").with_load("free")
AXIS = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass
class Offset:
    """Targets a little further, and a constant torque; remembers who began and how often it was asked."""

    offset: np.ndarray
    constant: np.ndarray | None = None
    begun: list = dataclasses.field(default_factory=list)
    asked: int = 0

    def reset(self, rows, q, target):
        self.begun.append((rows.copy(), q.copy(), target.copy()))

    def target(self, q, target):
        return target + self.offset

    def torque(self, q, qd):
        self.asked += 1
        return None if self.constant is None else np.broadcast_to(self.constant, q.shape)


@pytest.fixture(scope="module")
def grasps() -> GraspCache:
    return make_grasps([WORLD] * 16, 24, seed=3)


def make_env(grasps, correction=None, **kwargs) -> RotationEnv:
    return RotationEnv([WORLD] * 3, grasps, AXIS, EnvConfig(**kwargs), 5, 1, correction=correction)


def actions(seed=0, steps=12):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 3, 16))


def test_a_correction_that_does_nothing_changes_no_bit(grasps):
    plain, corrected = make_env(grasps), make_env(grasps, Offset(np.zeros(16)))
    for action in actions():
        a, b = plain.step(action), corrected.step(action)
        np.testing.assert_array_equal(a.reward, b.reward)
        np.testing.assert_array_equal(plain.privileged(), corrected.privileged())


def test_a_corrected_target_is_what_the_motors_get_and_not_what_the_policy_remembers(grasps):
    offset = np.linspace(-0.04, 0.04, 16)
    corrected = make_env(grasps, Offset(offset), quantise=False)
    told = make_env(grasps, quantise=False)
    for action in actions():
        corrected.step(action)
        told.step_target(corrected.target, corrected.target + offset)
        np.testing.assert_array_equal(corrected.measured, told.measured)
        np.testing.assert_array_equal(corrected.proprioceptive(), told.proprioceptive())
        np.testing.assert_array_equal(corrected.executed, corrected.target)


def test_a_torque_is_asked_before_every_physics_step_and_turns_the_joint_it_is_for():
    torque = np.zeros(16)
    torque[[2, 13]] = 0.1, -0.1
    correction = Offset(np.zeros(16), torque)
    pushed, loaded, free = (HandBatch([FREE] * 2, 1) for _ in range(3))
    target = np.full((2, 16), 0.3)
    for batch in (pushed, loaded, free):
        batch.set_state(np.arange(2), target)
    for _ in range(10):
        step_corrected(pushed, correction, target)
        loaded.step(target, lambda q, qd: np.broadcast_to(torque, q.shape))
        free.step(target)
    assert correction.asked == 10 * FREE.preset.substeps
    np.testing.assert_array_equal(pushed.q, loaded.q)
    moved = (pushed.q - free.q)[0]
    assert moved[2] > 0.03
    assert moved[13] < -0.03


def test_it_hears_of_every_episode_that_begins(grasps):
    correction = Offset(np.zeros(16))
    env = make_env(grasps, correction, episode_steps=4)
    rows, q, target = correction.begun[0]
    assert rows.all()
    np.testing.assert_array_equal(target, env.target)
    np.testing.assert_array_equal(q, env.batch.q)
    for action in actions(steps=4):
        env.step(action)
    assert len(correction.begun) == 2
    rows, q, target = correction.begun[1]
    np.testing.assert_array_equal(target[rows], env.target[rows])
    np.testing.assert_array_equal(q[rows], env.batch.q[rows])
