# SPDX-License-Identifier: Apache-2.0
"""UAN (Fey et al. 2025): one network for all actuators, which adds a torque to each in every physics step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.corrections.config import UanConfig, check_config
from dexndm_ros.training.corrections.follow import Follower, following_reward
from dexndm_ros.training.ppo import Learner

__all__ = ["ActuatorCorrection", "ActuatorHistory", "UanLesson"]

Array = NDArray[np.float64]


class ActuatorHistory:
    """The last physics steps of every actuator: target minus angle, and velocity.

    Args:
        hands: N.
        length: steps, L.
    """

    def __init__(self, hands: int, length: int) -> None:
        self._steps = np.zeros((hands, JOINT_COUNT, 2, length), dtype=np.float32)
        self._target = np.zeros((hands, JOINT_COUNT))

    def reset(self, rows: NDArray[np.bool_], q: Array, target: Array) -> None:
        """The rows (N,) have been at rest at q under the targets, (N, 16) rad."""
        self._steps[rows, :, 0] = (target - q)[rows, :, None]
        self._steps[rows, :, 1] = 0.0
        self._target[rows] = target[rows]

    def aim(self, target: Array) -> None:
        """Targets of the next physics steps, (N, 16) rad."""
        self._target = target

    def push(self, q: Array, qd: Array) -> Tensor:
        """Take up the state before a physics step, (N, 16) rad and rad/s.

        Returns:
            What the network sees, (16 N, 2 L): actuator j of hand n in row 16 n + j; L errors, then L velocities,
            oldest first.
        """
        self._steps[..., :-1] = self._steps[..., 1:]
        self._steps[:, :, 0, -1] = self._target - q
        self._steps[:, :, 1, -1] = qd
        return torch.from_numpy(self._steps.reshape(len(q) * JOINT_COUNT, -1).copy())


class ActuatorCorrection:
    """The trained network as a ``Correction`` of N hands.

    Args:
        actor: (rows, 2 L) to (rows, 1), of the bound.
        hands: N.
        config: of the run.
    """

    def __init__(self, actor: nn.Module, hands: int, config: UanConfig) -> None:
        self._actor = actor
        self._history = ActuatorHistory(hands, config.history)
        self._bound = config.bound_nm

    def reset(self, rows: NDArray[np.bool_], q: Array, target: Array) -> None:
        """See ``Correction``."""
        self._history.reset(rows, q, target)

    def target(self, q: Array, target: Array) -> Array:
        """See ``Correction``; targets stay as they are."""
        self._history.aim(target)
        return target

    def torque(self, q: Array, qd: Array) -> Array:
        """See ``Correction``."""
        with torch.inference_mode():
            action = self._actor(self._history.push(q, qd)).numpy()
        return as_torque(action, self._bound)


def as_torque(action: NDArray[Any], bound_nm: float) -> Array:
    """Torques (N, 16) N·m from the network's actions (16 N, 1)."""
    torque = bound_nm * np.clip(action.astype(np.float64), -1.0, 1.0)
    return np.asarray(torque.reshape(-1, JOINT_COUNT))


class UanLesson:
    """The network learns as hands follow what was recorded: each actuator is an environment of its own.

    Args:
        config: of the run.
        follower: the hands.
    """

    def __init__(self, config: UanConfig, follower: Follower) -> None:
        check_config(config)
        self._config = config
        self._follower = follower
        hands = follower.batch.count
        self._history = ActuatorHistory(hands, config.history)
        self._history.reset(np.ones(hands, dtype=bool), follower.batch.q, follower.held)
        self._action = np.zeros((hands, JOINT_COUNT))
        self._change = np.zeros_like(self._action)
        self._substeps = follower.batch.worlds[0].preset.substeps
        self.learners = [Learner(hands * JOINT_COUNT, 2 * config.history, 1, config.ppo, told=2)]

    def step(self) -> tuple[float, float]:
        """One control step; returns mean reward and mean squared error behind it, rad^2."""
        follower, going_on = self._follower, np.zeros(len(self._action), dtype=bool)
        self._history.aim(follower.command)
        taken = 0

        def load(q: Array, qd: Array) -> Array:
            nonlocal taken
            if taken:
                self._reward(follower.between(taken / self._substeps) - q, going_on)
            ahead = [follower.between(share) - q for share in (taken / self._substeps, 1.0)]
            taken += 1
            return self._torque(q, qd, np.stack(ahead, axis=2))

        over = follower.step(follower.command, load)
        error = follower.recorded - follower.batch.q
        reward = self._reward(error, over)
        if over.any():
            follower.begin(over)
            self._history.reset(over, follower.batch.q, follower.held)
            self._action[over] = 0.0
        return reward, float((error**2).mean())

    def _torque(self, q: Array, qd: Array, ahead: Array) -> Array:
        """A noisy torque; the critic is told how far it is (N, 16, 2) to where the recorded hand is and will be."""
        told = torch.from_numpy(ahead.astype(np.float32).reshape(-1, 2))
        action = self.learners[0].act(self._history.push(q, qd), told).numpy()
        torque = as_torque(action, self._config.bound_nm)
        self._change = torque / self._config.bound_nm - self._action
        self._action = torque / self._config.bound_nm
        return torque

    def _reward(self, error: Array, over: NDArray[np.bool_]) -> float:
        config = self._config
        worth = following_reward(error[..., None], config.reward)
        worth += config.smoothness * np.exp(-0.5 * self._change**2)
        reward = torch.from_numpy((config.reward.scale * worth).astype(np.float32).reshape(-1))
        self.learners[0].reward(reward, torch.from_numpy(np.repeat(over, JOINT_COUNT)))
        return float(worth.mean())
