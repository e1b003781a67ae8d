# SPDX-License-Identifier: Apache-2.0
"""Identifications from end to end, on twins that are small enough for every test run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.sim.worlds import World
from dexndm_ros.training.sysid.cli import main
from dexndm_ros.training.sysid.config import SysidConfig
from dexndm_ros.training.sysid.errors import SysidError
from dexndm_ros.training.sysid.job import Identified, identify

TWIN = """
name: small_twin
physics: fast
servo:
  kd_scale: [0.8, 1.2, 0.9, 1.3, 1.25, 0.75, 1.1, 0.85, 0.8, 1.2, 0.9, 1.3, 1.25, 0.75, 1.1, 0.85]
gap:
  delay_s: 0.02
  target_offset_rad: [0.02, 0, 0.01, -0.01, 0, 0.03, 0, 0, -0.02, 0.01, 0, 0, 0.01, 0, 0, -0.03]
"""


def settings(folder: Path, **changes: object) -> SysidConfig:
    twin = folder / "twin.yaml"
    twin.write_text(TWIN, encoding="utf-8")
    usual: dict[str, object] = {
        "out": folder / "run",
        "twin": str(twin),
        "parameters": ("kd", "offset", "delay"),
        "probes": 4,
        "clip_s": 3.0,
        "clips": 6,
        "held_out": 0.2,
        "seeds": 2,
        "population": 8,
        "generations": 24,
        "rounds": 4,
        "physics": "fast",
    }
    return SysidConfig(**(usual | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[SysidConfig, Identified]:
    config = settings(tmp_path_factory.mktemp("sysid"))
    return config, identify(config)


def test_known_parameters_come_back(found: tuple[SysidConfig, Identified]) -> None:
    config, result = found
    truth = World.load(config.twin)
    assert result.world.gap.delay_s == pytest.approx(0.02, abs=0.004)
    # Few clips and generations: bench/sysid.py holds the job at its full size to less.
    kd = [each for each in result.rows if each.parameter == "kd"]
    assert not any(each.refused for each in kd)
    for each in kd:
        assert each.value == pytest.approx(truth.servo.kd_scale[each.index], rel=0.12)  # type: ignore[index]
    for joint, true in enumerate(truth.gap.target_offset_rad):  # type: ignore[arg-type]
        assert result.world.gap.target_offset_rad[joint] == pytest.approx(true, abs=0.002)  # type: ignore[index]
    # What was refused is what is zero in truth, and it stays at exactly that.
    refused = [each for each in result.rows if each.refused]
    assert refused and all(result.truth[each.parameter][each.index] == 0.0 for each in refused)  # type: ignore[index]
    assert np.sqrt(np.mean(result.after**2)) < 0.2 * np.sqrt(np.mean(result.before**2))


def test_the_written_world_is_the_one_that_was_judged(
    found: tuple[SysidConfig, Identified],
) -> None:
    _, result = found
    assert World.load(result.file) == result.world
    text = result.file.read_text(encoding="utf-8")
    assert "  # servo.kd_scale: identified: index_mcp_side" in text
    assert result.world.servo.p_gain == World().servo.p_gain and result.world.name.endswith(
        "_identified"
    )


def test_an_interrupted_search_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    small: dict[str, object] = {
        "probes": 2,
        "clips": 2,
        "held_out": 0.5,
        "population": 6,
        "generations": 6,
        "rounds": 2,
    }
    whole_at, cut_at = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole_at, cut_at):
        folder.mkdir()
    twin = str(whole_at / "twin.yaml")
    whole = identify(settings(whole_at, **small, clip_s=1.5))

    class StoppedError(Exception):
        pass

    def stop(number: int, generation: int, best: object) -> None:
        if number == 1:
            raise StoppedError

    config = settings(cut_at, **small, clip_s=1.5)
    config = SysidConfig(**(vars(config) | {"twin": twin}))
    with pytest.raises(StoppedError):
        identify(config, stop)
    journal = cut_at / "run" / "journal.jsonl"
    torn = journal.read_bytes()
    journal.write_bytes(torn[:-7])  # the power went in the middle of a line
    seen: list[int] = []
    again = identify(config, lambda number, generation, best: seen.append(generation))
    assert again.file.read_bytes() == whole.file.read_bytes()
    assert seen == list(range(1, again.generations + 1))
    assert journal.read_bytes() == (whole_at / "run" / "journal.jsonl").read_bytes()
    with pytest.raises(SysidError, match="other settings"):
        identify(SysidConfig(**(vars(config) | {"seed": 1})))


def test_searches_by_finger_find_masses_and_all_else(tmp_path: Path) -> None:
    config = settings(
        tmp_path, parameters=("kp", "mass"), searches="finger", probes=2, clips=2, clip_s=1.5,
        held_out=0.5, population=6, generations=4, rounds=1, seeds=2,
    )  # fmt: skip
    result = identify(config)
    assert {each.parameter for each in result.rows} == {"kp", "mass"} and len(result.rows) == 32
    assert [e.of for e in result.rows if e.parameter == "mass"][:2] == [
        "index_base",
        "index_proximal",
    ]


def test_the_command_writes_world_report_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "twin.yaml").write_text(TWIN, encoding="utf-8")
    settings_file = tmp_path / "sysid.yaml"
    settings_file.write_text("population: 6\nparameters: [kp, kd]\nclip_s: 1.5\nrounds: 1\n")
    words = [
        "fit",
        "--config",
        str(settings_file),
        "--twin",
        str(tmp_path / "twin.yaml"),
        "--out",
        str(tmp_path / "run"),
    ]
    words += [
        "--probes",
        "2",
        "--clips",
        "2",
        "--held-out",
        "0.5",
        "--generations",
        "3",
        "--seeds",
        "1",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "held-out error before" in out and "world.yaml" in out
    data = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(data["parameters"]) == 32 and data["parameters"][0]["true"] == 1.0
    assert data["generations"] == 3 and data["commit"]
    for name in ("world.yaml", "report.html", "motion.png", "parameters.png", "log.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 100


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["fit", "--out", "x"], "either data"),
        (["fit", "--out", "x", "--twin", "nowhere"], "no world 'nowhere'"),
        (["fit", "--out", "x", "--twin", "twin", "--parameters", "kp,stiffness"], "stiffness"),
        (["fit", "--out", "x", "--twin", "twin", "--parameters", "kp,mass"], "searches finger"),
        (["fit", "--out", "x", "--data", "nowhere"], "nowhere"),
        (["fit", "--twin", "twin"], "--out is missing"),
        (["probes", "--out", "x.parquet", "--wrist", "sideways"], "sideways"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_a_sentence(
    words: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "x" / "journal.jsonl").exists()
