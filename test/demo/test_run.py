# SPDX-License-Identifier: Apache-2.0
"""From events to numbers."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.run import DemoRun
from support.demo_events import (
    MS,
    SECOND,
    START,
    command,
    health,
    play,
    pose,
    progress,
    state,
    step,
)


def finished(run: DemoRun):
    return run.report("p.onnx", "nominal")


def test_a_flawless_run() -> None:
    run = DemoRun(simulated=True)
    play(run, 5.0)
    r = finished(run)
    assert (r.ticks, r.missed_ticks, r.fell, r.lost_reads) == (101, 0, False, 2)
    assert r.seconds == pytest.approx(5.0) and r.rotation_rad == pytest.approx(5.0)
    assert r.off_axis_rad == pytest.approx(0.5)
    assert [r.tick_period_ms.p50, r.tick_period_ms.max] == pytest.approx([50.0, 50.0])
    assert [r.obs_to_command_ms.p50, r.obs_to_command_ms.max] == pytest.approx([5.0, 5.0])
    assert r.bus_hz == pytest.approx(100.0)


def test_the_period_is_from_begin_to_begin_whatever_inference_takes() -> None:
    run = DemoRun(simulated=False)
    for k, inference_ms in enumerate([1.0, 9.0, 0.5, 4.0]):
        run.on_step(step(k, START + k * 50 * MS, inference_ms))
    assert list(run.period_ms) == pytest.approx([50.0, 50.0, 50.0])


def test_missed_ticks_and_a_long_period_show() -> None:
    run = DemoRun(simulated=False)
    run.on_step(step(0, START, missed_ticks=3))
    run.on_step(step(1, START + 50 * MS, missed_ticks=3))
    run.on_step(step(2, START + 150 * MS, missed_ticks=4))
    r = finished(run)
    assert r.missed_ticks == 1
    assert r.tick_period_ms.max == pytest.approx(100.0)
    assert run.live().worst_tick_ms == pytest.approx(100.0)


def test_a_step_lost_on_its_way_here_is_no_long_period() -> None:
    run = DemoRun(simulated=False)
    run.on_step(step(0, START))
    run.on_step(step(2, START + 100 * MS))
    assert not run.period_ms


@given(st.permutations(range(3)), st.integers(0, 40))
def test_the_delay_needs_no_order_of_arrival(order, delay_ms) -> None:
    run = DemoRun(simulated=False)
    begin = START + SECOND
    events = [
        lambda: run.on_state(state(70, begin - 2 * MS)),
        lambda: run.on_command(command(7, begin + delay_ms * MS)),
        lambda: run.on_step(step(7, begin)),
    ]
    for k in order:
        events[k]()
    # Before the state is known its age, which the step tells, stands in for its stamp.
    assert list(run.delay_ms) == pytest.approx([delay_ms + 2.0])


def test_ticks_without_policy_are_not_counted() -> None:
    run = DemoRun(simulated=False)
    run.on_step(step(0, START, running=False))
    assert run.began_ns is None
    with pytest.raises(DemoError, match="never ran"):
        finished(run)
    run.on_step(step(1, START + 50 * MS))
    run.on_step(step(2, START + 100 * MS, running=False))
    run.on_step(step(3, START + 150 * MS))
    assert finished(run).ticks == 2
    assert not run.period_ms


def test_a_simulated_run_waits_until_the_object_is_let_go() -> None:
    run = DemoRun(simulated=True)
    run.on_step(step(0, START))
    run.on_progress(progress(START, 0.0, 0.0, episode=0))
    run.on_step(step(1, START + 50 * MS))
    assert run.began_ns is None and not run.live().running
    run.on_progress(progress(START + 60 * MS, 0.5, 0.4, episode=1))
    run.on_step(step(2, START + 100 * MS))
    assert run.elapsed_s(run.began_ns + 3 * SECOND) == pytest.approx(3.0)
    run.on_progress(progress(START + SECOND, 2.5, 1.4, episode=1))
    r = finished(run)
    assert (r.rotation_rad, r.seconds) == pytest.approx((2.0, 1.0))


def test_episodes_add_up_over_a_fall() -> None:
    run = DemoRun(simulated=True)
    run.on_progress(progress(START, 0.0, 0.0))
    run.on_step(step(0, START))
    run.on_progress(progress(START + 1 * SECOND, 3.0, 1.0, fallen=True))
    assert run.fallen and run.live().fallen
    run.on_progress(progress(START + 9 * SECOND, 0.0, 0.0, episode=2))
    assert not run.fallen and run.episode == 2
    run.on_progress(progress(START + 10 * SECOND, 4.0, 1.5, episode=2))
    r = finished(run)
    assert (r.rotation_rad, r.seconds, r.fell) == (pytest.approx(7.0), pytest.approx(2.5), True)


def test_a_fall_before_the_run_does_not_count() -> None:
    run = DemoRun(simulated=True)
    run.on_progress(progress(START, 0.0, 0.1, fallen=True))
    run.on_step(step(0, START))
    assert run.began_ns is None
    run.on_progress(progress(START, 0.0, 0.0, episode=2))
    run.on_step(step(1, START))
    assert finished(run).fell is False


def test_a_real_hand_has_no_angle_and_its_time_is_the_policys() -> None:
    run = DemoRun(simulated=False)
    for k in range(41):
        run.on_step(step(k, START + k * 50 * MS))
        run.on_state(state(10 * k, START + k * 50 * MS + MS))
    r = finished(run)
    assert (r.rotation_rad, r.off_axis_rad, r.fell) == (None, None, None)
    assert r.seconds == pytest.approx(2.0)
    assert r.bus_hz == pytest.approx(20.0)  # no health message: the states themselves are counted
    assert run.live().rate_hz == pytest.approx(20.0)


def test_applied_is_the_first_read_under_the_command_and_skips_the_overtaken() -> None:
    run = DemoRun(simulated=False)
    for k in range(3):
        run.on_state(state(10 * k, START + k * 50 * MS - 2 * MS))
        run.on_step(step(k, START + k * 50 * MS))
    run.on_state(state(100, START + 8 * MS, command_seq=0, source="policy"))
    run.on_state(state(101, START + 18 * MS, command_seq=0, source="policy"))
    run.on_state(state(102, START + 110 * MS, command_seq=2, source="policy"))
    assert list(run.applied_ms) == pytest.approx([10.0, 12.0])


def test_fault_and_complaints_are_told() -> None:
    run = DemoRun(simulated=True)
    run.on_complaint("rotation_policy", "no hand/state yet")
    run.on_complaint("leap_hand_driver", "")
    assert run.complaints() == "rotation_policy: no hand/state yet"
    assert run.live().status == "no hand/state yet"
    run.on_health(health(fault="motor 3 is too hot"))
    assert run.fault == "motor 3 is too hot"


def test_silence_is_counted_from_the_last_tick_that_ran() -> None:
    run = DemoRun(simulated=False)
    assert run.silent_s(START) == 0.0
    run.on_step(step(0, START))
    run.on_step(step(1, START + SECOND, running=False))
    assert run.silent_s(START + 31 * SECOND) == pytest.approx(31.0, abs=0.01)


def test_the_picture_is_the_newest() -> None:
    run = DemoRun(simulated=True)
    assert run.picture().q is None
    run.on_state(state(5, START))
    run.on_object(pose(START, 1.0))
    run.on_step(step(0, START))
    picture = run.picture("text")
    assert picture.q == pytest.approx(np.full(16, 5e-3))
    assert picture.pose == pose(START, 1.0)
    assert (picture.wrist_xyzw, picture.text) == ((1.0, 0.0, 0.0, 0.0), "text")


@given(st.integers(0, 2**32))
def test_any_order_of_events_gives_a_report_or_a_sentence(seed) -> None:
    rng = random.Random(seed)
    run = DemoRun(simulated=rng.random() < 0.5, record=True)
    times = (START + k * 7 * MS for k in itertools.count())
    makers = [
        lambda t: run.on_state(
            state(rng.randrange(50), t, rng.randrange(9), rng.choice(["", "p"]))
        ),
        lambda t: run.on_command(command(rng.randrange(9), t)),
        lambda t: run.on_step(step(rng.randrange(9), t, running=rng.random() < 0.7)),
        lambda t: run.on_progress(
            progress(t, rng.random(), rng.random(), rng.randrange(3), fallen=rng.random() < 0.2)
        ),
        lambda t: run.on_health(health(lost=rng.randrange(3))),
        lambda t: run.on_object(pose(t, rng.random())),
    ]
    for _ in range(60):
        rng.choice(makers)(next(times))
        run.live()
    try:
        assert finished(run).ticks > 0
    except DemoError:
        assert run.began_ns is None
