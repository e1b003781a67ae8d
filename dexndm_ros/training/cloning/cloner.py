# SPDX-License-Identifier: Apache-2.0
"""A generalist that learns: its network, its optimiser and its checkpoint, whatever its samples come from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dexndm_ros.sim.env import RotationEnv
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cloning.config import GeneralistConfig
from dexndm_ros.training.networks import ResidualMlp

__all__ = ["CHECKPOINT", "Cloner", "load_generalist", "warm_cosine"]

CHECKPOINT = "generalist.pt"
_LARGEST_GRADIENT = 1.0


class Cloner:
    """Learns actions from observations, by their mean squared error.

    Args:
        config: of the run; a checkpoint in its folder is taken up.

    Attributes:
        net: the network.
        file: the checkpoint.
        progress: how far the checkpoint was: ``rounds`` and ``final``, and what ``save`` was given; empty = there
            was none.

    Raises:
        ConfigError: the generalist to begin from has another size.
    """

    def __init__(self, config: GeneralistConfig) -> None:
        self.net = _first_network(config)
        self.file = Path(config.out) / CHECKPOINT
        self._optimiser = torch.optim.AdamW(
            self.net.parameters(), config.learning_rate, weight_decay=1e-4
        )
        self._rate = config.learning_rate
        self.progress: dict[str, Any] = {}
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            self.net.load_state_dict(state.pop("net"))
            self._optimiser.load_state_dict(state.pop("optimiser"))
            self.progress = state

    def step(
        self,
        observation: Tensor | NDArray[np.float32],
        action: Tensor | NDArray[np.float32],
        share: float = 1.0,
    ) -> float:
        """One gradient step; the loss before it.

        Args:
            observation: (B, 327).
            action: (B, 16).
            share: of the learning rate.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * share
        self.net.train()
        loss = nn.functional.mse_loss(self.net(_tensor(observation)), _tensor(action))
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        return loss.item()

    def loss(self, observation: NDArray[np.float32], action: NDArray[np.float32]) -> float:
        """Of samples that nothing is learned from."""
        self.net.eval()
        with torch.inference_mode():
            return nn.functional.mse_loss(self.net(_tensor(observation)), _tensor(action)).item()

    def driver(self) -> Callable[[RotationEnv], NDArray[np.float64]]:
        """What drives the hands of an environment by the network, (N, 16)."""
        self.net.eval()

        def act(env: RotationEnv) -> NDArray[np.float64]:
            with torch.inference_mode():
                action = self.net(_tensor(env.proprioceptive())).numpy()
            return np.clip(action.astype(np.float64), -1.0, 1.0)

        return act

    def save(self, progress: Mapping[str, Any]) -> None:
        """Write the checkpoint, or leave the one that is there.

        Args:
            progress: further entries; those of the last checkpoint that it does not name stay.
        """
        self.progress = {"rounds": 0, "final": False} | self.progress | dict(progress)
        state = {"net": self.net.state_dict(), "optimiser": self._optimiser.state_dict()}
        partial = self.file.with_name(self.file.name + ".part")
        torch.save(state | self.progress, partial)
        partial.replace(self.file)


def warm_cosine(step: int, warm_up: int, done: float) -> float:
    """Share of the learning rate: rising for some steps, then falling to zero along half a cosine.

    Args:
        step: gradient steps so far.
        warm_up: steps in which it rises.
        done: share of all the work, 0 to 1.
    """
    rising = min(1.0, (step + 1) / (warm_up + 1))
    return rising * 0.5 * (1.0 + math.cos(math.pi * done))


def load_generalist(folder: Path) -> ResidualMlp:
    """The network of a run folder, in evaluation mode."""
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = ResidualMlp(record["width"], record["blocks"])
    net.load_state_dict(torch.load(folder / CHECKPOINT, weights_only=True)["net"])
    net.eval()
    return net


def _first_network(config: GeneralistConfig) -> ResidualMlp:
    """A fresh network, or the one to begin from.

    Raises:
        ConfigError: that one has another size.
    """
    if not config.init:
        return ResidualMlp(config.width, config.blocks)
    net = load_generalist(Path(config.init))
    size = (net.first.out_features, len(net.blocks))
    if size != (config.width, config.blocks):
        raise ConfigError(
            f"init {config.init} has width {size[0]} and {size[1]} blocks, and {config.width} and {config.blocks} are "
            f"asked for: set width to {size[0]} and blocks to {size[1]}"
        )
    return net


def _tensor(values: Tensor | NDArray[np.float32]) -> Tensor:
    return values if isinstance(values, Tensor) else torch.from_numpy(values)
