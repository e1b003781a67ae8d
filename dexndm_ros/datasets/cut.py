# SPDX-License-Identifier: Apache-2.0
"""Where episodes begin and end: replayed trajectories, runs of a policy, stretches of a foreign bag."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.align import Ticks
from dexndm_ros.datasets.tables import Table, as_of, rows, size
from dexndm_ros.policy.session import HandMode

__all__ = [
    "demonstration_groups",
    "each_once",
    "foreign_ticks",
    "idle_at_begin",
    "policy_groups",
    "policy_ticks",
    "replay_groups",
    "replay_ticks",
]

_PAUSE_NS = 1_000_000_000
"""Ticks further apart are of two runs."""


def replay_groups(steps: Table) -> list[slice]:
    """Attempts at trajectories: a new one begins with another entry or attempt, or where steps count anew."""
    if not size(steps):
        return []
    begins = np.zeros(size(steps), dtype=bool)
    begins[0] = True
    for name in ("entry", "attempt", "trajectory", "campaign"):
        begins[1:] |= steps[name][1:] != steps[name][:-1]
    # A step once more is a doubled message, an earlier one is another run.
    begins[1:] |= np.diff(steps["step"].astype(np.int64)) < 0
    return _slices(begins)


def policy_groups(ticks: Table, longest: int) -> list[slice]:
    """Stretches in which the policy ran without a stop; long ones in parts of equal length.

    Args:
        ticks: PolicySteps in their order.
        longest: rows of an episode.
    """
    if not size(ticks):
        return []
    ran = ~ticks["stopped"].astype(bool) & (ticks["axis"] != 0.0).any(axis=1)
    begins = np.zeros(size(ticks), dtype=bool)
    begins[0] = True
    begins[1:] = ran[1:] != ran[:-1]
    begins[1:] |= np.diff(ticks["seq"].astype(np.int64)) < 0
    begins[1:] |= np.diff(ticks["stamp_ns"]) > _PAUSE_NS
    groups = []
    for group in _slices(begins):
        if ran[group.start]:
            groups += _parts(group, longest)
    return groups


def demonstration_groups(ticks: Table, longest: int) -> list[slice]:
    """Stretches in which the policy ticked, also while the hand only held; long ones in parts of equal length.

    Args:
        ticks: PolicySteps in their order.
        longest: rows of an episode.
    """
    if not size(ticks):
        return []
    begins = np.zeros(size(ticks), dtype=bool)
    begins[0] = True
    begins[1:] = np.diff(ticks["seq"].astype(np.int64)) < 0
    begins[1:] |= np.diff(ticks["stamp_ns"]) > _PAUSE_NS
    return [part for group in _slices(begins) for part in _parts(group, longest)]


def idle_at_begin(ticks: Table, states: Table | None, arm_commands: Table | None) -> int:
    """Ticks at the beginning at which the hand followed no target yet, or the arm had none; 0 where that stays so.

    Args:
        ticks: PolicySteps of a demonstration.
        states: HandStates of the bag.
        arm_commands: poses that the arm was told.
    """
    told = np.isfinite(ticks["target"]).all(axis=1)
    if states is not None and size(states):
        at = as_of(np.maximum.accumulate(states["stamp_ns"]), ticks["stamp_ns"])
        told &= (states["mode"][np.maximum(at, 0)] == HandMode.ACTIVE) & (at >= 0)
    if arm_commands is not None and size(arm_commands):
        both = told & (ticks["stamp_ns"] >= arm_commands["stamp_ns"].min())
        told = both if both.any() else told
    return int(np.argmax(told))


def _slices(begins: NDArray[np.bool_]) -> list[slice]:
    starts = np.flatnonzero(begins).tolist()
    ends = [*starts[1:], len(begins)]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def _parts(group: slice, longest: int) -> list[slice]:
    length = group.stop - group.start
    count = -(-length // longest)
    bounds = [group.start + length * k // count for k in range(count + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]


def _source(commands: Table | None, seq: NDArray[np.int64], states: Table | None) -> str:
    """Who published these commands: as the commands themselves say, else as the states do."""
    if commands is not None and size(commands):
        at = np.isin(commands["seq"].astype(np.int64), seq)
        names, counts = np.unique(commands["source"][at], return_counts=True)
        if len(names):
            return str(names[np.argmax(counts)])
    if states is not None and size(states):
        names, counts = np.unique(states["command_source"], return_counts=True)
        named = [(count, str(name)) for count, name in zip(counts, names, strict=True) if name]
        return max(named)[1] if named else ""
    return ""


def each_once(steps: Table, name: str) -> tuple[Table, int]:
    """Ticks without doubled messages, which follow each other, and how many those were."""
    again = np.diff(steps[name].astype(np.int64), prepend=-1) == 0
    return (rows(steps, ~again), int(again.sum())) if again.any() else (steps, 0)


def replay_ticks(
    steps: Table, axis: Sequence[float], commands: Table | None, states: Table | None
) -> Ticks:
    """One attempt's ticks.

    Args:
        steps: its ReplaySteps.
        axis: rotation axis that the trajectory was made for; zeros when not known.
        commands: HandCommands of the bag.
        states: HandStates of the bag.
    """
    count = size(steps)
    seq = steps["command_seq"].astype(np.int64)
    return Ticks(
        stamp_ns=steps["stamp_ns"],
        number=steps["step"].astype(np.int64),
        command_seq=seq,
        observation_seq=np.full(count, -1, dtype=np.int64),
        clean=steps["clean_target"],
        noise=steps["noise"],
        residual=np.zeros((count, 16)),
        target=steps["target"],
        axis=np.tile(np.asarray(axis, dtype=np.float64), (count, 1)),
        source=_source(commands, seq, states),
    )


def policy_ticks(steps: Table, commands: Table | None, states: Table | None) -> Ticks:
    """One run's ticks; like :func:`replay_ticks`."""
    seq = steps["seq"].astype(np.int64)
    return Ticks(
        stamp_ns=steps["stamp_ns"],
        number=seq,
        command_seq=seq,
        observation_seq=steps["observation_seq"].astype(np.int64),
        clean=steps["base_action"],
        noise=np.zeros((len(seq), 16)),
        residual=steps["residual_action"],
        target=steps["target"],
        axis=steps["axis"],
        source=_source(commands, seq, states),
    )


def foreign_ticks(
    commands: Table, states: Table, rate_hz: float, axis: Sequence[float], until_ns: int | None
) -> Ticks:
    """A regular grid over a bag without ticks: the command in force at each, held until the next one came.

    Args:
        commands: ``stamp_ns`` (rising) and ``position`` (n, 16).
        states: ``stamp_ns``.
        rate_hz: of the grid.
        axis: rotation axis; zeros when not known.
        until_ns: end of the grid; None = with the last command or state, whichever comes first.
    """
    begin = max(int(commands["stamp_ns"][0]), int(states["stamp_ns"][0]))
    end = min(int(commands["stamp_ns"][-1]), int(states["stamp_ns"][-1]))
    if until_ns is not None:
        end = min(end, until_ns)
    count = max(0, int((end - begin) * rate_hz / 1e9) + 1) if end >= begin else 0
    stamp = begin + np.round(np.arange(count) * (1e9 / rate_hz)).astype(np.int64)
    target = commands["position"][as_of(commands["stamp_ns"], stamp)]
    unknown = np.full(count, -1, dtype=np.int64)
    none = np.zeros((count, 16))
    return Ticks(
        stamp_ns=stamp,
        number=np.arange(count, dtype=np.int64),
        command_seq=unknown,
        observation_seq=unknown,
        clean=target,
        noise=none,
        residual=none,
        target=target,
        axis=np.tile(np.asarray(axis, dtype=np.float64), (count, 1)),
    )
