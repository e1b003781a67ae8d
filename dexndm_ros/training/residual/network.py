# SPDX-License-Identifier: Apache-2.0
"""The residual's network: observation and base target to a bounded correction."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from dexndm_ros.policy.observation import HISTORY_LENGTH, JOINT_COUNT, OBSERVATION_SIZE
from dexndm_ros.training.networks import difference_matrix

__all__ = ["ResidualNet", "weaken"]

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
        structure: "hand" = one network that sees everything (paper); "joint" = sixteen networks, each of which sees its
            own joint's angles and targets; "targets" = sixteen that see their joint's targets only. What is corrected
            by the angle is fed back through the hand, and at 20 Hz that may make a joint swing.
    """

    features: Tensor
    mean: Tensor
    scale: Tensor
    own: Tensor

    def __init__(
        self,
        bound_rad: float,
        width: int,
        layers: int,
        structure: Literal["targets", "joint", "hand"] = "targets",
    ) -> None:
        super().__init__()
        self.bound_rad = bound_rad
        matrix = _target_features() if structure == "targets" else _joint_features()
        self.register_buffer("features", matrix)
        self.register_buffer("mean", torch.zeros(len(matrix)))
        self.register_buffer("scale", torch.ones(len(matrix)))
        self.register_buffer("own", _seen_by(structure))
        groups, inputs = self.own.shape
        sizes = [inputs] + [width] * layers + [JOINT_COUNT // groups]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for before, after in pairwise(sizes):
            limit = before**-0.5  # as torch's own linear layers begin
            self.weights.append(
                nn.Parameter(torch.empty(groups, before, after).uniform_(-limit, limit))
            )
            self.biases.append(nn.Parameter(torch.empty(groups, 1, after).uniform_(-limit, limit)))
        nn.init.zeros_(self.weights[-1])
        nn.init.zeros_(self.biases[-1])

    def forward(self, observation: Tensor) -> Tensor:
        """Corrections, rad."""
        x = ((observation @ self.features.T - self.mean) * self.scale).clamp(-_CLIP, _CLIP)
        y = x[:, self.own.flatten()].reshape(-1, *self.own.shape).transpose(0, 1)
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = torch.baddbmm(bias, y, weight)
            y = y if number == last else torch.relu(y)
        return self.bound_rad * torch.tanh(y.transpose(0, 1).reshape(-1, JOINT_COUNT))

    @torch.no_grad()
    def fit_normaliser(self, observations: Tensor) -> None:
        """Take mean and spread of the features from data, (N, 343). What never changes there is not looked at."""
        x = observations @ self.features.T
        spread = x.std(0)
        self.mean.copy_(x.mean(0))
        self.scale.copy_(
            torch.where(spread > _LEAST_SPREAD, 1.0 / spread.clamp_min(_LEAST_SPREAD), 0.0)
        )


def _joint_features() -> Tensor:
    """Changes of the angles, and how far the targets are from them; the base target too."""
    matrix = torch.eye(OBSERVATION_SIZE + JOINT_COUNT)
    matrix[:OBSERVATION_SIZE, :OBSERVATION_SIZE] = difference_matrix()
    newest = (HISTORY_LENGTH - 1) * _PAIR
    for joint in range(JOINT_COUNT):
        matrix[OBSERVATION_SIZE + joint, newest + joint] = -1.0
    return matrix


def _target_features() -> Tensor:
    """How far the targets of the past are from the base target; that one as it is."""
    matrix = torch.eye(OBSERVATION_SIZE + JOINT_COUNT)
    for slot in range(HISTORY_LENGTH):
        for joint in range(JOINT_COUNT):
            matrix[slot * _PAIR + JOINT_COUNT + joint, OBSERVATION_SIZE + joint] = -1.0
    return matrix


def _seen_by(structure: str) -> Tensor:
    """Which features each network sees, (networks, features)."""
    everything = torch.arange(OBSERVATION_SIZE + JOINT_COUNT)
    if structure == "hand":
        return everything[None]
    joint = torch.arange(JOINT_COUNT)[:, None]
    slots = torch.arange(2 * HISTORY_LENGTH)[None] * JOINT_COUNT  # angle and target of every pair
    if structure == "targets":
        slots = slots[:, 1::2]
    return torch.cat([slots + joint, OBSERVATION_SIZE + joint], 1)


def weaken(source: Path, target: Path, centre: Tensor, strength: float) -> None:
    """Copy a residual's file with only a share of what varies in its output.

    Args:
        source: ONNX file of a ``ResidualNet``.
        target: file to write.
        centre: mean output over the data, (16,) rad.
        strength: the share; 0 leaves the mean, 1 the residual as it is.
    """
    model = onnx.load(source)
    graph, name = model.graph, model.graph.output[0].name
    for node in graph.node:
        node.output[:] = [f"{each}_whole" if each == name else each for each in node.output]
    constants = {"share": np.float32(strength), "rest": (1.0 - strength) * centre.numpy()}
    for label, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), label))
    graph.node.append(helper.make_node("Mul", [f"{name}_whole", "share"], [f"{name}_part"]))
    graph.node.append(helper.make_node("Add", [f"{name}_part", "rest"], [name]))
    onnx.save(model, target)
