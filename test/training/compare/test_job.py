# SPDX-License-Identifier: Apache-2.0
"""A whole comparison, tiny and real: a correction, a failure, tests, report; then again."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import yaml

from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.policy.spec import write_spec
from dexndm_ros.training.compare.cli import main
from dexndm_ros.training.compare.config import CompareConfig
from dexndm_ros.training.compare.evaluation import load_episodes
from dexndm_ros.training.compare.job import compare
from dexndm_ros.training.compare.methods import METHODS, Deployed, Method
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.report import write_report
from dexndm_ros.training.compare.results import NOMINAL, verdict_of
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Made, Stage


def bent(pipeline):
    """The quickest correction there is: targets through the inverse of a world that somebody identified."""
    words = (
        "dexndm_ros.cli",
        "sysid",
        "inverse",
        "--world",
        "gains",
        "--out",
        "{out}/inverse.onnx",
    )
    stage = pipeline.stage("inverse", "bent", words, "inverse.onnx", 5.0, ())
    return Deployed(pipeline.base, Made(stage, "inverse.onnx"))


def broken(pipeline):
    words = (
        "dexndm_ros.cli",
        "rollouts",
        "replay",
        "--out",
        "{out}",
        "--library",
        "no_such_library",
    )
    stage = pipeline.stage("replays", "broken", words, "", 1.0, ())
    return Deployed(Made(stage, "policy.onnx"))


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
        str(world), folder / "out", ("direct", "bent", "broken"), ("palm_up",), episodes=4, pipelines=1,
        physics="fast", jobs=1, threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(config):
    METHODS["bent"], METHODS["broken"] = Method("bends targets", bent), Method("fails", broken)
    lines = []
    try:
        yield compare(config, lines.append, write_report), lines
    finally:
        del METHODS["bent"], METHODS["broken"]


@pytest.mark.slow
def test_every_method_meets_the_same_hand_and_is_told_of(first, config):
    found, lines = first
    assert set(found.methods) == {NOMINAL, "direct", "bent", "broken"}
    for name in (NOMINAL, "direct", "bent"):
        (tested,) = found.methods[name].episodes[0]
        assert tested.rotation_rad.shape == (4,)
        assert np.isfinite(tested.off_axis_rad_s).all()
    (direct,), (bent_one,) = (found.methods[name].episodes[0] for name in ("direct", "bent"))
    assert not np.array_equal(direct.rotation_rad, bent_one.rotation_rad)
    assert "no_such_library" in found.methods["broken"].notes[0]
    assert any("failed: dexndm rollouts replay" in line for line in lines)


@pytest.mark.slow
def test_the_report_has_all_of_it(first, config):
    folder = config.out / "stiff-160"
    page = (folder / "report.html").read_text()
    for words in (
        "x1.50",
        "+30 mrad",
        "failed: dexndm rollouts replay",
        "data:image/png",
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
        ratio = episodes["bent/0/rotation_rad"].mean() / direct.mean()
    assert ratio == pytest.approx(rows["bent"]["rotation"]["value"])


@pytest.mark.slow
def test_a_refused_residual_is_direct_transfer(first, config, tmp_path):
    """And of one that is not, the table tells which loss was chosen."""
    pipeline, runner = Pipeline(config, 0), Runner(tmp_path, 1, 1, print)
    made = Runner(config.out / "stages", 1, 1, print).folder(bent(pipeline).residual.stage).out
    stage = Stage("residual", "some", ("words",), "residual.onnx")
    residual = runner.folder(stage).out / "residual.onnx"
    residual.parent.mkdir(parents=True)
    shutil.copy(made / "inverse.onnx", residual)
    (residual.parent / "metrics.json").write_text(json.dumps({"chosen": "paired"}))
    deployed = Deployed(pipeline.base, Made(stage, "residual.onnx"), pipeline.dynamics("joint"))
    allowed = verdict_of(runner, deployed)
    assert (allowed.deployed, allowed.note, allowed.failed) == (deployed, "loss paired", False)
    write_spec(residual, dataclasses.replace(open_model(residual).spec, refused="it is weak"))
    refused = verdict_of(runner, deployed)
    assert refused.deployed == Deployed(pipeline.base, None, deployed.model)
    assert refused.note == "refused: it is weak"


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
