# SPDX-License-Identifier: Apache-2.0
"""Retraining: the shipped policy goes on learning in a corrected simulator, and can be stopped and resumed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dexndm_ros.paths import share_dir
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.cloning.rounds import build_env as student_env
from dexndm_ros.training.corrections.config import AsapConfig
from dexndm_ros.training.generalist import (
    GeneralistConfig,
    load_generalist,
    train_generalist,
)
from dexndm_ros.training.oracle import OracleConfig, build_env, load_oracle
from dexndm_ros.training.ppo import Learner
from dexndm_ros.training.progress import Stages
from dexndm_ros.training.retrain.config import RetrainConfig, parse_tasks
from dexndm_ros.training.retrain.train import train_retrain
from dexndm_ros.training.rollouts import Task

SHIPPED = share_dir() / "policies" / "cylinder_z"
TINY = RetrainConfig(
    world="gains_wide", tasks="palm_up:+z", envs=8, grasps=16, oracle_steps=256, student_rounds=1,
    final_epochs=1.5, passes=0.5, threads=1,
)  # fmt: skip


def words_of(config: RetrainConfig, out: Path) -> list[str]:
    names = ("world", "tasks", "envs", "grasps", "oracle_steps", "student_rounds", "threads")
    given = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]
    return ["retrain", "--out", str(out), *given]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RetrainConfig:
    out = tmp_path_factory.mktemp("retrain") / "run"
    config = dataclasses.replace(TINY, out=str(out))
    assert train_retrain(config) == out / "policy.onnx"
    return config


def test_a_run_leaves_a_base_policy_that_went_on_from_the_shipped_one(run: RetrainConfig) -> None:
    out = Path(run.out)
    spec = open_model(out / "policy.onnx").spec
    assert (spec.kind, spec.wrists, spec.axes) == ("base", ("palm_up",), ("+z",))
    assert "world gains_wide" in spec.trained_on
    assert "begun from cylinder_z/generalist" in spec.trained_on
    assert json.loads((out / "config.json").read_text())["commit"]
    was, now = load_generalist(SHIPPED / "generalist"), load_generalist(out / "generalist")
    torch.testing.assert_close(now.mean, was.mean)  # its normaliser is that of the shipped one
    change = (now.first.weight - was.first.weight).norm() / was.first.weight.norm()
    assert 0.0 < change < 0.2


def test_an_oracle_goes_on_from_its_own_weights_and_normaliser(run: RetrainConfig) -> None:
    was = load_oracle(SHIPPED / "oracles" / "up_plus").actor.state_dict()
    folder = Path(run.out) / "oracles" / "palm_up+z"
    now = load_oracle(folder).actor.state_dict()
    seen = was["mlp.0.weight"].shape[
        1
    ]  # it may see more than the shipped one, behind what that saw
    for name in (
        "mlp.0.weight",
        "obs_normalizer._mean",
        "obs_normalizer._var",
        "obs_normalizer._std",
    ):
        now[name] = now[name][:, :seen]
    for name, before in was.items():
        if "weight" in name or name.endswith("_std"):
            assert (now[name] - before).norm() < 0.1 * before.norm(), name
    assert not torch.equal(now["mlp.0.weight"], was["mlp.0.weight"])
    record = json.loads((folder / "config.json").read_text())
    assert record["world"] == "gains_wide"
    assert record["randomisation"]["kp_scale"] == [0.9, 1.1]
    # A finished oracle: the penalty that grows while one learns from nothing is there from the first step on.
    assert record["env"]["reward"]["off_axis_end_steps"] == 0.0


def test_the_same_command_again_changes_nothing(run: RetrainConfig) -> None:
    files = sorted(Path(run.out).rglob("*.pt"))
    before = [file.read_bytes() for file in files]
    assert len(files) == 2
    policy = open_model(Path(run.out) / "policy.onnx")
    rows = np.random.default_rng(0).normal(size=(4, 327)).astype(np.float32)
    answer = policy.run(rows)
    again = open_model(train_retrain(run))
    assert [file.read_bytes() for file in files] == before
    np.testing.assert_array_equal(again.run(rows), answer)


def test_a_run_that_was_cut_off_before_the_final_epochs_does_them(
    run: RetrainConfig, tmp_path: Path
) -> None:
    moved = dataclasses.replace(run, out=str(tmp_path / "moved"))
    shutil.copytree(run.out, moved.out)
    file = Path(moved.out) / "generalist" / "generalist.pt"
    state = torch.load(file, weights_only=True)
    assert (state["rounds"], state["final"]) == (2, True)
    torch.save(state | {"final": False}, file)
    train_retrain(moved)
    after = torch.load(file, weights_only=True)
    assert after["final"]
    assert not torch.equal(after["net"]["last.weight"], state["net"]["last.weight"])


def test_other_settings_do_not_go_on_in_an_old_folder(run: RetrainConfig) -> None:
    with pytest.raises(ConfigError, match="oracle_steps"):
        train_retrain(dataclasses.replace(run, oracle_steps=512))


def test_a_run_that_is_asked_to_stop_keeps_what_it_learned(tmp_path: Path) -> None:
    words = words_of(dataclasses.replace(TINY, oracle_steps=100_000), tmp_path)
    code = f"import sys; from dexndm_ros.training.cli import main; sys.exit(main({words!r}))"
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "oracles" / "palm_up+z" / "log.csv"
    while not log.exists() or log.read_text().count("\n") < 2:  # it has learned something
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, rest = job.communicate(timeout=120)
    assert job.returncode == 1
    assert "the same command goes on" in rest
    done = torch.load(tmp_path / "oracles/palm_up+z/oracle.pt", weights_only=False)["infos"]
    assert 0 < done["steps"] < 100_000
    assert not (tmp_path / "generalist").exists()


def test_settings_that_cannot_be_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for words, told in (
        ([], "--correction"),
        (["--world", "nowhere"], "nowhere"),
        (["--world", "gains", "--tasks", "palm_up"], "palm_up"),
        (["--world", "gains", "--tasks", "thumb_up:+z"], "palm_down:-z"),
        (["--world", "gains", "--base", "nothing"], "nothing"),
        (["--world", "chaos_box"], "no object"),
        (["--world", "gains", "--oracle-rounds", "0"], "oracle_rounds"),
    ):
        assert train(["retrain", "--out", str(out), *words]) == 2
        assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_policy_file_without_its_own_runs_is_refused(
    run: RetrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What learns on are the runs beside the file: they must be there, and be those of the file."""
    words = ["retrain", "--out", str(tmp_path / "run"), "--world", "gains", "--base"]
    alone = tmp_path / "alone.onnx"
    shutil.copy(SHIPPED / "generalist.onnx", alone)
    assert train([*words, str(alone)]) == 2
    assert "has no oracles beside it" in capsys.readouterr().err
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for part in ("oracles", "generalist"):
        (shipped / part).symlink_to(SHIPPED / part)
    shutil.copy(Path(run.out) / "policy.onnx", shipped / "other.onnx")
    assert train([*words, str(shipped / "other.onnx")]) == 2
    assert "is not the policy of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_tasks_are_read_and_doubles_refused() -> None:
    assert parse_tasks("palm_up:+z, palm_down:-z") == (("palm_up", "+z"), ("palm_down", "-z"))
    with pytest.raises(ConfigError, match="twice"):
        parse_tasks("palm_up:+z,palm_up:+z")


def correction_run(folder: Path) -> str:
    """A run folder whose networks put 0.1 rad on every target, whatever they see."""
    config = AsapConfig(out=str(folder), structure="hand", world="gains")
    learner = Learner(1, 64, 16, config.ppo, told=1)
    state = learner.state()["actor_state_dict"]
    last = max(name for name in state if name.startswith("mlp.") and name.endswith(".bias"))
    state[last] += 0.1 / config.scale_rad
    folder.mkdir()
    checkpoint = {
        "kind": "asap",
        "config": dataclasses.asdict(config),
        "best": {"actors": [state]},
    }
    torch.save(checkpoint, folder / "correction.pt")
    return str(folder)


def test_oracle_and_student_learn_in_the_corrected_simulator(tmp_path: Path) -> None:
    folder = correction_run(tmp_path / "asap")
    oracle = OracleConfig(envs=2, grasps=8, threads=1)
    task = Task("palm_up", "+z", str(SHIPPED / "oracles" / "up_plus"))
    student = GeneralistConfig(tasks=(task,), envs=2, threads=1)
    for build, config in (
        (build_env, oracle),
        (lambda config: student_env(config, 0)[0], student),
    ):
        plain = build(config)
        corrected = build(dataclasses.replace(config, correction=folder))
        assert np.array_equal(plain.batch.q, corrected.batch.q)
        for env in (plain, corrected):
            env.step(np.zeros((2, 16)))
        further = corrected.batch.q - plain.batch.q
        assert 0.01 < further.mean() < 0.1  # on their way to targets 0.1 rad further


@pytest.mark.soak
def test_a_correction_brings_its_own_world_and_runs_to_the_end(tmp_path: Path) -> None:
    folder = correction_run(tmp_path / "asap")
    config = dataclasses.replace(
        TINY, world="", correction=folder, out=str(tmp_path / "run"), student_rounds=0
    )
    assert train_retrain(config).is_file()
    for part in ("oracles/palm_up+z", "generalist"):
        record = json.loads((tmp_path / "run" / part / "config.json").read_text())
        assert (record["world"], record["correction"]) == ("gains", folder)
    spec = open_model(tmp_path / "run" / "policy.onnx").spec
    assert f"corrected by {tmp_path.name}/asap" in spec.trained_on


def test_a_student_of_another_size_cannot_begin_from_it(tmp_path: Path) -> None:
    task = Task("palm_up", "+z", str(SHIPPED / "oracles" / "up_plus"))
    config = GeneralistConfig(
        out=str(tmp_path), tasks=(task,), envs=1, width=64, init=str(SHIPPED / "generalist")
    )
    with pytest.raises(ConfigError, match="width to 256"):
        train_generalist(config)


def test_stages_share_one_bar(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages("all", [100, 300])
    first = stages.next()(10, "first", 0)
    first.update(5, "half")
    first.close()
    second = stages.next()(4, "second", 0)
    second.update(3)
    stages.close()
    assert "325/400" in capsys.readouterr().err
