# SPDX-License-Identifier: Apache-2.0
"""Which axis is in force: from a parameter, told once, or lent for a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.policy.asked_axis import AskedAxis

Z, X, STOP = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]), np.zeros(3)
MS = 1_000_000
LATER = 3600 * 1000 * MS


def test_without_a_lease_an_axis_stays() -> None:
    asked = AskedAxis(Z)
    assert asked.at(LATER)[0].tolist() == Z.tolist()
    asked.told(X, LATER)
    assert asked.at(2 * LATER) == (X, "")


def test_the_axis_of_a_parameter_is_not_lent() -> None:
    asked = AskedAxis(Z, lease_s=0.3)
    assert asked.at(LATER)[0].tolist() == Z.tolist()
    asked.told(STOP, LATER)
    axis, why = asked.at(2 * LATER)
    assert (axis.tolist(), why) == (STOP.tolist(), "")


def test_one_that_is_told_again_and_again_stays_and_stops_when_that_ends() -> None:
    asked = AskedAxis(STOP, lease_s=0.3)
    for told_ms in range(0, 5000, 100):
        asked.told(Z, told_ms * MS)
        axis, why = asked.at((told_ms + 99) * MS)
        assert (axis.tolist(), why) == (Z.tolist(), "")
    assert asked.at((4900 + 300) * MS)[0].any()
    axis, why = asked.at((4900 + 301) * MS)
    assert not axis.any()
    assert "0.3 s" in why


@pytest.mark.parametrize("asked_meanwhile", [True, False])
def test_after_the_end_only_a_stop_lets_the_next_axis_in(asked_meanwhile) -> None:
    asked = AskedAxis(STOP, lease_s=0.3)
    asked.told(Z, 0)
    if asked_meanwhile:  # else the one who asks stood still as long
        assert not asked.at(1000 * MS)[0].any()
    for told_ms in (1000, 1100, 1200):
        asked.told(Z, told_ms * MS)
        axis, why = asked.at(told_ms * MS)
        assert not axis.any()
        assert "press it again" in why
    asked.refused("of length 2", 1250 * MS)
    assert asked.at(1260 * MS)[1] == "of length 2"
    asked.told(Z, 1300 * MS)
    assert not asked.at(1300 * MS)[0].any()
    asked.told(STOP, 1400 * MS)
    asked.told(X, 1500 * MS)
    assert asked.at(1500 * MS) == (X, "")


def test_a_silence_that_stops_nothing_may_last() -> None:
    asked = AskedAxis(STOP, lease_s=0.3)
    asked.told(STOP, 0)
    asked.told(Z, LATER)
    assert asked.at(LATER)[0].any()


@given(st.lists(st.tuples(st.integers(0, 700), st.sampled_from(["z", "x", "stop", "bad"]))))
def test_it_never_turns_on_an_old_word_nor_without_a_stop_after_one(events) -> None:
    asked, now_ms = AskedAxis(STOP, lease_s=0.3), 0
    last_ms, last, must_stop = 0, STOP, False
    for passed_ms, word in events:
        now_ms += passed_ms
        if last.any() and now_ms - last_ms > 300:
            must_stop = True
            assert not asked.at(now_ms * MS)[0].any()
        last_ms = now_ms
        if word == "bad":
            asked.refused("bad", now_ms * MS)
            last = STOP
        else:
            last = {"z": Z, "x": X, "stop": STOP}[word]
            asked.told(last, now_ms * MS)
            must_stop = must_stop and bool(last.any())
        turns = asked.at(now_ms * MS)[0]
        assert turns.tolist() == (STOP if must_stop else last).tolist()


@pytest.mark.parametrize("lease_s", [-0.1, math.nan, math.inf])
def test_a_lease_that_is_no_time_is_refused(lease_s) -> None:
    with pytest.raises(ValueError, match="command_lease_s"):
        AskedAxis(Z, lease_s)
