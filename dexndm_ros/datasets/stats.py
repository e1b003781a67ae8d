# SPDX-License-Identifier: Apache-2.0
"""Minimum, maximum, mean, deviation and quantiles of every column, for an episode and for many of them together.

They are of the rows that are ``valid`` and, for each column, finite throughout: one impossible reading must not widen
the range that a training job scales by. A column without such a row counts 0 and has zeros, never NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.demonstration_features import features_of
from dexndm_ros.datasets.features import FEATURES, OWN_FEATURES, Feature

__all__ = [
    "QUANTILES",
    "STAT_NAMES",
    "EpisodeStats",
    "Stats",
    "episode_stats",
    "json_stats",
    "merge_stats",
    "stats_table",
]

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""LeRobot's names of them."""
STAT_NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
_SHARES = np.array(list(QUANTILES.values()))
_VALUES = tuple(name for name in STAT_NAMES if name != "count")
_MOVED = [k for k, name in enumerate(_VALUES) if name != "std"]
_POINTS = 4  # that stand for what lies between two known quantiles

Stats = dict[str, NDArray[np.float64]]
"""One column's: each of ``STAT_NAMES`` to (numbers in a row,), "count" to (1,)."""


@dataclass(frozen=True)
class EpisodeStats:
    """Of all columns of one episode, in one array: an episode has 220 of them, and there are thousands of episodes.

    Attributes:
        values: (all but "count" of ``STAT_NAMES``, numbers in a row of all columns).
        counts: rows that count, for each column.
        features: the columns, without LeRobot's own.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    features: tuple[Feature, ...] = FEATURES

    def __getitem__(self, feature: str) -> Stats:
        """One column's."""
        number, part = _layout(self.features).places[feature]
        found = {"count": self.counts[number : number + 1].astype(np.float64)}
        return found | {name: self.values[k, part] for k, name in enumerate(_VALUES)}


def episode_stats(
    columns: Mapping[str, NDArray[np.generic]], own: Mapping[str, NDArray[np.generic]]
) -> EpisodeStats:
    """Of one episode.

    Args:
        columns: those of ``features_of`` them, (rows,) or (rows, width).
        own: LeRobot's own, those of ``OWN_FEATURES``, (rows,), always finite.
    """
    valid = cast(NDArray[np.bool_], columns["valid"])
    # Rows of numbers, not of ticks: one sort for all columns of an episode is several times faster than one for each.
    features = features_of(columns)
    layout = _layout(features)
    split = layout.floats
    floats = np.empty((split, len(valid)), dtype=np.float32)
    integers = np.empty((layout.numbers - split, len(valid)))
    firsts = np.zeros(layout.numbers - split)
    begin = int(np.argmax(valid))
    for name, (_, part) in layout.places.items():
        values = columns[name] if name in columns else own[name]
        if part.stop <= split:
            floats[part] = values.reshape(len(valid), -1).T
        elif len(valid):
            # Counted from the first: as floats, stamps would lose their last digits.
            numbers = values.astype(np.int64) if values.dtype != np.int64 else values
            firsts[part.start - split] = numbers[begin]
            integers[part.start - split] = numbers - numbers[begin]
    counts = np.full(len(layout.places), int(valid.sum()))
    found = np.zeros((len(_VALUES), layout.numbers))
    if counts[0]:
        whole = counts[0] == len(valid)
        found[:, split:] = _describe(integers if whole else integers[:, valid])
        found[_MOVED, split:] += firsts
        if whole and np.isfinite(floats).all():
            found[:, :split] = _describe(floats)
        else:
            _describe_each(layout, floats, valid, found, counts)
    return EpisodeStats(found, counts, features)


def _describe_each(
    layout: _Layout,
    floats: NDArray[np.float32],
    valid: NDArray[np.bool_],
    found: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Column by column: which rows count differs."""
    for number, part in layout.places.values():
        if part.stop <= layout.floats:
            rows = valid & np.isfinite(floats[part]).all(axis=0)
            counts[number] = rows.sum()
            if counts[number]:
                found[:, part] = _describe(floats[part][:, rows])


def _describe(block: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of finite numbers, (numbers in a row, rows): (``_VALUES``, numbers in a row)."""
    rows = block.shape[1]
    mean = block.mean(axis=1, dtype=np.float64)
    centred = block - mean[:, None]
    std = np.sqrt(np.einsum("ij,ij->i", centred, centred) / rows)
    ordered = np.sort(block, axis=1)
    place = _SHARES * (rows - 1)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, rows - 1)
    below = ordered[:, low].astype(np.float64)
    quantiles = below + (ordered[:, high] - below) * (place - low)
    return np.stack([ordered[:, 0], ordered[:, -1], mean, std, *quantiles.T])


class _Layout(NamedTuple):
    """Of each column its number, in the dataset's order, and its place among all numbers of a row, floats first."""

    places: dict[str, tuple[int, slice]]
    floats: int
    numbers: int


@functools.cache
def _layout(features: tuple[Feature, ...]) -> _Layout:
    dtypes = {each.name: (each.dtype, each.width or 1) for each in features}
    dtypes |= {name: (dtype, 1) for name, dtype in OWN_FEATURES.items()}
    order = list(dtypes)
    places: dict[str, slice] = {}
    start = 0
    for name in sorted(dtypes, key=lambda name: (dtypes[name][0] != "float32", order.index(name))):
        places[name] = slice(start, start + dtypes[name][1])
        start += dtypes[name][1]
    numbered = {name: (number, places[name]) for number, name in enumerate(order)}
    return _Layout(numbered, sum(n for kind, n in dtypes.values() if kind == "float32"), start)


def stats_table(episodes: Sequence[EpisodeStats]) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Columns of ``meta/episodes``: names, and (episodes, numbers in a row) each."""
    values = np.stack([each.values for each in episodes])
    counts = np.stack([each.counts for each in episodes])
    for feature, (number, part) in _layout(episodes[0].features).places.items():
        for name in STAT_NAMES:
            if name == "count":
                yield f"stats/{feature}/{name}", counts[:, number : number + 1]
            else:
                yield f"stats/{feature}/{name}", values[:, _VALUES.index(name), part]


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
    if (knots == knots.flat[0]).all():
        return np.full(len(_SHARES), knots.flat[0])
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
