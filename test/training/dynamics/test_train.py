# SPDX-License-Identifier: Apache-2.0
"""The dynamics job at a tiny scale: what it learns and leaves, going on, tuning, many processes, and bad numbers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.dynamics import train as job
from dexndm_ros.training.dynamics.config import DynamicsConfig, NetworkConfig, networks_of
from dexndm_ros.training.dynamics.errors import DynamicsError
from dexndm_ros.training.dynamics.model import DynamicsModel
from dexndm_ros.training.dynamics.train import train_dynamics
from dexndm_ros.training.progress import Progress
from support.motion import write_motion

ROOT = Path(__file__).resolve().parents[3]
TINY = NetworkConfig(window=4, width=12)
EPOCHS = 15


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(write_motion(tmp_path_factory.mktemp("motion") / "set"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return str(write_motion(tmp_path_factory.mktemp("motion") / "other", episodes=8, seed=1))


def config(out, dataset, **settings):
    settings = {
        "network": TINY,
        "epochs": EPOCHS,
        "batch": 128,
        "learning_rate": 1e-2,
        "threads": 1,
    } | settings
    return DynamicsConfig(out=str(out), data=(dataset,), **settings)


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


def weights(folder):
    return DynamicsModel.load(folder).net.state_dict()


@pytest.fixture(scope="module")
def run(dataset, other, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "joint"
    assert train_dynamics(config(out, dataset, test=(other,))) == out / "dynamics.pt"
    return out


def test_a_run_leaves_model_log_metrics_and_picture(run, dataset, other):
    names = {path.name for path in run.iterdir()}
    assert names == {"arx.pt", "checkpoint.pt", "config.json", "curves.png", "dynamics.pt", "log.csv",
                     "metrics.json", "tensorboard"}  # fmt: skip
    found = metrics(run)
    assert [(row["phase"], row["epoch"]) for row in found["history"]] == [
        ("shared", 0), ("shared", 1), *(("main", epoch) for epoch in range(EPOCHS + 1)),
    ]  # fmt: skip
    with (run / "log.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 + EPOCHS
    record = json.loads((run / "config.json").read_text())
    assert (record["seed"], record["data"]) == (0, [dataset])
    assert record["commit"]
    assert set(found["rms_mrad"]) == {"validation", other}
    assert list(found["rms_mrad_by_joint"][other]["joint-wise"]) == list(JOINT_NAMES)


def test_joints_that_are_not_linear_are_learned_better_than_linearly(run, other):
    for data in ("validation", other):
        errors = metrics(run)["rms_mrad"][data]
        assert errors["joint-wise"] < 0.8 * errors["ARX"] < errors["persistence"]


def test_the_model_and_the_arx_file_have_the_errors_that_are_told(run, other):
    from dexndm_ros.training.dynamics.data import open_windows

    (q, a), *_ = open_windows([other], 5, torch.device("cpu")).batches(10_000, None)
    for name, label in (("dynamics.pt", "joint-wise"), ("arx.pt", "ARX")):
        dq = DynamicsModel.load(run / name).predict(q[:, :4].numpy(), a[:, :4].numpy())
        error = q[:, 4].numpy() - q[:, 3].numpy() - dq
        rms = 1e3 * np.sqrt(np.mean(error.astype(np.float64) ** 2))
        assert rms == pytest.approx(metrics(run)["rms_mrad"][other][label], rel=1e-4)


def test_the_newest_target_is_what_a_joint_answers(run):
    # These joints go to tanh(half the way): half a radian a radian at the most, and nothing of older targets.
    response = np.array([metrics(run)["response"][joint] for joint in JOINT_NAMES])
    assert (response[4:, -1] > 0.1).all()
    assert (np.abs(response[4:, :-1]) < 0.5 * response[4:, -1:]).all()


@pytest.mark.parametrize("structure", ["finger", "hand"])
def test_the_baselines_train_on_the_same_path(structure, dataset, tmp_path):
    network = NetworkConfig(structure=structure, window=4, width=12)
    train_dynamics(config(tmp_path, dataset, network=network, epochs=6))
    found = metrics(tmp_path)
    label = {"finger": "finger-wise", "hand": "whole-hand"}[structure]
    assert found["rms_mrad"]["validation"][label] <= found["rms_mrad"]["validation"]["ARX"] + 0.01
    assert len(found["best_epoch"]) == {"finger": 4, "hand": 1}[structure]


def test_data_that_is_streamed_gives_the_same_model(run, dataset, tmp_path):
    train_dynamics(config(tmp_path, dataset, keep="stream"))
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path)[name]), name


def test_products_in_16_bits_learn_nearly_as_well(run, dataset, tmp_path):
    train_dynamics(config(tmp_path, dataset, precision="bfloat16"))
    ours, theirs = (metrics(folder)["rms_mrad"]["validation"] for folder in (tmp_path, run))
    assert ours["joint-wise"] == pytest.approx(theirs["joint-wise"], rel=0.2)


@pytest.mark.parametrize("after", [3, 20])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    dataset, tmp_path, monkeypatch, run, after
):
    class Impatient(Progress):
        seen = 0

        def update(self, done, figures=""):
            super().update(done, figures)
            Impatient.seen += 1
            if Impatient.seen == after:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(job, "Progress", Impatient)
        with pytest.raises(DynamicsError, match="stopped as asked; the same command goes on"):
            train_dynamics(config(tmp_path, dataset))
    assert not (tmp_path / "dynamics.pt").exists()
    train_dynamics(config(tmp_path, dataset))
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path)[name]), name
    rows = [
        {k: v for k, v in row.items() if k != "seconds"} for row in metrics(tmp_path)["history"]
    ]
    assert str(rows) == str(
        [{k: v for k, v in row.items() if k != "seconds"} for row in metrics(run)["history"]]
    )


def test_a_folder_with_another_run_is_refused(run, dataset, other):
    with pytest.raises(DynamicsError, match="holds a run with batch 128, and now it is 64"):
        train_dynamics(config(run, dataset, batch=64))
    with pytest.raises(DynamicsError, match="holds a run with data"):
        train_dynamics(config(run, other))


def test_tuning_begins_with_the_other_runs_network_and_scaling(run, other, tmp_path):
    train_dynamics(config(tmp_path / "as_it_is", other, init=str(run), epochs=0))
    (row,) = metrics(tmp_path / "as_it_is")["history"]
    assert row["phase"] == "main"
    for name, value in weights(run).items():
        assert torch.equal(value, weights(tmp_path / "as_it_is")[name])
    # The network is the other run's though nothing is told of it here.
    train_dynamics(config(tmp_path / "on", other, init=str(run), network=NetworkConfig()))
    history = metrics(tmp_path / "on")["history"]
    assert DynamicsModel.load(tmp_path / "on").config == TINY
    assert torch.equal(weights(run)["mean"], weights(tmp_path / "on")["mean"])
    assert history[-1]["val_loss"] <= history[0]["val_loss"]


def test_tuning_into_another_network_is_refused(run, other, tmp_path):
    with pytest.raises(DynamicsError, match="has width 12, and 32 is asked for"):
        train_dynamics(config(tmp_path, other, init=str(run), network=NetworkConfig(width=32)))


def test_joints_can_begin_with_other_joints_networks(run, other, tmp_path):
    next_one = tuple((joint + 1) % 16 for joint in range(16))
    train_dynamics(config(tmp_path, other, init=str(run), init_joints=next_one, epochs=0))
    theirs, ours = weights(run), weights(tmp_path)
    assert torch.equal(ours["mlp.weights.0"], theirs["mlp.weights.0"].roll(-1, 0))
    assert not torch.equal(ours["mean"], theirs["mean"])


def test_what_a_network_learned_together_is_not_torn_apart():
    assert networks_of((4, 5, 6, 7, 0, 1, 2, 3, *range(8, 16)), 4) == [1, 0, 2, 3]
    with pytest.raises(DynamicsError, match="move whole networks"):
        networks_of((1, 2, 3, 4, 0, *range(5, 16)), 4)


def test_two_processes_train_what_one_trains(run, dataset, tmp_path):
    words = ["train", "dynamics", "--data", dataset, "--out", str(tmp_path), "--epochs", str(EPOCHS),
             "--batch", "128", "--learning-rate", "1e-2",
             "--network.window", "4", "--network.width", "12", "--threads", "1", "--device", "cpu"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         "-m", "dexndm_ros.cli", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, value in weights(run).items():
        torch.testing.assert_close(weights(tmp_path)[name], value, atol=2e-3, rtol=2e-3)
    ours, theirs = (metrics(folder)["rms_mrad"]["validation"] for folder in (tmp_path, run))
    assert ours["joint-wise"] == pytest.approx(theirs["joint-wise"], rel=1e-3)


def test_numbers_that_run_away_end_the_run_and_keep_the_state(dataset, tmp_path):
    with pytest.raises(DynamicsError, match=r"not finite in epoch 1.*lower learning_rate"):
        train_dynamics(config(tmp_path, dataset, learning_rate=1e20))
    kept = torch.load(tmp_path / "not_finite.pt", weights_only=True)
    assert kept["q"].shape == (128, 5, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": -1}, "epochs is -1; it must be 0 or more"),
        ({"epochs": 0}, "epochs 0 measures the model of --init"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"network": NetworkConfig(window=1)}, "the least is window 2"),
        ({"network": NetworkConfig(structure="toe")}, "structure is 'toe'; it must be one of joint, finger, hand"),
        ({"init_joints": tuple(range(16))}, "give --init too"),
        ({"init": "somewhere"}, "somewhere does not exist; give the --out folder"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_named(settings, words, dataset, tmp_path):
    with pytest.raises(DynamicsError, match=words):
        train_dynamics(config(tmp_path, dataset, **settings))


def test_the_command_takes_a_file_and_words(dataset, tmp_path, capsys):
    file = tmp_path / "job.yaml"
    file.write_text(f"data: ['{dataset}']\nnetwork: {{window: 4, width: 12}}\nbatch: 512\n")
    out = str(tmp_path / "run")
    assert train(["dynamics", "--config", str(file), "--out", out, "--epochs", "1"]) == 0
    text = capsys.readouterr().out
    assert "persistence" in text
    assert "response to the newest target" in text
    assert train(["dynamics", "--out", out]) == 1
    assert "data is empty; give a folder that dexndm convert made" in capsys.readouterr().err
