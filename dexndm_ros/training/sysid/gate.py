# SPDX-License-Identifier: Apache-2.0
"""The gate: what data say too little about keeps its nominal value, and the report says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.sysid.parameters import (
    JOINTS_A_FINGER,
    PARAMETERS,
    Parameter,
    Values,
    label,
)

__all__ = ["Estimate", "Limits", "estimates", "refuse_fingers", "refuse_worst"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What the gate lets through.

    Attributes:
        most_spread: of the seeds, relative to their mean.
        least_felt: rise of the squared error when a parameter is changed by ``most_spread``.
    """

    most_spread: float = 0.3
    least_felt: float = 0.05


@dataclass(frozen=True)
class Estimate:
    """What is known of one number.

    Attributes:
        parameter: its name.
        index: joint, or of the delay 0.
        of: whose it is.
        nominal: value before.
        seeds: estimates.
        spread: their range over their mean.
        felt: by how much the squared error rises when the parameter is changed by the spread that is allowed; of
            the seed that feels it most.
        refused: why it keeps the nominal value; "" = identified.
        fitted: value of the last fit, to all clips, with what was refused at nominal; None before it.
    """

    parameter: str
    index: int
    of: str
    nominal: float
    seeds: tuple[float, ...]
    spread: float
    felt: float
    refused: str
    fitted: float | None = None

    @property
    def estimate(self) -> float:
        """Mean of the seeds; the geometric one where the search was in logarithms."""
        parameter = PARAMETERS[self.parameter]
        return float(parameter.value(parameter.x(np.array(self.seeds)).mean()))

    @property
    def shown(self) -> float:
        """The value, or of a refused one what it would have been."""
        return self.estimate if self.refused else self.value

    @property
    def value(self) -> float:
        """What the world gets."""
        if self.refused:
            return self.nominal
        return self.estimate if self.fitted is None else self.fitted


def estimates(
    found: Values,
    active: Mapping[str, NDArray[np.bool_]],
    nominal: Values,
    felt: Values,
    limits: Limits,
) -> list[Estimate]:
    """What a round found, each judged by itself.

    The delay is one number: of each seed, the median over the joints.

    Args:
        found: values of the seeds, (S, 16).
        active: what was searched for.
        nominal: base world's values, (16,).
        felt: see ``Estimate``, (16,) by parameter; of the delay all the same.
        limits: of the gate.
    """
    rows = []
    for name, mask in active.items():
        parameter = PARAMETERS[name]
        if name == "delay":
            if mask.any():
                seeds = np.median(found[name], axis=1)
                made = _made(parameter, 0, nominal[name][0], seeds, felt[name][0])
                rows.append(_judged(made, limits))
            continue
        for index in np.flatnonzero(mask):
            seeds, before = found[name][:, index], nominal[name][index]
            made = _made(parameter, int(index), before, seeds, felt[name][index])
            rows.append(_judged(made, limits))
    return rows


def _made(parameter: Parameter, index: int, before: float, seeds: Array, felt: float) -> Estimate:
    return Estimate(
        parameter=parameter.name,
        index=index,
        of=label(parameter, index),
        nominal=float(before),
        seeds=tuple(map(float, seeds)),
        spread=parameter.spread(seeds),
        felt=float(felt),
        refused="",
    )


def _judged(each: Estimate, limits: Limits) -> Estimate:
    parameter = PARAMETERS[each.parameter]
    bound = parameter.bound_reached(each.estimate)
    why = ""
    if each.felt < limits.least_felt:
        why = (
            f"not felt: changed by {limits.most_spread:.0%}, the squared error rises by "
            f"{max(each.felt, 0.0):.1%} only"
        )
    elif bound:
        least = parameter.low if bound == "lower" else parameter.high
        why = f"at its {bound} bound, {least:g} {parameter.unit}".rstrip()
    elif each.spread > limits.most_spread:
        why = f"spread over seeds {each.spread:.0%}, more than {limits.most_spread:.0%}"
    return dataclasses.replace(each, refused=why)


def refuse_worst(rows: list[Estimate], first: bool, late: bool) -> list[Estimate]:
    """All that are not felt, and of each joint's others the worst: with it nominal, the rest may become clear.

    A parameter at its bound is worse than any that is spread.

    Args:
        rows: estimates.
        first: of the first round. Its searches may be far from where they will arrive: only what no seed feels is
            given up.
        late: the delay may be given up too. Earlier it is not, for all other parameters would have to stand in for it.
    """
    unsure = [each for each in rows if each.refused and (late or each.parameter != "delay")]
    unfelt = [each for each in unsure if each.refused.startswith("not felt")]
    if first:
        return unfelt
    worst: dict[int, Estimate] = {}
    for each in unsure:
        place = -1 if each.parameter == "delay" else each.index
        if (
            each.refused
            and each not in unfelt
            and (place not in worst or _badness(each) > _badness(worst[place]))
        ):
            worst[place] = each
    return unfelt + list(worst.values())


def _badness(each: Estimate) -> tuple[bool, float]:
    return each.refused.startswith("at its"), each.spread


def refuse_fingers(rows: list[Estimate], before: Array, after: Array) -> list[Estimate]:
    """Refuse all joints' parameters of the fingers that held-out clips are not better with.

    Args:
        rows: estimates.
        before: held-out error with the base world's values, (16,) rad.
        after: with the identified ones, (16,) rad.
    """

    def square(error: Array) -> Array:
        mean: Array = (error.reshape(len(FINGERS), JOINT_COUNT // len(FINGERS)) ** 2).mean(axis=1)
        return np.sqrt(mean)

    old, new = square(before), square(after)
    bad = {finger for finger in range(len(FINGERS)) if not new[finger] < old[finger]}
    return [
        each
        if each.refused or each.parameter == "delay" or each.index // JOINTS_A_FINGER not in bad
        else dataclasses.replace(each, refused=_not_better(each.index // JOINTS_A_FINGER, old, new))
        for each in rows
    ]


def _not_better(finger: int, old: Array, new: Array) -> str:
    return (
        f"held-out error of the {FINGERS[finger]} is {new[finger] * 1e3:.2f} mrad with it and "
        f"{old[finger] * 1e3:.2f} mrad without"
    )
