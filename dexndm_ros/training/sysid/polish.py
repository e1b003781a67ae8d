# SPDX-License-Identifier: Apache-2.0
"""Least squares after a search: from where CMA-ES arrived to the bottom of the valley.

Friction, play and delay make valleys that are long and narrow; CMA-ES finds them soon and then walks along them for
hundreds of generations. Damped Gauss-Newton steps go there at once. All groups' parameters are changed in the same
rollouts, so that an iteration costs as much as a generation. A step is taken by a group only where it makes that
group's error smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.training.sysid.parameters import PARAMETERS, Values
from dexndm_ros.training.sysid.rounds import Round
from dexndm_ros.training.sysid.simulate import FreeHands

__all__ = ["polish"]

Array = NDArray[np.float64]
_STEP = 0.03
"""Change of x for a derivative: 3 % of a value, above the roughness that sticking joints make."""
_DAMPING = (1e-4, 1e-2, 1.0)
"""Tried side by side, relative to the curvature of each parameter."""
_ENOUGH = 1e-3
"""Share by which the worst group's squared error must still fall."""


def polish(
    hands: FreeHands,
    this: Round,
    values: Values,
    clips: Sequence[int],
    skip: int,
    iterations: int,
) -> dict[str, Array]:
    """Improve one seed's values.

    Args:
        hands: simulates.
        this: the round; its groups and what is active.
        values: where to begin, (16,) by parameter.
        clips: that count.
        skip: steps at the begin of a clip that do not.
        iterations: at most.
    """
    now = {name: value.copy() for name, value in values.items()}
    groups = range(len(this.groups))
    most = max((len(this.places(group)) for group in groups), default=0)
    for _ in range(iterations if most else 0):
        # Row 0 is where we are, row 1 + p has the p-th parameter of every group changed.
        tried = {name: np.repeat(value[None], 1 + most, axis=0) for name, value in now.items()}
        steps = np.zeros((len(groups), most))
        for group in groups:
            for p, (name, joints) in enumerate(this.places(group)):
                low, high = PARAMETERS[name].bounds
                x = float(PARAMETERS[name].x(now[name][joints[0]]))
                steps[group, p] = _STEP if x + _STEP <= high else -_STEP
                moved = np.clip(x + steps[group, p], low, high)
                tried[name][1 + p, joints] = PARAMETERS[name].value(moved)
        residual = hands.residuals(tried, clips, skip)
        trial = {name: np.repeat(value[None], len(_DAMPING), axis=0) for name, value in now.items()}
        for group in groups:
            _steps_of_group(this, group, now, residual, steps[group], trial)
        after = hands.residuals(trial, clips, skip)
        gain = 0.0
        for group, members in enumerate(this.groups):
            old = float((residual[0][:, list(members)] ** 2).sum())
            new = (after[:, :, list(members)] ** 2).sum(axis=(1, 2))
            best = int(np.argmin(np.nan_to_num(new, nan=np.inf)))
            if new[best] < old:
                gain = max(gain, 1.0 - float(new[best]) / old)
                for name, places in this.places(group):
                    now[name][places] = trial[name][best][places]
        if gain < _ENOUGH:
            break
    return now


def _steps_of_group(
    this: Round,
    group: int,
    now: Values,
    residual: Array,
    steps: Array,
    trial: Values,
) -> None:
    """Write a group's damped steps into the rows of ``trial``."""
    places = this.places(group)
    if not places:
        return
    mine = residual[:, :, list(this.groups[group])].reshape(len(residual), -1)
    count = len(places)
    slopes = (mine[1 : 1 + count] - mine[0]) / steps[:count, None]
    if not np.isfinite(slopes).all():
        return
    curvature, pull = slopes @ slopes.T, slopes @ mine[0]
    size = np.maximum(np.diag(curvature), 1e-12 * max(float(np.trace(curvature)), 1e-30))
    for row, damping in enumerate(_DAMPING):
        step = -np.linalg.solve(curvature + damping * np.diag(size), pull)
        for (name, joints), change in zip(places, step, strict=True):
            parameter = PARAMETERS[name]
            limit = parameter.deviation
            x = float(parameter.x(now[name][joints[0]])) + float(np.clip(change, -limit, limit))
            trial[name][row, joints] = parameter.value(np.clip(x, *parameter.bounds))
