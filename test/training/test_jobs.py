# SPDX-License-Identifier: Apache-2.0
"""The offline jobs end to end at a tiny scale: train, stop, resume, clone, export, evaluate."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES
from dexndm_ros.policy.observation import OBSERVATION_SIZE
from dexndm_ros.policy.spec import read_spec
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cli import ConfigError, from_mapping
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.evaluate import Trial, evaluate, survival_by_third
from dexndm_ros.training.evaluate import main as evaluate_main
from dexndm_ros.training.export import export_onnx, verify_export
from dexndm_ros.training.export import main as export
from dexndm_ros.training.networks import ResidualMlp, difference_matrix
from dexndm_ros.training.oracle import OracleConfig, load_oracle

TINY = ["--envs", "16", "--grasps", "32", "--save-every", "1"]


def log_rows(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    out = tmp_path_factory.mktemp("oracle")
    assert train(["oracle", "--out", str(out), "--total-steps", "512", *TINY]) == 0
    return out


def test_an_oracle_run_leaves_checkpoint_log_and_config(oracle):
    assert [int(row["steps"]) for row in log_rows(oracle)] == [256, 512]
    record = json.loads((oracle / "config.json").read_text())
    assert record["seed"] == 0
    assert record["commit"]
    assert record["randomisation"]["friction"] == [0.7, 1.1]


def test_an_oracle_run_resumes_where_it_stopped(oracle):
    before = torch.load(oracle / "oracle.pt", weights_only=False)
    with (oracle / "log.csv").open(
        "a"
    ) as file:  # as a run leaves it that is killed after its last checkpoint
        file.write("640" + 8 * ",0" + "\n7")
    assert train(["oracle", "--out", str(oracle), "--total-steps", "1024", *TINY]) == 0
    assert [int(row["steps"]) for row in log_rows(oracle)] == [256, 512, 768, 1024]
    after = torch.load(oracle / "oracle.pt", weights_only=False)
    assert after["infos"]["steps"] == 1024
    assert after["infos"]["wall_s"] > before["infos"]["wall_s"]
    name = "mlp.0.weight"
    assert not torch.equal(before["actor_state_dict"][name], after["actor_state_dict"][name])


def test_an_oracle_can_begin_from_anothers_weights_and_states(oracle, tmp_path):
    words = ["oracle", "--out", str(tmp_path), "--total-steps", "256", "--axis=-z", *TINY]
    lent = ["--init-from", str(oracle / "oracle.pt"), "--starts-from", str(oracle)]
    assert train([*words, *lent, "--env.episode-steps", "40"]) == 0
    ours = torch.load(tmp_path / "oracle.pt", weights_only=False)["actor_state_dict"]
    # What never changed in the lender's run (the axis) must not reach the new one magnified.
    assert float(ours["obs_normalizer._std"].min()) > 0.0
    state = load_oracle(tmp_path)
    assert sum(p.numel() for p in state.parameters()) > 0


def test_harvested_starts_are_states_of_the_rollout(oracle):
    worlds = [World(physics="fast")] * 8
    grasps = make_grasps(worlds, 16, seed=0)
    env = RotationEnv(worlds, grasps, np.array([0.0, 0.0, 1.0]), EnvConfig(auto_reset=False))
    everyone = np.ones(8, dtype=bool)
    env.step(np.zeros((8, 16)))
    starts = env.starts(everyone)
    np.testing.assert_array_equal(starts.q, env.batch.q)
    both = grasps.joined(starts)
    assert len(both) == 24
    np.testing.assert_array_equal(both.target[16:], env.target)
    assert both.meta["parts"] == [16, 8]


def test_sigterm_leaves_a_checkpoint(tmp_path):
    words = ["oracle", "--out", str(tmp_path), "--envs", "16", "--grasps", "32"]
    code = f"from dexndm_ros.training.cli import main; main({words!r})"
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert job.stderr is not None
    while "0.00/" not in job.stderr.read(1) + job.stderr.readline():
        assert job.poll() is None
    job.terminate()
    job.communicate(timeout=120)
    assert job.returncode == 0
    assert torch.load(tmp_path / "oracle.pt", weights_only=False)["infos"]["steps"] > 0


def test_generalist_export_and_evaluation(oracle, tmp_path, capsys):
    run = tmp_path / "generalist"
    config = tmp_path / "job.yaml"
    config.write_text(
        f"tasks:\n- {{wrist: palm_up, axis: '+z', oracle: '{oracle}'}}\n"
        f"- {{wrist: palm_down, axis: '-z', oracle: '{oracle}'}}\n"
        "envs: 8\noracle_rounds: 1\nstudent_rounds: 1\nwidth: 32\nblocks: 1\nfinal_epochs: 0.5\nbatch: 128\n"
    )
    # The oracle of two updates drops everything: behaviour cloning of survivors has nothing to learn from.
    words = ["generalist", "--config", str(config), "--out", str(run)]
    assert train(words) == 1
    assert "survived" in capsys.readouterr().err
    assert train([*words, "--no-survivors-only"]) == 0
    assert [row["driver"] for row in log_rows(run)] == ["oracle", "student", "final"]

    policy = tmp_path / "generalist.onnx"
    assert export(["--run", str(run), "--out", str(policy)]) == 0
    spec = read_spec(policy)
    assert spec.joint_names == JOINT_NAMES
    assert spec.default_pose_rad == pytest.approx(CANONICAL_POSE_RAD)
    assert spec.wrists == ("palm_up", "palm_down")
    assert spec.axes == ("+z", "-z")

    report = tmp_path / "report.json"
    words = ["--policy", str(policy), "--episodes", "8", "--seeds", "0,1", "--report", str(report)]
    assert evaluate_main([*words, "--physics", "fast"]) == 0
    (result,) = json.loads(report.read_text())
    assert [row["seed"] for row in result["seeds"]] == [0, 1]
    assert 0.0 <= result["mean"]["held"] <= 1.0
    assert export(["--run", str(run), "--out", str(policy), "--scores", str(report)]) == 0
    scores = read_spec(policy).scores
    assert scores["palm_up +z rotation_rad"] == pytest.approx(
        result["mean"]["rotation_rad"], abs=0.006
    )


def test_evaluation_repeats_for_a_seed_and_differs_between_seeds(oracle):
    def run(seed):
        world = World(physics="fast")
        return evaluate(str(oracle), world, "+z", 6, (seed,), Trial(Randomisation()), quiet=True)[
            "mean"
        ]

    assert run(4) == run(4)
    assert run(4) != run(5)


def test_survival_is_told_by_thirds_of_what_was_drawn():
    worlds = draw_worlds(World(), 30, Randomisation(), 2)
    slippery = np.array([w.object.friction for w in worlds])
    held = np.where(slippery < np.sort(slippery)[10], 0.5, 1.0)
    thirds = survival_by_third(worlds, (held >= 1.0).astype(float))
    assert thirds["friction"] == [0.0, 1.0, 1.0]
    assert sum(thirds["mass_kg"]) == pytest.approx(2.0, abs=0.01)


def test_the_feature_map_is_a_reordering_of_information_not_a_loss():
    matrix = difference_matrix().double()
    assert torch.linalg.matrix_rank(matrix) == OBSERVATION_SIZE
    # Identifiable data: slot k, joint j holds q = k + j/100 and a = q + 0.5.
    q = torch.arange(10)[:, None] + torch.arange(16)[None] / 100
    observation = torch.cat([torch.cat([q, q + 0.5], 1).reshape(-1), torch.ones(7)]).double()
    pairs = (matrix @ observation)[:320].reshape(10, 2, 16)
    assert torch.allclose(pairs[:, 1], torch.tensor(0.5).double())
    assert torch.allclose(pairs[:9, 0], torch.tensor(-1.0).double())
    assert torch.allclose(pairs[9, 0], q[9].double())


def test_an_exported_network_is_the_network(tmp_path):
    net = ResidualMlp(48, 2)
    net.fit_normaliser(torch.randn(100, OBSERVATION_SIZE))
    path = tmp_path / "net.onnx"
    export_onnx(net, path)
    for batch in (1, 5):
        rows = np.random.default_rng(batch).normal(size=(batch, OBSERVATION_SIZE))
        assert verify_export(net, path, rows) < 1e-5
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == ["observation"]
    with torch.no_grad():
        net.last.bias += 0.1
    with pytest.raises(RuntimeError, match="do not ship"):
        verify_export(net, path, rows)


def test_a_job_file_with_an_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="learning_rat"):
        from_mapping(OracleConfig, {"learning_rat": 1})
    with pytest.raises(ConfigError, match=r"env\.episode"):
        from_mapping(OracleConfig, {"env": {"episode": 1}})
