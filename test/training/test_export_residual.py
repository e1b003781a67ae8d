# SPDX-License-Identifier: Apache-2.0
"""A residual leaves its run with its scores inside and a card beside it that says what the run's files say."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.onnx_file import fingerprint, open_model
from dexndm_ros.policy.spec import read_spec
from dexndm_ros.training.evaluate import main as evaluate
from dexndm_ros.training.export import main as export
from dexndm_ros.training.residual.config import ResidualConfig
from support.choice import real_choice
from support.tiny_policy import leap_seat, leap_spec, residual_spec, write_tiny_policy

PUSH = np.linspace(-0.02, 0.02, 16)
LOSSES = {
    "last": {"loss": 0.2, "rms_mrad": 4.56, "at_bound": 0.081, "response": 0.34, "refused": ""},
    "window": {"loss": 0.1, "rms_mrad": 3.21, "refused": "it stands at its bound", "new": [1, 2]},
}


@pytest.fixture
def run(tmp_path):
    """What `dexndm train residual` leaves."""
    folder = tmp_path / "run"
    folder.mkdir()
    spec = residual_spec(0.04, trained_on="loss last", commit="abc1234", scores={})
    write_tiny_policy(folder / "residual.onnx", bias=PUSH, spec=spec)
    data, dynamics = ("/home/me/data/rollouts",), ("runs/dyn/a", "runs/dyn/b")
    config = ResidualConfig(data=data, dynamics=dynamics, seed=7)
    (folder / "config.json").write_text(json.dumps(asdict(config) | {"commit": "abc1234"}))
    metrics = {
        "losses": LOSSES,
        "chosen": "last x0.3",
        "selection": real_choice(),
        "more": {"x": 1},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def refuse(run, reason):
    write_tiny_policy(run / "residual.onnx", bias=PUSH, spec=residual_spec(0.04, refused=reason))


def part(card, title):
    """What stands below a heading."""
    return card.partition(f"## {title}\n")[2].partition("\n## ")[0]


def row(card, first):
    (line,) = [line for line in card.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_card_says_what_the_runs_files_say(run, tmp_path, capsys):
    out = tmp_path / "mine" / "residual.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    assert f"{out}: a residual, at most 0.04 rad" in capsys.readouterr().out
    card = (out.parent / "README.md").read_text()
    assert row(card, "rollouts of the base policy")[1] == "rollouts"  # no folders of a machine
    assert row(card, "dynamics of the hand")[1] == "runs/dyn/a, runs/dyn/b"
    assert row(card, "chosen")[1] == "last x0.3"
    assert row(card, "seed")[1] == "7"
    assert row(card, "bound")[1] == "0.04 rad"
    assert row(card, "chosen in")[1] == "the world gains, by the rollouts below"
    assert row(part(card, "Losses and the gate"), "last") == [
        "last",
        "4.56",
        "8.1",
        "0.34",
        "passed",
    ]
    assert row(card, "window") == ["window", "3.21", "-", "-", "it stands at its bound"]
    assert "dexndm demo --policy cylinder_z --residual residual.onnx --world gains" in card
    assert "Not measured" in card
    assert "/home" not in card
    spec = read_spec(out)
    assert spec.commit.startswith("abc1234, exported at ")
    assert spec.trained_on == "loss last"
    assert sorted(file.name for file in out.parent.iterdir()) == ["README.md", "residual.onnx"]


def test_the_card_has_every_candidate_of_the_choice_with_its_number_of_objects(run, tmp_path):
    out, selection = tmp_path / "mine" / "residual.onnx", real_choice()
    assert export(["--run", str(run), "--out", str(out)]) == 0
    choice = part((out.parent / "README.md").read_text(), "The choice by rollouts")
    numbers = set()
    for name, found in selection["rows"].items():
        cells = row(choice, "base alone" if name == "none" else name)
        assert cells[1] == str(found["episodes"])
        assert float(cells[2]) == pytest.approx(found["rotation_rad"], rel=0.01)
        assert float(cells[3]) == pytest.approx(100 * found["held"], rel=0.01)
        numbers.add(cells[1])
    assert "last x0.3" in choice and len(numbers) == 2  # not all came to the second round


def test_the_card_names_the_file_of_its_base(run, tmp_path):
    out = tmp_path / "mine" / "residual.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    assert "does not say which it was made for" in (out.parent / "README.md").read_text()
    base = fingerprint(write_tiny_policy(tmp_path / "base.onnx"))
    spec = residual_spec(0.04, base_sha256=base)
    write_tiny_policy(run / "residual.onnx", bias=PUSH, spec=spec)
    assert export(["--run", str(run), "--out", str(out)]) == 0
    assert f"with SHA-256 `{base[:12]}...`" in (out.parent / "README.md").read_text()
    assert read_spec(out).base_sha256 == base


def test_the_exported_file_is_the_runs_network(run, tmp_path):
    out = tmp_path / "mine" / "other.onnx"
    base = write_tiny_policy(tmp_path / "base.onnx")
    assert export(["--run", str(run), "--out", str(out)]) == 0
    rows = np.random.default_rng(0).normal(size=(5, 343)).astype(np.float32)
    ours = open_model(out).run(rows)
    np.testing.assert_array_equal(ours, open_model(run / "residual.onnx").run(rows))
    np.testing.assert_allclose(ours[0], PUSH, atol=1e-7)
    assert load_policy(base, leap_seat(), out).refused == ""


def test_scores_of_an_evaluation_stand_in_the_file_and_on_the_card(run, tmp_path):
    """A report as `dexndm evaluate` writes it, of this residual; then one of another."""
    report, out = tmp_path / "scores.json", tmp_path / "mine" / "residual.onnx"
    words = [
        "--world",
        "twin",
        "--keep-hand",
        "--episodes",
        "2",
        "--seeds",
        "4",
        "--physics",
        "fast",
    ]
    asked = [*words, "--threads", "1", "--report", str(report)]
    assert evaluate([*asked, "--residual", str(run / "residual.onnx")]) == 0
    (result,) = json.loads(report.read_text())
    assert result["residual_sha256"] == fingerprint(run / "residual.onnx")
    assert export(["--run", str(run), "--out", str(out), "--scores", str(report)]) == 0
    score = read_spec(out).scores["twin palm_up +z rotation_rad"]
    assert score == pytest.approx(result["mean"]["rotation_rad"], abs=0.006)
    card = (out.parent / "README.md").read_text()
    assert row(card, "twin")[1:3] == ["palm_up", "+z"]
    assert row(card, "twin")[3].startswith(f"{result['mean']['rotation_rad']:.3g} ±")
    assert f"measured on {result['date']} at commit {result['commit']}" in card
    assert "2 episodes a seed, seeds 4" in card
    # Once more over its own card: the name and the base stay.
    assert export(["--run", str(run), "--out", str(out), "--scores", str(report)]) == 0
    assert read_spec(out).commit.count("exported at") == 1


RESULT = {
    "residual": "r.onnx", "axis": "+z", "world": {"name": "twin", "wrist": "palm_up", "physics": "ref"},
    "mean": {"rotation_rad": 1.0, "survived": 1.0, "held": 1.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"residual": ""}, "without a residual"),
        ({"residual_refused": "a delay"}, "did not run: a delay; export without --scores"),
        ({"residual_sha256": "0" * 64}, "another residual file"),
        ({"mean": {}}, "is no report of"),
    ],
)
def test_scores_of_something_else_are_refused(run, tmp_path, capsys, change, said):
    report, out = tmp_path / "scores.json", tmp_path / "mine" / "residual.onnx"
    report.write_text(json.dumps([RESULT | change]))
    assert export(["--run", str(run), "--out", str(out), "--scores", str(report)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_scores_of_several_policies_are_refused(run, tmp_path, capsys):
    report, out = tmp_path / "scores.json", tmp_path / "mine" / "residual.onnx"
    report.write_text(json.dumps([RESULT | {"policy": name} for name in ("cylinder_z", "planner")]))
    assert export(["--run", str(run), "--out", str(out), "--scores", str(report)]) == 2
    assert "scores of 2 policies; evaluate this one alone" in capsys.readouterr().err
    assert not out.exists()


def test_a_refused_residual_is_exported_and_nobody_can_miss_it(run, tmp_path, capsys):
    refuse(run, "the hand answers a tick late")
    out = tmp_path / "mine" / "residual.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    line = "the residual does not run, the base policy runs alone: the hand answers a tick late"
    assert line in capsys.readouterr().out
    assert line in (out.parent / "README.md").read_text()
    assert read_spec(out).refused == "the hand answers a tick late"


def test_a_card_that_no_export_wrote_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "README.md").write_text("# mine\n")
    out = tmp_path / "residual.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 2
    assert "give --out a folder of its own" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "# mine\n"
    assert not out.exists()


def test_a_run_of_another_version_gives_a_card_with_what_there_is(run, tmp_path):
    (run / "config.json").unlink()
    (run / "metrics.json").write_text('{"chosen": "none"}')
    out = tmp_path / "mine" / "residual.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    card = (out.parent / "README.md").read_text()
    assert row(card, "bound")[1] == "0.04 rad"


def test_a_base_policy_where_a_residual_belongs_is_refused(run, tmp_path, capsys):
    write_tiny_policy(run / "residual.onnx", spec=leap_spec())
    assert export(["--run", str(run), "--out", str(tmp_path / "mine" / "r.onnx")]) == 2
    assert "'kind'" in capsys.readouterr().err
