# SPDX-License-Identifier: Apache-2.0
"""`dexndm analyze` from the command line, on small simulated datasets."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.cli import main
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.policy.observation import RESIDUAL_INPUT_SIZE
from dexndm_ros.training.analyze.config import AnalyzeConfig, AnalyzeError
from dexndm_ros.training.analyze.corrections import measure_corrections
from dexndm_ros.training.analyze.histories import GROUPS, draw_halves
from dexndm_ros.training.analyze.sections import CORRECTIONS, NEIGHBOURS, OVERLAP, SMOOTHNESS
from support.tiny_policy import residual_spec, write_tiny_policy

BOUND = 0.05
BIAS = np.linspace(-0.06, 0.04, JOINT_COUNT)
"""What the residual adds, rad; the largest are cut at its bound."""
SMALL = ["--windows", "300", "--compared", "60", "--shown", "50", "--degree", "4"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """A folder with replays under load, free replays, rollouts without and with a residual, and the residual."""
    here = tmp_path_factory.mktemp("sets")
    common = ["--physics", "fast", "--jobs", "1", "--no-report", "--block", "6"]
    replays = ["rollouts", "replay", *common, "--episodes", "6", "--wrist", "palm_up"]
    assert main([*replays, "--out", str(here / "box")]) == 0
    assert main([*replays, "--out", str(here / "free"), "--load.scale", "0"]) == 0
    # A policy that holds still: the grasp lasts, and the residual alone decides what is sent.
    still = str(write_tiny_policy(here / "still.onnx"))
    residual = str(write_tiny_policy(here / "residual.onnx", bias=BIAS, spec=residual_spec(BOUND)))
    turns = [
        "rollouts",
        "policy",
        *common,
        "--episodes",
        "6",
        "--wrist",
        "palm_up",
        "--policy",
        still,
    ]
    assert main([*turns, "--out", str(here / "plain")]) == 0
    assert main([*turns, "--out", str(here / "task"), "--residual", residual]) == 0
    return here


def test_everything_in_one_report(sets: Path, tmp_path: Path, capsys) -> None:
    words = ["analyze", "--data", str(sets / "box"), "--other", str(sets / "task"), *SMALL]
    words += ["--residual", str(sets / "task"), "--free", str(sets / "free")]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    page = tmp_path / "a" / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text()
    figures = sorted(path.name for path in page.parent.glob("*.png"))
    inside = re.findall(r'alt="([a-z_]+\.png)" src="data:image/png;base64,([^"]+)"', text)
    assert sorted(name for name, _ in inside) == figures
    assert len(figures) == 8
    for name, data in inside:
        assert base64.b64decode(data) == (page.parent / name).read_bytes()
    assert "http" not in text  # nothing is fetched
    numbers = json.loads((page.parent / "report.json").read_text())
    assert numbers["config"]["seed"] == 0
    assert set(numbers[OVERLAP]["groups"]) == set(GROUPS)
    fits = numbers[SMOOTHNESS]["other (task)"]
    assert set(fits) == {
        "angle",
        "target",
        "active torque, a - q",
        "servo current",
        "virtual torque",
    }
    assert all(np.diff(each["left_by_degree"]).max() < 1e-9 for each in fits.values())
    assert np.shape(numbers[NEIGHBOURS]["gains"]["data (box)"]["added"]) == (
        JOINT_COUNT,
        JOINT_COUNT,
    )
    assert [numbers[CORRECTIONS]["mean_mrad"][name] for name in JOINT_NAMES] == pytest.approx(
        1e3 * np.minimum(np.abs(BIAS), BOUND), abs=0.01
    )

    # The same again without what compares two: the same numbers, and no more than there is.
    alone = ["analyze", "--data", str(sets / "box"), *SMALL, "--out", str(tmp_path / "b")]
    assert main(alone) == 0
    second = json.loads((tmp_path / "b" / "report.json").read_text())
    mine = "data (box)"
    for part in ("foretold", "gains"):
        assert second[NEIGHBOURS][part] == {mine: numbers[NEIGHBOURS][part][mine]}
    fits = numbers[SMOOTHNESS][mine]
    del fits["virtual torque"]
    assert second[SMOOTHNESS][mine] == fits
    assert OVERLAP not in second
    assert CORRECTIONS not in second


def test_halves_share_no_trajectory_and_are_the_same_every_time(sets: Path) -> None:
    first, second = draw_halves(sets / "box", 10, 10_000, 0)
    rows = [{each.tobytes() for each in half.a} for half in (first, second)]
    assert len(first) + len(second) == 6 * 390
    assert not rows[0] & rows[1]
    again = draw_halves(sets / "box", 10, 50, 0)[1]
    assert np.array_equal(again.q, second.q[:50])


def test_a_file_corrects_as_it_does_in_a_rollout(sets: Path, tmp_path: Path) -> None:
    """Every number of what the network sees has its weight: a wrong layout would give other corrections."""
    weight = np.random.default_rng(0).normal(scale=1e-3, size=(RESIDUAL_INPUT_SIZE, JOINT_COUNT))
    file = write_tiny_policy(tmp_path / "r.onnx", weight=weight, spec=residual_spec(0.5))
    rollouts = tmp_path / "made"
    words = f"rollouts policy --physics fast --jobs 1 --no-report --episodes 3 --block 3 --out {rollouts}"
    still = ["--policy", str(sets / "still.onnx"), "--residual", str(file)]
    assert main([*words.split(), *still]) == 0
    recorded = measure_corrections(rollouts, rollouts, 0, 100_000)
    computed = measure_corrections(file, rollouts, 0, 100_000)
    assert computed.rows < recorded.rows  # no history before the eleventh tick
    assert recorded.mean.mean() > 5.0
    assert computed.mean == pytest.approx(recorded.mean, rel=0.02, abs=0.3)
    assert computed.bias == pytest.approx(recorded.bias, rel=0.02, abs=0.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data {here}/nowhere", "no meta/episodes: give the folder that dexndm convert made"),
        ("--data {here}/box --window 450", "no 451 valid rows in a row"),
        ("--data {here}/box --window 2", "window must be from 3 to 1000, got 2"),
        ("--data {here}/box --window 5 --degree 4", "degree must be from 1 to 3, got 4"),
        ("--data {here}/box --residual {here}/nowhere", "nowhere does not exist; give a residual"),
        ("--data {here}/box --residual {here}/plain", "action.residual is zero everywhere"),
        ("--data {here}/box --residual {here}/still.onnx", "is a base policy; give the file of a"),
        ("--data {here}/box --out {here}/still.onnx", "still.onnx is a file; give a folder"),
    ],
)
def test_what_cannot_be_analysed_is_said_in_one_sentence(sets, tmp_path, capsys, words, message) -> None:  # fmt: skip
    words = f"analyze --windows 60 --compared 50 --out {tmp_path} --degree 7 {words}".format(
        here=sets
    )
    assert main(words.split()) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("dexndm analyze: ")
    assert message in last


def test_two_halves_need_more_than_one_trajectory(sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    words = f"rollouts replay --physics fast --jobs 1 --no-report --episodes 1 --out {out}"
    assert main(words.split()) == 0
    with pytest.raises(AnalyzeError, match="two halves; give a dataset of at least ten"):
        draw_halves(out, AnalyzeConfig(data=out).window, 100, 0)
