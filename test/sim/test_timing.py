# SPDX-License-Identifier: Apache-2.0
"""When steps are due, and what time it is between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.sim.rig import RigConfig
from dexndm_ros.sim.timing import Pace


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0])
def test_on_time_simulated_time_runs_evenly_at_its_speed(speed):
    pace = Pace(0.005, speed, 100.0)
    now = 100.0
    assert pace.time_s(now) == 0.0
    for step in range(100):
        due = pace.stepped(now)
        assert due == pytest.approx(100.0 + (step + 1) * 0.005 / speed)
        for part in (0.0, 0.3, 0.9):
            at = now + part * (due - now)
            assert pace.time_s(at) == pytest.approx((at - 100.0) * speed)
        now = due
    assert pace.slipped_s == 0.0


def test_a_little_late_is_caught_up():
    pace = Pace(0.005, 2.0, 0.0)
    pace.stepped(0.04)  # 37.5 ms late, 75 ms of simulated time
    assert pace.time_s(0.04) == 0.005  # never ahead of what has been computed
    for _ in range(15):
        due = pace.stepped(0.04)
    assert due == pytest.approx(0.04)
    assert pace.time_s(0.04) == pytest.approx(0.08)
    assert pace.slipped_s == 0.0


def test_very_late_is_given_up_and_simulated_time_goes_on_from_where_it_was():
    pace = Pace(0.005, 2.0, 0.0)
    due = pace.stepped(1.0)
    assert due == 1.0
    assert pace.slipped_s == pytest.approx(1.0 - 0.0025)
    assert pace.time_s(1.0) == 0.005
    assert pace.stepped(1.0) == pytest.approx(1.0025)
    assert pace.time_s(1.00125) == pytest.approx(0.0075)


@given(
    st.lists(st.tuples(st.floats(0.0, 0.5), st.floats(0.0, 0.5)), max_size=60),
    st.floats(0.01, 100.0),
)
def test_time_never_goes_back_nor_ahead_of_the_last_step(waits, speed):
    now, before = 7.0, 0.0
    pace = Pace(0.005, speed, now)
    for work_s, idle_s in waits:
        now += work_s
        due = pace.stepped(now)
        for at in (now, max(now, due), max(now, due) + idle_s):
            told = pace.time_s(at)
            assert before - 1e-9 <= told <= pace.steps * 0.005
            assert told >= (pace.steps - 1) * 0.005 - 1e-9
            before = told
        now = max(now, due) + idle_s


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), 1000.0])
def test_impossible_speeds_are_refused(speed):
    with pytest.raises(ValueError, match=r"allowed: 0\.01 to 100"):
        RigConfig(speed=speed)
