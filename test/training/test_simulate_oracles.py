# SPDX-License-Identifier: Apache-2.0
"""Rollouts of specialists: what they wanted, what was driven, tasks and objects drawn; the same bytes anywhere."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.datasets.layout import write_info
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.hand.joints import LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import share_dir
from dexndm_ros.policy.wrist import WRISTS, parse_axis
from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.randomise import draw_worlds
from dexndm_ros.sim.shapes.families import FAMILIES, TRAINED
from dexndm_ros.sim.tasks import ROTATION_AXES
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.cloning.shards import Shards
from dexndm_ros.training.controllers import ActionNoise, open_controller
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.simulate.blocks import rollout_block
from dexndm_ros.training.simulate.closed_loop import roll_out
from dexndm_ros.training.simulate.config import RolloutConfig
from dexndm_ros.training.simulate.run import simulate
from support.datasets import write_rows_only
from support.ray_cluster import ray_cluster

ORACLE = share_dir() / "policies" / "cylinder_z" / "oracles" / "up_plus"
WORLD = World(physics="fast")
NOISY = RolloutConfig(out=Path("none"), policy=str(ORACLE), block=3, noise_std=0.8)


def test_a_student_can_learn_what_the_oracle_wanted_where_noise_has_led_it(tmp_path) -> None:
    block = rollout_block(NOISY, WORLD, "palm_up", "+z", 2)
    episodes = roll_out(block, steps=60)
    env = unseen_env(
        block.world, parse_axis("+z"), 3, block.seed, NOISY.randomisation,
        config=EnvConfig(episode_steps=60), threads=1,
    )  # fmt: skip
    noise = ActionNoise(3, 0.8, np.random.default_rng([block.seed, 1]))
    oracle = open_controller(str(ORACLE), "", 3, noise=noise)
    seen, wanted, driven = [], [], []
    for step in range(60):
        seen.append(env.proprioceptive())
        oracle(env, step == 0)
        wanted.append(oracle.wanted)
        driven.append(oracle.driven)
    told = [dataclasses.replace(episode, task="try") for episode in episodes]
    write_rows_only(tmp_path, [told])
    write_info(tmp_path, 3, sum(map(len, told)), 1, 20)
    shards = Shards([str(tmp_path)], held_out=0.0, survivors_only=False)
    rows = shards.read(shards.groups)
    observations = rows.observations(rows.learned)
    at = 0
    for k, episode in enumerate(episodes):
        of_episode = slice(at, at + len(episode))
        own = np.stack(seen)[: len(episode), k]
        np.testing.assert_array_equal(observations[of_episode], own)
        asked = np.stack(wanted)[: len(episode), k]
        np.testing.assert_allclose(rows.action[of_episode], asked, atol=2e-5)
        at += len(episode)
        columns = episode.columns
        both = columns["action.clean"] + columns["action.noise"]
        told = np.clip(both, LOWER_RAD, UPPER_RAD)
        np.testing.assert_allclose(columns["action"], told, atol=1e-6)
    spread = np.std(np.stack(driven) - np.stack(wanted), axis=(0, 2))
    assert len(set(spread.round(4))) == 3  # every episode has its own share of the noise
    assert 0 < spread.min() < spread.max() <= 0.85


def test_tasks_and_objects_are_drawn_from_those_named() -> None:
    config = dataclasses.replace(
        NOISY, objects="cylinders,cuboids", wrist="palm_up,thumb_down", axis="all", draw_tasks=True,
        draw="table_14", block=6,
    )  # fmt: skip
    block = rollout_block(config, WORLD, "", "", 1)
    episodes = roll_out(block, steps=25)
    for k, episode in enumerate(episodes):
        facts, columns = episode.facts, episode.columns
        assert facts["object_family"] == ("cylinders", "cuboids")[k % 2]
        assert facts["object_kind"] == facts["object_family"][:-1]
        assert facts["orientation"] in ("palm_up", "thumb_down")
        assert facts["orientation"] in episode.task
        assert facts["axis"] in config.axes
        if episode.verdict == "drop":
            continue
        wrist = np.array(WRISTS[facts["orientation"]])
        np.testing.assert_allclose(columns["observation.wrist"][0], wrist, atol=1e-6)
        axis = parse_axis(facts["axis"])
        np.testing.assert_allclose(columns["observation.axis"][0], axis, atol=1e-6)
    assert len({episode.facts["axis"] for episode in episodes}) > 3
    assert len({episode.facts["orientation"] for episode in episodes}) == 2


def test_the_words_for_all_are_the_papers() -> None:
    config = dataclasses.replace(NOISY, wrist="all", axis="all", objects="train")
    axes = np.array([parse_axis(word) for word in config.axes])
    np.testing.assert_allclose(axes, ROTATION_AXES, atol=1e-6)
    assert config.wrists == tuple(WRISTS)
    assert config.randomisation.families == TRAINED


def test_blocks_go_through_the_prototypes_of_a_family_one_after_the_other() -> None:
    ranges = dataclasses.replace(NOISY, objects="irregular").randomisation
    shapes = [
        world.object.shape for first in (0, 4) for world in draw_worlds(WORLD, 4, ranges, 9, first)
    ]
    assert shapes == [each.shape for each in FAMILIES["irregular"].prototypes[:8]]


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.filterwarnings("ignore")
def test_one_process_two_and_ray_give_the_same_bytes(tmp_path, monkeypatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    Path("oracle").symlink_to(ORACLE)  # a path that means nothing to a worker elsewhere
    config = dataclasses.replace(
        NOISY, policy="oracle", wrist="palm_up", physics="fast", episodes=2, block=1, jobs=1, report=False,
    )  # fmt: skip
    made = []

    def make(**changes: object) -> None:
        out = tmp_path / str(len(made)) / "set"
        simulate(dataclasses.replace(config, out=out, **changes), Progress(io.StringIO()), str)
        made.append(content(out))

    make()
    make(jobs=2)
    with ray_cluster(2):
        make(engine="ray", jobs=2)
    assert made[0] == made[1] == made[2]
    assert any(name.startswith("data/") for name in made[0])
