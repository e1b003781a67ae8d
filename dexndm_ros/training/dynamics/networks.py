# SPDX-License-Identifier: Apache-2.0
"""The networks: all of them in one batched product, or one after the other, with equal results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.dynamics.config import GROUPS, NetworkConfig
from dexndm_ros.training.dynamics.relu_loop import relu_loop

__all__ = ["DynamicsNet", "GroupedMlp", "flops_a_transition"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "relu": nn.functional.relu,
    "elu": nn.functional.elu,
    "tanh": torch.tanh,
}


class GroupedMlp(nn.Module):
    """Many small networks of one shape, each with its own weights.

    Args:
        groups: networks.
        inputs: of each.
        outputs: of each.
        config: width, layers, activation, skip.
        shared: the layers are the same ones for all; the linear path beside them is each group's own.

    Attributes:
        batched: all networks in one product a layer; else one after the other.
        threads: among which the networks are shared, one after the other, with ReLU on a CPU.
    """

    def __init__(
        self, groups: int, inputs: int, outputs: int, config: NetworkConfig, shared: bool = False
    ) -> None:
        super().__init__()
        self._shared = shared
        networks = 1 if shared else groups
        widths = [inputs, *[config.width] * config.layers, outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for number, (rows, columns) in enumerate(itertools.pairwise(widths)):
            bound = 1.0 / math.sqrt(rows)
            weight = torch.empty(networks, rows, columns).uniform_(-bound, bound)
            bias = torch.empty(networks, 1, columns).uniform_(-bound, bound)
            if number == config.layers:  # at first: what the linear path says, or no motion
                weight, bias = weight.zero_(), bias.zero_()
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))
        self.skip = (
            nn.Parameter(torch.zeros(groups, inputs, outputs))
            if config.skip and config.layers
            else None
        )
        self._activation = _ACTIVATIONS[config.activation]
        self._relu = config.activation == "relu"
        self.batched = False
        self.threads = 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (groups, B, inputs) to (groups, B, outputs)."""
        if not self._shared:
            return self._layers(x, self.skip)
        groups, count, inputs = x.shape
        y = self._layers(x.reshape(1, groups * count, inputs), None)
        y = y.reshape(groups, count, y.shape[2])
        return y if self.skip is None else torch.baddbmm(y, x, self.skip)

    def _layers(self, x: Tensor, skip: Tensor | None) -> Tensor:
        if self.batched:
            return self._product(x, list(self.weights), list(self.biases), skip)
        if self._relu and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            return relu_loop(x, list(self.weights), list(self.biases), skip, self.threads)
        # unbind: its backward is one stack, where that of weight[g] is a full array of zeros each.
        weights = [weight.unbind(0) for weight in self.weights]
        biases = [bias.unbind(0) for bias in self.biases]
        skips = None if skip is None else skip.unbind(0)
        out = [
            self._product(
                part,
                [weight[g] for weight in weights],
                [bias[g] for bias in biases],
                None if skips is None else skips[g],
            )
            for g, part in enumerate(x.unbind(0))
        ]
        return torch.stack(out)

    def _product(
        self, x: Tensor, weights: list[Tensor], biases: list[Tensor], skip: Tensor | None
    ) -> Tensor:
        multiply = torch.baddbmm if x.dim() == 3 else torch.addmm
        y = x
        last = len(weights) - 1
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            y = multiply(bias, y, weight)
            if number < last:
                y = self._activation(y)
        return y if skip is None else multiply(y, x, skip)


class DynamicsNet(nn.Module):
    """From the last W angles and targets of all joints to the next change of their angles.

    What the networks see of a joint: its newest angle, its W-1 last changes, and how far its target was from it in
    each of the W steps; all of them standardised by the joint's own mean and spread. That is the same information as
    the raw angles, which are too alike to learn from.

    Args:
        config: of the network.
        shared: the same layers for all groups, to begin with.

    Attributes:
        mean: (3, 16) of angle, change and target's distance, rad.
        spread: the same.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, config: NetworkConfig, shared: bool = False) -> None:
        super().__init__()
        self.config = config
        self.groups = GROUPS[config.structure]
        self.shared = shared
        joints = JOINT_COUNT // self.groups
        self.mlp = GroupedMlp(self.groups, 2 * config.window * joints, joints, config, shared)
        self.register_buffer("mean", torch.zeros(3, JOINT_COUNT))
        self.register_buffer("spread", torch.ones(3, JOINT_COUNT))

    def features(self, q: Tensor, a: Tensor) -> Tensor:
        """Standardised (groups, B, 2 W joints) of angles and targets (B, W, 16), rad; oldest first."""
        newest = (q[:, -1:] - self.mean[0]) / self.spread[0]
        changes = (q[:, 1:] - q[:, :-1] - self.mean[1]) / self.spread[1]
        errors = (a - q - self.mean[2]) / self.spread[2]
        x = torch.cat([newest, changes, errors], 1)
        count, kinds = x.shape[:2]
        joints = JOINT_COUNT // self.groups
        x = x.reshape(count, kinds, self.groups, joints).permute(2, 0, 1, 3)
        # A view would do, but every product would gather its rows from all over it.
        return x.reshape(self.groups, count, kinds * joints).contiguous()

    def standard(self, q: Tensor, a: Tensor) -> Tensor:
        """Predicted change (B, 16), standardised."""
        y = self.mlp(self.features(q, a))
        # Joints of a group follow each other, so this is motor order again.
        return y.permute(1, 0, 2).reshape(q.shape[0], JOINT_COUNT)

    def target(self, q: Tensor, following: Tensor) -> Tensor:
        """What is to be predicted, standardised: (B, 16) from windows (B, W, 16) and the angles after them (B, 16)."""
        return (following - q[:, -1] - self.mean[1]) / self.spread[1]

    def forward(self, q: Tensor, a: Tensor) -> Tensor:
        """Predicted change of the angles, rad, (..., 16), from angles and targets (..., W, 16), rad, oldest first."""
        lead = q.shape[:-2]
        window = q.shape[-2:]
        y = self.standard(q.reshape(-1, *window), a.reshape(-1, *window))
        return (y.float() * self.spread[1] + self.mean[1]).reshape(*lead, JOINT_COUNT)

    @torch.no_grad()
    def unshared(self) -> DynamicsNet:
        """A network for each group, each a copy of the shared one."""
        net = DynamicsNet(self.config).to(self.mean.device)
        for ours, theirs in zip(net.parameters(), self.parameters(), strict=True):
            ours.copy_(theirs.expand_as(ours))
        net.mean.copy_(self.mean)
        net.spread.copy_(self.spread)
        return net


def flops_a_transition(config: NetworkConfig) -> float:
    """Floating point operations of a training step for each transition.

    A product costs two a weight, three times: forward, its weights' gradient, and its inputs' gradient, which what
    begins at the data needs not.
    """
    groups = GROUPS[config.structure]
    joints = JOINT_COUNT // groups
    inputs = 2 * config.window * joints
    widths = [inputs, *[config.width] * config.layers, joints]
    first, *rest = (a * b for a, b in itertools.pairwise(widths))
    if config.skip and config.layers:
        first += inputs * joints
    return groups * (4.0 * first + 6.0 * sum(rest))
