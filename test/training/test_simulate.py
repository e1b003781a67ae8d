# SPDX-License-Identifier: Apache-2.0
"""Simulated datasets: rows are what the hands did; the same recipe gives the same bytes, however it is worked off."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.datasets.provenance import read_existing
from dexndm_ros.datasets.windows import WindowDataset
from dexndm_ros.paths import share_dir
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import NoiseConfig, executed, noise, trajectory_seed
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.load import HandLoad, LoadConfig, draw_load
from dexndm_ros.sim.randomise import OBJECTS_ONLY
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.simulate.blocks import replay_blocks, rollout_block
from dexndm_ros.training.simulate.cli import main, read_config
from dexndm_ros.training.simulate.closed_loop import roll_out
from dexndm_ros.training.simulate.config import ReplayConfig, RolloutConfig
from dexndm_ros.training.simulate.open_loop import replay
from dexndm_ros.training.simulate.run import simulate
from support.nights import write_night
from support.tiny_policy import write_tiny_policy

TWIN = dataclasses.replace(World.load("twin"), physics="fast")
ORACLE = str(share_dir() / "policies" / "cylinder_z" / "oracles" / "up_plus")
TICK = 2 * np.pi / 4096
OPENING = np.where(np.arange(16) % 4 == 1, -0.3, 0.0)
"""Deltas that open the fingers: whatever lies in the hand is lost."""


def quiet(config, progress: Progress | None = None) -> list[str]:
    """Simulate; the lines of the summary."""
    lines: list[str] = []
    simulate(config, progress or Progress(io.StringIO()), lines.append)
    return lines


def replays(out: Path, **changes) -> ReplayConfig:
    settings = {
        "world": "twin",
        "physics": "fast",
        "episodes": 3,
        "block": 2,
        "jobs": 1,
        "report": False,
    }
    return ReplayConfig(out=out, **{**settings, **changes})  # fmt: skip


def content(folder: Path) -> dict[str, str]:
    """Fingerprints of all files; somebody may have committed something between two runs."""
    files = {
        str(path.relative_to(folder)): re.sub(rb"commit [0-9a-z+]+", b"commit", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}


def column(folder: Path, name: str) -> np.ndarray:
    values = pq.read_table(folder / "data", columns=[name]).column(name).to_pylist()
    return np.array(values)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "one"
    assert "3 episodes, 1,200 transitions" in quiet(replays(out))[-1]
    return out


def test_replayed_targets_are_those_of_a_campaign_of_the_same_seed_bit_for_bit(dataset) -> None:
    source = open_source("cylinder_z")
    meta = pq.read_table(dataset / "meta" / "episodes").to_pylist()
    action, clean, added = (column(dataset, n) for n in ("action", "action.clean", "action.noise"))
    for k, row in enumerate(meta):
        assert (row["entry"], row["kind"], row["campaign"]) == (k, "sim_replay", "twin")
        assert row["seed"] == trajectory_seed(0, k)
        targets = source.trajectory(row["trajectory"]).targets_rad
        drawn = noise(NoiseConfig(), row["seed"])
        rows = slice(400 * k, 400 * (k + 1))
        np.testing.assert_array_equal(clean[rows], targets.astype(np.float32))
        np.testing.assert_array_equal(added[rows], drawn.astype(np.float32))
        np.testing.assert_array_equal(action[rows], executed(targets, drawn).astype(np.float32))
    assert 0.4 < (added != 0).any(axis=1).mean() < 0.6


def test_replayed_rows_are_what_a_hand_alone_under_the_same_load_does(dataset) -> None:
    config = replays(dataset)
    block = replay_blocks(config, TWIN, "", open_source("cylinder_z"))[0]
    entry = block.entries[1]
    targets = open_source("cylinder_z").trajectory(entry.trajectory).targets_rad
    target = executed(targets, noise(config.noise, entry.seed))
    hand = HandBatch([block.world], 1)
    load = HandLoad([draw_load(LoadConfig(), entry.seed, target, 0.05)])
    hand.set_state(np.array([0]), target[:1])
    for _ in range(20):
        hand.step(target[:1], load.at(0))
    state = column(dataset, "observation.state")[400:800]
    command = column(dataset, "observation.command")[400:800]
    for step in range(400):
        wanted = np.round(hand.q[0] / TICK) * TICK
        np.testing.assert_array_equal(state[step], wanted.astype(np.float32))
        np.testing.assert_array_equal(command[step], target[max(step - 1, 0)].astype(np.float32))
        hand.step(target[step : step + 1], load.at(step))
    unloaded = replays(dataset, load=LoadConfig(scale=0))
    free = replay(replay_blocks(unloaded, TWIN, "", open_source("cylinder_z"))[0])
    assert np.abs(free[1].columns["observation.state"] - state).max() > 0.01


def test_one_process_or_two_give_the_same_bytes(dataset, tmp_path) -> None:
    again = tmp_path / "one"
    quiet(replays(again, jobs=2))
    assert content(again) == content(dataset)
    other = tmp_path / "other"
    quiet(replays(other, episodes=1, seed=1))
    assert not np.array_equal(column(other, "action")[:400], column(dataset, "action")[:400])


class EndsAfterOneBlock(Progress):
    """The user's patience."""

    def step(self, amount: int) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_stopped(dataset, tmp_path) -> None:
    out = tmp_path / "one"
    with pytest.raises(KeyboardInterrupt):
        quiet(replays(out), EndsAfterOneBlock(io.StringIO()))
    assert not out.exists()
    told = io.StringIO()
    quiet(replays(out), Progress(told))
    assert "1 of 2 blocks were done before" in told.getvalue()
    assert content(out) == content(dataset)
    assert not list(tmp_path.glob(".*building"))


def test_a_dataset_grows_and_has_nothing_twice(dataset, tmp_path) -> None:
    out = tmp_path / "one"
    quiet(replays(out, episodes=2))
    assert "nothing new" in quiet(replays(out, episodes=2))[-1]
    lines = quiet(replays(out, world="gains", episodes=2, noise=NoiseConfig(0.0, 0.0)))
    assert "2 episodes" in lines[-1]
    assert "has 4 episodes now" in lines[-1]
    existing = read_existing(out)
    assert [bag["provenance"]["campaign"] for bag in existing.bags] == ["twin", "gains"]
    assert existing.bags[1]["provenance"]["recipe"]["noise"]["sigma_rad"] == 0.0
    assert not existing.rejected
    assert str(Path.home()) not in (out / "meta" / "provenance.json").read_text()


def test_it_is_read_by_the_loader_and_has_a_report(tmp_path) -> None:
    out = tmp_path / "one"
    quiet(replays(out, episodes=1, report=True))
    windows = WindowDataset(out, length=11)
    assert len(windows) == 390
    batch = next(iter(windows.batches(390, epoch=0)))
    assert batch["observation.state"].shape == (390, 11, 16)
    assert "twin" in (out / "report.html").read_text()


def test_the_facts_of_an_episode_are_those_of_a_recorded_one(dataset, tmp_path) -> None:
    (bag,) = write_night(tmp_path, trajectories=1, steps=60)
    recorded = convert_bag(bag.path, ConvertConfig()).episodes[0]
    config = replays(dataset, episodes=1, load=LoadConfig(scale=0))
    (simulated,) = replay(replay_blocks(config, TWIN, "", open_source("cylinder_z"))[0])
    assert set(recorded.facts) <= set(simulated.facts)
    for key, value in recorded.facts.items():
        assert type(simulated.facts[key]) is type(value), key
    assert set(simulated.columns) == set(recorded.columns)


def test_a_rollout_is_what_the_policy_did_in_the_environment() -> None:
    config = RolloutConfig(out=Path("none"), block=3)
    world = World(physics="fast")
    block = rollout_block(config, world, "palm_down", "-z", 5)
    episodes = roll_out(block, steps=30)
    env = unseen_env(
        dataclasses.replace(world, wrist="palm_down"), parse_axis("-z"), 3, block.seed, OBJECTS_ONLY,
        config=EnvConfig(episode_steps=30), threads=2,
    )  # fmt: skip
    control = open_controller("cylinder_z", "", 3)
    for step in range(30):
        seen = env.measured.astype(np.float32)
        control(env, step == 0)
        for k, episode in enumerate(episodes):
            np.testing.assert_array_equal(episode.columns["observation.state"][step], seen[k])
            told = env.executed[k].astype(np.float32)
            np.testing.assert_array_equal(episode.columns["action"][step], told)
    first = episodes[0]
    assert first.facts["survived"]
    assert (first.facts["entry"], first.facts["axis"], first.facts["kind"]) == (15, "-z", "rollout")
    np.testing.assert_allclose(first.columns["observation.axis"][0], [0, 0, -1])
    assert len({episode.facts["object_radius_m"] for episode in episodes}) == 3
    # An episode is the same one whatever else is asked for.
    more = dataclasses.replace(config, episodes=1, jobs=4, out=Path("elsewhere"))
    assert rollout_block(more, world, "palm_down", "-z", 5).sha256 == block.sha256
    assert rollout_block(config, world, "palm_down", "-z", 6).seed != block.seed


def test_a_rollout_ends_where_the_object_is_lost(tmp_path) -> None:
    policy = write_tiny_policy(tmp_path / "open.onnx", bias=OPENING)
    config = RolloutConfig(out=tmp_path / "d", policy=str(policy), block=2)
    world = World(physics="fast", wrist="palm_down")
    episodes = roll_out(rollout_block(config, world, "", "+z", 0), steps=60)
    assert [episode.verdict for episode in episodes] == ["flag", "flag"]
    for episode in episodes:
        assert 20 <= len(episode) < 60
        assert not episode.facts["survived"]
        assert episode.findings[0].check == "fell"
        assert f"after {len(episode) * 0.05:.1f} s" in episode.findings[0].text
    picky = dataclasses.replace(config, survivors_only=True)
    dropped = roll_out(rollout_block(picky, world, "", "+z", 0), steps=60)
    assert [(episode.verdict, len(episode)) for episode in dropped] == [("drop", 0)] * 2


def test_a_world_with_a_box_is_replayed_in_its_box() -> None:
    config = ReplayConfig(out=Path("none"), episodes=2, block=2, box="tied")
    block = replay_blocks(config, World.load("twin"), "palm_down", open_source("cylinder_z"))[0]
    assert (block.world.name, block.world.gap) == ("twin_tied", TWIN.gap)
    one, two = replay(block)
    assert one.facts["hand_load"] == "tied, full"
    for episode in (one, two):
        error = episode.columns["action"][:-1] - episode.columns["observation.state"][1:]
        assert 0.005 < np.sqrt(np.mean(error**2)) < 0.2
    # The hand comes from the end of one trajectory to the beginning of the next at the guard's speed.
    jump = two.columns["observation.command"][0] - two.columns["action"][0]
    assert 0 < np.abs(jump).max() <= 0.15 + 1e-6


def test_settings_come_from_a_file_and_the_command_line(tmp_path, capsys) -> None:
    file = tmp_path / "job.yaml"
    asked = {
        "world": "free_hand", "physics": "fast", "episodes": 2, "block": 1, "jobs": 1, "report": False,
        "library": "waves:sine:9", "noise": {"sigma_rad": 0.02}, "load": {"scale": 0.5},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(asked))
    out = tmp_path / "waves"
    words = ["replay", "--config", str(file), "--out", str(out)]
    assert main([*words, "--episodes", "1", "--noise.probability", "1.0"]) == 0
    assert "1 episodes, 400 transitions" in capsys.readouterr().out
    (bag,) = read_existing(out).bags
    assert bag["provenance"]["recipe"]["noise"] == {"probability": 1.0, "sigma_rad": 0.02}
    assert bag["provenance"]["recipe"]["load"]["scale"] == 0.5
    assert column(out, "action.noise").std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["policy", "--wrist", "sideways"], "wrist 'sideways' is none of"),
        (["policy", "--axis", "stop"], "axis 'stop'"),
        (["policy", "--axis=+z,+z"], "twice"),
        (["policy", "--world", "free_hand"], "no object to turn"),
        (["policy", "--policy", "nobody"], "nobody"),
        (["policy", "--residual", "nowhere.onnx"], "nowhere.onnx"),
        (["policy", "--policy", ORACLE, "--residual", "some.onnx"], "an oracle takes none"),
        (["policy", "--objects", "spoons"], "objects 'spoons' are none of train, test, cylinders"),
        (["policy", "--objects", "cuboids", "--draw", "none"], "objects are drawn from families"),
        (["policy", "--noise-std", "0.5"], "give the run folder of an oracle"),
        (["policy", "--noise-std", "2"], "noise_std must be from 0 to 1"),
        (["policy", "--world", "mars"], "mars"),
        (["policy", "--episodes", "0"], "episodes must be from 1"),
        (["replay", "--library", "waves:saw:3"], "saw:3; kinds are sine"),
        (["replay", "--noise.sigma-rad", "1"], "noise sigma_rad must be from 0 to 0.05"),
        (["replay", "--load.scale", "-1"], "load.scale must be from 0"),
        (["replay", "--world", "twin", "--box", "half", "--vary-gains"], "vary_gains"),
        (["replay", "--world", "free_hand", "--box", "full"], "no object that it could take"),
        (["replay", "--world", "twin", "--physics", "balls"], "does not fit world 'twin'"),
        (["replay", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_refused_in_words_before_any_work(words, message, tmp_path, capsys):
    try:
        status = main([*words, "--out", str(tmp_path / "d")])
    except SystemExit as end:  # the parser's way to refuse
        status = end.code
    assert status == 2
    told = " ".join(capsys.readouterr().err.replace("│", "").split())
    assert message in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_the_commands_and_the_file_in_the_documentation_are_understood(tmp_path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "simulated_data.md").read_text()
    commands = re.findall(r"^dexndm rollouts (.*)$", text, re.MULTILINE)
    assert len(commands) == 6
    for job, *words in map(shlex.split, commands):
        config = read_config(job, words)
        World.load(config.world)
    file = tmp_path / "job.yaml"
    file.write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    config = read_config("replay", ["--config", str(file), "--out", "d", "--seed", "4"])
    assert (config.load.scale, config.seed, config.episodes) == (0.5, 4, 4000)
    known = {
        each.name for kind in (RolloutConfig, ReplayConfig) for each in dataclasses.fields(kind)
    }
    named = {option.replace("-", "_") for option in re.findall(r"`--([a-z-]+)", text)}
    assert named <= known | {"config", "help"}
