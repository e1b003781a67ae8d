# SPDX-License-Identifier: Apache-2.0
"""The messages of a bag in order of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.playback.timeline import Timeline, scan
from support.stretches import Message, Stretches

ALL = ("/a", "/b")


def numbered(times, topics=ALL) -> list[Message]:
    """Messages whose bytes are their place in the file."""
    return [Message(topics[k % len(topics)], t, str(k).encode()) for k, t in enumerate(times)]


def played(messages, per_stretch, **options) -> list[bytes]:
    start_ns = options.pop("start_ns", None)
    timeline = Timeline(Stretches(messages, per_stretch), ALL, **options)
    return [entry.data for entry in timeline.entries(start_ns)]


@given(
    shuffles=st.lists(st.permutations(range(4)), min_size=1, max_size=6),
    per_stretch=st.integers(4, 40),
)
def test_what_is_out_of_order_by_less_than_a_stretch_is_put_right(shuffles, per_stretch) -> None:
    times = [4 * block + k for block, shuffle in enumerate(shuffles) for k in shuffle]
    messages = numbered(times)
    timeline = Timeline(Stretches(messages, per_stretch), ALL)
    entries = list(timeline.entries())
    assert [e.time_ns for e in entries] == sorted(times)
    assert sorted(e.data for e in entries) == sorted(m.data for m in messages)
    assert all(messages[int(e.data)].topic == e.topic for e in entries)
    assert timeline.displaced == 0


@given(times=st.lists(st.integers(0, 1000), max_size=60), per_stretch=st.integers(1, 9))
def test_whatever_the_order_every_message_comes_once(times, per_stretch) -> None:
    messages = numbered(times)
    assert sorted(played(messages, per_stretch)) == sorted(m.data for m in messages)


def test_messages_of_one_time_come_in_the_order_of_the_file() -> None:
    messages = numbered([5] * 12)
    assert played(messages, 5) == [m.data for m in messages]


def test_a_message_that_is_much_too_late_comes_late_and_is_counted() -> None:
    messages = numbered([*range(10, 22), 0, *range(22, 30)])
    timeline = Timeline(Stretches(messages, 3), ALL)
    assert len(list(timeline.entries())) == len(messages)
    assert timeline.displaced == 1


def test_publish_order_falls_back_on_the_time_of_reception() -> None:
    messages = [
        Message("/a", 100, b"published last", 99),
        Message("/b", 101, b"published first", 50),
        Message("/a", 60, b"has no time of publication", 0),
    ]
    assert played(messages, 5, by="publish") == [
        b"published first",
        b"has no time of publication",
        b"published last",
    ]


@pytest.mark.parametrize("per_stretch", [1, 3, 100])
@given(start=st.integers(-5, 45))
def test_a_later_start_gives_what_holds_there_and_the_rest(per_stretch, start) -> None:
    messages = numbered(range(40))
    timeline = Timeline(Stretches(messages, per_stretch), ALL, latched={"/b": 2, "/other": 1})
    entries = list(timeline.entries(start))
    held = [e for e in entries if e.held]
    before = [t for t in range(40) if t % 2 == 1 and t < start]
    assert [e.time_ns for e in held] == before[-2:]
    assert entries[: len(held)] == held
    assert [e.time_ns for e in entries[len(held) :]] == [t for t in range(40) if t >= start]


def test_only_the_topics_asked_for_are_given() -> None:
    timeline = Timeline(Stretches(numbered(range(10)), 3), ["/b"])
    assert {e.topic for e in timeline.entries()} == {"/b"}


def test_scan_tells_first_last_and_counts() -> None:
    span = scan(Stretches(numbered([7, 3, 9]), 2))
    assert (span.first_ns, span.last_ns, span.counts) == (3, 9, {"/a": 2, "/b": 1})
    assert scan(Stretches([])) == (0, 0, {})
    assert span.duration_s == 6e-9
