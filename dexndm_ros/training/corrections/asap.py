# SPDX-License-Identifier: Apache-2.0
"""ASAP (He et al. 2025): networks that change the targets before the servos get them, once a control step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.corrections.config import AsapConfig, check_config
from dexndm_ros.training.corrections.follow import Follower, following_reward
from dexndm_ros.training.ppo import Learner

__all__ = ["NETWORKS", "DeltaCorrection", "DeltaLesson", "DeltaState"]

Array = NDArray[np.float64]
NETWORKS = {"finger": 4, "hand": 1}
"""Networks of each structure; each has ``16 / networks`` joints that follow each other in motor order."""
_SEEN = 4
"""Numbers that a network sees of each of its joints."""


class DeltaState:
    """What the networks see, and the change of the targets that they ask for.

    Args:
        hands: N.
        config: of the run.
    """

    def __init__(self, hands: int, config: AsapConfig) -> None:
        self._config = config
        self.networks = NETWORKS[config.structure]
        self.joints = JOINT_COUNT // self.networks
        self.inputs = _SEEN * self.joints
        self.delta = np.zeros((hands, JOINT_COUNT))
        self._before = np.zeros((hands, JOINT_COUNT))

    def reset(self, rows: NDArray[np.bool_], q: Array) -> None:
        """The rows (N,) are at rest at q, (N, 16) rad."""
        self._before[rows] = q[rows]
        self.delta[rows] = 0.0

    def see(self, q: Array, target: Array) -> list[Tensor]:
        """Once a control step: observations for a command, (N, inputs) of each network.

        Of its joints: angle, its change since the last control step, target minus angle, last change of the target.
        """
        parts = [q, q - self._before, target - q, self.delta]
        self._before = q.copy()
        seen = np.stack(parts, axis=1).astype(np.float32)
        by_network = np.split(seen, self.networks, axis=2)
        return [torch.from_numpy(each.reshape(len(q), self.inputs)) for each in by_network]

    def change(self, actions: Sequence[Tensor]) -> Array:
        """Change of the targets, (N, 16) rad, for actions (N, joints) of each network."""
        action = np.concatenate([each.numpy() for each in actions], axis=1).astype(np.float64)
        bound = self._config.bound_rad
        self.delta = np.clip(self._config.scale_rad * action, -bound, bound)
        return self.delta


class DeltaCorrection:
    """The trained networks as a ``Correction`` of N hands.

    Args:
        actors: (N, inputs) to (N, joints) each.
        hands: N.
        config: of the run.
    """

    def __init__(self, actors: Sequence[nn.Module], hands: int, config: AsapConfig) -> None:
        self._actors = list(actors)
        self._state = DeltaState(hands, config)

    def reset(self, rows: NDArray[np.bool_], q: Array, target: Array) -> None:
        """See ``Correction``."""
        self._state.reset(rows, q)

    def target(self, q: Array, target: Array) -> Array:
        """See ``Correction``; beyond a joint's limit too, where the recorded hand was off that way."""
        with torch.inference_mode():
            seen = self._state.see(q, target)
            actions = [actor(each) for actor, each in zip(self._actors, seen, strict=True)]
        return target + self._state.change(actions)

    def torque(self, q: Array, qd: Array) -> None:
        """See ``Correction``; none."""


class DeltaLesson:
    """The networks learn as hands follow what was recorded, each by the reward of its own joints.

    Args:
        config: of the run.
        follower: the hands.
    """

    def __init__(self, config: AsapConfig, follower: Follower) -> None:
        check_config(config)
        self._config = config
        self._follower = follower
        hands = follower.batch.count
        self._state = DeltaState(hands, config)
        self._state.reset(np.ones(hands, dtype=bool), follower.batch.q)
        self.learners = [
            Learner(
                hands, self._state.inputs, self._state.joints, config.ppo, 2 * self._state.joints
            )
            for _ in range(self._state.networks)
        ]

    def step(self) -> tuple[float, float]:
        """One control step; returns mean reward and mean squared error behind it, rad^2."""
        follower, state = self._follower, self._state
        seen = state.see(follower.batch.q, follower.command)
        delta = state.change(
            [
                learner.act(own, told)
                for learner, own, told in zip(self.learners, seen, self._told(), strict=True)
            ]
        )
        over = follower.step(follower.command + delta)
        error = follower.recorded - follower.batch.q
        by_network = (-1, state.networks, state.joints)
        worth = following_reward(error.reshape(by_network), self._config.reward)
        norm = np.linalg.norm(delta.reshape(by_network), axis=2)
        worth -= self._config.penalty * np.expm1(norm)
        reward = torch.from_numpy((self._config.reward.scale * worth).astype(np.float32))
        for k, learner in enumerate(self.learners):
            learner.reward(reward[:, k], torch.from_numpy(over))
        if over.any():
            follower.begin(over)
            state.reset(over, follower.batch.q)
        return float(worth.mean()), float((error**2).mean())

    def _told(self) -> list[Tensor]:
        """What the critics know beside: how far it is to where the recorded hand is and will be."""
        q = self._follower.batch.q
        ahead = [self._follower.between(share) - q for share in (0.0, 1.0)]
        parts = np.split(np.stack(ahead, axis=1).astype(np.float32), self._state.networks, axis=2)
        return [torch.from_numpy(each.reshape(len(q), -1)) for each in parts]
