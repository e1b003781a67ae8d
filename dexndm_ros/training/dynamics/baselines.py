# SPDX-License-Identifier: Apache-2.0
"""What every model is measured beside: persistence, and a linear ARX model of each joint in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.dynamics.config import NetworkConfig
from dexndm_ros.training.dynamics.data import Windows
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.networks import DynamicsNet

__all__ = ["Statistics", "arx_network", "measure_statistics", "start_from_arx"]

_CHUNK = 1 << 15
_RIDGE = 1e-6
_LEAST_SPREAD_RAD = 1e-4
"""Less than a count of the encoder: a joint that never moved must not be magnified."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Sums over the training data, in double precision.

    Attributes:
        mean: (3, 16) of angle, change and target's distance, rad.
        spread: the same.
        arx: coefficients (16, 2 W + 1, 1) on standardised inputs and a one, for the standardised change.
    """

    mean: Tensor
    spread: Tensor
    arx: Tensor

    def apply(self, net: DynamicsNet) -> None:
        """Give a network mean and spread."""
        net.mean.copy_(self.mean)
        net.spread.copy_(self.spread)


def measure_statistics(
    windows: Windows, most: int = 1_000_000, fixed: DynamicsNet | None = None
) -> Statistics:
    """Mean, spread and ARX fit of training windows.

    Args:
        windows: one tick longer than the models' window.
        most: windows looked at, drawn; more change nothing.
        fixed: take mean and spread from this network.

    Raises:
        DynamicsError: numbers that are not finite.
    """
    window = windows.length - 1
    net = DynamicsNet(NetworkConfig(structure="joint", window=window, layers=0))
    if fixed is None:
        mean, spread = _moments(windows, most)
    else:
        mean, spread = fixed.mean.cpu(), fixed.spread.cpu()
    net.mean.copy_(mean)
    net.spread.copy_(spread)
    size = 2 * window + 1
    gram = torch.zeros(JOINT_COUNT, size, size, dtype=torch.float64)
    cross = torch.zeros(JOINT_COUNT, size, 1, dtype=torch.float64)
    count = 0
    for q, a in _some(windows, most):
        net.to(q.device)
        x = net.features(q[:, :-1], a[:, :-1]).double()
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
        y = net.target(q[:, :-1], q[:, -1]).T.double().unsqueeze(-1)
        gram += (x.mT @ x).cpu()
        cross += (x.mT @ y).cpu()
        count += len(q)
    ridge = _RIDGE * count * torch.eye(size, dtype=torch.float64)
    arx = torch.linalg.solve(gram + ridge, cross)
    if not torch.isfinite(arx).all():
        raise DynamicsError("the linear fit is not finite: is there a NaN in the data?")
    return Statistics(mean, spread, arx)


def arx_network(statistics: Statistics, window: int) -> DynamicsNet:
    """The ARX model as a network without hidden layers."""
    net = DynamicsNet(NetworkConfig(structure="joint", window=window, layers=0))
    statistics.apply(net)
    with torch.no_grad():
        net.mlp.weights[0].copy_(statistics.arx[:, :-1])
        net.mlp.biases[0].copy_(statistics.arx[:, -1:])
    return net


@torch.no_grad()
def start_from_arx(net: DynamicsNet, statistics: Statistics) -> None:
    """Set the linear path of a network to the ARX fit: of each joint's own inputs, zero for its neighbours'.

    A network without a linear path begins as it is.
    """
    statistics.apply(net)
    if net.mlp.skip is None:
        return
    joints = JOINT_COUNT // net.groups
    inputs = statistics.arx.shape[1] - 1
    linear = torch.zeros(net.groups, inputs, joints, joints, dtype=torch.float64)
    bias = torch.zeros(net.groups, joints, dtype=torch.float64)
    for joint in range(JOINT_COUNT):
        group, own = divmod(joint, joints)
        linear[group, :, own, own] = statistics.arx[joint, :-1, 0]
        bias[group, own] = statistics.arx[joint, -1, 0]
    # Inputs of a group stand kind by kind, and within a kind joint by joint.
    linear = linear.reshape(net.groups, inputs * joints, joints)
    if net.shared:  # next to nothing: inputs and changes have a mean of zero
        bias = bias.mean(0, keepdim=True)
    net.mlp.skip.copy_(linear)
    net.mlp.biases[-1].copy_(bias.unsqueeze(1))


def _moments(windows: Windows, most: int) -> tuple[Tensor, Tensor]:
    sums = torch.zeros(2, 3, JOINT_COUNT, dtype=torch.float64)
    count = 0
    for q, a in _some(windows, most):
        last, target = q[:, -2].double(), a[:, -2].double()
        kinds = torch.stack([last, q[:, -1].double() - last, target - last])
        sums[0] += kinds.sum(1).cpu()
        sums[1] += (kinds * kinds).sum(1).cpu()
        count += len(q)
    mean = sums[0] / count
    spread = (sums[1] / count - mean * mean).clamp_min(0.0).sqrt().clamp_min(_LEAST_SPREAD_RAD)
    if not torch.isfinite(mean).all():
        raise DynamicsError("angles or targets are not finite: is there a NaN in the data?")
    return mean.float(), spread.float()


def _some(windows: Windows, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in the order of epoch 0, until enough."""
    seen = 0
    for q, a in windows.batches(_CHUNK, 0):
        yield q, a
        seen += len(q)
        if seen >= most:
            return
