# SPDX-License-Identifier: Apache-2.0
"""Table, picture and page of a loop, from files as the jobs write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexndm_ros.loop.page import write_page
from dexndm_ros.loop.records import Records
from dexndm_ros.loop.results import Results, read_results, refusal, stage_rows, table
from dexndm_ros.loop.settings import Settings
from dexndm_ros.loop.stages import WRISTS, Step, plan
from support.choice import real_choice

TURNED = {"nominal": (18.0, 14.0), "direct": (10.0, 8.0), "residual": (15.0, 10.0)}
REASON = "in rollouts in twin the base policy alone turned 9.0 rad, and with the best residual (last) 8.0 rad"


def report(rotations: tuple[float, float]) -> str:
    def row(wrist: str, rotation: float) -> dict:
        mean = {"rotation_rad": rotation, "held": 0.9, "survived": 0.8, "off_axis_rad_s": 0.1}
        std = dict.fromkeys(mean, 0.05)
        return {"world": {"wrist": wrist}, "episodes": 16, "seeds": [{}] * 3, "mean": mean, "std": std}  # fmt: skip

    return json.dumps([row(wrist, each) for wrist, each in zip(WRISTS, rotations, strict=True)])


def loop(out: Path, refused: str = "") -> Results:
    """The files of a loop in which every step took ten seconds."""
    settings = Settings(out, "twin")
    for kind, rotations in TURNED.items():
        if kind != "residual" or not refused:
            (out / f"evaluation_{kind}.json").write_text(report(rotations), encoding="utf-8")
    errors = {"persistence": 21.2, "ARX": 5.8, "joint-wise": 5.7}
    (out / "dynamics" / "hand").mkdir(parents=True)
    (out / "dynamics" / "hand" / "metrics.json").write_text(
        json.dumps({"rms_mrad": {"validation": errors, str(out / "task"): errors}}),
        encoding="utf-8",
    )
    (out / "residual").mkdir()
    row = {"loss": 0.1, "rms_mrad": 4.2, "mean_mrad": 11.0, "at_bound": 0.07}
    losses = {
        "paired": row | {"refused": ""},
        "last": row | {"refused": "<it> stands at its bound"},
    }
    chosen = "none" if refused else "paired"
    metrics = {"losses": losses, "chosen": chosen, "refused": refused, "selection": real_choice()}
    (out / "residual" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    steps, records = plan(settings), Records(out / "done")
    for step in steps:
        if not (refused and step.with_residual):
            records.finish(step, step.commands[0], 10.0)
    return read_results(settings, steps, records)


def test_the_table_compares_with_the_base_alone(tmp_path: Path) -> None:
    text = table(loop(tmp_path))
    assert "base + residual" in text and "15.0 ± 0.1 (90%)" in text
    assert "residual (paired) over the base alone: palm_up 1.50, palm_down 1.25." in text
    assert "16 episodes a seed and wrist, 3 seeds" in text


def test_a_refusal_is_the_result(tmp_path: Path) -> None:
    results = loop(tmp_path, REASON)
    assert refusal(tmp_path) == REASON
    text = table(results)
    assert f"The residual is refused, the base policy runs alone: {REASON}." in text
    assert "base + residual" not in text and "base alone" in text


@pytest.mark.parametrize("refused", ["", REASON])
def test_the_page_needs_nothing_else(tmp_path: Path, refused: str) -> None:
    results = loop(tmp_path, refused)
    text = write_page(tmp_path, results).read_text(encoding="utf-8")
    assert (tmp_path / "result.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64," in text and "http" not in text.replace("<!doctype html>", "")
    assert ("residual is refused" in text) == bool(refused)
    assert "&lt;it&gt; stands at its bound" in text
    assert "dexndm collect --campaign palm_up" in text and "21.20" in text


def test_the_page_has_every_candidate_with_its_number_of_objects(tmp_path: Path) -> None:
    results = loop(tmp_path)
    text = write_page(tmp_path, results).read_text(encoding="utf-8")
    numbers = set()
    for name, row in real_choice()["rows"].items():
        cells = (
            "base alone" if name == "none" else name,
            str(row["episodes"]),
            f"{row['rotation_rad']:.1f}",
            f"{100 * row['held']:.0f}",
            "chosen" if name == "paired" else "",
        )
        assert "".join(f"<td>{cell}</td>" for cell in cells) in text
        numbers.add(row["episodes"])
    assert len(numbers) == 2


def test_the_time_of_a_stage_is_that_of_its_steps(tmp_path: Path) -> None:
    results = loop(tmp_path)
    steps: list[Step] = [step for step, _ in results.done]
    for number, (_, seconds) in enumerate(stage_rows(results), 1):
        assert seconds == 10.0 * sum(step.stage == number for step in steps)
