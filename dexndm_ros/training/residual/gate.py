# SPDX-License-Identifier: Apache-2.0
"""Whether a residual may run on a hand at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.residual.config import GateConfig
from dexndm_ros.training.residual.data import Stretch
from dexndm_ros.training.residual.losses import go_on

__all__ = ["Verdict", "judge"]

_AT_BOUND = 0.95
"""Of the bound: the squashing never quite reaches it."""


@dataclass(frozen=True)
class Verdict:
    """What the gate saw.

    Attributes:
        response: of each joint's predicted angle to its newest target, rad a rad, (16,); see ``_response``.
        at_bound: share of the ticks in which each joint's residual stands at its bound, (16,).
        mean_mrad: mean size of each joint's residual, (16,) mrad.
        refused: why it must not run; "" = it may.
    """

    response: tuple[float, ...]
    at_bound: tuple[float, ...]
    mean_mrad: tuple[float, ...]
    refused: str


def judge(
    gate: GateConfig, steps: int, stretch: Stretch, residual: Tensor, models: Sequence[DynamicsModel], bound_rad: float
) -> Verdict:  # fmt: skip
    """Look at a residual on rollouts.

    Args:
        gate: limits.
        steps: ticks within which the newest target must be felt.
        stretch: ticks, (B, S).
        residual: there, (B, S - 10, 16) rad.
        models: of the hand.
        bound_rad: of the residual.
    """
    felt = _response(steps, stretch, models)
    at_bound = (residual.abs() > _AT_BOUND * bound_rad).float().mean((0, 1))
    size = 1e3 * residual.abs().mean((0, 1))
    reasons = []
    mean, share = float(felt.mean()), float(at_bound.mean())
    if mean < gate.least_response:
        ahead = "the next tick" if steps == 1 else f"the next {steps} ticks"
        reasons.append(
            f"the newest target hardly moves the hand within {ahead}: {mean:.3f} rad a rad in the mean of the joints, "
            f"{gate.least_response:g} is the least. Is there a delay of a tick or more?"
        )
    if share > gate.most_at_bound:
        reasons.append(
            f"the residual stands at its bound of {bound_rad:g} rad in {share:.0%} of ticks and joints, "
            f"{gate.most_at_bound:.0%} is the most: it asks for more than it can give"
        )
    return Verdict(
        tuple(felt.tolist()), tuple(at_bound.tolist()), tuple(size.tolist()), "; ".join(reasons)
    )


def _response(steps: int, stretch: Stretch, models: Sequence[DynamicsModel]) -> Tensor:
    """By how much a joint's predicted angle follows its own newest target, (16,) rad a rad.

    The derivative in the mean over data and models, in that of the predicted ticks in which it is greatest.
    """
    at = torch.tensor([stretch.q.shape[1] - 1 - steps])
    back = at[:, None] + torch.arange(1 - models[0].window, 1)
    q, a = stretch.q[:, back].flatten(0, 1), stretch.a[:, back].flatten(0, 1)
    targets = stretch.a.clone().requires_grad_(True)
    moved = torch.stack([go_on(model, q, a, targets, at, steps) for model in models]).mean(0)
    felt = torch.zeros(steps, JOINT_COUNT)
    for step in range(steps):
        for joint in range(JOINT_COUNT):
            (gradient,) = torch.autograd.grad(
                moved[:, step, joint].sum(), targets, retain_graph=True
            )
            felt[step, joint] = gradient[:, at, joint].mean()
    return felt.amax(0)
