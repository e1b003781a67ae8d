# SPDX-License-Identifier: Apache-2.0
"""An identification leaves its run as an inverse: a policy file, and a card that says what the run's report says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.onnx_file import fingerprint, open_model
from dexndm_ros.policy.spec import read_spec
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.evaluate import main as evaluate
from dexndm_ros.training.export import main as export
from dexndm_ros.training.sysid.inverse import write_inverse
from support.identified import OFFSET_RAD, identified
from support.tiny_policy import leap_seat


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return identified(tmp_path)


def row(card: str, first: str) -> list[str]:
    (line,) = [line for line in card.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_file_is_the_inverse_of_the_world_that_was_identified(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine" / "inverse.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    other = write_inverse(str(run / "world.yaml"), tmp_path / "other.onnx")
    rows = np.random.default_rng(0).normal(size=(5, 343)).astype(np.float32)
    ours = open_model(out).run(rows)
    np.testing.assert_array_equal(ours, open_model(other).run(rows))
    offsets = np.broadcast_to(World.load(str(run / "world.yaml")).gap.target_offset_rad, 16)
    np.testing.assert_allclose(ours, np.broadcast_to(-offsets, ours.shape), atol=1e-6)
    np.testing.assert_allclose(offsets, OFFSET_RAD, atol=0.003)
    assert load_policy(policy_path("cylinder_z"), leap_seat(), out).refused == ""


def test_the_card_says_what_the_report_says(run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "mine" / "inverse.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 0
    assert f"{out}: an inverse, at most 0.3 rad" in capsys.readouterr().out
    card = (out.parent / "README.md").read_text(encoding="utf-8")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    good = [each["value"] for each in report["parameters"] if not each["refused"]]
    assert row(card, "offset") == [
        "offset",
        f"{len(good)} of 16",
        f"{min(good):.3g} to {max(good):.3g}",
    ]
    before, after = (
        np.sqrt(np.mean(np.square(list(report[f"error_{when}_mrad"].values()))))
        for when in ("before", "after")
    )
    assert row(card, "error on the held-out ones")[1] == (
        f"{before:.1f} mrad as nominal, {after:.1f} mrad as identified"
    )
    assert after < before
    assert row(card, "hand")[1] == "bent.yaml"  # no folders of a machine
    assert str(tmp_path) not in card and "Not measured" in card
    assert sorted(file.name for file in out.parent.iterdir()) == ["README.md", "inverse.onnx"]


def test_scores_stand_in_the_file_and_on_the_card(run: Path, tmp_path: Path, capsys) -> None:
    out, report = tmp_path / "mine" / "inverse.onnx", tmp_path / "scores.json"
    words = ["--run", str(run), "--out", str(out)]
    assert export(words) == 0
    assert evaluate([
        "--residual", str(out), "--world", str(tmp_path / "bent.yaml"), "--keep-hand", "--episodes", "2",
        "--seeds", "4", "--physics", "fast", "--threads", "1", "--report", str(report),
    ]) == 0  # fmt: skip
    (result,) = json.loads(report.read_text(encoding="utf-8"))
    assert result["residual_sha256"] == fingerprint(out)
    assert export([*words, "--scores", str(report)]) == 0
    score = read_spec(out).scores["bent palm_up +z rotation_rad"]
    assert score == pytest.approx(result["mean"]["rotation_rad"], abs=0.006)
    card = (out.parent / "README.md").read_text(encoding="utf-8")
    assert row(card, "bent")[1:3] == ["palm_up", "+z"]
    report.write_text(json.dumps([result | {"residual_sha256": "0" * 64}]), encoding="utf-8")
    assert export([*words, "--scores", str(report)]) == 2
    assert "another residual file" in capsys.readouterr().err


def test_a_run_that_is_not_done_is_refused_in_a_sentence(run: Path, tmp_path: Path, capsys) -> None:
    (run / "report.json").unlink()
    assert export(["--run", str(run), "--out", str(tmp_path / "mine" / "inverse.onnx")]) == 2
    assert "give its command again" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_a_card_that_no_export_wrote_is_left_alone(run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "README.md").write_text("# mine\n", encoding="utf-8")
    out = tmp_path / "inverse.onnx"
    assert export(["--run", str(run), "--out", str(out)]) == 2
    assert "give --out a folder of its own" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "# mine\n"
    assert not out.exists()
