# SPDX-License-Identifier: Apache-2.0
"""How wrong the hand would move under corrected targets, according to the dynamics model.

Ticks are t; a window is the last W angles q and targets a, the newest being q_t and a_t; r is the residual. With f the
hand's model, g the nominal world's, both giving the change until t+1:

- last: f(q, a + r at t) against q_{t+1} - q_t of the rollout, which the nominal simulator made;
- window (paper, section 3.3): f(q, a + r in all of the window) against the same;
- paired (ours): f(q, a + r at t) against g(q, a);
- steps (ours): both models go on for K ticks from their own predictions, f under a + r, g under a; the angles of all
  K ticks are compared. What r does late, as under a delay, is seen too;
- window_paired, steps_window (ours): as paired and steps, with a + r in all of the first window;
- alone (ours): both models follow all targets of a stretch by themselves, f under a + r, g under a, beginning at rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dexndm_ros.policy.observation import HISTORY_LENGTH
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.residual.config import Loss
from dexndm_ros.training.residual.data import Stretch

__all__ = ["go_on", "least_ticks", "motion_errors"]


def motion_errors(
    loss: Loss,
    stretch: Stretch,
    residual: Tensor,
    models: Sequence[DynamicsModel],
    nominal: Sequence[DynamicsModel],
) -> tuple[Tensor, Tensor]:
    """Errors of the predicted motion, in units of each joint's mean change.

    Args:
        loss: which.
        stretch: (B, S) ticks.
        residual: in the ticks from the tenth on, (B, S - 10, 16) rad.
        models: of the hand.
        nominal: of the nominal world; one, or one for each; not used by losses that compare with the rollout.

    Returns:
        Squared errors of each model, (models, M, 16), and the variance between the models' predictions, (M, 16);
        M ticks of all stretches and steps.
    """
    ticks = stretch.q.shape[1]
    corrected = torch.cat(
        [stretch.a[:, :HISTORY_LENGTH], stretch.a[:, HISTORY_LENGTH:] + residual], 1
    )
    if loss.alone:
        return _alone(stretch.a, corrected, models, nominal)
    window = models[0].window
    first = _first_tick(loss, window)
    at = torch.arange(first, ticks - loss.steps)  # t of every prediction
    back = at[:, None] + torch.arange(1 - window, 1)
    q = stretch.q[:, back].flatten(0, 1)
    base = stretch.a[:, back].flatten(0, 1)
    begin = corrected[:, back].flatten(0, 1) if loss.whole_window else base
    spread = models[0].net.spread[1]
    predicted = []
    wanted = []
    for number, model in enumerate(models):
        predicted.append(go_on(model, q, begin, corrected, at, loss.steps))
        if loss.nominal:
            other = nominal[number % len(nominal)]
            with torch.no_grad():
                wanted.append(go_on(other, q, base, stretch.a, at, loss.steps))
        else:
            wanted.append(_measured(stretch.q, at, loss.steps))
    told = torch.stack(predicted) / spread
    errors = (told - torch.stack(wanted) / spread).square()
    variance = told.var(0, correction=0)
    return errors.flatten(1, 2), variance.flatten(0, 1)


def least_ticks(loss: Loss, window: int) -> int:
    """Ticks of a stretch that a loss needs to see some motion.

    Args:
        loss: which.
        window: of the models.
    """
    return (window if loss.alone else _first_tick(loss, window) + loss.steps) + HISTORY_LENGTH


def _first_tick(loss: Loss, window: int) -> int:
    """Of the first prediction: everything in its window that is to be corrected has a residual."""
    return max(HISTORY_LENGTH + (window - 1 if loss.whole_window else 0), window - 1)


def _alone(
    base: Tensor,
    corrected: Tensor,
    models: Sequence[DynamicsModel],
    nominal: Sequence[DynamicsModel],
) -> tuple[Tensor, Tensor]:
    """Models that begin at rest on their targets and follow them to the end of the stretch; its second half counts."""
    ticks, window = base.shape[1], models[0].window
    at = torch.tensor([window - 1])
    steps = ticks - window
    counted = slice(ticks // 2 - window, None)
    rest = base[:, :window]
    spread = models[0].net.spread[1]
    moved, wanted = [], []
    for number, model in enumerate(models):
        moved.append(go_on(model, rest, rest, corrected, at, steps)[:, counted] / spread)
        with torch.no_grad():
            other = nominal[number % len(nominal)]
            wanted.append(go_on(other, rest, rest, base, at, steps)[:, counted] / spread)
    told = torch.stack(moved)
    errors = (told - torch.stack(wanted)).square()
    return errors.flatten(1, 2), told.var(0, correction=0).flatten(0, 1)


def go_on(
    model: DynamicsModel, q: Tensor, a: Tensor, targets: Tensor, at: Tensor, steps: int
) -> Tensor:
    """Changes of the angles since t after 1 .. steps ticks, (N, steps, 16).

    Args:
        model: that predicts.
        q: windows of angles, (N, W, 16).
        a: windows of targets; the newest are replaced by those of ``targets``.
        targets: all targets of the stretches, (B, S, 16).
        at: newest tick of the windows in each stretch.
        steps: ticks.
    """
    begin, found = q[:, -1], []
    for step in range(steps):
        newest = targets[:, at + step].flatten(0, 1)[:, None]
        a = torch.cat([a[:, :-1], newest], 1) if step == 0 else torch.cat([a[:, 1:], newest], 1)
        here = q[:, -1] + model.predict(q, a)
        found.append(here - begin)
        q = torch.cat([q[:, 1:], here[:, None]], 1)
    return torch.stack(found, 1)


def _measured(q: Tensor, at: Tensor, steps: int) -> Tensor:
    """Changes that the rollout itself made, (N, steps, 16)."""
    ahead = at[:, None] + torch.arange(1, steps + 1)
    return (q[:, ahead] - q[:, at][:, :, None]).flatten(0, 1)
