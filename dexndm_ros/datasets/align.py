# SPDX-License-Identifier: Apache-2.0
"""State and action of each control tick, matched by number.

``HandState.command_seq`` is the command in force when the joints were read. So the state *before* a tick is the last
one that was read before the tick's command came into force, and the state after it is the last one under that
command, which is the state before the next tick. A policy says which state it saw (``observation_seq``): that one
stands in its row. Where numbers are missing, the newest state that is no later than the tick stands there, and the row
says so (``BY_TIME``). Nothing is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.config import Limits
from dexndm_ros.datasets.features import RowFlag, empty_columns
from dexndm_ros.datasets.tables import Table, as_of, size

__all__ = ["Matched", "Ticks", "align", "fill_rows", "steady_ns"]

Ints = NDArray[np.int64]
Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Ticks:
    """What was decided, a row a control tick.

    Attributes:
        stamp_ns: when the target was sent, (n,).
        number: place of the tick in its run, rising by 1 where none is missing, (n,).
        command_seq: number of its command, (n,); -1 = the bag has no numbers.
        observation_seq: number of the state that the policy saw, (n,); -1 = not told.
        clean: target before noise and residual, (n, 16) rad.
        noise: added, (n, 16) rad.
        residual: added, (n, 16) rad.
        target: sent, (n, 16) rad.
        axis: rotation axis, palm frame, (n, 3).
        source: name of the publisher of the commands; "" = any.
    """

    stamp_ns: Ints
    number: Ints
    command_seq: Ints
    observation_seq: Ints
    clean: Vectors
    noise: Vectors
    residual: Vectors
    target: Vectors
    axis: Vectors
    source: str = ""

    def __len__(self) -> int:
        return len(self.stamp_ns)


@dataclass(frozen=True)
class Matched:
    """Which state belongs to which tick.

    Attributes:
        state: index of the state before the tick, (n,); -1 = none.
        first: index of the first state under the tick's command, (n,); -1 = it was never seen in force.
        flags: bits of ``RowFlag``, (n,).
        tick_ns: stamps of the ticks without steps of the system time, (n,).
    """

    state: NDArray[np.intp]
    first: NDArray[np.intp]
    flags: NDArray[np.int32]
    tick_ns: Ints


def align(ticks: Ticks, states: Table, limits: Limits) -> Matched:
    """Find the state of each tick.

    Args:
        ticks: of one episode.
        states: of the bag or a stretch of it, in the order of the driver; ``stamp_ns``, and ``steady_ns`` where the
            system time was set.
        limits: from where on a state is stale, or states are missing.
    """
    count = len(ticks)
    flags = np.zeros(count, dtype=np.int32)
    if not size(states):
        flags |= RowFlag.NO_STATE
        nowhere = np.full(count, -1, dtype=np.intp)
        return Matched(nowhere, nowhere, flags, ticks.stamp_ns)
    stamps = states["stamp_ns"]
    by_time = as_of(stamps, ticks.stamp_ns)
    first = _first_under(ticks, states)
    state = np.where(first >= 0, first - 1, by_time)
    numbered = ticks.command_seq >= 0
    unseen = numbered & (first < 0)
    proved = unseen & _passed_over(ticks, states)
    flags[proved] |= RowFlag.PASSED_OVER
    unseen[-1:] = (
        False  # a run that ends with its last command: nothing follows that could be missing
    )
    flags[unseen & ~proved] |= RowFlag.GAP
    flags[first < 0] |= RowFlag.BY_TIME
    seen = _observed(ticks, states)
    told = ticks.observation_seq >= 0
    flags[told & (seen < 0)] |= RowFlag.OTHER_STATE
    flags[_hole_before(states, first)] |= RowFlag.OLDER_STATE
    state = np.where(seen >= 0, seen, state)
    flags[seen >= 0] &= ~np.int32(RowFlag.BY_TIME | RowFlag.OLDER_STATE)
    flags[state < 0] |= RowFlag.NO_STATE
    tick_ns, age_ns = _ages(ticks, states, state, first)
    flags[(age_ns > limits.max_age_s * 1e9) & (state >= 0)] |= RowFlag.STALE_STATE
    flags[_gaps(ticks, steady_ns(states), state, limits)] |= RowFlag.GAP
    return Matched(state, first, flags, tick_ns)


def _first_under(ticks: Ticks, states: Table) -> NDArray[np.intp]:
    """Index of the first state read under each tick's command; -1 = none."""
    if "command_seq" not in states or not (ticks.command_seq >= 0).any():
        return np.full(len(ticks), -1, dtype=np.intp)
    ours = states["command_source"] == ticks.source if ticks.source else np.full(size(states), True)
    index = np.flatnonzero(ours)
    if not len(index):
        return np.full(len(ticks), -1, dtype=np.intp)
    in_force = states["command_seq"][index]
    begins = np.flatnonzero(np.concatenate([[True], in_force[1:] != in_force[:-1]]))
    numbers, index = in_force[begins], index[begins]
    if (np.diff(numbers) <= 0).any():  # a publisher that was started anew counts from 0 again
        numbers, begins = np.unique(numbers, return_index=True)
        index = index[begins]
    place = np.minimum(np.searchsorted(numbers, ticks.command_seq), len(numbers) - 1)
    found = numbers[place] == ticks.command_seq
    return np.where(found, index[place], -1)


def _hole_before(states: Table, first: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether reads are missing just before the first state under each tick's command."""
    hole = np.zeros(len(first), dtype=bool)
    if "seq" in states:
        known = first > 0
        number = states["seq"].astype(np.int64)
        hole[known] = number[first[known]] - number[first[known] - 1] != 1
    return hole


def _passed_over(ticks: Ticks, states: Table) -> NDArray[np.bool_]:
    """Ticks whose command two states that follow each other prove to have been left out."""
    if "command_seq" not in states or size(states) < 2:
        return np.zeros(len(ticks), dtype=bool)
    number = states["command_seq"].astype(np.int64)
    follows = np.diff(states["seq"].astype(np.int64)) == 1
    follows &= states["command_source"][1:] == states["command_source"][:-1]
    if ticks.source:
        follows &= states["command_source"][1:] == ticks.source
    jump = np.flatnonzero(follows & (np.diff(number) > 1))
    if not len(jump):
        return np.zeros(len(ticks), dtype=bool)
    jump = jump[np.argsort(number[jump], kind="stable")]
    place = np.searchsorted(number[jump], ticks.command_seq, side="left") - 1
    at = jump[np.maximum(place, 0)]
    return (place >= 0) & (number[at] < ticks.command_seq) & (ticks.command_seq < number[at + 1])


def _observed(ticks: Ticks, states: Table) -> NDArray[np.intp]:
    """Index of the state that each tick names; -1 = none."""
    if not (ticks.observation_seq >= 0).any():
        return np.full(len(ticks), -1, dtype=np.intp)
    numbers = states["seq"]
    order = np.argsort(numbers, kind="stable")
    place = np.minimum(np.searchsorted(numbers[order], ticks.observation_seq), len(order) - 1)
    found = (numbers[order][place] == ticks.observation_seq) & (ticks.observation_seq >= 0)
    return np.where(found, order[place], -1)


def _ages(
    ticks: Ticks, states: Table, state: NDArray[np.intp], first: NDArray[np.intp]
) -> tuple[Ints, Ints]:
    """Steady stamps of the ticks, and how far each is from its state's.

    When the system time is set around a tick, its stamp may be of before or after: of the state before it or of the one
    under it, the closer clock is its own.
    """
    steady, offset = steady_ns(states), states["stamp_ns"] - steady_ns(states)
    before = np.maximum(state, 0)
    under = np.where(first >= 0, first, before)
    candidates = np.stack([ticks.stamp_ns - offset[before], ticks.stamp_ns - offset[under]])
    ages = np.abs(candidates - steady[before])
    own = np.argmin(ages, axis=0)
    row = np.arange(len(ticks))
    return candidates[own, row], ages[own, row]


def steady_ns(states: Table) -> Ints:
    """Stamps as they would be had the system time never been set: each state's, ns."""
    return states["steady_ns"] if "steady_ns" in states else states["stamp_ns"]


def _gaps(ticks: Ticks, stamps: Ints, state: NDArray[np.intp], limits: Limits) -> NDArray[np.bool_]:
    """Rows after which ticks or states are missing."""
    gap = np.zeros(len(ticks), dtype=bool)
    gap[:-1] = np.diff(ticks.number) != 1
    if len(stamps) > 1:
        steps = np.diff(stamps)
        # A driver of 20 Hz has no gap at every state.
        long = steps > max(limits.state_gap_s * 1e9, 2.5 * float(np.median(steps)))
        before = np.concatenate([[0], np.cumsum(long)])
        at = before[np.maximum(state, 0)]
        gap[:-1] |= at[1:] != at[:-1]
    return gap


def fill_rows(ticks: Ticks, states: Table, matched: Matched) -> dict[str, NDArray[Any]]:
    """The columns of an episode; wrist and temperature are left as they are when nothing is known.

    ``flags`` holds what was found in matching; ``valid`` is set at the end, when all checks were made.
    """
    columns = empty_columns(len(ticks))
    columns["action"][:] = ticks.target
    columns["action.clean"][:] = ticks.clean
    columns["action.noise"][:] = ticks.noise
    columns["action.residual"][:] = ticks.residual
    columns["observation.axis"][:] = ticks.axis
    columns["action.stamp_ns"][:] = ticks.stamp_ns
    columns["action.seq"][:] = ticks.command_seq
    columns["flags"][:] = matched.flags
    have = matched.state >= 0
    index = matched.state[have]
    for name, source in (
        ("observation.state", "position"),
        ("observation.velocity", "velocity"),
        ("observation.current", "current"),
        ("observation.command", "command"),
        ("observation.stamp_ns", "stamp_ns"),
        ("observation.seq", "seq"),
    ):
        if source in states:
            columns[name][have] = states[source][index]
    return columns
