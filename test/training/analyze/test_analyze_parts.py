# SPDX-License-Identifier: Apache-2.0
"""The measures of an analysis on histories whose answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.analyze.corrections import PAPER_MRAD
from dexndm_ros.training.analyze.histories import GROUPS, Histories, features
from dexndm_ros.training.analyze.neighbours import FORETOLD, foretell, measure_gains
from dexndm_ros.training.analyze.overlap import COVERED, embed, overlap_of
from dexndm_ros.training.analyze.polynomials import (
    fit_windows,
    inverse_of,
    noise_left,
    virtual_torques,
)

W = 10
HAND = GROUPS["whole hand"]


def motion(count: int, seed: int, step=None) -> Histories:
    """Windows of random targets, and joints that go some of the way to theirs in each tick."""
    random = np.random.default_rng(seed)
    a = random.normal(size=(count, W, JOINT_COUNT))
    q = np.empty((count, W + 1, JOINT_COUNT))
    q[:, 0] = random.normal(size=(count, JOINT_COUNT))
    for k in range(W):
        q[:, k + 1] = q[:, k] + (step or half_way)(q[:, k], a[:, k])
    return Histories(q, a)


def half_way(q, a):
    return 0.5 * (a - q)


def still(levels: np.ndarray) -> Histories:
    """Hands at rest, (N, 16)."""
    q = np.repeat(levels[:, None], W + 1, axis=1)
    return Histories(q, q[:, :-1])


def test_features_hold_the_same_numbers_as_the_history() -> None:
    histories = motion(5, 0)
    newest, changes, distances = np.split(features(histories), [1, W], axis=2)
    back = newest[..., 0] - np.cumsum(changes[..., ::-1], axis=2)[..., -1]
    assert back == pytest.approx(histories.q[:, 0])
    assert distances == pytest.approx((histories.a - histories.q[:, :-1]).transpose(0, 2, 1))


@pytest.mark.parametrize("joints", [(3,), HAND], ids=["joint", "hand"])
def test_a_dataset_is_like_itself(joints) -> None:
    """Exact: each history of either half is there twice, once with each label."""
    halves = (motion(200, 0), motion(200, 1))
    found = overlap_of(halves, halves, joints, seed=0)
    assert COVERED <= found.coverage <= COVERED + 1 / 200
    assert found.distance_ratio == 1.0
    assert found.auc == found.auc_fine == 0.5


def test_a_dataset_far_away_is_not_covered_and_always_told_apart() -> None:
    halves = (motion(200, 0), motion(200, 1))
    away = tuple(Histories(half.q + 50.0, half.a + 50.0) for half in halves)
    found = overlap_of(halves, away, (3,), seed=0)
    assert found.coverage == 0.0
    assert found.distance_ratio > 5
    assert found.auc == 1.0
    assert found.auc_fine == 1.0


def test_joints_alike_in_hands_that_are_not() -> None:
    """Every joint is anywhere in both; in one dataset all joints of a hand are at the same place."""
    random = np.random.default_rng(0)
    free = tuple(still(random.uniform(size=(400, JOINT_COUNT))) for _ in range(2))
    tied = tuple(still(np.repeat(random.uniform(size=(400, 1)), JOINT_COUNT, 1)) for _ in range(2))
    for joint in (0, 9):
        alone = overlap_of(tied, free, (joint,), 0)
        assert alone.coverage > 0.85
        assert alone.distance < 0.02
        assert abs(alone.auc - 0.5) < 0.15
    hand = overlap_of(tied, free, HAND, 0)
    assert hand.coverage < 0.05
    assert hand.distance > 0.5
    assert hand.distance_ratio > 20
    assert hand.auc > 0.95
    # The same draw gives the same numbers.
    assert overlap_of(tied, free, HAND, 0) == hand
    # The other way round the radius is as wide as hands at random are apart: coverage alone would say "alike".
    back = overlap_of(free, tied, HAND, 0)
    assert back.coverage > 0.5
    assert back.distance > 0.5
    assert back.auc > 0.95


def test_noise_on_targets_is_seen_by_the_fine_classifier_alone() -> None:
    random = np.random.default_rng(0)
    plain = [still(random.uniform(size=(300, JOINT_COUNT))) for _ in range(4)]
    noisy = [
        dataclasses.replace(each, a=each.a + random.normal(scale=1e-3, size=each.a.shape))
        for each in plain[2:]
    ]
    found = overlap_of((plain[0], plain[1]), (noisy[0], noisy[1]), (3,), seed=0)
    assert found.auc_fine > 0.99
    assert abs(found.auc - 0.5) < 0.15
    assert found.coverage > 0.85


def test_pictures_have_a_place_for_every_history_and_are_repeatable() -> None:
    data, other = motion(60, 0), Histories(motion(50, 1).q + 50, motion(50, 1).a + 50)
    first, second = embed(data, other, (0,), seed=1)
    assert first.shape == (60, 2)
    assert second.shape == (50, 2)
    assert np.array_equal(embed(data, other, (0,), seed=1)[0], first)
    # Far apart in the histories, apart in the picture: the nearest of every point is of its own kind.
    both = np.concatenate([first, second])
    away = np.linalg.norm(both[:, None] - both[None], axis=2) + np.diag(np.full(110, np.inf))
    assert ((away.argmin(axis=1) < 60) == (np.arange(110) < 60)).all()


def test_the_neighbour_that_moves_a_joint_is_found() -> None:
    def step(q, a):
        moved = half_way(q, a)
        moved[:, 5] += 0.8 * (a[:, 9] - q[:, 9])  # of another finger
        return moved

    gains = measure_gains(motion(2000, 0, step), {"held out": motion(2000, 1, step)})["held out"]
    assert gains.added[5, 9] > 0.95  # nothing else moves it: nearly all of the error goes away
    others = np.delete(gains.added[5], [5, 9])
    assert np.abs(others).max() < 0.05
    assert gains.hand[5] > 0.95
    assert abs(gains.finger[5]) < 0.05
    assert np.diag(gains.added) == pytest.approx(np.zeros(JOINT_COUNT))
    free = np.delete(gains.own_mrad, 5)
    assert free.max() < 1.0  # linear in their own history: only the ridge is left
    assert gains.own_mrad[5] > 500


def test_a_history_foretells_what_it_holds_and_nothing_else() -> None:
    def tied(histories: Histories) -> Histories:
        a = histories.a.copy()
        a[:, -1, 7] = a[:, -1, 6]  # joint 7's newest target is joint 6's
        return dataclasses.replace(histories, a=a)

    told = foretell(tied(motion(1200, 0)), {"new": tied(motion(600, 1))}, 0, str)["new"]
    mrad, share = told
    own, target = FORETOLD.index("own next angle"), FORETOLD.index("next joint's target")
    untied = np.delete(np.arange(JOINT_COUNT), 7)
    assert share[untied, own].max() < 0.05
    assert share[6, target] < 0.05
    assert np.delete(share[:, target], 6).min() > 0.9
    assert share[:, 1:3].min() > 0.9
    spread = tied(motion(600, 1)).a[:, -1, 1].std()
    assert mrad[0, target] == pytest.approx(1000 * spread * share[0, target])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(7, 20),
    st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=7, max_size=7),
)
def test_a_polynomial_of_a_degree_is_fitted_by_that_degree(degree, window, coefficients) -> None:
    values = np.polynomial.Polynomial(coefficients[: degree + 1])(np.linspace(-1, 1, window))
    signal = np.broadcast_to(values[None, :, None], (3, window, JOINT_COUNT))
    fits = fit_windows(signal, 6)
    assert fits.rms.shape == (3, JOINT_COUNT, 7)
    assert np.abs(fits.rms[..., degree:]).max() < 1e-10 * max(1.0, np.abs(values).max())
    assert fits.rms[..., 0] == pytest.approx(np.full((3, JOINT_COUNT), values.std()), abs=1e-10)
    assert (np.diff(fits.rms, axis=2) < 1e-10).all()


def test_fits_are_least_squares() -> None:
    signal = np.random.default_rng(0).normal(size=(40, W, JOINT_COUNT))
    fits = fit_windows(signal, 3)
    ticks = np.arange(W)
    by_numpy = np.polynomial.Polynomial.fit(ticks, signal[7, :, 4], 3)(ticks)
    assert fits.rms[7, 4, 3] == pytest.approx(np.sqrt(np.mean((signal[7, :, 4] - by_numpy) ** 2)))
    for example, fitted in zip(fits.examples, fits.fitted, strict=True):
        polynomial = np.polynomial.Polynomial.fit(ticks, example, 3)
        assert fitted == pytest.approx(polynomial(ticks))


def test_what_is_left_of_white_noise() -> None:
    signal = np.random.default_rng(0).normal(size=(2000, W, JOINT_COUNT))
    assert fit_windows(signal, 7).left == pytest.approx(noise_left(W, 7), rel=0.02)


def test_virtual_torques_are_the_load() -> None:
    """Joints that a constant load holds back; the inverse model has learned from free ones."""
    load = np.linspace(-0.2, 0.2, JOINT_COUNT)
    inverse = inverse_of(motion(4000, 0))
    random = np.random.default_rng(1)
    a = random.normal(size=(20, 2 * W, JOINT_COUNT))
    q = np.empty_like(a)
    q[:, 0] = 0.0
    for k in range(2 * W - 1):
        q[:, k + 1] = q[:, k] + half_way(q[:, k], a[:, k] - load)
    found = virtual_torques(q, a, W, inverse)
    assert found.shape == (20, W, JOINT_COUNT)
    assert found == pytest.approx(np.broadcast_to(load, found.shape), abs=5e-3)


def test_the_paper_s_corrections_are_in_motor_order() -> None:
    """Table 8 has them in Isaac Gym's order: index 1, 0, 2, 3, then the thumb."""
    by_name = dict(zip(JOINT_NAMES, PAPER_MRAD, strict=True))
    assert by_name["index_mcp_forward"] == pytest.approx(7.5)
    assert by_name["index_mcp_side"] == pytest.approx(10.4)
    assert by_name["thumb_cmc"] == pytest.approx(11.6)
    assert by_name["ring_dip"] == pytest.approx(4.7)
