# SPDX-License-Identifier: Apache-2.0
"""What all jobs that learn by PPO (``rsl-rl-lib``) share: settings of networks and algorithm, and a learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor, nn

__all__ = ["Learner", "PpoConfig", "algorithm_settings", "load_actor", "network_settings"]


@dataclass(frozen=True)
class PpoConfig:
    """How a policy learns.

    Attributes:
        hidden: widths of the hidden layers of actor and critic, ELU between them.
        steps: decisions of each environment between updates.
        epochs: times these are gone through.
        minibatches: parts of an epoch.
        learning_rate: at the begin; follows the KL divergence.
        desired_kl: that it is steered to.
        gamma: discount of a decision.
        lam: of the generalised advantage.
        clip: of the probability ratio.
        entropy: weight of the entropy.
        init_std: action noise at the begin.
    """

    hidden: tuple[int, ...] = (128, 128)
    steps: int = 24
    epochs: int = 5
    minibatches: int = 4
    learning_rate: float = 1e-3
    desired_kl: float = 0.01
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    init_std: float = 0.8


def network_settings(hidden: Sequence[int], init_std: float = 0.0) -> dict[str, Any]:
    """An ELU network on normalised observations, as rsl_rl wants it; with noise, a Gaussian policy."""
    settings: dict[str, Any] = {
        "hidden_dims": list(hidden),
        "activation": "elu",
        "obs_normalization": True,
    }
    if init_std:
        settings["distribution_cfg"] = {
            "class_name": "GaussianDistribution",
            "init_std": init_std,
            "std_type": "log",
        }
    return settings


def algorithm_settings(config: PpoConfig) -> dict[str, Any]:
    """PPO's settings as rsl_rl wants them."""
    return {
        "num_learning_epochs": config.epochs,
        "num_mini_batches": config.minibatches,
        "clip_param": config.clip,
        "gamma": config.gamma,
        "lam": config.lam,
        "value_loss_coef": 1.0,
        "entropy_coef": config.entropy,
        "learning_rate": config.learning_rate,
        "max_grad_norm": 1.0,
        "use_clipped_value_loss": False,
        "schedule": "adaptive",
        "desired_kl": config.desired_kl,
    }


def _sample(group: str, rows: int, inputs: int) -> TensorDict:
    return TensorDict({group: torch.zeros(rows, inputs)}, batch_size=[rows])


def load_actor(
    state: dict[str, Tensor], hidden: Sequence[int], init_std: float, actions: int, group: str
) -> MLPModel:
    """The actor of a checkpoint, deterministic; call with a TensorDict ``{group: (N, D)}``."""
    width = state["mlp.0.weight"].shape[1]
    settings = network_settings(hidden, init_std)
    actor = MLPModel(_sample(group, 1, width), {"actor": [group]}, "actor", actions, **settings)
    actor.load_state_dict(state)
    actor.eval()
    return actor


class Learner:
    """A policy that learns by PPO from whoever asks it for actions and tells it the rewards.

    Args:
        rows: environments.
        inputs: numbers of an observation.
        actions: numbers of an action.
        config: how.
        told: numbers that the critic sees beside them, which the policy will not know later.
    """

    def __init__(self, rows: int, inputs: int, actions: int, config: PpoConfig, told: int) -> None:
        sample = self._wrapped(torch.zeros(rows, inputs), torch.zeros(rows, told))
        groups = {"actor": ["obs"], "critic": ["obs", "told"]}
        actor = MLPModel(
            sample, groups, "actor", actions, **network_settings(config.hidden, config.init_std)
        )
        # Its first mean is no action at all: what is corrected then begins as it is.
        last = [part for part in actor.mlp if isinstance(part, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        critic = MLPModel(sample, groups, "critic", 1, **network_settings(config.hidden))
        storage = RolloutStorage("rl", rows, config.steps, sample, [actions], "cpu")
        self._steps, self._rewarded = config.steps, 0
        self._ppo = PPO(actor, critic, storage, **algorithm_settings(config))
        self._ppo.train_mode()

    def act(self, observation: Tensor, told: Tensor) -> Tensor:
        """Noisy actions (rows, actions); every ``steps`` of them it learns first.

        Args:
            observation: (rows, inputs).
            told: to the critic alone, (rows, told).
        """
        seen = self._wrapped(observation, told)
        if self._rewarded == self._steps:
            self._update(seen)
            self._rewarded = 0
        with torch.inference_mode():
            action: Tensor = self._ppo.act(seen)
        return action

    def reward(self, reward: Tensor, time_out: Tensor) -> None:
        """What came of the last action, (rows,); time_out (rows,) marks episodes cut off behind it."""
        self._rewarded += 1
        with torch.inference_mode():
            self._ppo.process_env_step(
                TensorDict({}, batch_size=[len(reward)]),
                reward,
                time_out,
                {"time_outs": time_out.float()},
            )

    def actor(self) -> nn.Module:
        """The deterministic policy as it is now: (N, inputs) to (N, actions)."""
        policy: nn.Module = self._ppo.get_policy().as_jit().eval()
        return policy

    @property
    def std(self) -> float:
        """Mean action noise."""
        return float(self._ppo.get_policy().distribution.log_std_param.detach().exp().mean())

    def state(self) -> dict[str, Any]:
        """All that goes into a checkpoint."""
        state: dict[str, Any] = self._ppo.save()
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._ppo.load(state, None, strict=True)

    @staticmethod
    def _wrapped(observation: Tensor, told: Tensor) -> TensorDict:
        return TensorDict({"obs": observation, "told": told}, batch_size=[len(observation)])

    def _update(self, seen: TensorDict) -> None:
        with torch.inference_mode():
            self._ppo.compute_returns(seen)
        self._ppo.update()
