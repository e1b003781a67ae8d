# SPDX-License-Identifier: Apache-2.0
"""A comparison that learns, at its smallest: data, models, a residual and its choice, tests, report. Some minutes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.training.compare.config import BUDGETS, CompareConfig
from dexndm_ros.training.compare.job import compare
from dexndm_ros.training.compare.report import write_report

pytestmark = pytest.mark.soak

TINY = dataclasses.replace(
    BUDGETS["small"], trajectories=12, rollouts=4, task=4, epochs=1, residual_epochs=1, select_episodes=4
)  # fmt: skip


def test_a_residual_is_learned_chosen_and_tested(tmp_path: Path) -> None:
    config = CompareConfig(
        "twin", tmp_path, ("direct", "arx"), ("palm_up",), episodes=4, pipelines=1, budget=TINY, jobs=2, threads=1
    )  # fmt: skip
    found = compare(config, print, write_report)
    assert not found.failed
    arx = found.methods["arx"]
    assert set(arx.errors[0]) == {"validation", "task"}
    assert set(arx.errors[0]["task"]) == {"persistence", "ARX", "joint-wise"}
    assert arx.errors[0]["task"]["ARX"] < arx.errors[0]["task"]["persistence"]
    (direct,), (ours,) = (found.methods[name].episodes[0] for name in ("direct", "arx"))
    refused = arx.notes[0].startswith("refused: ")
    assert refused or arx.notes[0].startswith("loss ")
    assert refused == bool(np.array_equal(direct.rotation_rad, ours.rotation_rad))
    assert "persistence" in (tmp_path / "twin-12" / "report.html").read_text()
