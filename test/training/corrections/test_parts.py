# SPDX-License-Identifier: Apache-2.0
"""The parts of UAN and ASAP: who sees what, whose torque is whose, where hands begin, what following is worth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.corrections.asap import DeltaState
from dexndm_ros.training.corrections.config import AsapConfig, RewardConfig
from dexndm_ros.training.corrections.errors import CorrectionError
from dexndm_ros.training.corrections.follow import Follower, following_reward, velocities
from dexndm_ros.training.corrections.open_loop import open_loop, rms_mrad
from dexndm_ros.training.corrections.uan import ActuatorHistory, as_torque
from dexndm_ros.training.ppo import Learner, PpoConfig
from dexndm_ros.training.stretches import Stretch

FREE = dataclasses.replace(World.load("nominal").with_load("free"), physics="fast")
WRISTS = ("palm_up", "thumb_up")


def code(hand: int, joint: int, step: int) -> float:
    return 1000.0 * hand + 10.0 * joint + 0.1 * step


def codes(step: int, hands: int = 3) -> np.ndarray:
    return np.array([[code(n, j, step) for j in range(16)] for n in range(hands)])


@pytest.fixture(scope="module")
def stretches() -> list[Stretch]:
    """What a hand of the simulator itself did, 30 steps under each wrist."""
    rng = np.random.default_rng(1)
    made = []
    for episode, wrist in enumerate(WRISTS):
        batch = HandBatch([FREE.with_wrist(wrist)], 1)
        action = CANONICAL_POSE_RAD + np.cumsum(rng.uniform(-0.04, 0.04, (30, 16)), axis=0)
        batch.set_state(np.arange(1), action[:1])
        q, qd = np.empty((2, 30, 16))
        for step in range(30):
            q[step], qd[step] = batch.q[0], batch.qd[0]
            batch.step(action[step : step + 1])
        made.append(Stretch(episode, wrist, q, qd, action))
    return made


def test_an_actuators_row_is_its_own_errors_and_then_its_own_velocities_oldest_first():
    history = ActuatorHistory(3, 4)
    history.reset(np.ones(3, dtype=bool), np.zeros((3, 16)), np.zeros((3, 16)))
    for step in range(6):
        history.aim(2.0 * codes(step))  # so that target minus angle is the code itself
        seen = history.push(codes(step), -codes(step))
    assert seen.shape == (48, 8)
    for hand in range(3):
        for joint in range(16):
            errors = [code(hand, joint, step) for step in (2, 3, 4, 5)]
            expected = np.array([*errors, *(-e for e in errors)])
            np.testing.assert_allclose(seen[16 * hand + joint].numpy(), expected, rtol=1e-6)


def test_a_new_episode_fills_the_history_of_its_hand_alone():
    history = ActuatorHistory(2, 3)
    history.aim(np.ones((2, 16)))
    history.push(np.zeros((2, 16)), np.full((2, 16), 5.0))
    history.reset(np.array([False, True]), np.full((2, 16), 0.2), np.full((2, 16), 0.5))
    history.aim(np.ones((2, 16)))
    seen = history.push(np.zeros((2, 16)), np.full((2, 16), 7.0)).numpy()
    np.testing.assert_allclose(seen[3], [0.0, 1.0, 1.0, 0.0, 5.0, 7.0], rtol=1e-6)
    np.testing.assert_allclose(seen[16 + 3], [0.3, 0.3, 1.0, 0.0, 0.0, 7.0], rtol=1e-6)


def test_a_torque_goes_to_the_actuator_whose_row_it_is_and_is_bounded():
    action = np.arange(32.0)[:, None] / 16.0 - 0.5
    torque = as_torque(action, 0.2)
    assert torque.shape == (2, 16)
    assert torque[0, 5] == pytest.approx(0.2 * action[5, 0])
    assert torque[1, 3] == pytest.approx(0.2 * action[19, 0])
    assert torque.max() == 0.2


@pytest.mark.parametrize(("structure", "joints"), [("finger", 4), ("hand", 16)])
def test_a_network_sees_and_changes_its_own_joints(structure, joints):
    state = DeltaState(3, AsapConfig(structure=structure, scale_rad=1.0, bound_rad=1e9))
    state.reset(np.ones(3, dtype=bool), codes(0))
    actions = torch.from_numpy(codes(7)).split(joints, dim=1)
    np.testing.assert_array_equal(state.change(actions), codes(7))
    seen = state.see(codes(1), codes(3))
    assert len(seen) == 16 // joints
    for network, each in enumerate(seen):
        own = slice(joints * network, joints * (network + 1))
        expected = [codes(1)[:, own], codes(1)[:, own] - codes(0)[:, own]]
        expected += [codes(3)[:, own] - codes(1)[:, own], codes(7)[:, own]]
        np.testing.assert_allclose(each.numpy(), np.concatenate(expected, axis=1), rtol=1e-5)
    again = state.see(codes(4), codes(4))
    own_change = again[0][:, joints : 2 * joints].numpy()
    np.testing.assert_allclose(own_change, 0.3, rtol=1e-2)


def test_following_is_worth_most_without_error_and_less_the_more_there_is():
    config = RewardConfig()
    error = np.array([0.0, 0.01, 0.03, 0.1, 1.0])
    worth = following_reward(error[:, None], config)
    assert worth[0] == 13.0
    assert (np.diff(worth) < 0).all()
    assert worth[4] == pytest.approx(-1.5, abs=1e-6)
    np.testing.assert_array_equal(worth, following_reward(-error[:, None], config))
    both = following_reward(np.array([[0.01, 0.1]]), config)
    assert both[0] == pytest.approx((worth[1] + worth[3]) / 2)


def test_hands_follow_the_simulators_own_motion_without_error(stretches):
    """Right rows, right targets, right wrist: what is left is the velocity at the begin, from differences."""
    follower = Follower(stretches, FREE, 8, 10, seed=0, threads=1)
    assert [w.wrist for w in follower.batch.worlds] == ["palm_up"] * 4 + ["thumb_up"] * 4
    ended = np.zeros(8, dtype=bool)
    for _ in range(25):
        over = follower.step(follower.command)
        error = np.abs(follower.recorded - follower.batch.q)
        assert error.max() < 0.012
        assert error[follower.age > 4].max(initial=0.0) < 4e-3
        ended |= over
        follower.begin(over)
        np.testing.assert_array_equal(follower.batch.q[over], follower.recorded[over])
    assert ended.all()


def test_hands_that_are_told_something_else_do_not_follow(stretches):
    follower = Follower(stretches, FREE, 4, 10, seed=0, threads=1)
    for _ in range(4):
        follower.step(follower.command + 0.1)
    assert np.sqrt(((follower.recorded - follower.batch.q) ** 2).mean()) > 0.05


def test_between_two_ticks_the_reference_is_smooth_and_meets_both(stretches):
    follower = Follower(stretches, FREE, 4, 10, seed=0, threads=1)
    here, middle, there = (follower.between(s) for s in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(here, follower.recorded)
    follower.row += 1
    np.testing.assert_allclose(there, follower.recorded, atol=1e-12)
    assert np.abs(middle - (here + there) / 2).max() < 0.02


def test_velocities_of_a_steady_motion():
    q = np.outer(np.arange(5.0), np.linspace(-1, 1, 16))
    np.testing.assert_allclose(velocities(q, 0.05), np.tile(20 * np.linspace(-1, 1, 16), (5, 1)))


def test_stretches_shorter_than_an_episode_are_refused(stretches):
    with pytest.raises(CorrectionError, match="shorten episode_s"):
        Follower(stretches, FREE, 2, 30, seed=0, threads=1)


def test_the_open_loop_error_of_the_simulator_itself_is_small_and_of_another_is_not(stretches):
    short = dataclasses.replace(
        stretches[1], q=stretches[1].q[:20], action=stretches[1].action[:20]
    )
    simulated = open_loop([stretches[0], short], FREE, None, 1)
    assert [len(each) for each in simulated] == [30, 20]
    assert rms_mrad([stretches[0], short], simulated).max() < 2.0
    weak = dataclasses.replace(FREE, servo=dataclasses.replace(FREE.servo, kp_scale=0.6))
    assert rms_mrad(stretches, open_loop(stretches, weak, None, 1)).mean() > 3.0


def test_a_learner_begins_with_no_action_and_learns_after_its_steps():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    learner = Learner(
        64, 3, 2, PpoConfig(hidden=(16,), steps=8, epochs=2, learning_rate=1e-2), told=1
    )
    observation = torch.randn(64, 3)
    assert not learner.actor()(observation).detach().any()
    time_out = torch.zeros(64, dtype=torch.bool)
    for _ in range(8):
        action = learner.act(observation, observation[:, :1])
        learner.reward(-((action - torch.tensor([0.5, -0.5])) ** 2).sum(1), time_out)
    assert not learner.actor()(observation).detach().any()
    for _ in range(8 * 15):
        action = learner.act(observation, observation[:, :1])
        learner.reward(-((action - torch.tensor([0.5, -0.5])) ** 2).sum(1), time_out)
    mean = learner.actor()(observation).detach().mean(0)
    assert mean[0] > 0.3
    assert mean[1] < -0.3
