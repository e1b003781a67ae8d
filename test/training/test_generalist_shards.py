# SPDX-License-Identifier: Apache-2.0
"""The generalist from shards: it learns, goes on after whatever ended it to the same weights, and DAgger may follow."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dexndm_ros.paths import share_dir
from dexndm_ros.policy.spec import read_spec
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.export import main as export
from dexndm_ros.training.generalist import GeneralistConfig, load_generalist, train_generalist
from dexndm_ros.training.rollouts import Task
from dexndm_ros.training.runlog import read_log
from support.cloneable import write_cloneable

ORACLE = share_dir() / "policies" / "cylinder_z" / "oracles" / "up_plus"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cloneable(tmp_path_factory.mktemp("shards"), [[40] * 8] * 6))


def tiny(data: str, out: Path, **changes: object) -> GeneralistConfig:
    config = GeneralistConfig(
        out=str(out), data=(data,), epochs=6, buffer_rows=1000, held_out=0.2, batch=64, width=32, blocks=1,
        warm_up_steps=5, save_every=20, learning_rate=3e-3, threads=1, torch_threads=1,
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def weights(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / "generalist.pt", weights_only=True)["net"]
    return state


@pytest.fixture(scope="module")
def run(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert train_generalist(tiny(data, out)) == out / "generalist.pt"
    return out


def test_what_is_learned_holds_for_trajectories_that_were_held_out(run: Path) -> None:
    log = read_log(run / "epochs")
    first, last = float(log["validation"][0]), float(log["validation"][-1])
    assert last < 0.7 * first
    assert [float(rate) for rate in log["learning_rate"]] == sorted(
        map(float, log["learning_rate"]), reverse=True
    )
    assert float(log["epoch"][-1]) == 6.0
    assert (run / "epochs" / "curves.png").stat().st_size > 1000
    net = load_generalist(run)
    assert (net.first.out_features, len(net.blocks)) == (32, 1)


def test_its_policy_file_says_what_the_shards_were_made_of(run: Path, tmp_path: Path) -> None:
    assert export(["--run", str(run), "--out", str(tmp_path / "policy.onnx")]) == 0
    spec = read_spec(tmp_path / "policy.onnx")
    assert (spec.wrists, spec.axes) == (("palm_down",), ("+z",))
    assert "rollouts, worlds made_up" in spec.trained_on


def test_a_run_that_was_killed_goes_on_in_mid_epoch_to_the_same_weights(
    data: str, tmp_path: Path
) -> None:
    words = [
        "--data",
        data,
        "--epochs",
        "4",
        "--buffer-rows",
        "1000",
        "--held-out",
        "0.2",
        "--batch",
        "32",
    ]
    words += ["--width", "32", "--blocks", "1", "--save-every", "20", "--torch-threads", "1"]
    words = ["generalist", *words, "--out", str(tmp_path / "killed")]
    code = f"from dexndm_ros.training.cli import main; main({words!r})"
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    log = tmp_path / "killed" / "epochs" / "log.csv"
    while not log.exists() or log.read_text().count("\n") < 3:
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait(60)
    state = torch.load(tmp_path / "killed" / "generalist.pt", weights_only=True)
    assert not state["final"]
    assert state["epochs"]["at"]["step"] % 20 == 0 or state["epochs"]["at"]["batch"] == 0
    assert train(words) == 0
    assert train([*words[:-1], str(tmp_path / "whole")]) == 0
    killed, whole = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    steps = read_log(tmp_path / "killed" / "epochs")["step"]
    assert len(set(steps)) == len(steps)


def test_a_run_that_is_asked_to_stop_goes_on_from_that_very_step(
    data: str, run: Path, tmp_path: Path
) -> None:
    class EndsAt:
        """Somebody who presses Ctrl-C once."""

        def update(self, done: int, figures: str = "") -> None:
            if done > 2000:
                os.kill(os.getpid(), signal.SIGINT)

        def close(self) -> None:
            pass

    train_generalist(tiny(data, tmp_path), lambda total, label, done: EndsAt())
    state = torch.load(tmp_path / "generalist.pt", weights_only=True)
    at = state["epochs"]["at"]
    assert 2000 < at["samples"] < 2200
    assert at["batch"] > 0  # in mid-epoch
    assert not state["final"]
    train_generalist(tiny(data, tmp_path))
    again, whole = weights(tmp_path), weights(run)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_finished_run_is_left_alone(data: str, run: Path) -> None:
    before = (run / "generalist.pt").read_bytes()
    train_generalist(tiny(data, run))
    assert (run / "generalist.pt").read_bytes() == before


def test_other_settings_or_other_data_do_not_go_on_in_an_old_folder(
    data: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"begun with another batch \(64\)"):
        train_generalist(tiny(data, run, batch=32))
    other = str(write_cloneable(tmp_path / "other", [[40] * 8] * 5, seed=1))
    state = torch.load(run / "generalist.pt", weights_only=True)
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.json").write_text((run / "config.json").read_text())
    torch.save(state | {"final": False}, half / "generalist.pt")
    with pytest.raises(ConfigError, match="begun with other datasets"):
        train_generalist(tiny(other, half))


def test_nothing_to_clone_and_senseless_numbers_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    for words, told in (
        ([], "there is nothing to clone"),
        (["--data", "nowhere"], "nowhere has no data"),
        (["--data", "nowhere", "--held-out", "0.9"], "held_out must be from 0 to 0.5"),
        (["--data", "nowhere", "--epochs", "0"], "epochs must be at least 1"),
    ):
        assert train(["generalist", *out, *words]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_rounds_of_the_student_may_follow_the_epochs(data: str, tmp_path: Path) -> None:
    config = tiny(
        data, tmp_path, epochs=1, tasks=(Task("palm_up", "+z", str(ORACLE)),), envs=2, student_rounds=1,
        final_epochs=0.5, passes=1.0,
    )  # fmt: skip
    train_generalist(config)
    assert read_log(tmp_path)["driver"] == ["student", "final"]
    state = torch.load(tmp_path / "generalist.pt", weights_only=True)
    assert (state["rounds"], state["final"], state["epochs"]["at"]["epoch"]) == (1, True, 1)
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["shards"]["episodes"] < 48
