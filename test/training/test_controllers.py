# SPDX-License-Identifier: Apache-2.0
"""A residual that does not run: every job says so, once, and measures the base policy alone."""

from __future__ import annotations

import json

import pytest

from dexndm_ros.paths import share_dir
from dexndm_ros.training.controllers import ControllerError, open_controller, refused_residual
from dexndm_ros.training.evaluate import main as evaluate
from dexndm_ros.training.library_cli import main as library
from dexndm_ros.training.simulate.cli import main as rollouts
from support.tiny_policy import residual_spec, write_tiny_policy

ORACLE = str(share_dir() / "policies" / "cylinder_z" / "oracles" / "up_plus")
LINE = "the residual does not run, the base policy runs alone: a delay of a tick"


@pytest.fixture
def residual(tmp_path):
    """Would push every joint to its bound."""
    spec = residual_spec(0.05, refused="a delay of a tick")
    return str(write_tiny_policy(tmp_path / "residual.onnx", bias=[0.05] * 16, spec=spec))


@pytest.fixture
def running(tmp_path):
    """The same, and nobody refused it."""
    path = tmp_path / "running.onnx"
    return str(write_tiny_policy(path, bias=[0.05] * 16, spec=residual_spec(0.05)))


def test_an_oracle_and_a_residual_are_refused_together(residual):
    with pytest.raises(ControllerError, match="an oracle takes none; give a policy file"):
        open_controller(ORACLE, residual, 4)
    with pytest.raises(ControllerError, match="an oracle takes none; give a policy file"):
        refused_residual(ORACLE, residual)
    assert refused_residual(ORACLE, "") == ""


@pytest.mark.parametrize(
    "job",
    [
        (evaluate, ["--episodes", "4", "--report"]),
        (library, ["build", "--count", "1", "--out"]),
        (rollouts, ["policy", "--episodes", "1", "--out"]),
    ],
    ids=["evaluate", "library", "rollouts"],
)
@pytest.mark.parametrize(
    ("policy", "said"),
    [(ORACLE, "an oracle takes none"), ("cylinder_z", "'rate_hz'")],
    ids=["oracle", "unfit"],
)
def test_what_cannot_run_is_told_before_anything_does(job, policy, said, tmp_path, capsys):
    main, words = job
    unfit = write_tiny_policy(tmp_path / "unfit.onnx", spec=residual_spec(rate_hz=30.0))
    out = tmp_path / "out"
    assert main([*words, str(out), "--policy", policy, "--residual", str(unfit)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_an_evaluation_with_a_refused_residual_is_one_of_the_base_policy(
    residual, running, tmp_path, capsys
):
    def report(*words):
        out = tmp_path / "report.json"
        asked = ["--episodes", "2", "--seeds", "3", "--physics", "fast", "--threads", "1"]
        assert evaluate([*asked, "--report", str(out), *words]) == 0
        (result,) = json.loads(out.read_text())
        return result, capsys.readouterr().out.splitlines()

    alone, _ = report()
    refused, told = report("--residual", residual)
    with_it, said = report("--residual", running)
    assert refused["mean"] == alone["mean"] != with_it["mean"]
    assert [refused["residual_refused"], with_it["residual_refused"]] == ["a delay of a tick", ""]
    assert told.count(LINE) == 1
    assert LINE not in said


def test_rollouts_and_libraries_say_it_once(residual, tmp_path, capsys):
    words = ["--residual", residual, "--physics", "fast", "--axis=+z", "--wrist"]
    data = ["--episodes", "1", "--block", "1", "--jobs", "1", "--no-report"]
    assert rollouts(["policy", *words, "palm_up,palm_down", *data, "--out", str(tmp_path / "data")]) == 0  # fmt: skip
    assert capsys.readouterr().out.splitlines().count(LINE) == 1
    count = ["--count", "1", "--envs", "2", "--threads", "1"]
    file = tmp_path / "library.parquet"
    assert library(["build", *words, "palm_up", *count, "--out", str(file)]) == 0
    assert capsys.readouterr().out.splitlines().count(LINE) == 1
