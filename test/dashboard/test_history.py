# SPDX-License-Identifier: Apache-2.0
"""Histories stay small and say the truth about their samples; the rate of completions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.dashboard.history import CompletionRate, ThinningSeries

samples = st.lists(st.tuples(st.floats(), st.floats()), max_size=300)


@given(samples, st.sampled_from([2, 4, 10]), st.booleans())
def test_a_series_never_outgrows_its_capacity_and_holds_only_finite_numbers(given_, size, peak):
    series = ThinningSeries(capacity=size, period_s=1.0, peak=peak)
    for t, value in given_:
        series.add(t, value)
    points = series.points()
    assert len(points) == len(series) <= size
    assert all(math.isfinite(t) and math.isfinite(value) for t, value in points)
    assert [t for t, _ in points] == sorted(t for t, _ in points)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_a_peak_series_never_loses_the_largest_and_a_mean_series_never_the_mean(values):
    peak = ThinningSeries(capacity=8, period_s=1.0, peak=True)
    mean = ThinningSeries(capacity=8, period_s=1.0)
    for t, value in enumerate(values):
        peak.add(float(t), value)
        mean.add(float(t), value)
    assert max(value for _, value in peak.points()) == max(values)
    if len(values) in (1, 2, 4, 8):  # as many samples in each bucket
        average = sum(value for _, value in mean.points()) / len(mean)
        assert average == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_a_month_fits_and_spans_the_month():
    series = ThinningSeries(capacity=100, period_s=10.0)
    month_s = 30 * 86400
    for t in range(0, month_s, 60):
        series.add(float(t), 1.0)
    points = series.points()
    assert 50 <= len(points) <= 100
    assert points[0][0] < 0.02 * month_s
    assert points[-1][0] > 0.98 * month_s


def test_an_odd_capacity_is_refused():
    with pytest.raises(ValueError, match="3; give an even number"):
        ThinningSeries(capacity=3)


def test_the_rate_counts_completions_and_falls_when_they_stop():
    rate = CompletionRate()
    for second in range(0, 601):
        rate.see(float(second), second // 20)
    assert rate.per_hour(600.0) == pytest.approx(180.0, rel=0.05)
    assert rate.per_hour(1800.0) < 70.0


def test_no_rate_from_one_completion_nor_from_a_count_that_fell():
    rate = CompletionRate()
    rate.see(0.0, 500)  # the dashboard came late: what was done before says nothing
    assert math.isnan(rate.per_hour(0.0))
    rate.see(20.0, 501)
    assert math.isnan(rate.per_hour(20.0))
    rate.see(40.0, 502)
    assert rate.per_hour(40.0) == pytest.approx(180.0)
    rate.see(60.0, 0)  # another campaign
    assert math.isnan(rate.per_hour(60.0))


@given(st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 2**32 - 1)), max_size=100))
def test_any_counts_give_a_rate_that_is_not_negative(moments):
    rate = CompletionRate()
    for t, done in moments:
        rate.see(t, done)
        now = rate.per_hour(t)
        assert math.isnan(now) or now >= 0.0
