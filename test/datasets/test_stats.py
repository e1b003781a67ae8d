# SPDX-License-Identifier: Apache-2.0
"""Statistics of episodes and of many together, against numpy on all rows."""

from __future__ import annotations

import numpy as np
import pytest

from dexndm_ros.datasets.features import FEATURES
from dexndm_ros.datasets.stats import QUANTILES, STAT_NAMES, episode_stats, json_stats, merge_stats
from support.dataset_growth import noisy_episode


def own_of(rows):
    frames = np.arange(rows)
    own = {"frame_index": frames, "index": frames + 10**9, "episode_index": frames * 0 + 5}
    return {"timestamp": (frames / 20).astype(np.float32), **own, "task_index": frames * 0}


def reference(values):
    found = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0, dtype=np.float64),
        "std": values.std(0, dtype=np.float64),
        "count": [len(values)],
    }
    for name, share in QUANTILES.items():
        found[name] = np.quantile(values.astype(np.float64), share, axis=0)
    return found


def test_an_episode_is_as_numpy_says() -> None:
    episode = noisy_episode("x", 333, 5)
    own = own_of(333)
    found = episode_stats(episode.columns, own)
    for name in ("observation.state", "action", "observation.wrist"):
        for key, wanted in reference(episode.columns[name]).items():
            np.testing.assert_allclose(found[name][key], wanted, rtol=1e-6, atol=1e-7)
    for name, values in own.items():
        for key, wanted in reference(values.reshape(-1, 1)).items():
            np.testing.assert_allclose(found[name][key], wanted, rtol=1e-6, atol=1e-9)
    assert found["valid"]["mean"] == 1.0 and found["valid"]["count"] == 333


def test_stamps_keep_their_spread() -> None:
    episode = noisy_episode("x", 100)
    found = episode_stats(episode.columns, own_of(len(episode)))["observation.stamp_ns"]
    assert found["std"] == pytest.approx(np.std(np.arange(100) * 50e6))
    merged = merge_stats([found, found])
    assert merged["std"] == pytest.approx(found["std"], rel=1e-6)


def test_rows_that_are_not_valid_or_not_finite_do_not_count() -> None:
    episode = noisy_episode("x", 50)
    columns = episode.columns
    columns["valid"][:5] = False
    columns["action"][3] = 1e9
    columns["observation.state"][10, 7] = np.nan
    columns["observation.current"][...] = np.nan
    found = episode_stats(columns, own_of(50))
    rows = np.arange(50) >= 5
    for key, wanted in reference(columns["action"][rows]).items():
        np.testing.assert_allclose(found["action"][key], wanted, rtol=1e-6, atol=1e-7)
    rows[10] = False
    assert found["observation.state"]["count"] == 44
    np.testing.assert_allclose(
        found["observation.state"]["mean"], columns["observation.state"][rows].mean(0), rtol=1e-5
    )
    assert all((found["observation.current"][key] == 0).all() for key in STAT_NAMES)


def test_no_valid_row_gives_zeros() -> None:
    episode = noisy_episode("x", 5)
    episode.columns["valid"][...] = False
    found = episode_stats(episode.columns, own_of(5))
    for name in [each.name for each in FEATURES] + ["index"]:
        assert all((found[name][key] == 0).all() for key in STAT_NAMES)


def test_many_episodes_are_as_all_their_rows() -> None:
    episodes = [noisy_episode(str(k), 100 + 10 * k, k) for k in range(40)]
    parts = [episode_stats(each.columns, own_of(len(each)))["action"] for each in episodes]
    merged = merge_stats(parts)
    rows = np.concatenate([each.columns["action"] for each in episodes])
    wanted = reference(rows)
    for key in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(merged[key], wanted[key], rtol=1e-6, atol=1e-7)
    span = rows.max(0) - rows.min(0)
    for key in QUANTILES:
        error = np.abs(merged[key] - wanted[key])
        assert (error < 0.06 * span).all() and error.mean() < 0.02 * span.mean()
    table = {key: np.stack([part[key] for part in parts]) for key in STAT_NAMES}
    in_files = merge_stats([{k: v[:7] for k, v in table.items()}, {k: v[7:] for k, v in table.items()}])  # fmt: skip
    for key in STAT_NAMES:  # however the episodes are spread over files
        np.testing.assert_array_equal(in_files[key], merged[key])


def test_episodes_without_a_number_weigh_nothing() -> None:
    episode = noisy_episode("x", 50)
    good = episode_stats(episode.columns, own_of(len(episode)))["action"]
    episode.columns["action"][...] = np.nan
    none = episode_stats(episode.columns, own_of(len(episode)))["action"]
    merged, alone = merge_stats([none, good, none]), merge_stats([good])
    for key in STAT_NAMES:
        np.testing.assert_array_equal(merged[key], alone[key])
    assert merge_stats([none])["count"] == 0


def test_json_has_whole_counts() -> None:
    found = json_stats(
        {"action": episode_stats(noisy_episode("x", 50).columns, own_of(50))["action"]}
    )
    assert found["action"]["count"] == [50] and len(found["action"]["q50"]) == 16
