# SPDX-License-Identifier: Apache-2.0
"""Checks of an episode's rows: each marks rows in ``flags`` and tells what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.config import Limits
from dexndm_ros.datasets.episode import Action, Finding
from dexndm_ros.datasets.features import RowFlag
from dexndm_ros.datasets.quality import finding
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD

__all__ = ["check_rows", "lag_ticks", "tracking_error"]

Columns = Mapping[str, NDArray[Any]]

_LAGS = 7
_MOVES_RAD = 2e-3
"""A joint whose target changes less than this from tick to tick (standard deviation) tells nothing of its order."""
_FOLLOWS = 0.3
"""Correlation from which on a joint follows a target."""


def check_rows(
    columns: Columns, limits: Limits, mapped: bool, lag: int, steady_ns: NDArray[np.int64]
) -> Iterator[Finding]:
    """All checks of one episode's rows.

    Args:
        columns: of the episode; ``flags`` is added to.
        limits: from where on something is trouble.
        mapped: of another driver's bag: its joints' order is not proved by our driver.
        lag: rows from target to answer, by ``lag_ticks``.
        steady_ns: time of each row's state without steps of the system time, (rows,).
    """
    yield from _told_by_flags(columns)
    yield from _not_finite(columns)
    yield from _impossible(columns, limits, steady_ns)
    yield from _stuck(columns, limits)
    yield from _saturated(columns, limits)
    yield from _response(columns, limits, mapped, lag)


_TOLD: tuple[tuple[RowFlag, str, Action, str], ...] = (
    (RowFlag.NO_STATE, "no_state", "flagged", "ticks without a state"),
    (RowFlag.STALE_STATE, "stale_state", "flagged", "ticks whose state is too old"),
    (RowFlag.NO_COMMAND, "no_command", "flagged", "ticks whose command is not in the bag"),
    (RowFlag.NOT_RUNNING, "not_running", "flagged", "ticks at which the hand followed no command"),
    (RowFlag.GAP, "gap", "flagged", "rows before a gap"),
    (RowFlag.OTHER_STATE, "other_state", "flagged", "ticks whose own state is not in the bag"),
    (
        RowFlag.OLDER_STATE,
        "older_state",
        "noted",
        "ticks with reads missing just before their command",
    ),
    (RowFlag.BY_TIME, "by_time", "noted", "rows whose state was found by its time"),
    (RowFlag.LIMITED, "limited", "noted", "commands that the guard changed"),
)


def _told_by_flags(columns: Columns) -> Iterator[Finding]:
    """What matching of states found."""
    flags = columns["flags"]
    seen = int(np.bitwise_or.reduce(flags)) if len(flags) else 0
    for flag, check, action, text in _TOLD:
        if seen & flag:
            mask = (flags & flag) != 0
            first = int(np.argmax(mask))
            yield finding(
                check, int(mask.sum()), action, f"{text}: {int(mask.sum())}, first in row {first}"
            )


def _mark(columns: Columns, mask: NDArray[np.bool_], flag: RowFlag) -> int:
    columns["flags"][mask] |= flag
    return int(mask.sum())


def _not_finite(columns: Columns) -> Iterator[Finding]:
    have = (columns["flags"] & RowFlag.NO_STATE) == 0
    state_bad = ~np.isfinite(columns["observation.state"])
    action_bad = ~np.isfinite(columns["action"])
    bad = (state_bad.any(axis=1) & have) | action_bad.any(axis=1)
    if not bad.any():
        return
    count = _mark(columns, bad, RowFlag.NOT_FINITE)
    row = int(np.argmax(bad))
    joint = JOINT_NAMES[int(np.argmax(state_bad[row] | action_bad[row]))]
    yield finding(
        "not_finite",
        count,
        "flagged",
        f"rows with NaN or infinity: {count}, first {joint} in row {row}",
    )


def _impossible(
    columns: Columns, limits: Limits, steady_ns: NDArray[np.int64]
) -> Iterator[Finding]:
    state = columns["observation.state"]
    have = (columns["flags"] & RowFlag.NO_STATE) == 0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        outside = np.maximum(LOWER_RAD - state, state - UPPER_RAD)
        far = (outside > limits.beyond_limits_rad) & have[:, None]
        span_s = np.maximum(np.diff(steady_ns) * 1e-9, 1e-3)[:, None]
        speed = np.zeros(state.shape)
        speed[1:] = np.abs(np.diff(state, axis=0)) / span_s
        fast = speed > limits.max_speed_rad_s
        fast[1:] &= (have[1:] & have[:-1])[:, None]
    for wrong, what in ((far, "outside its limits"), (fast, "faster than a joint can be")):
        rows = np.asarray(wrong.any(axis=1))
        if not rows.any():
            continue
        count = _mark(columns, rows, RowFlag.IMPOSSIBLE)
        row = int(np.argmax(rows))
        joint = int(np.argmax(wrong[row]))
        low, high = LOWER_RAD[joint], UPPER_RAD[joint]
        how = (
            f"at {float(state[row, joint]):.3f} rad, limits [{low:.2f}, {high:.2f}]"
            if wrong is far
            else f"at {float(speed[row, joint]):.0f} rad/s, at most {limits.max_speed_rad_s:g}"
        )
        yield finding(
            "impossible",
            count,
            "flagged",
            f"rows with a joint {what}: {count}, first {JOINT_NAMES[joint]} (motor {joint}) in row {row}, {how}",
        )


def _stuck(columns: Columns, limits: Limits) -> Iterator[Finding]:
    """Joints whose angle stays the same to the last bit while their target moves."""
    state, target = columns["observation.state"], columns["action"]
    length = limits.stuck_ticks
    if len(state) <= length:
        return
    same = state[1:] == state[:-1]
    quiet = np.concatenate([np.zeros((1, JOINT_COUNT)), np.cumsum(same, axis=0)])
    # Rows that end a run of so many equal ones.
    ends = quiet[length:] - quiet[:-length] == length
    if not ends.any():
        return
    for joint in np.flatnonzero(ends.any(axis=0)).tolist():
        mask = np.zeros(len(state), dtype=bool)
        moved = 0.0
        for end in (np.flatnonzero(ends[:, joint]) + length).tolist():
            span = target[end - length : end + 1, joint]
            reach = float(span.max() - span.min())
            if reach >= limits.stuck_target_rad:
                mask[end - length : end + 1] = True
                moved = max(moved, reach)
        if count := int(mask.sum()):
            _mark(columns, mask, RowFlag.STUCK)
            yield finding(
                "stuck",
                count,
                "flagged",
                f"{JOINT_NAMES[joint]} (motor {joint}) stood still for {count} rows from row {int(np.argmax(mask))} on "
                f"while its target moved {moved:.2f} rad: look at its horn, its cable and its torque",
            )


def _saturated(columns: Columns, limits: Limits) -> Iterator[Finding]:
    with np.errstate(invalid="ignore"):
        high = np.asarray(np.abs(columns["observation.current"]) >= limits.saturated_a)
    rows = np.asarray(high.any(axis=1))
    if not rows.any():
        return
    count = _mark(columns, rows, RowFlag.SATURATED)
    joint = int(np.argmax(high.sum(axis=0)))
    serious = count >= limits.saturated_share * len(rows)
    yield finding(
        "saturated",
        count,
        "flagged" if serious else "noted",
        f"rows with a current of {limits.saturated_a:g} A or more: {count}, most often {JOINT_NAMES[joint]} (motor "
        f"{joint}): the joint pushes against something",
    )


def _changes(columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Changes of target and state from row to row, (n - 1, 16) each, zero where a row cannot be used."""
    action = np.diff(columns["action"].astype(np.float64), axis=0)
    state = np.diff(columns["observation.state"].astype(np.float64), axis=0)
    usable = np.asarray(np.isfinite(action).all(axis=1) & np.isfinite(state).all(axis=1))
    return np.where(usable[:, None], action, 0.0), np.where(usable[:, None], state, 0.0)


def _correlations(
    action: NDArray[np.float64], state: NDArray[np.float64], lag: int
) -> NDArray[np.float64]:
    """How joint j's change follows joint i's target, lag rows later, (16 targets, 16 joints)."""
    a, q = action[: len(action) - lag], state[lag:]
    a, q = a - a.mean(axis=0), q - q.mean(axis=0)
    scale = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(q, axis=0))
    return (a.T @ q) / np.maximum(scale, 1e-12)


def lag_ticks(columns: Columns) -> int:
    """Rows from a change of the targets to the change of the angles, where they fit best; -1 = cannot be told."""
    action, state = _changes(columns)
    if len(action) < 4 * _LAGS:
        return -1
    moving = action.std(axis=0) > _MOVES_RAD
    if not moving.any():
        return -1
    a, q = action[:, moving], state[:, moving]
    a, q = a - a.mean(axis=0), q - q.mean(axis=0)
    fits = [float((a[: len(a) - lag] * q[lag:]).sum()) for lag in range(_LAGS)]
    return int(np.argmax(fits)) if max(fits) > 0.0 else -1


def _response(columns: Columns, limits: Limits, mapped: bool, lag: int) -> Iterator[Finding]:
    """Whether joints follow their own targets, and in time."""
    if lag < 0:
        return
    if lag > limits.max_lag_ticks:
        yield finding(
            "lag",
            lag,
            "flagged",
            f"joints answer {lag} ticks after their targets (at most {limits.max_lag_ticks} are normal): states and "
            "actions may be of different times",
        )
    action, state = _changes(columns)
    moving = (action.std(axis=0) > _MOVES_RAD) & (state.std(axis=0) > _MOVES_RAD / 10)
    fit = _correlations(action, state, lag)
    own = np.diag(fit)
    best = np.argmax(np.where(moving[:, None], fit, -1.0), axis=0)
    wrong = moving & (own < _FOLLOWS) & (fit[best, np.arange(JOINT_COUNT)] > own + _FOLLOWS)
    # One joint alone may be jammed and moved by its neighbour; an exchange has at least two ends.
    joints = np.flatnonzero(wrong & (best != np.arange(JOINT_COUNT))).tolist()
    exchanged = [joint for joint in joints if wrong[best[joint]]]
    if len(exchanged) >= 2:
        pairs = ", ".join(f"{JOINT_NAMES[j]} follows {JOINT_NAMES[best[j]]}" for j in exchanged[:4])
        cure = "set order or joints in the mapping file" if mapped else "look at the motor IDs"
        yield finding(
            "joint_order", len(exchanged), "dropped", f"joints are exchanged ({pairs}): {cure}"
        )


def tracking_error(columns: Columns) -> NDArray[np.float64]:
    """Target minus the angle one row later, (n - 1, 16) rad; NaN where it is not known or a gap lies between."""
    error = (columns["action"][:-1] - columns["observation.state"][1:]).astype(np.float64)
    unusable = (columns["flags"][:-1] & RowFlag.INVALID) != 0
    return np.where(unusable[:, None], np.nan, error)
