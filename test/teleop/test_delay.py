# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.delay import Delay


@given(st.floats(-1e5, 1e5), st.lists(st.floats(0.0, 0.3), min_size=1, max_size=200))
def test_it_is_told_against_the_quickest_whatever_the_clocks_say(offset_s, lateness_s) -> None:
    delay, quickest_s = Delay(), lateness_s[0]
    for k, late_s in enumerate(lateness_s):
        captured_s = k / 90.0
        quickest_s = min(quickest_s, late_s)
        got_s = delay.update(captured_s + offset_s, captured_s + late_s)
        assert got_s == pytest.approx(late_s - quickest_s, abs=1e-9)


def test_a_queue_that_grows_shows() -> None:
    delay = Delay()
    late_s = [delay.update(k / 90.0, k / 90.0 * 1.01) for k in range(90 * 30)]
    assert late_s[-1] == pytest.approx(0.3, abs=0.01)
    assert late_s == sorted(late_s)


def test_clocks_that_drift_do_not() -> None:
    """50 millionths, for two hours."""
    delay = Delay()
    assert max(delay.update(k * (1 - 50e-6), float(k)) for k in range(7200)) < 0.004


def test_after_a_reset_the_next_is_the_quickest() -> None:
    delay = Delay()
    delay.update(0.0, 0.0)
    delay.reset()
    assert delay.update(0.0, 5.0) == 0.0
