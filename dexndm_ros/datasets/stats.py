# SPDX-License-Identifier: Apache-2.0
"""Minimum, maximum, mean, deviation and quantiles of every column, for an episode and for many of them together.

They are of the rows that are ``valid`` and, for each column, finite throughout: one impossible reading must not widen
the range that a training job scales by. A column without such a row counts 0 and has zeros, never NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.features import FEATURES

__all__ = ["QUANTILES", "STAT_NAMES", "Stats", "episode_stats", "merge_stats"]

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""LeRobot's names of them."""
STAT_NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
_SHARES = np.array(list(QUANTILES.values()))
_POINTS = 4  # that stand for what lies between two known quantiles

Stats = dict[str, NDArray[np.float64]]
"""One column's: each of ``STAT_NAMES`` to (numbers in a row,), "count" to (1,)."""


def episode_stats(
    columns: Mapping[str, NDArray[np.generic]], own: Mapping[str, NDArray[np.generic]]
) -> dict[str, Stats]:
    """Of one episode.

    Args:
        columns: those of ``FEATURES``, (rows,) or (rows, width).
        own: LeRobot's own, (rows,), always finite.

    Returns:
        For every column, ``FEATURES`` first.
    """
    valid = cast(NDArray[np.bool_], columns["valid"])
    floats = [each for each in FEATURES if each.dtype == "float32"]
    widths = [each.width or 1 for each in floats]
    # Rows of numbers, not of ticks: one sort for all columns of an episode is several times faster than one for each.
    block = np.empty((sum(widths), len(valid)), dtype=np.float32)
    starts = np.concatenate([[0], np.cumsum(widths)])
    for each, start, width in zip(floats, starts, widths, strict=False):
        block[start : start + width] = columns[each.name].reshape(-1, width).T
    found: dict[str, Stats] = {}
    whole = bool(valid.all()) and bool(np.isfinite(block).all())
    together = _describe(block) if whole else None
    for each, start, width in zip(floats, starts, widths, strict=False):
        part = slice(start, start + width)
        if together is not None:
            found[each.name] = {
                name: value if name == "count" else value[part] for name, value in together.items()
            }
        else:
            rows = valid & np.isfinite(block[part]).all(axis=0)
            found[each.name] = _describe(block[part][:, rows])
    others = {each.name: columns[each.name] for each in FEATURES if each.dtype != "float32"}
    found.update(_integers(others | dict(own), valid))
    order = [each.name for each in FEATURES] + list(own)
    return {name: found[name] for name in order}


def _integers(
    columns: Mapping[str, NDArray[np.generic]], valid: NDArray[np.bool_]
) -> dict[str, Stats]:
    """Of columns of one number a row, counted from their first: as floats, stamps would lose their last digits."""
    block = np.empty((len(columns), int(valid.sum())))
    firsts = np.zeros(len(columns))
    for index, values in enumerate(columns.values()):
        numbers = np.asarray(values[valid] if not valid.all() else values)
        if numbers.dtype == bool:
            numbers = numbers.astype(np.int64)
        if len(numbers):
            firsts[index] = numbers[0]
            block[index] = numbers - numbers[0]
    together = _describe(block)
    found: dict[str, Stats] = {}
    for index, name in enumerate(columns):
        part = slice(index, index + 1)
        found[name] = {
            key: value if key == "count" else value[part] + (firsts[part] if key != "std" else 0)
            for key, value in together.items()
        }
    return found


def _describe(block: NDArray[np.floating]) -> Stats:
    """Of finite numbers, (numbers in a row, rows)."""
    width, rows = block.shape
    count = np.array([float(rows)])
    if not rows:
        return {name: count if name == "count" else np.zeros(width) for name in STAT_NAMES}
    mean = block.mean(axis=1, dtype=np.float64)
    centred = block - mean[:, None]
    std = np.sqrt(np.einsum("ij,ij->i", centred, centred) / rows)
    ordered = np.sort(block, axis=1)
    place = _SHARES * (rows - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, rows - 1)
    below = ordered[:, low].astype(np.float64)
    quantiles = below + (ordered[:, high] - below) * (place - low)
    least, most = ordered[:, 0].astype(np.float64), ordered[:, -1].astype(np.float64)
    found = {"min": least, "max": most, "mean": mean, "std": std, "count": count}
    return found | {name: quantiles[:, index] for index, name in enumerate(QUANTILES)}


def merge_stats(parts: Iterable[Mapping[str, NDArray[np.float64]]]) -> Stats:
    """One column's statistics over many episodes.

    Count, extremes, mean and deviation are exact. Quantiles are those of the mixture of the episodes' distributions,
    each taken as straight between its known quantiles; what comes out does not depend on how the episodes are spread
    over files or on when they were added.

    Args:
        parts: a mapping like ``Stats`` for each episode, or for a table of them with one more leading axis: "min" is
            (episodes, numbers in a row), "count" (episodes, 1).
    """
    pieces = [{name: np.atleast_2d(each[name]) for name in STAT_NAMES} for each in parts]
    if not pieces:
        raise ValueError("there are no statistics to merge")
    table = {name: np.concatenate([each[name] for each in pieces]) for name in STAT_NAMES}
    count = table["count"]
    used = count[:, 0] > 0
    width = table["min"].shape[1]
    if not used.any():
        return {name: np.zeros(1 if name == "count" else width) for name in STAT_NAMES}
    table = {name: values[used] for name, values in table.items()}
    count, total = table["count"], float(table["count"].sum())
    first = table["mean"][0]  # taken off first: sums of stamps would lose their last digits
    mean = first + (count * (table["mean"] - first)).sum(axis=0) / total
    variance = (count * (table["std"] ** 2 + (table["mean"] - mean) ** 2)).sum(axis=0) / total
    least, most = table["min"].min(axis=0), table["max"].max(axis=0)
    knots = np.stack([table["min"], *(table[name] for name in QUANTILES), table["max"]], axis=1)
    quantiles = np.stack(
        [_mixture(knots[:, :, index], count[:, 0]) for index in range(width)], axis=1
    )
    found = {"min": least, "max": most, "mean": mean, "std": np.sqrt(variance)}
    found["count"] = np.array([total])
    for name, values in zip(QUANTILES, quantiles, strict=True):
        found[name] = np.clip(values, least, most)
    return found


def _mixture(knots: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of episodes together, from (episodes, 7) known points of each and their rows."""
    shares = np.concatenate([[0.0], _SHARES, [1.0]])
    inside = (np.arange(_POINTS) + 0.5) / _POINTS
    points = knots[:, :-1, None] + np.diff(knots, axis=1)[:, :, None] * inside
    weights = counts[:, None, None] * (np.diff(shares) / _POINTS)[None, :, None]
    flat = points.reshape(-1)
    heavy = np.broadcast_to(weights, points.shape).reshape(-1)
    order = np.argsort(flat, kind="stable")
    flat, heavy = flat[order], heavy[order]
    reached = (np.cumsum(heavy) - heavy / 2) / heavy.sum()
    return np.interp(_SHARES, reached, flat)


def json_stats(stats: Mapping[str, Stats]) -> dict[str, dict[str, list[float] | list[int]]]:
    """As ``meta/stats.json`` has them."""
    return {
        feature: {
            name: [int(values[0])] if name == "count" else [float(value) for value in values]
            for name, values in each.items()
        }
        for feature, each in stats.items()
    }


def stat_columns(features: Sequence[str]) -> list[str]:
    """Names of the columns of ``meta/episodes`` that hold them."""
    return [f"stats/{feature}/{name}" for feature in features for name in STAT_NAMES]
