# SPDX-License-Identifier: Apache-2.0
"""UAN and ASAP end to end at a tiny scale: they bring the simulator nearer, resume, stop, and are used."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dexndm_ros.datasets.progress import Progress
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.load import LoadConfig
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cli import main as train
from dexndm_ros.training.corrections.errors import CorrectionError
from dexndm_ros.training.corrections.load import load_correction, read_checkpoint
from dexndm_ros.training.simulate.config import ReplayConfig
from dexndm_ros.training.simulate.run import simulate

WEAK = "name: weak\nservo: {kp_scale: 0.8}\ngap: {target_offset_rad: 0.06}\n"
FASTER = [
    "--ppo.hidden", "32", "32", "--ppo.learning-rate", "3e-3", "--ppo.epochs", "2",
    "--ppo.desired-kl", "0.03",
]  # fmt: skip
UAN = ["uan", "--hands", "4", "--total-steps", "800", "--save-every", "50", *FASTER]
ASAP = [
    "asap",
    "--hands",
    "32",
    "--total-steps",
    "9600",
    "--save-every",
    "100",
    "--scale-rad",
    "0.04",
    *FASTER,
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A weak hand, wrongly assembled, that plays noise: every joint is off in the same way."""
    folder = tmp_path_factory.mktemp("recorded")
    world = folder / "weak.yaml"
    world.write_text(WEAK, encoding="utf-8")
    return replays(folder / "set", str(world), 9)


def replays(out: Path, world: str, episodes: int) -> str:
    simulate(
        ReplayConfig(
            out=out, world=world, episodes=episodes, library=f"waves:noise:{episodes}", jobs=1,
            physics="fast", load=LoadConfig(scale=0.0), report=False,
        ),
        Progress(io.StringIO()), lambda line: None,
    )  # fmt: skip
    return str(out)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["uan", "asap"])
def run(request, recorded, tmp_path_factory) -> tuple[list[str], Path]:
    out = tmp_path_factory.mktemp(request.param) / "run"
    words = [*(UAN if request.param == "uan" else ASAP), "--data", recorded, "--out", str(out)]
    assert train(words) == 0
    return words, out


def test_a_run_brings_the_simulator_nearer_to_motion_it_never_saw(run):
    _, out = run
    found = json.loads((out / "metrics.json").read_text())
    assert found["rms_mrad"]["corrected"] < 0.85 * found["rms_mrad"]["nominal"]
    assert found["held_out"]["pieces"] > 0
    assert found["run"]["commit"]
    best = min(float(row["open_loop_mrad"]) for row in rows_of(out))
    assert read_checkpoint(out)["best"]["mrad"] == pytest.approx(best, abs=1e-3)


def test_a_run_leaves_what_every_job_leaves(run):
    _, out = run
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json", "correction.pt", "curves.png", "log.csv", "metrics.json", "tensorboard",
        "tracking.png",
    }  # fmt: skip


def test_a_run_goes_on_where_it_ended(run, capsys):
    words, out = run
    before = read_checkpoint(out)
    more = int(words[words.index("--total-steps") + 1]) + int(words[words.index("--hands") + 1])
    assert train([*words, "--total-steps", str(more)]) == 0
    after = read_checkpoint(out)
    assert (before["steps"], after["steps"]) == (
        more - int(words[words.index("--hands") + 1]),
        more,
    )
    assert after["wall_s"] > before["wall_s"]
    assert after["best"]["mrad"] <= before["best"]["mrad"]
    assert int(rows_of(out)[-1]["steps"]) == more
    assert train([*words, "--seed", "5"]) == 1
    assert "was begun with seed 0" in capsys.readouterr().err


def test_a_correction_is_the_same_for_a_hand_whoever_is_beside_it(run):
    _, out = run
    rng = np.random.default_rng(0)
    alone, beside = load_correction(out, 1), load_correction(out, 5)
    q, target = rng.uniform(0, 1, (2, 5, 16))
    alone.reset(np.ones(1, dtype=bool), q[2:3], target[2:3])
    beside.reset(np.ones(5, dtype=bool), q, target)
    for _ in range(3):
        q = q + rng.uniform(-0.02, 0.02, q.shape)
        sent = beside.target(q, target)
        np.testing.assert_allclose(alone.target(q[2:3], target[2:3])[0], sent[2], atol=1e-5)
        torque = beside.torque(q, q)
        ours = alone.torque(q[2:3], q[2:3])
        if torque is not None:
            np.testing.assert_allclose(ours[0], torque[2], atol=1e-5)
            assert np.abs(torque).max() <= 0.2
            np.testing.assert_array_equal(sent, target)
        else:
            assert np.abs(sent - target).max() <= 0.2 + 1e-12
            assert np.abs(sent - target).max() > 0


def test_a_policy_can_learn_in_the_corrected_simulator(run):
    """The same actions, an object in the hand: episodes begin anew, nothing is the same, all is finite."""
    _, out = run
    worlds = [World(physics="fast")] * 2
    grasps = make_grasps(worlds * 8, 8, seed=3)

    def rollout(correction):
        env = RotationEnv(
            worlds, grasps, np.array([0, 0, 1.0]), EnvConfig(episode_steps=5), 1, 1,
            correction=correction,
        )  # fmt: skip
        rng = np.random.default_rng(0)
        for _ in range(8):
            env.step(rng.uniform(-1, 1, (2, 16)))
        return env.privileged()

    corrected = rollout(load_correction(out, 2, "fast"))
    assert np.isfinite(corrected).all()
    np.testing.assert_array_equal(corrected, rollout(load_correction(out, 2, "fast")))
    assert np.abs(corrected - rollout(None)).max() > 1e-3


def test_another_physics_preset_or_no_run_is_refused(run, tmp_path):
    _, out = run
    with pytest.raises(CorrectionError, match="train it with --physics ref"):
        load_correction(out, 2, "ref")
    with pytest.raises(CorrectionError, match="give the run folder"):
        load_correction(tmp_path, 2)
    (tmp_path / "correction.pt").write_bytes(b"torn")
    with pytest.raises(CorrectionError, match="train it again"):
        load_correction(tmp_path, 2)


def test_asap_for_the_whole_hand_is_one_network(recorded, tmp_path):
    words = ["--structure", "hand", "--data", recorded, "--out", str(tmp_path)]
    assert train([*ASAP, *words, "--total-steps", "800"]) == 0
    assert len(read_checkpoint(tmp_path)["best"]["actors"]) == 1
    target = np.full((3, 16), 0.4)
    assert load_correction(tmp_path, 3).target(target, target).shape == (3, 16)


def test_a_job_computes_on_as_many_threads_as_it_is_told(recorded, tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        words = ["--data", recorded, "--out", str(tmp_path), "--total-steps", "32"]
        assert train([*ASAP, *words, "--torch-threads", "1"]) == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_sigterm_leaves_a_checkpoint_and_is_no_success(recorded, tmp_path):
    words = [*ASAP, "--data", recorded, "--out", str(tmp_path), "--save-every", "10"]
    words += ["--total-steps", "10000000"]
    code = f"from dexndm_ros.training.cli import main; raise SystemExit(main({words!r}))"
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert job.stderr is not None
    seen = ""
    while "mrad open loop" not in seen:  # it has learned something
        seen += job.stderr.read(1)
        assert job.poll() is None, seen
    job.terminate()
    _, rest = job.communicate(timeout=120)
    assert job.returncode == 1
    assert "the same command goes on from there" in rest
    assert read_checkpoint(tmp_path)["steps"] > 0
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["asap"], "data is empty"),
        (["uan", "--data", "nowhere", "--hands", "0"], "hands is 0"),
        (["uan", "--data", "nowhere"], "nowhere has no meta/episodes"),
        (["asap", "--data", "nowhere", "--world", "twin_box"], "has a box"),
        (["asap", "--data", "nowhere", "--wrist", "sideways"], "sideways"),
    ],
)
def test_wrong_settings_are_named(words, said, tmp_path, capsys):
    assert train([*words, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_too_few_trajectories_are_refused(tmp_path, capsys):
    """Nothing would be held out."""
    few = replays(tmp_path / "few", "nominal", 1)
    assert train(["asap", "--data", few, "--out", str(tmp_path / "run")]) == 1
    assert "give more trajectories" in capsys.readouterr().err
