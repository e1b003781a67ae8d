# SPDX-License-Identifier: Apache-2.0
"""The residual's network: observation and base target to a bounded correction."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dexndm_ros.policy.observation import HISTORY_LENGTH, JOINT_COUNT, OBSERVATION_SIZE
from dexndm_ros.training.networks import difference_matrix

__all__ = ["ResidualNet"]

_PAIR = 2 * JOINT_COUNT
_LEAST_SPREAD = 1e-3
_CLIP = 5.0
"""Standardised features beyond this are cut: an input far from the data must not steer a motor."""


class ResidualNet(nn.Module):
    """(B, 343) observation and base target, as the policy file has them, to (B, 16) rad within the bound.

    It sees changes instead of raw angles, and begins at zero: before the first step the base policy runs alone.

    Args:
        bound_rad: largest correction.
        width: of the hidden layers.
        layers: hidden layers.
    """

    features: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, bound_rad: float, width: int, layers: int) -> None:
        super().__init__()
        self.bound_rad = bound_rad
        matrix = torch.eye(OBSERVATION_SIZE + JOINT_COUNT)
        matrix[:OBSERVATION_SIZE, :OBSERVATION_SIZE] = difference_matrix()
        newest = (HISTORY_LENGTH - 1) * _PAIR
        for joint in range(JOINT_COUNT):  # the base target too as a distance from the angle
            matrix[OBSERVATION_SIZE + joint, newest + joint] = -1.0
        inputs = len(matrix)
        self.register_buffer("features", matrix)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        sizes = [inputs] + [width] * layers
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.ReLU()]
        self.hidden = nn.Sequential(*parts)
        self.last = nn.Linear(width, JOINT_COUNT)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, observation: Tensor) -> Tensor:
        """Corrections, rad."""
        x = ((observation @ self.features.T - self.mean) * self.scale).clamp(-_CLIP, _CLIP)
        return self.bound_rad * torch.tanh(self.last(self.hidden(x)))

    @torch.no_grad()
    def fit_normaliser(self, observations: Tensor) -> None:
        """Take mean and spread of the features from data, (N, 343). What never changes there is not looked at."""
        x = observations @ self.features.T
        spread = x.std(0)
        self.mean.copy_(x.mean(0))
        self.scale.copy_(
            torch.where(spread > _LEAST_SPREAD, 1.0 / spread.clamp_min(_LEAST_SPREAD), 0.0)
        )
