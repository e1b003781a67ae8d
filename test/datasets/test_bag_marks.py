# SPDX-License-Identifier: Apache-2.0
"""What a figure of a bag points out, wherever a stretch of the file ends."""

from __future__ import annotations

import numpy as np
import pytest

from dexndm_ros.datasets.bag_marks import Marks


def states(numbers, modes=None, clock_ms=None):
    """Columns of states at 100 Hz, and their times."""
    count = len(numbers)
    monotonic = 10_000_000 * np.arange(count)
    steps = np.zeros(count, dtype=np.int64) if clock_ms is None else np.array(clock_ms) * 1_000_000
    return {
        "seq": np.array(numbers, dtype=np.uint64),
        "mode": np.array([2] * count if modes is None else modes, dtype=np.uint8),
        "header.stamp": 10**18 + monotonic + steps,
        "monotonic_ns": monotonic.astype(np.uint64),
    }, 0.01 * np.arange(count)


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8])
def test_ends_of_stretches_do_not_matter(cut) -> None:
    numbers = [5, 6, 7, 12, 13, 14, 15, 3, 4]
    modes = [1, 1, 2, 2, 4, 4, 2, 3, 3]
    found, time_s = states(numbers, modes, [0, 0, 0, 0, 0, 500, 500, 500, 500])
    marks = Marks()
    for part in (slice(0, cut), slice(cut, None)):
        rows = np.zeros(len(numbers), dtype=bool)
        rows[part] = True
        marks.states(found, rows, time_s[part])
    seen = [(mark.kind, round(mark.begin_s, 2), round(mark.end_s, 2)) for mark in marks.finish()]
    assert sorted(seen) == sorted(
        [
            ("ramping", 0.0, 0.02), ("gap", 0.02, 0.03), ("FAULT", 0.04, 0.06), ("clock", 0.04, 0.05),
            ("gap", 0.06, 0.07), ("holding", 0.07, 0.08),
        ]
    )  # fmt: skip


def test_texts_count_and_measure() -> None:
    found, time_s = states([0, 1, 5], clock_ms=[0, -30, -30])
    marks = Marks()
    marks.states(found, np.ones(3, dtype=bool), time_s)
    marks.once("FAULT", 0.5, "motor 3 overheats")
    marks.once("FAULT", 0.6, "motor 3 overheats")
    assert [mark.text for mark in marks.finish()] == [
        "the system time steps by -30.0 ms", "3 states are missing", "motor 3 overheats",
    ]  # fmt: skip


def test_old_states_without_the_second_clock() -> None:
    found, time_s = states([0, 1, 2], clock_ms=[0, 900, 900])
    del found["monotonic_ns"]
    marks = Marks()
    marks.states(found, np.ones(3, dtype=bool), time_s)
    assert marks.finish() == []
