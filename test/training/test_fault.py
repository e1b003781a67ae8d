# SPDX-License-Identifier: Apache-2.0
"""Numbers that are not finite end an oracle run, and what made them can be done again."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from dexndm_ros.sim.env import RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.fault import Fault, FaultWatch, NotFiniteError, main
from dexndm_ros.training.oracle import OracleConfig, train_oracle
from dexndm_ros.training.oracle_env import OracleVecEnv

COUNT = 4


@pytest.fixture
def vec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file where it runs
    base = World.load("delay_50ms")  # servos that remember commands
    base = dataclasses.replace(base, physics="fast", wrist="palm_up")
    worlds = draw_worlds(base, COUNT, Randomisation(), 0)
    grasps = make_grasps(worlds, 16, seed=1)
    env = RotationEnv(worlds, grasps, np.array([0.0, 0.0, 1.0]), seed=2, threads=1)
    env.config = dataclasses.replace(env.config, push_m_s2=1.0)
    watch = FaultWatch(env, tmp_path / "fault.npz")
    return OracleVecEnv(env, 1.0, 0, watch, torch.device("cpu"))


def actions(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (COUNT, 16)))


def test_a_state_that_breaks_the_physics_ends_the_run_and_breaks_it_again(vec, tmp_path, capsys):
    """MuJoCo itself hides it: it puts the initial state in place of the bad one and goes on."""
    for seed in range(3):
        vec.step(actions(seed))
    vec.env.batch._state[2, vec.env.batch._velocities] = 1e12
    with pytest.raises(NotFiniteError, match=r"physics state of world 2 .*fault\.npz"):
        vec.step(actions(3))
    fault = Fault.load(tmp_path / "fault.npz")
    assert fault.rows.tolist() == [2]
    assert fault.worlds == [vec.env.batch.worlds[2]]
    assert fault.episode_step.tolist() == [3]
    assert not fault.replay().finite().any()
    assert main([str(tmp_path / "fault.npz")]) == 1
    assert "world 2 (delay_50ms): broke" in capsys.readouterr().out


def test_the_step_is_done_again_to_the_last_bit(vec, tmp_path, monkeypatch):
    """Here the reward is what went bad, in all worlds: their physics must come out as it was in the run."""
    vec.step(actions(0))
    vec.env.batch.turn(np.arange(COUNT), np.tile([1.0, 0.0, 0.0, 0.0], (COUNT, 1)))
    vec.env.target[:] = np.round(vec.env.target, 2)
    weights = dataclasses.replace(vec.env.config.reward, rotation=np.nan)
    monkeypatch.setattr(vec.env, "config", dataclasses.replace(vec.env.config, reward=weights))
    with pytest.raises(NotFiniteError, match=r"reward of world 0 and 3 more"):
        vec.step(actions(1))
    again = Fault.load(tmp_path / "fault.npz").replay()
    np.testing.assert_array_equal(again.q, vec.env.batch.q)
    np.testing.assert_array_equal(again._state, vec.env.batch._state)
    assert again.finite().all()


def test_a_policy_that_gives_nan_is_named_before_the_physics_sees_it(vec):
    bad = actions(0)
    bad[1, 5] = np.nan
    before = vec.env.batch.q.copy()
    with pytest.raises(NotFiniteError, match="action of world 1 is not finite"):
        vec.step(bad)
    np.testing.assert_array_equal(vec.env.batch.q, before)


def test_a_run_that_breaks_says_so_in_one_line(tmp_path, capsys):
    """Rewards that overflow; the file lies in the run folder."""
    words = ["--envs", "4", "--grasps", "8", "--total-steps", "64", "--out", str(tmp_path)]
    assert train(["oracle", *words, "--env.reward.rotation", "inf"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("dexndm train oracle: the reward of world")
    assert str(tmp_path / "fault.npz") in error
    assert Fault.load(tmp_path / "fault.npz").steps > 0


def test_several_processes_without_gpus_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"2 processes.*--device cuda"):
        train_oracle(OracleConfig(out=str(tmp_path)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("engine", ["cpu", "warp"])
def test_a_gpu_that_is_not_there_is_refused(engine, tmp_path, capsys):
    words = ["oracle", "--out", str(tmp_path), "--device", "cuda", "--engine", engine]
    assert train(words) == 2
    assert "torch finds none here" in capsys.readouterr().err


@pytest.mark.slow
def test_an_oracle_learns_on_the_warp_engine_and_resumes(tmp_path):
    pytest.importorskip("mujoco_warp", reason="mujoco_warp is not installed: requirements-gpu.txt")
    words = ["oracle", "--engine", "warp", "--envs", "4", "--grasps", "4", "--out", str(tmp_path)]
    assert train([*words, "--total-steps", "64"]) == 0
    assert train([*words, "--total-steps", "128"]) == 0
    assert torch.load(tmp_path / "oracle.pt", weights_only=False)["infos"]["steps"] == 128
    assert json.loads((tmp_path / "config.json").read_text())["engine"] == "warp"


def test_objects_that_one_batch_cannot_hold_are_a_configuration_that_cannot_be_used(
    tmp_path, capsys
):
    pytest.importorskip("mujoco_warp", reason="mujoco_warp is not installed: requirements-gpu.txt")
    words = ["oracle", "--engine", "warp", "--envs", "4", "--out", str(tmp_path)]
    mixed = ["--randomisation.families", "cylinders", "cuboids"]
    assert train([*words, *mixed]) == 2
    assert "one entry in randomisation.families" in capsys.readouterr().err
