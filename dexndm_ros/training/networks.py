# SPDX-License-Identifier: Apache-2.0
"""Networks of the offline jobs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dexndm_ros.policy.observation import HISTORY_LENGTH, JOINT_COUNT, OBSERVATION_SIZE

__all__ = ["ResidualMlp", "difference_matrix"]


def difference_matrix() -> Tensor:
    """Linear map (327, 327) from raw angles to what changes: y = M x, invertible.

    Per slot k of the history the target becomes a - q; the angle becomes q_k - q_{k+1}, but for the newest,
    which stays. Raw neighbouring angles differ by milliradians, which a network would have to dig out.
    """
    matrix = torch.eye(OBSERVATION_SIZE)
    pair = 2 * JOINT_COUNT
    for k in range(HISTORY_LENGTH):
        for joint in range(JOINT_COUNT):
            q, a = k * pair + joint, k * pair + JOINT_COUNT + joint
            matrix[a, q] = -1.0
            if k + 1 < HISTORY_LENGTH:
                matrix[q, q + pair] = -1.0
    return matrix


class _Block(nn.Module):
    """y = ReLU(NN1(x) + NN3(ReLU(NN2(x)))) (paper, section A.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.skip = nn.Linear(width, width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.outer(torch.relu(self.inner(x))))


class ResidualMlp(nn.Module):
    """The generalist: residual MLP of paper section A.1 behind a fixed feature map and normaliser.

    Args:
        width: hidden width (paper: 1024).
        blocks: residual blocks (paper: 5).
        inputs: size of the observation.
        outputs: size of the action.
    """

    def __init__(
        self,
        width: int = 1024,
        blocks: int = 5,
        inputs: int = OBSERVATION_SIZE,
        outputs: int = JOINT_COUNT,
    ) -> None:
        super().__init__()
        self.register_buffer(
            "features", difference_matrix() if inputs == OBSERVATION_SIZE else torch.eye(inputs)
        )
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.last = nn.Linear(width, outputs)

    def forward(self, observation: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        x = observation @ self.features.T
        x = ((x - self.mean) * self.scale).clamp(-8.0, 8.0)
        return self.last(self.blocks(torch.relu(self.first(x))))

    @torch.no_grad()
    def fit_normaliser(self, observations: Tensor) -> None:
        """Take mean and spread of the features from data (N, inputs)."""
        x = observations @ self.features.T
        self.mean.copy_(x.mean(0))
        self.scale.copy_(1.0 / x.std(0).clamp_min(1e-2))
