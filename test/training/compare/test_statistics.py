# SPDX-License-Identifier: Apache-2.0
"""Means, spreads and bootstrapped ratios against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dexndm_ros.training.compare.statistics import ratio, spread

EPISODES = arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 12)),
    elements=st.floats(0.5, 20.0),
)


@settings(max_examples=25, deadline=None)
@given(EPISODES)
def test_a_method_beside_itself_is_one_without_doubt(values):
    found = ratio(values, values, draws=50)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(EPISODES, st.floats(0.2, 5.0))
def test_a_factor_on_every_episode_is_the_ratio_whatever_is_drawn(values, factor):
    found = ratio(factor * values, values, draws=50)
    assert [found.value, found.low, found.high] == pytest.approx([factor] * 3)


@settings(max_examples=25, deadline=None)
@given(EPISODES, st.integers(0, 1000))
def test_the_interval_holds_draws_on_both_sides(values, seed):
    other = values[:, :, ::-1] + 0.1
    found = ratio(values, other, draws=200, seed=seed)
    assert found.low <= found.high
    assert found.value == pytest.approx(values.mean() / other.mean())


def test_paired_episodes_cancel_what_is_the_episodes_fault():
    rng = np.random.default_rng(0)
    reference = rng.exponential(10.0, (3, 1, 100))
    paired = 1.2 * reference
    shuffled = rng.permuted(paired, axis=2)
    assert ratio(paired, reference).high - ratio(paired, reference).low < 1e-9
    found = ratio(shuffled, reference)
    assert found.low < 1.2 < found.high
    assert found.high - found.low > 0.1


def test_the_interval_is_as_wide_as_theory_says():
    """Against a constant, a mean of n has the standard error sigma / sqrt(n)."""
    rng = np.random.default_rng(1)
    values = rng.normal(10.0, 2.0, (1, 1, 400))
    found = ratio(values, np.full_like(values, 10.0))
    half = 1.96 * values.std() / math.sqrt(400) / 10.0
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_pipelines_that_differ_widen_the_interval():
    """Within pipelines nothing differs: all doubt is about pipelines, and the ends are the best and the worst."""
    values = np.array([1.0, 2.0, 3.0])[:, None, None] * np.ones((3, 2, 50))
    found = ratio(values, np.ones_like(values))
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high) == (1.0, 3.0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        reference = rng.gamma(4.0, 2.0, (1, 1, 60))
        values = reference * rng.normal(1.3, 0.4, reference.shape)
        found = ratio(values, reference, draws=300)
        covered += found.low <= 1.3 <= found.high
    assert 88 <= covered <= 99


def test_a_reference_that_never_turns_has_no_ratio():
    found = ratio(np.ones((2, 1, 3)), np.zeros((2, 1, 3)))
    assert math.isnan(found.value)
    assert math.isnan(found.low)


def test_a_draw_that_never_turns_is_endless_and_not_missing():
    reference = np.zeros((1, 1, 20))
    reference[0, 0, 0] = 20.0
    found = ratio(np.ones_like(reference), reference)
    assert found.high == math.inf
    assert found.low < 1.0


def test_other_episodes_do_not_belong_together():
    with pytest.raises(ValueError, match="do not belong together"):
        ratio(np.ones((2, 1, 3)), np.ones((2, 1, 4)))


def test_spread_over_pipelines_is_the_samples():
    values = np.array([[1.0, 3.0], [4.0, 4.0], [6.0, 6.0]])
    found = spread(values)
    assert found.mean == pytest.approx(4.0)
    assert found.std == pytest.approx(2.0)
    assert math.isnan(spread(values[:1]).std)
