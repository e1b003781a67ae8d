# SPDX-License-Identifier: Apache-2.0
"""Noise on replayed targets: recomputable to the bit, inside the limits, as often and as large as asked."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import LOWER_RAD, UPPER_RAD
from dexndm_ros.replay.noise import (
    NoiseConfig,
    NoiseError,
    clean_step_limit_rad,
    executed,
    noise,
    trajectory_seed,
)

SEEDS = st.integers(0, 2**63 - 1)
CONFIGS = st.builds(NoiseConfig, probability=st.floats(0, 1), sigma_rad=st.floats(0, 0.05))
# Two steps, some of them on a limit or a hair beyond it, as float32 of a library may be.
CLEAN = hnp.arrays(
    np.float32, (2, 16), elements=st.floats(np.float32(-0.001), np.float32(1.001), width=32)
).map(lambda share: LOWER_RAD + share.astype(np.float64) * (UPPER_RAD - LOWER_RAD))


@given(config=CONFIGS, seed=SEEDS, clean=CLEAN)
def test_executed_targets_are_recomputed_to_the_bit_and_stay_in_the_limits(config, seed, clean):
    first = executed(clean, noise(config, seed, steps=2))
    again = executed(clean.copy(), noise(NoiseConfig(**vars(config)), int(seed), steps=2))
    assert first.dtype == np.float64
    assert first.tobytes() == again.tobytes()
    assert (first >= LOWER_RAD).all()
    assert (first <= UPPER_RAD).all()


def test_the_stream_is_the_one_that_earlier_recordings_were_made_with():
    """A fixed digest: whoever changes the draws makes every old recording irreproducible."""
    drawn = noise(NoiseConfig(), trajectory_seed(0, 0))
    assert trajectory_seed(0, 0) == 3065247057545751466
    assert drawn.shape == (400, 16)
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == (
        "76318e83a6afb4562f43520b9928e83586cf33c35b11af9e54aec019c53103be"
    )


def test_another_process_draws_the_same():
    code = (
        "import sys; from dexndm_ros.replay.noise import *; "
        "sys.stdout.buffer.write(noise(NoiseConfig(), trajectory_seed(3, 1399)).tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == noise(NoiseConfig(), trajectory_seed(3, 1399)).tobytes()


def test_frequency_and_size_are_as_configured():
    drawn = np.stack([noise(NoiseConfig(), trajectory_seed(1, entry)) for entry in range(100)])
    noisy = drawn.any(axis=2)
    np.testing.assert_array_equal(noisy, drawn.all(axis=2))  # all joints of an action, or none
    # 40,000 actions: five deviations of the share are 0.0125; of sigma (320,000 draws) 0.7 %.
    assert noisy.mean() == pytest.approx(0.5, abs=0.0125)
    assert drawn[noisy].std() == pytest.approx(0.01, rel=0.01)
    assert abs(drawn[noisy].mean()) < 2e-4
    # Steps and joints are independent: neighbours do not correlate.
    whole = drawn[:, :, 0] - drawn[:, :, 0].mean()
    assert abs((whole[:, 1:] * whole[:, :-1]).mean()) / whole.var() < 0.03
    assert abs(np.corrcoef(drawn[noisy].T) - np.eye(16)).max() < 0.04


@given(seed=SEEDS, sigma=st.floats(1e-4, 0.05))
def test_sigma_scales_the_same_draws_and_probability_only_thins_them(seed, sigma):
    often, seldom = (noise(NoiseConfig(p, sigma), seed, steps=50) for p in (0.9, 0.2))
    kept = seldom.any(axis=1)
    np.testing.assert_array_equal(often[kept], seldom[kept])
    np.testing.assert_allclose(often / sigma, noise(NoiseConfig(0.9, 0.01), seed, 50) / 0.01, 1e-6)


@pytest.mark.parametrize("config", [NoiseConfig(0.0, 0.01), NoiseConfig(0.5, 0.0)])
def test_no_noise_is_exactly_none(config):
    assert config.silent
    assert not noise(config, 5).any()


@given(campaign=st.integers(0, 2**63 - 1), entry=st.integers(0, 10**6))
def test_seeds_of_rows_are_63_bit_and_differ_between_rows_and_campaigns(campaign, entry):
    seed = trajectory_seed(campaign, entry)
    assert 0 <= seed < 2**63
    assert seed not in (trajectory_seed(campaign, entry + 1), trajectory_seed(campaign + 1, entry))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"probability": -0.1}, "probability"),
        ({"probability": 1.1}, "probability"),
        ({"probability": float("nan")}, "probability"),
        ({"sigma_rad": -1e-9}, "sigma_rad"),
        ({"sigma_rad": 0.06}, "sigma_rad"),
        ({"sigma_rad": float("inf")}, "sigma_rad"),
    ],
)
def test_impossible_settings_are_refused_by_name(values, named):
    with pytest.raises(NoiseError, match=rf"{named} must be from 0 to"):
        NoiseConfig(**values)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_the_ledger_cannot_hold_is_refused(seed):
    with pytest.raises(NoiseError, match="2\\*\\*63"):
        noise(NoiseConfig(), seed)


def test_the_largest_clean_step_stays_below_the_guards_limit_with_the_noise():
    limit = clean_step_limit_rad(NoiseConfig())
    assert 1 / 24 < limit < 0.15
    drawn = np.stack([noise(NoiseConfig(), trajectory_seed(2, entry)) for entry in range(200)])
    assert np.abs(np.diff(drawn, axis=1)).max() + limit < GuardConfig().max_step_rad
    assert clean_step_limit_rad(NoiseConfig(0.0)) == GuardConfig().max_step_rad
    assert clean_step_limit_rad(NoiseConfig(0.5, 0.05)) > 1 / 24
