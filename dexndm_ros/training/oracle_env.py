# SPDX-License-Identifier: Apache-2.0
"""The rotation environment as ``rsl_rl`` sees it, on the learner's device."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from dexndm_ros.sim.env import RotationEnv
from dexndm_ros.training.fault import FaultWatch

__all__ = ["OracleVecEnv"]


class OracleVecEnv(VecEnv):
    """``RotationEnv`` as rsl_rl sees it, keeping the statistics of finished episodes.

    Args:
        env: it.
        reward_scale: rewards are multiplied by this.
        inputs: so many of the first entries of the privileged observation are given; 0 = all.
        watch: ends the job when something is not finite.
        device: of the learner.
        processes: that learn together, each with as many hands; the steps of all count.
    """

    def __init__(
        self,
        env: RotationEnv,
        reward_scale: float,
        inputs: int,
        watch: FaultWatch,
        device: torch.device,
        processes: int = 1,
    ) -> None:
        self.env = env
        self._watch = watch
        self._others = env.count * (processes - 1)
        self.inputs = inputs or env.privileged().shape[1]
        self.num_envs = env.count
        self.num_actions = 16
        self.max_episode_length = env.config.episode_steps
        self.device = device
        self.cfg: dict[str, Any] = {}
        self._scale = reward_scale
        self._turned = np.zeros(env.count)
        self.finished: deque[tuple[float, int, bool]] = deque(maxlen=512)

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Steps of the running episodes."""
        return torch.from_numpy(self.env.episode_step).to(self.device)

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        self.env.episode_step[:] = value.cpu().numpy()

    def get_observations(self) -> TensorDict:
        """The privileged observation."""
        return self._wrapped(self.env.privileged())

    def _wrapped(self, privileged: np.ndarray) -> TensorDict:
        seen = self._tensor(privileged[:, : self.inputs])
        return TensorDict({"privileged": seen}, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance; a time-out is told apart from a fall, so that PPO bootstraps it.

        Raises:
            NotFiniteError: of the watch.
        """
        steps = self.env.episode_step + 1
        action = actions.cpu().numpy().astype(np.float64)
        self._watch.before(action)
        result = self.env.step(action)
        self.env.steps += self._others
        privileged = self.env.privileged()
        self._watch.after(result, privileged)
        self._turned += result.turned_rad
        for k in np.flatnonzero(result.done):
            self.finished.append((self._turned[k], int(steps[k]), bool(result.terminated[k])))
        self._turned[result.done] = 0.0
        reward = self._tensor((result.reward * self._scale).astype(np.float32))
        extras = {"time_outs": self._tensor(result.truncated.astype(np.float32))}
        return self._wrapped(privileged), reward, self._tensor(result.done), extras
