# SPDX-License-Identifier: Apache-2.0
"""What of a stream of messages is taken: the rate, the order and the age, on a clock that the test moves."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.web.clock import ClockOffset
from dexndm_ros.teleop.web.intake import Intake, Limits
from support.webxr import frame

LIMITS = Limits(rate_hz=100.0, burst=10, refused_in_a_row=5)


def intake():
    counts = Counter()
    return Intake(LIMITS, counts), counts


def text(seq, captured_s=0.0, origin=1):
    return json.dumps(frame(seq, t=1000.0 * captured_s, origin=origin))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=60))
def test_frames_that_are_taken_are_in_order_whatever_comes(stream):
    gate, counts = intake()
    taken = []
    for k, (seq, captured_s) in enumerate(stream):
        message = gate.take(text(seq, captured_s), float(k))
        if message is not None:
            taken.append((message.seq, message.captured_s))
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(taken))
    assert len(taken) + counts["out of order"] == len(stream)
    if stream:
        assert taken[0] == stream[0]  # the first of a connection sets the order


@given(st.lists(st.floats(0.0, 0.05), min_size=1, max_size=300))
def test_no_more_is_taken_than_the_rate_allows(gaps_s):
    gate, counts = intake()
    now_s, taken = 0.0, []
    for seq, gap_s in enumerate(gaps_s):
        now_s += gap_s
        if gate.take(text(seq, seq), now_s) is not None:
            taken.append(now_s)
    for k, start_s in enumerate(taken):
        inside = sum(start_s <= each <= start_s + 1.0 for each in taken[k:])
        assert inside <= LIMITS.rate_hz + LIMITS.burst + 1
    assert len(taken) + counts["too many"] == len(gaps_s)


def test_a_headset_at_its_fastest_is_taken_whole_also_after_a_pause():
    counts = Counter()
    gate = Intake(Limits(), counts)
    now_s = 0.0
    for seq in range(1200):
        now_s = max(now_s, 0.15 * (seq // 18 + 1))  # 120 Hz that come in lumps of 0.15 s
        assert gate.take(text(seq, seq / 120), now_s) is not None, counts


def test_useless_messages_in_a_row_are_hopeless_and_a_good_one_makes_up_for_them():
    gate, counts = intake()
    for k in range(4):
        gate.take("nothing", float(k))
    assert not gate.hopeless
    assert gate.take(text(1), 5.0) is not None
    for k in range(5):
        gate.take("nothing", 6.0 + k)
    assert gate.hopeless
    assert counts == {"malformed": 9}


def test_the_floor_space_cannot_go_back():
    gate, counts = intake()
    assert gate.take(text(1, origin=2), 0.0) is not None
    assert gate.take(text(2, origin=1), 1.0) is None
    assert counts == {"out of order": 1}


@pytest.mark.parametrize(
    ("way_s", "taken"), [(0.02, True), (0.14, True), (0.17, False), (-0.3, False)]
)
def test_a_frame_that_was_long_on_its_way_is_not_taken(way_s, taken):
    gate, counts = intake()
    gate.clock.add(sent_s=100.0, page_s=7.0, received_s=100.004)  # offset 93.002 s
    assert (gate.take(text(1, captured_s=8.0), 8.0 + 93.002 + way_s) is not None) == taken
    assert counts["late"] == (not taken)


@given(
    st.floats(-1e4, 1e4),
    st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)), min_size=1, max_size=30),
)
def test_the_offset_is_right_within_half_of_the_fastest_trip(offset_s, trips):
    clock = ClockOffset(window_s=1e9)
    for k, (there_s, back_s) in enumerate(trips):
        sent_s = 20000.0 + k
        clock.add(sent_s, sent_s + there_s - offset_s, sent_s + there_s + back_s)
    assert clock.trip_s == pytest.approx(min(a + b for a, b in trips), abs=1e-6)
    assert abs(clock.offset_s - offset_s) <= 0.5 * clock.trip_s + 1e-6


def test_clocks_that_drift_are_followed():
    clock = ClockOffset(window_s=10.0)
    assert math.isnan(clock.offset_s)
    clock.add(0.0, 50.0, 0.001)
    clock.add(100.0, 150.5, 100.010)  # slower, but the fast one is of long ago
    assert clock.offset_s == pytest.approx(-50.495)


def test_a_clock_that_went_back_is_no_ping():
    clock = ClockOffset()
    clock.add(10.0, 5.0, 9.0)
    assert math.isnan(clock.trip_s)
