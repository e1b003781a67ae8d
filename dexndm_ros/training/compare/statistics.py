# SPDX-License-Identifier: Apache-2.0
"""What many episodes tell: means over pipelines, and ratios with an interval that knows both kinds of chance.

Pipelines (data, initialisation, training) differ by more than episodes do, so both are drawn again: a hierarchical
bootstrap, first pipelines, then episodes within each. Two methods meet the same objects and grasps and are drawn
together, which keeps what is the episode's fault out of their ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ratio", "Spread", "ratio", "spread"]

Array = NDArray[np.float64]
_DRAWS = 4000
_AT_ONCE = 250
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over pipelines; the latter is NaN with one pipeline."""

    mean: float
    std: float


@dataclass(frozen=True)
class Ratio:
    """A ratio of means and its 95 % interval; NaN where what it is relative to is not above 0."""

    value: float
    low: float
    high: float


def spread(values: Array) -> Spread:
    """Of pipelines' means.

    Args:
        values: (pipelines, ...), of every episode.

    Returns:
        the standard deviation is the sample's (n - 1).
    """
    means = values.reshape(len(values), -1).mean(axis=1)
    return Spread(float(means.mean()), float(means.std(ddof=1)) if len(means) > 1 else float("nan"))


def ratio(values: Array, reference: Array, draws: int = _DRAWS, seed: int = 0) -> Ratio:
    """How many times as much as the reference.

    Args:
        values: (pipelines, wrists, episodes).
        reference: the same episodes with the other method.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        ratio of the two means, and the percentiles of its bootstrap: pipelines are drawn with replacement, and in each
        of the drawn ones the episodes of each wrist.

    Raises:
        ValueError: other shapes.
    """
    if values.shape != reference.shape or values.ndim != 3 or not values.size:
        raise ValueError(f"episodes {values.shape} and {reference.shape} do not belong together")
    if not reference.mean() > 0.0:
        return Ratio(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    found = np.concatenate(
        [_draw(values, reference, min(_AT_ONCE, draws - k), rng) for k in range(0, draws, _AT_ONCE)]
    )
    edge = 50.0 * (1.0 - _CONFIDENCE)
    # A draw whose reference never turned counts as endless, never as missing.
    low, high = np.percentile(found, [edge, 100.0 - edge], method="nearest")
    return Ratio(float(values.mean() / reference.mean()), float(low), float(high))


def _draw(values: Array, reference: Array, draws: int, rng: np.random.Generator) -> Array:
    pipelines, wrists, episodes = values.shape
    which = rng.integers(0, pipelines, (draws, pipelines, 1, 1))
    wrist = np.arange(wrists)[:, None]
    episode = rng.integers(0, episodes, (draws, pipelines, wrists, episodes))
    top = values[which, wrist, episode].mean(axis=(1, 2, 3))
    bottom = reference[which, wrist, episode].mean(axis=(1, 2, 3))
    return np.divide(top, bottom, out=np.full(draws, np.inf), where=bottom > 0.0)
