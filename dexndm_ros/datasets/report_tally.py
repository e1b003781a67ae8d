# SPDX-License-Identifier: Apache-2.0
"""Sums over the rows of a dataset, a stretch at a time: memory grows with its episodes, not with its rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.features import RowFlag
from dexndm_ros.datasets.report_histories import Histories
from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD

__all__ = [
    "BINS",
    "COLUMNS",
    "ERROR_BINS",
    "ERROR_BIN_RAD",
    "LAGS",
    "OFFSET_RAD",
    "PERIOD_BIN_NS",
    "PLANE",
    "Tally",
]

COLUMNS = (
    "episode_index",
    "index",
    "observation.state",
    "observation.current",
    "observation.command",
    "observation.temperature",
    "action",
    "action.noise",
    "action.residual",
    "observation.stamp_ns",
    "action.stamp_ns",
    "valid",
    "flags",
)
"""Columns that are read."""

BINS = 64
"""Bins of a joint's histogram, from limit to limit."""
PLANE = (BINS, 41)
"""Bins of (angle, target minus angle)."""
OFFSET_RAD = 0.5
"""Target minus angle is shown from -this to this; what is beyond it is in the outermost bins."""
LAGS = 7
"""Lags of the response to a target, 0 to 6 ticks."""
ERROR_BINS, ERROR_BIN_RAD = 1000, 0.001
PERIOD_BIN_NS = 10_000
_PERIOD_BINS = 50_000  # up to 0.5 s, to 0.01 ms
_AGE_BIN_NS = 100_000
_AGE_BINS = 4000  # -0.2 to 0.2 s

_LOWER = LOWER_RAD.astype(np.float32)
_SCALE = (BINS / (UPPER_RAD - LOWER_RAD)).astype(np.float32)
_PER_RAD = np.float32(PLANE[1] / (2 * OFFSET_RAD))

_Floats = NDArray[np.floating]
_Ints = NDArray[np.int64]


class Tally:
    """What the report says about rows.

    Args:
        episodes: of the dataset.
        rows: of the dataset.

    Attributes:
        rows: all; ``valid`` those that may be used.
        flags: rows that carry each bit of RowFlag.
        target: actions in each joint's bins, (16, 64).
        plane: valid rows by angle and by target minus angle, (16, 64, 41).
        asked, moved: squares of the steps of targets and joints, (16,), and ``together``, (16, 7), their product by
            lag.
        low_rad, high_rad: extremes of the actions, (16,); ``state_low_rad``, ``state_high_rad`` of the angles.
        error: |command - angle| in bins of 1 mrad, (16, 1000).
        period: ticks by their period, bins of 0.01 ms; ``age`` rows by the time from the state to the command.
        episode: by its index: sums from which figures of each episode are made.
        collected: histories of what was replayed, ``task`` of what a policy did.
    """

    def __init__(self, episodes: int, rows: int) -> None:
        self.rows = self.valid = self.noisy_rows = 0
        self.flags = {flag.name or "": 0 for flag in RowFlag}
        self.target = np.zeros((JOINT_COUNT, BINS), dtype=np.int64)
        self.plane = np.zeros((JOINT_COUNT, *PLANE), dtype=np.int64)
        self.low_rad, self.high_rad = _extremes()
        self.state_low_rad, self.state_high_rad = _extremes()
        self.error = np.zeros((JOINT_COUNT, ERROR_BINS), dtype=np.int64)
        self.period = np.zeros(_PERIOD_BINS, dtype=np.int64)
        self.longest_period_ns = 0
        self.age = np.zeros(_AGE_BINS, dtype=np.int64)
        self.noise = np.zeros(2)  # values that are not 0, and the sum of their squares
        self.residual = np.zeros(2)
        self.current_sum, self.current_max = np.zeros(JOINT_COUNT), np.zeros(JOINT_COUNT)
        self.current_count = np.zeros(JOINT_COUNT, dtype=np.int64)
        self.asked, self.moved = np.zeros(JOINT_COUNT), np.zeros(JOINT_COUNT)
        self.together = np.zeros((JOINT_COUNT, LAGS))
        self.episode: dict[str, NDArray[np.float64]] = {
            "rows": np.zeros(episodes),
            "valid": np.zeros(episodes),
            "error_square": np.zeros((episodes, JOINT_COUNT)),
            "error_count": np.zeros((episodes, JOINT_COUNT)),
            "current": np.zeros((episodes, JOINT_COUNT)),
            "current_count": np.zeros((episodes, JOINT_COUNT)),
            "temperature": np.full((episodes, JOINT_COUNT), np.nan),
            "asked": np.zeros(episodes),
            "moved": np.zeros(episodes),
            "together": np.zeros((episodes, LAGS)),
        }
        self.collected, self.task = Histories(rows), Histories(rows)

    def add(self, rows: Mapping[str, NDArray[np.generic]], is_task: NDArray[np.bool_]) -> None:
        """Count rows: whole episodes, in order.

        Args:
            rows: ``COLUMNS``, each (n,) or (n, 16).
            is_task: for each row, whether a policy ran.
        """
        episode = np.asarray(rows["episode_index"], dtype=np.int64)
        if not len(episode):
            return
        starts = np.flatnonzero(np.r_[True, episode[1:] != episode[:-1]])
        numbers = episode[starts]
        valid = np.asarray(rows["valid"], dtype=bool)
        state, action = _float(rows, "observation.state"), _float(rows, "action")
        usable = valid & np.isfinite(state).all(axis=1) & np.isfinite(action).all(axis=1)

        self.rows += len(episode)
        self.valid += int(valid.sum())
        self.episode["rows"][numbers] += np.diff(np.r_[starts, len(episode)])
        self.episode["valid"][numbers] += _sums(valid, starts)
        flags = np.asarray(rows["flags"], dtype=np.int64)
        for flag in RowFlag:
            self.flags[flag.name or ""] += int(np.count_nonzero(flags & flag.value))
        self._coverage(state[usable], action[usable])
        self._errors(_float(rows, "observation.command") - state, valid, starts, numbers)
        self._motors(rows, starts, numbers)
        self._added(rows, valid)
        self._times(rows, episode)
        self._response(state, action, usable, episode, starts, numbers)
        index = np.asarray(rows["index"], dtype=np.int64)
        for sample, kind in ((self.collected, ~is_task), (self.task, is_task)):
            sample.add(state, action, usable & kind, episode, index)

    def _coverage(self, state: _Floats, action: _Floats) -> None:
        if not len(state):
            return
        self.low_rad = np.minimum(self.low_rad, action.min(axis=0))
        self.high_rad = np.maximum(self.high_rad, action.max(axis=0))
        self.state_low_rad = np.minimum(self.state_low_rad, state.min(axis=0))
        self.state_high_rad = np.maximum(self.state_high_rad, state.max(axis=0))
        self.target += _counts(_range_bins(action), BINS)
        beyond = _bins((action - state) * _PER_RAD + np.float32(PLANE[1] / 2), PLANE[1])
        cells = _counts(_range_bins(state) * PLANE[1] + beyond, PLANE[0] * PLANE[1])
        self.plane += cells.reshape(self.plane.shape)

    @property
    def state(self) -> _Ints:
        """Angles in each joint's bins, (16, 64)."""
        counts: _Ints = self.plane.sum(axis=2)
        return counts

    def _errors(
        self, error: _Floats, valid: NDArray[np.bool_], starts: _Ints, numbers: _Ints
    ) -> None:
        known = np.isfinite(error) & valid[:, None]
        size = np.where(known, np.abs(error), np.float32(0.0))
        bins = _bins(size * np.float32(1.0 / ERROR_BIN_RAD), ERROR_BINS)
        self.error += _counts(bins, ERROR_BINS, None if known.all() else known)
        self.episode["error_square"][numbers] += _sums(size * size, starts)
        self.episode["error_count"][numbers] += _sums(known, starts)

    def _motors(
        self, rows: Mapping[str, NDArray[np.generic]], starts: _Ints, numbers: _Ints
    ) -> None:
        current = np.abs(_float(rows, "observation.current"))
        known = np.isfinite(current)
        current = np.where(known, current, np.float32(0.0))
        self.current_sum += current.sum(axis=0, dtype=np.float64)
        self.current_count += known.sum(axis=0)
        self.current_max = np.maximum(self.current_max, current.max(axis=0))
        self.episode["current"][numbers] += _sums(current, starts)
        self.episode["current_count"][numbers] += _sums(known, starts)
        hot = np.fmax.reduceat(_float(rows, "observation.temperature"), starts, axis=0)
        kept = self.episode["temperature"]
        kept[numbers] = np.fmax(kept[numbers], hot)

    def _added(self, rows: Mapping[str, NDArray[np.generic]], valid: NDArray[np.bool_]) -> None:
        for name, total in (("action.noise", self.noise), ("action.residual", self.residual)):
            values = _float(rows, name)
            if not values.any():
                continue
            values = np.nan_to_num(values[valid])
            squares = float((values * values).sum(dtype=np.float64))
            total += np.array([np.count_nonzero(values), squares])
            if name == "action.noise":
                self.noisy_rows += int(values.any(axis=1).sum())

    def _times(self, rows: Mapping[str, NDArray[np.generic]], episode: _Ints) -> None:
        sent = np.asarray(rows["action.stamp_ns"], dtype=np.int64)
        read = np.asarray(rows["observation.stamp_ns"], dtype=np.int64)
        # Where ticks are missing, what lies between two rows is no period.
        gap = (np.asarray(rows["flags"])[:-1] & RowFlag.GAP.value) != 0
        together = (episode[1:] == episode[:-1]) & (sent[1:] > 0) & (sent[:-1] > 0) & ~gap
        period = np.diff(sent)[together]
        self.period += np.bincount(
            _bins(period / PERIOD_BIN_NS, _PERIOD_BINS), minlength=_PERIOD_BINS
        )
        self.longest_period_ns = max(self.longest_period_ns, int(period.max(initial=0)))
        age = (sent - read)[(sent > 0) & (read > 0)]
        self.age += np.bincount(
            _bins(age / _AGE_BIN_NS + _AGE_BINS / 2, _AGE_BINS), minlength=_AGE_BINS
        )

    def _response(
        self,
        state: _Floats,
        action: _Floats,
        usable: NDArray[np.bool_],
        episode: _Ints,
        starts: _Ints,
        numbers: _Ints,
    ) -> None:
        """Sums for the correlation of a target's step with the joint's step so many ticks later."""
        asked, moved = np.zeros_like(action), np.zeros_like(state)
        np.subtract(action[1:], action[:-1], out=asked[1:])
        np.subtract(state[1:], state[:-1], out=moved[1:])
        alone = ~usable
        alone[1:] |= ~usable[:-1]
        alone[starts] = True
        asked[alone], moved[alone] = 0.0, 0.0
        for name, whole, steps in (("asked", self.asked, asked), ("moved", self.moved, moved)):
            of_each = _sums(steps * steps, starts)
            whole += of_each.sum(axis=0)
            self.episode[name][numbers] += of_each.sum(axis=1)
        for lag in range(min(LAGS, len(episode))):
            end = len(episode) - lag
            product = asked.copy()
            product[:end] *= moved[lag:]
            product[:end][episode[:end] != episode[lag:]] = 0.0
            product[end:] = 0.0
            of_each = _sums(product, starts)
            self.together[:, lag] += of_each.sum(axis=0)
            self.episode["together"][numbers, lag] += of_each.sum(axis=1)

    def period_ms(self, share: float) -> float:
        """Period that this share of the ticks stays below, to 0.01 ms; NaN without ticks."""
        return _quantile(self.period, share) * PERIOD_BIN_NS / 1e6

    def period_share(self, low_ms: float, high_ms: float) -> float:
        """Share of the ticks whose period lies in between; NaN without ticks."""
        total = self.period.sum()
        edges = [round(ms * 1e6 / PERIOD_BIN_NS) for ms in (low_ms, high_ms)]
        return float(self.period[edges[0] : edges[1]].sum() / total) if total else float("nan")

    def age_ms(self, share: float) -> float:
        """Time from reading the joints to the command, quantile, to 0.1 ms; negative = read after it."""
        return (_quantile(self.age, share) - _AGE_BINS / 2) * _AGE_BIN_NS / 1e6


def _extremes() -> tuple[_Floats, _Floats]:
    return np.full(JOINT_COUNT, np.inf), np.full(JOINT_COUNT, -np.inf)


def _float(rows: Mapping[str, NDArray[np.generic]], name: str) -> _Floats:
    return np.asarray(rows[name], dtype=np.float32)


def _bins(values: _Floats, bins: int) -> NDArray[np.intp]:
    """Numbers of the bins; what lies outside is in the first or last, and so is NaN."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.intp] = np.clip(values, 0, bins - 1).astype(np.intp)
    return found


def _range_bins(values: _Floats) -> NDArray[np.intp]:
    return _bins((values - _LOWER) * _SCALE, BINS)


def _sums(values: NDArray[np.generic], starts: _Ints) -> NDArray[np.float64]:
    """Of each episode's rows."""
    found: NDArray[np.float64] = np.add.reduceat(values, starts, axis=0, dtype=np.float64)
    return found


def _counts(bins: NDArray[np.intp], count: int, weights: NDArray[np.bool_] | None = None) -> _Ints:
    """Histogram of each of the 16 columns."""
    flat = (bins + count * np.arange(JOINT_COUNT)).ravel()
    found = np.bincount(
        flat, None if weights is None else weights.ravel(), minlength=JOINT_COUNT * count
    )
    return found.reshape(JOINT_COUNT, count).astype(np.int64)


def _quantile(counts: _Ints, share: float) -> float:
    """Middle of the bin."""
    total = np.cumsum(counts)
    if not total[-1]:
        return float("nan")
    return float(np.searchsorted(total, share * total[-1])) + 0.5
