# SPDX-License-Identifier: Apache-2.0
import gc
import json
import math
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.policy.clock import DeadlineLoop, Histogram, LoopConfig, alignment_ns
from dexndm_ros.policy.realtime import RealtimeConfig, RealtimeReport, apply_realtime
from support.manual_clock import ManualClock

MS = 1_000_000
PERIOD = 50 * MS


def run_loop(work_ns, ticks=None, clock=None, **config):
    """Run a 20 Hz loop over the given durations of work; returns its ticks and the loop."""
    clock = clock or ManualClock()
    seen = []
    durations = list(work_ns)

    def step(tick):
        seen.append(tick)
        clock.advance(durations[len(seen) - 1])
        if len(seen) == len(durations):
            loop.stop()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0, unrecorded_ticks=0, **config), step, clock=clock)
    loop.run()
    return seen, loop


def test_ticks_are_one_period_apart_from_the_start():
    ticks, loop = run_loop([0] * 5, clock=ManualClock(start_ns=7))
    assert [tick.number for tick in ticks] == [0, 1, 2, 3, 4]
    assert [tick.start_ns for tick in ticks] == [7 + PERIOD * (k + 1) for k in range(5)]
    assert loop.statistics().missed == 0


def test_work_within_the_period_does_not_move_the_deadlines():
    ticks, _ = run_loop([49 * MS] * 100)
    assert [tick.start_ns for tick in ticks] == [PERIOD * (k + 1) for k in range(100)]


def test_a_slot_late_by_less_than_a_period_runs_late_and_the_next_on_time():
    ticks, loop = run_loop([60 * MS, 0, 0])
    assert [tick.start_ns // MS for tick in ticks] == [50, 110, 150]
    assert loop.statistics().missed == 0


def test_slots_that_passed_are_skipped_and_counted_not_caught_up():
    ticks, loop = run_loop([210 * MS, 0, 0, 0])
    assert [tick.start_ns // MS for tick in ticks] == [50, 260, 300, 350]
    assert [tick.missed for tick in ticks] == [0, 3, 3, 3]
    assert loop.statistics().missed == 3


@given(st.lists(st.integers(0, 400 * MS), min_size=2, max_size=30), st.integers(0, 20 * MS))
def test_every_slot_is_run_once_or_counted_as_missed(work_ns, wake_late_ns):
    ticks, _ = run_loop(work_ns, clock=ManualClock(wake_late_ns=wake_late_ns))
    for tick in ticks:
        assert tick.deadline_ns % PERIOD == 0
        assert 0 <= tick.start_ns - tick.deadline_ns < PERIOD
        assert tick.deadline_ns // PERIOD == 1 + tick.number + tick.missed
    # Never two ticks for one slot, so never a burst.
    slots = [tick.deadline_ns for tick in ticks]
    assert len(set(slots)) == len(slots)


def test_shift_moves_the_deadlines_without_a_period_error():
    clock = ManualClock()
    starts = []

    def step(tick):
        starts.append(tick.start_ns // MS)
        if len(starts) == 2:
            loop.shift(-7 * MS)
        if len(starts) == 5:
            loop.stop()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0, unrecorded_ticks=0), step, clock=clock)
    loop.run()
    assert starts == [50, 100, 143, 193, 243]
    assert loop.statistics().period_error_ms_max == 0.0
    assert loop.statistics().missed == 0


@given(st.integers(0, 10 * MS - 1), st.integers(-200_000, 200_000))
def test_aligned_ticks_come_one_margin_after_their_input(phase_ns, jitter_ns):
    """Inputs at 100 Hz, ticks at 20 Hz, at any distance to begin with."""
    clock = ManualClock()
    ages = []

    def step(tick):
        late_ns = jitter_ns if tick.number % 2 else 0
        ages.append((tick.start_ns - phase_ns - late_ns) % (10 * MS))
        if tick.number == 20:
            loop.shift(alignment_ns(ages, margin_ns=MS))
        if tick.number == 40:
            loop.stop()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0), step, clock=clock)
    loop.run()
    for age in ages[21:]:
        assert abs(age - MS) <= 200_000
    assert loop.statistics().missed == 0


def test_statistics_tell_period_lateness_and_work():
    _, loop = run_loop([3 * MS] * 98 + [0] + [60 * MS, 0, 0], clock=ManualClock(wake_late_ns=MS))
    timing = loop.statistics()
    assert timing.ticks == 102
    assert timing.period_ms_p50 == pytest.approx(50.0, abs=0.02)
    assert timing.lateness_ms_p50 == pytest.approx(1.0, abs=0.02)
    assert timing.work_ms_p50 == pytest.approx(3.0, abs=0.02)
    assert timing.work_ms_max == 60.0
    assert timing.lateness_ms_max == pytest.approx(11.0)
    assert timing.period_error_ms_max == pytest.approx(10.0)


def test_first_ticks_are_left_out():
    ticks = []

    def step(tick):
        ticks.append(tick)
        clock.advance(30 * MS if len(ticks) <= 3 else MS)
        if len(ticks) == 10:
            loop.stop()

    clock = ManualClock()
    loop = DeadlineLoop(LoopConfig(rate_hz=20.0, unrecorded_ticks=3), step, clock=clock)
    loop.run()
    assert loop.statistics().work_ms_max == 1.0
    assert loop.statistics().ticks == 10
    loop.forget_statistics()
    assert math.isnan(loop.statistics().work_ms_p50)
    assert loop.statistics().ticks == 10


def test_stop_from_outside_ends_the_thread_and_reports_no_error():
    ran, ended = threading.Event(), []
    loop = DeadlineLoop(LoopConfig(rate_hz=500.0), lambda tick: ran.set(), on_exit=ended.append)
    loop.start()
    assert ran.wait(30)
    assert loop.running
    assert loop.stop(30)
    assert not loop.running
    assert ended == [None]
    with pytest.raises(RuntimeError, match="make a new one"):
        loop.start()


def test_an_exception_ends_the_loop_and_reaches_on_exit_in_its_own_thread():
    told = threading.Event()
    seen = []

    def on_exit(error):
        seen.append((error, threading.current_thread().name))
        told.set()

    def step(tick):
        raise KeyError("joint")

    loop = DeadlineLoop(LoopConfig(rate_hz=500.0, name="doomed"), step, on_exit=on_exit)
    loop.start()
    assert told.wait(30)
    assert loop.stop(30)
    ((error, thread),) = seen
    assert isinstance(error, KeyError)
    assert error is loop.error
    assert thread == "doomed"


def test_warm_up_runs_first_in_the_loops_thread_and_its_time_is_no_lateness():
    clock = ManualClock()
    order = []

    def warm_up():
        order.append("warm-up")
        clock.advance(10 * PERIOD)

    def step(tick):
        order.append(tick.missed)
        loop.stop()

    loop = DeadlineLoop(LoopConfig(rate_hz=20.0), step, warm_up=warm_up, clock=clock)
    loop.run()
    assert order == ["warm-up", 0]


def test_what_warm_up_made_is_frozen_for_the_collector():
    gc.unfreeze()
    try:
        run_loop([0], freeze_gc=False)
        assert gc.get_freeze_count() == 0
        run_loop([0])
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), 1e9])
def test_impossible_rates_are_refused(rate_hz):
    with pytest.raises(ValueError, match="rate_hz"):
        LoopConfig(rate_hz=rate_hz)


@given(st.lists(st.integers(0, 99 * MS), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_quantiles_are_right_to_one_bin(values, fraction):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, math.ceil(fraction * len(values) - 1e-9) - 1)]
    assert exact <= histogram.quantile_ms(fraction) * MS + 1 <= exact + histogram.bin_ns + 1
    assert histogram.max_ns == max(values)
    assert histogram.mean_ms() == pytest.approx(sum(values) / len(values) / MS)


def test_values_beyond_the_range_count_and_the_maximum_stays_exact():
    histogram = Histogram(bin_ns=10, bins=10)
    for value in (5, 10_000_000, 123_456_789):
        histogram.record(value)
    assert histogram.quantile_ms(0.99) == 123.456789
    assert histogram.quantile_ms(0.3) == 1e-5


# --- real-time scheduling -----------------------------------------------------------------------


def in_a_thread(config):
    """Apply the block from a thread of its own, and undo it for this process."""
    scheduler, cores = os.sched_getscheduler(0), os.sched_getaffinity(0)
    found = []

    def apply():
        report = apply_realtime(config)
        found.append((report, os.sched_getscheduler(0), os.sched_getaffinity(0)))

    thread = threading.Thread(target=apply)
    thread.start()
    thread.join(30)
    assert os.sched_getscheduler(0) == scheduler
    os.sched_setaffinity(0, cores)
    return found[0]


def test_by_default_nothing_is_asked_for():
    assert apply_realtime(RealtimeConfig()) == RealtimeReport()
    assert str(RealtimeReport()) == "default scheduling"


def test_fifo_is_obtained_or_the_refusal_says_what_would_grant_it():
    report, scheduler, _ = in_a_thread(RealtimeConfig(fifo_priority=1, other_priority=0))
    assert report.degraded == (scheduler != os.SCHED_FIFO)
    assert ("rtprio" in str(report)) == report.degraded


def test_cores_are_obtained():
    core = min(os.sched_getaffinity(0))
    report, _, cores = in_a_thread(RealtimeConfig(cpus=(core,)))
    assert not report.degraded
    assert cores == {core}
    assert str(core) in str(report)


def test_a_core_that_is_not_there_is_reported_not_raised():
    report, _, _ = in_a_thread(RealtimeConfig(cpus=(4000,)))
    assert report.degraded
    assert "4000" in str(report)


def test_a_loop_reports_what_it_got():
    _, loop = run_loop([0])
    assert loop.realtime == RealtimeReport()


@pytest.mark.parametrize("priority", [-1, 100])
def test_impossible_priorities_are_refused(priority):
    with pytest.raises(ValueError, match=r"1\.\.99"):
        RealtimeConfig(fifo_priority=priority)


def test_histograms_of_several_lives_add_up():
    one, two, both = Histogram(), Histogram(), Histogram()
    for value in (5_000, 15_000, 2_000_000_000):
        one.record(value)
    for value in (15_000, 16_000, 17_000):
        two.record(value)
    for part in (one, two):
        both.add(json.loads(json.dumps(part.to_dict())))
    assert both.count == 6
    assert both.quantile_ms(0.5) == pytest.approx(0.02)
    assert both.max_ns == 2_000_000_000
    assert both.quantile_ms(1.0) == pytest.approx(2000.0)
    with pytest.raises(ValueError, match="do not fit"):
        both.add(Histogram(bin_ns=1).to_dict())
