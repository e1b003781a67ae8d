# SPDX-License-Identifier: Apache-2.0
"""Schedules: windows of the day, also across midnight, and one-time starts and stops."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.replay.schedule import ScheduleConfig, time_of_day

CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1))
SCHEDULES = st.builds(
    ScheduleConfig,
    start=st.just("") | CLOCKS,
    stop=st.just("") | CLOCKS,
    max_hours=st.sampled_from([0.0, 0.5, 14.0, 40.0]),
).filter(lambda schedule: not schedule.start or schedule.start != schedule.stop)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}")


@pytest.mark.parametrize("text", ["", "24:00", "7:00", "07:60", "07:00:00", " 07:00", "٠٧:٠٠"])
def test_what_is_no_time_of_day(text):
    assert time_of_day(text) is None


@pytest.mark.parametrize(
    ("now", "allowed", "change"),
    [
        ("20 17:59:59", False, "20 18:00"),
        ("20 18:00", True, "21 08:00"),
        ("20 23:59", True, "21 08:00"),
        ("21 00:00", True, "21 08:00"),
        ("21 07:59:59", True, "21 08:00"),
        ("21 08:00", False, "21 18:00"),
    ],
)
def test_a_window_across_midnight(now, allowed, change):
    night = ScheduleConfig("18:00", "08:00")
    assert night.in_schedule(at(now), at("20 12:00")) is allowed
    assert night.until(at(now), at("20 12:00")) == at(change)


def test_a_window_within_a_day():
    day = ScheduleConfig("08:00", "18:00")
    assert not day.in_schedule(at("20 07:59"), at("20 07:00"))
    assert day.in_schedule(at("20 08:00"), at("20 07:00"))
    assert not day.in_schedule(at("20 18:00"), at("20 07:00"))


def test_a_stop_alone_ends_the_run_that_is_under_way():
    until_morning = ScheduleConfig(stop="08:00")
    begun = at("20 18:00")
    assert until_morning.in_schedule(begun, begun)
    assert until_morning.until(begun, begun) == at("21 08:00")
    assert not until_morning.in_schedule(at("21 08:00"), begun)
    assert until_morning.until(at("21 08:00"), begun) is None
    assert not until_morning.in_schedule(at("21 18:00"), begun)


def test_a_start_alone_waits_once():
    later = ScheduleConfig(start="18:00")
    begun = at("20 12:00")
    assert not later.in_schedule(at("20 17:59"), begun)
    assert later.until(at("20 17:59"), begun) == at("20 18:00")
    assert later.in_schedule(at("20 18:00"), begun)
    assert later.in_schedule(at("25 12:00"), begun)
    assert later.until(at("25 12:00"), begun) is None


def test_a_longest_time_ends_it_for_good():
    short = ScheduleConfig(max_hours=0.5)
    begun = at("20 12:00")
    assert short.until(begun, begun) == at("20 12:30")
    assert not short.in_schedule(at("20 12:30"), begun)
    assert short.until(at("20 12:30"), begun) is None


def test_without_a_schedule_it_always_runs():
    begun = at("20 12:00")
    assert ScheduleConfig().in_schedule(begun, begun)
    assert ScheduleConfig().until(begun, begun) is None


@given(SCHEDULES, MOMENTS, st.integers(0, 3 * 24 * 60))
def test_nothing_changes_before_until_and_something_then(schedule, begun, minutes):
    begun = begun.replace(second=0, microsecond=0)
    now = begun + timedelta(minutes=minutes)
    allowed = schedule.in_schedule(now, begun)
    change = schedule.until(now, begun)
    if change is not None:
        assert change > now
        assert schedule.in_schedule(change, begun) is not allowed
    last = min(change or datetime.max, now + timedelta(days=3))
    while now < last:
        assert schedule.in_schedule(now, begun) is allowed
        now += timedelta(minutes=7)
