# SPDX-License-Identifier: Apache-2.0
"""The published LeRobot reader opens our datasets and gives our numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dexndm_ros.datasets.features import FEATURES
from support.dataset_growth import add_bags, bag_of, noisy_episode
from support.lerobot import PYTHON, read_with_lerobot


@pytest.mark.skipif(
    not PYTHON.exists(), reason="the LeRobot reader is not set up: `make setup-lerobot` (280 MB)"
)
def test_lerobot_opens_a_dataset_that_has_grown(tmp_path) -> None:
    dataset = tmp_path / "set"
    bags = [bag_of(f"e{k}", [noisy_episode(f"n/{k}", 30 + k, k)]) for k in range(3)]
    bags[1] = replace(bags[1], episodes=(replace(bags[1].episodes[0], task="turn it"),))
    add_bags(dataset, bags[:1])
    add_bags(dataset, bags)
    found = read_with_lerobot(dataset, tmp_path / "cache")
    assert (found["episodes"], found["frames"], found["rows"]) == (3, 93, 93)
    assert (found["fps"], found["robot"], found["version"]) == (20, "leap_hand", "3.0")
    assert {each.name for each in FEATURES} < set(found["keys"])
    columns = bags[1].episodes[0].columns
    np.testing.assert_array_equal(found["state"], columns["observation.state"][2:5])
    np.testing.assert_array_equal(found["action"], columns["action"][4:6])
    assert found["padded"] == [True, True, False]
    assert found["task"] == "turn it"
    assert found["timestamp"] == pytest.approx(0.2)
    assert (found["frame_index"], found["episode_index"]) == (4, 1)
    assert found["batch"] == [8, 3, 16]
    assert found["part"] == [31, 30]
    rows = np.concatenate([bag.episodes[0].columns["action"] for bag in bags])
    np.testing.assert_allclose(found["mean"], rows.mean(0), atol=1e-5)
    assert found["merged_count"] == [186]
    assert found["facts"] == {"identity": "n/1", "bag": "e1", "verdict": "keep"}
