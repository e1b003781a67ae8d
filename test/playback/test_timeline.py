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
def test_topics_that_are_out_of_order_by_less_than_a_stretch_are_put_right(
    shuffles, per_stretch
) -> None:
    times = [4 * block + k for block, shuffle in enumerate(shuffles) for k in shuffle]
    messages = [Message(f"/{t % 4}", t, str(k).encode()) for k, t in enumerate(times)]
    timeline = Timeline(Stretches(messages, per_stretch), None)
    entries = list(timeline.entries())
    assert [e.time_ns for e in entries] == sorted(times)
    assert sorted(e.data for e in entries) == sorted(m.data for m in messages)
    assert all(messages[int(e.data)].topic == e.topic for e in entries)
    assert timeline.displaced == 0


@given(times=st.lists(st.integers(0, 1000), max_size=60), per_stretch=st.integers(1, 9))
def test_whatever_the_order_every_message_comes_once(times, per_stretch) -> None:
    messages = numbered(times)
    assert sorted(played(messages, per_stretch)) == sorted(m.data for m in messages)


@given(
    times=st.lists(st.integers(0, 10**9), min_size=1, max_size=60),
    per_stretch=st.integers(1, 30),
    by=st.sampled_from(["log", "publish"]),
)
def test_the_messages_of_a_topic_never_overtake_each_other(times, per_stretch, by) -> None:
    messages = numbered(times)
    timeline = Timeline(Stretches(messages, per_stretch), ALL, by)
    entries = list(timeline.entries())
    for topic in ALL:
        mine = [e for e in entries if e.topic == topic]
        assert [int(e.data) for e in mine] == sorted(int(e.data) for e in mine)
        assert [e.time_ns for e in mine] == sorted(e.time_ns for e in mine)


S = 10**9
RATE = ("/a", "/a", "/b", "/a", "/c")


def stepped(count, at, by_ns, topics=RATE, period_ns=S // 100):
    """A recording of which the clock was set at one message."""
    return [
        Message(
            topics[k % len(topics)], 100 * S + k * period_ns + by_ns * (k >= at), str(k).encode()
        )
        for k in range(count)
    ]


@pytest.mark.parametrize("per_stretch", [3, 40, 1000])
@pytest.mark.parametrize("back_s", [0.2, 5.0, 3600.0])
@pytest.mark.parametrize("by", ["log", "publish"])
def test_a_clock_that_was_set_back_mixes_nothing(per_stretch, back_s, by) -> None:
    messages = stepped(600, 300, -round(back_s * S))
    timeline = Timeline(Stretches(messages, per_stretch), RATE, by)
    entries = list(timeline.entries())
    heard = [int(e.data) for e in entries]
    # Topics that are too slow to show a small step may lead by as much as that.
    assert all(abs(k - place) <= 4 for place, k in enumerate(heard))
    assert [e.time_ns for e in entries] == sorted(e.time_ns for e in entries)
    assert entries[-1].time_ns - entries[0].time_ns == pytest.approx(5.99 * S, abs=0.06 * S)
    assert timeline.set_back_ns == [pytest.approx(back_s * S, abs=0.06 * S)]
    # Taken back, it is the recorded time.
    assert entries[-1].time_ns - entries[-1].moved_ns == messages[-1].log_ns


def test_a_clock_that_was_set_back_twice_and_one_that_was_set_forth_and_back() -> None:
    once = stepped(600, 200, -5 * S)
    twice = [m._replace(log_ns=m.log_ns - 7 * S * (k >= 400)) for k, m in enumerate(once)]
    timeline = Timeline(Stretches(twice, 50), RATE)
    assert [int(e.data) for e in timeline.entries()] == list(range(600))
    assert len(timeline.set_back_ns) == 2
    never = stepped(600, 0, 0)
    glitch = [m._replace(log_ns=m.log_ns + 3600 * S * (k == 300)) for k, m in enumerate(never)]
    timeline = Timeline(Stretches(glitch, 50), RATE)
    entries = list(timeline.entries())
    assert [int(e.data) for e in entries] == list(range(600))
    assert entries[-1].time_ns - entries[0].time_ns < 8 * S


@pytest.mark.parametrize("per_stretch", [3, 40, 1000])
def test_nobody_stands_still_for_an_hour(per_stretch) -> None:
    messages = stepped(600, 300, 3600 * S)
    timeline = Timeline(Stretches(messages, per_stretch), RATE)
    entries = list(timeline.entries())
    assert [int(e.data) for e in entries] == list(range(600))
    assert entries[-1].time_ns - entries[0].time_ns == pytest.approx(6.98 * S, abs=0.02 * S)
    assert entries[-1].time_ns - entries[-1].moved_ns == messages[-1].log_ns
    assert timeline.holes_ns == [pytest.approx(3600 * S, rel=1e-3)]
    kept = Timeline(Stretches(messages, per_stretch), RATE, keep_holes=True)
    assert [e.time_ns for e in kept.entries()] == [m.log_ns for m in messages]
    assert kept.holes_ns == timeline.holes_ns


def test_what_another_topic_recorded_is_no_hole() -> None:
    messages = [Message("/a" if k % 100 == 0 else "/b", k * S, b"%d" % k) for k in range(401)]
    timeline = Timeline(Stretches(messages, 30), ["/a"])
    assert [e.time_ns for e in timeline.entries()] == [0, 100 * S, 200 * S, 300 * S, 400 * S]
    assert timeline.holes_ns == []


def test_a_publisher_with_a_clock_of_its_own_goes_by_its_reception() -> None:
    messages = [
        Message("/a", 100 * S + k, b"%d" % k, 100 * S + k - (5 * S if k % 2 else 0))
        for k in range(10)
    ]
    timeline = Timeline(Stretches(messages, 4), ["/a"], "publish")
    assert [e.time_ns for e in timeline.entries()] == [m.log_ns for m in messages]
    assert timeline.displaced == 0


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
        Message("/c", 60, b"has no time of publication", 0),
    ]
    timeline = Timeline(Stretches(messages, 5), None, "publish")
    assert [entry.data for entry in timeline.entries()] == [
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
    assert scan(Stretches([])) == (0, 0, {}, (), ())
    assert span.duration_s == 6e-9
