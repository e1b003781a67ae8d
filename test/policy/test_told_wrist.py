# SPDX-License-Identifier: Apache-2.0
"""Which wrist counts: a fixed one for ever, one of a stream while the stream goes on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.policy.told_wrist import STREAM_STALE_NS, ToldWrist

UP, DOWN = np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 0.0])
MS = 1_000_000
LATER = 3600 * 1000 * MS


def streamed(wrist=DOWN, until_ms: int = 2000) -> ToldWrist:
    told = ToldWrist(UP)
    for at_ms in range(0, until_ms + 1, 10):
        told.told(wrist, at_ms * MS, latched=False)
        assert told.at(at_ms * MS) == (wrist, "")
    return told


def test_one_of_a_parameter_and_one_told_once_stay() -> None:
    told = ToldWrist(UP)
    assert told.at(LATER) == (UP, "")
    told.told(DOWN, LATER, latched=False)
    assert told.at(2 * LATER) == (DOWN, "")


def test_a_stream_that_ends_is_refused_and_one_that_goes_on_counts_again() -> None:
    told = streamed()
    assert told.at(2000 * MS + STREAM_STALE_NS) == (DOWN, "")
    wrist, why = told.at(2001 * MS + STREAM_STALE_NS)
    assert wrist is DOWN
    assert why.startswith("wrist/orientation is told no more: ")
    told.told(UP, LATER, latched=False)
    assert told.at(LATER) == (UP, "")
    assert told.at(2 * LATER)[1], "a stream that came back for one message"


@pytest.mark.parametrize("order", [(True, False), (False, True), (True,)])
def test_a_latched_one_stays_in_whatever_order_its_two_copies_come(order) -> None:
    for told in (ToldWrist(UP), streamed(until_ms=500)):
        for k, latched in enumerate(order):
            told.told(DOWN, (5000 + k) * MS, latched=latched)
        assert told.at(LATER) == (DOWN, "")


def test_what_is_no_wrist_is_refused_until_the_next() -> None:
    told = streamed()
    told.refused("not a wrist")
    assert told.at(2000 * MS) == (DOWN, "not a wrist")
    told.told(UP, 2010 * MS, latched=False)
    assert told.at(2010 * MS) == (UP, "")


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=30))
def test_a_wrist_without_latch_counts_for_a_second_at_least(gaps_ms) -> None:
    told, now_ns = ToldWrist(UP), 0
    for gap_ms in gaps_ms:
        now_ns += gap_ms * MS
        told.told(DOWN, now_ns, latched=False)
        assert told.at(now_ns + STREAM_STALE_NS) == (DOWN, "")
    streams = min(gaps_ms[1:]) <= 1000
    assert bool(told.at(now_ns + STREAM_STALE_NS + 1)[1]) == streams
