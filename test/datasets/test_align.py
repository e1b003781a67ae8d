# SPDX-License-Identifier: Apache-2.0
"""Matching of states to ticks against a plain reading of the rule, one tick at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.datasets.align import Ticks, align, fill_rows
from dexndm_ros.datasets.config import Limits
from dexndm_ros.datasets.features import RowFlag

CYCLE_NS = 10_000_000
TICK_NS = 50_000_000


def made(count: int, offsets: list[int], lost: set[int], passed: set[int], clock_ns: int) -> tuple:
    """Ticks and states: tick k's command comes into force a little after it, but for those passed over."""
    sent = np.arange(count) * TICK_NS + clock_ns
    begins = [
        sent[k] + offsets[k % len(offsets)] * 1_000_000 for k in range(count) if k not in passed
    ]
    numbers = [k for k in range(count) if k not in passed]
    cycles = np.arange(0, count * TICK_NS, CYCLE_NS) + clock_ns + 1_234_567
    keep = np.array([k not in lost for k in range(len(cycles))])
    at = np.searchsorted(begins, cycles, side="right") - 1
    states = {
        "stamp_ns": cycles[keep],
        "log_ns": cycles[keep],
        "seq": np.arange(len(cycles))[keep],
        "position": np.tile(np.arange(len(cycles), dtype=float)[keep, None], 16),
        "command_seq": np.array([numbers[k] if k >= 0 else 0 for k in at])[keep],
        "command_source": np.where(at >= 0, "us", "")[keep],
    }
    none = np.zeros((count, 16))
    ticks = Ticks(
        sent, np.arange(count), np.arange(count), np.full(count, -1), none, none, none, none,
        np.zeros((count, 3)), "us",
    )  # fmt: skip
    return ticks, states


@given(
    count=st.integers(1, 12),
    offsets=st.lists(st.integers(1, 45), min_size=1, max_size=4),
    lost=st.sets(st.integers(0, 59), max_size=12),
    passed=st.sets(st.integers(0, 11), max_size=3),
    clock_ns=st.sampled_from([0, 1_795_000_000_000_000_000]),
)
def test_each_tick_has_the_last_state_before_its_command_was_in_force(
    count, offsets, lost, passed, clock_ns
) -> None:
    ticks, states = made(count, offsets, lost, passed, clock_ns)
    if not len(states["seq"]):
        return
    found = align(ticks, states, Limits())
    for k in range(count):
        under = [
            i
            for i in range(len(states["seq"]))
            if states["command_source"][i] == "us" and states["command_seq"][i] == k
        ]
        if under:
            assert found.first[k] == under[0]
            assert found.state[k] == under[0] - 1
            assert not found.flags[k] & RowFlag.PASSED_OVER
        else:
            earlier = [i for i, s in enumerate(states["stamp_ns"]) if s <= ticks.stamp_ns[k]]
            assert found.state[k] == (earlier[-1] if earlier else -1)
            proved = any(
                states["seq"][i + 1] == states["seq"][i] + 1
                and states["command_source"][i] == states["command_source"][i + 1] == "us"
                and states["command_seq"][i] < k < states["command_seq"][i + 1]
                for i in range(len(states["seq"]) - 1)
            )
            assert bool(found.flags[k] & RowFlag.PASSED_OVER) == proved
            assert k == count - 1 or found.flags[k] & (RowFlag.PASSED_OVER | RowFlag.GAP)
        assert bool(found.flags[k] & RowFlag.NO_STATE) == (found.state[k] < 0)


@given(
    count=st.integers(2, 12),
    lost=st.sets(st.integers(0, 59), max_size=20),
)
def test_a_row_before_a_hole_in_the_states_is_a_gap(count, lost) -> None:
    ticks, states = made(count, [5], lost, set(), 0)
    if len(states["seq"]) < 2:
        return
    found = align(ticks, states, Limits(state_gap_s=0.025))
    long = max(25_000_000, 2.5 * float(np.median(np.diff(states["stamp_ns"]))))
    for k in range(count - 1):
        if found.state[k] < 0 or found.state[k + 1] < 0:
            continue
        between = states["stamp_ns"][found.state[k] : found.state[k + 1] + 1]
        hole = bool((np.diff(between) > long).any()) or found.first[k] < 0
        assert bool(found.flags[k] & RowFlag.GAP) == hole


def test_a_policy_s_row_has_the_state_that_it_saw() -> None:
    ticks, states = made(6, [20], set(), set(), 0)
    seen = np.array([2, 6, 11, -1, 999, 24])
    ticks = Ticks(**{**ticks.__dict__, "observation_seq": seen})
    found = align(ticks, states, Limits())
    assert found.state[[0, 1, 2, 5]].tolist() == [2, 6, 11, 24]
    by_force = align(
        Ticks(**{**ticks.__dict__, "observation_seq": np.full(6, -1)}), states, Limits()
    )
    assert found.state[3] == by_force.state[3] and found.state[4] == by_force.state[4]
    assert found.flags[4] & RowFlag.OTHER_STATE and not found.flags[3] & RowFlag.OTHER_STATE


def test_without_states_every_row_says_so_and_holds_no_number() -> None:
    ticks, _ = made(3, [5], set(), set(), 0)
    found = align(ticks, {}, Limits())
    columns = fill_rows(ticks, {}, found)
    assert np.isnan(columns["observation.state"]).all()
    assert (columns["flags"] == RowFlag.NO_STATE).all()


def test_a_publisher_that_starts_anew_counts_from_zero_and_is_found_all_the_same() -> None:
    ticks, states = made(6, [5], set(), set(), 0)
    states["command_seq"] = np.where(
        states["command_seq"] < 3, states["command_seq"] + 90, states["command_seq"]
    )
    again = Ticks(**{**ticks.__dict__, "command_seq": np.array([90, 91, 92, 3, 4, 5])})
    found = align(again, states, Limits())
    assert (found.first >= 0).all() and (np.diff(found.first) > 0).all()
