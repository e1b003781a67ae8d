# SPDX-License-Identifier: Apache-2.0
"""A whole comparison, tiny and real: data, models, residual, test, report; then again, and with one more method."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml

from dexndm_ros.training.compare.cli import main
from dexndm_ros.training.compare.config import BUDGETS, CompareConfig
from dexndm_ros.training.compare.evaluation import load_episodes
from dexndm_ros.training.compare.job import compare
from dexndm_ros.training.compare.methods import METHODS, Deployed, Method
from dexndm_ros.training.compare.report import write_report
from dexndm_ros.training.compare.results import NOMINAL
from dexndm_ros.training.compare.stages import Made

TINY = dataclasses.replace(
    BUDGETS["small"], trajectories=16, rollouts=4, task=4, epochs=1, residual_epochs=1, select_episodes=4
)  # fmt: skip


def broken(pipeline):
    words = ("dexndm_ros.cli", "train", "dynamics", "--out", "{out}", "--data", "no_such_folder")
    stage = pipeline.stage("dynamics", "broken", words, "dynamics.pt", 1.0)
    return Deployed(pipeline.base, Made(stage, "residual.onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def config(folder):
    world = folder / "stiff.yaml"
    gap = {
        "name": "stiff",
        "physics": "fast",
        "servo": {"kp_scale": 1.5},
        "gap": {"target_offset_rad": 0.03},
    }
    world.write_text(yaml.safe_dump(gap))
    return CompareConfig(
        str(world), folder / "out", ("direct", "arx", "broken"), ("palm_up",), episodes=4, pipelines=1, budget=TINY,
        physics="fast", jobs=2, threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(config):
    METHODS["broken"] = Method("fails", broken)
    lines = []
    try:
        yield compare(config, lines.append, write_report), lines
    finally:
        del METHODS["broken"]


@pytest.mark.slow
def test_every_method_meets_the_same_hand_and_is_told_of(first, config):
    found, lines = first
    assert set(found.methods) == {NOMINAL, "direct", "arx", "broken"}
    for name in (NOMINAL, "direct", "arx"):
        (tested,) = found.methods[name].episodes[0]
        assert tested.rotation_rad.shape == (4,)
        assert np.isfinite(tested.off_axis_rad_s).all()
    assert found.methods["arx"].notes[0].startswith(("loss ", "refused: "))
    assert "no_such_folder" in found.methods["broken"].notes[0]
    assert any("failed: dexndm train dynamics" in line for line in lines)


@pytest.mark.slow
def test_what_was_learned_was_tested_on_the_task_beside_persistence(first):
    found, _ = first
    errors = found.methods["arx"].errors[0]
    assert set(errors) == {"validation", "task"}
    assert set(errors["task"]) == {"persistence", "ARX", "joint-wise"}
    assert errors["task"]["ARX"] < errors["task"]["persistence"]


@pytest.mark.slow
def test_the_report_has_all_of_it(first, config):
    folder = config.out / "stiff"
    page = (folder / "report.html").read_text()
    for words in (
        "x1.50",
        "+30 mrad",
        "failed: dexndm train dynamics",
        "data:image/png",
        "persistence",
    ):
        assert words in page
    assert "<script" not in page
    report = json.loads((folder / "report.json").read_text())
    rows = {row["method"]: row for row in report["rows"]}
    assert rows["direct"]["rotation"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert rows[NOMINAL]["rotation"] is None
    assert "broken" not in rows
    assert report["stages_by_commits"]
    with np.load(folder / "episodes.npz") as episodes:
        direct = episodes["direct/0/rotation_rad"]
        assert direct.mean() == pytest.approx(rows["direct"]["metrics"]["rotation_rad"]["mean"])
        ratio = episodes["arx/0/rotation_rad"].mean() / direct.mean()
    assert ratio == pytest.approx(rows["arx"]["rotation"]["value"])


@pytest.mark.slow
def test_a_refused_residual_is_direct_transfer_and_is_not_tested_again(first):
    found, _ = first
    (direct,), (arx,) = (found.methods[name].episodes[0] for name in ("direct", "arx"))
    refused = found.methods["arx"].notes[0].startswith("refused: ")
    assert refused == bool(np.array_equal(direct.rotation_rad, arx.rotation_rad))


@pytest.mark.slow
def test_again_it_only_does_what_failed(first, config):
    found, _ = first
    marks = {mark: mark.stat().st_mtime_ns for mark in (config.out / "stages").glob("*/stage.json")}
    again = compare(config, print, write_report)
    changed = [mark.parent.name for mark, when in marks.items() if mark.stat().st_mtime_ns != when]
    assert len(changed) == 1
    assert "broken" in changed[0]
    (before,), (after,) = (each.methods["direct"].episodes[0] for each in (found, again))
    assert np.array_equal(before.rotation_rad, after.rotation_rad)


@pytest.mark.slow
def test_the_worlds_of_a_folder_become_one_table(first, config, capsys):
    assert main(["--compare", "--summary", "--out", str(config.out)]) == 0
    table = capsys.readouterr().out
    assert "| stiff |" in table
    assert "RotR over that of direct transfer" in table


@pytest.mark.slow
def test_the_test_is_the_same_whenever_it_runs(first, config):
    """Two evaluations of the base in one world, of one seed: bit for bit."""
    from dexndm_ros.training.compare.evaluation import main as evaluate

    out = config.out / "again.npz"
    words = [
        "--world",
        config.world,
        "--wrist",
        "palm_up",
        "--episodes",
        "4",
        "--physics",
        "fast",
        "--threads",
        "1",
    ]
    assert evaluate([*words, "--out", str(out)]) == 0
    found, _ = first
    assert np.array_equal(
        load_episodes(out).rotation_rad, found.methods["direct"].episodes[0][0].rotation_rad
    )
