# SPDX-License-Identifier: Apache-2.0
"""``dexndm grasps``: a cache that holds under every wrist, for families of objects."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache, GraspError
from dexndm_ros.sim.randomise import TABLE_14, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.grasps_cli import main
from dexndm_ros.training.oracle import OracleConfig, build_env

FAMILIES = ("cylinders", "irregular")
WORDS = [
    "make",
    "--objects",
    ",".join(FAMILIES),
    "--count",
    "40",
    "--worlds",
    "16",
    "--physics",
    "fast",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("grasps") / "grasps.npz"
    assert main([*WORDS, "--out", str(out)]) == 0
    return out


def test_a_cache_tells_its_conventions_and_what_passed(made, capsys, tmp_path):
    plot = tmp_path / "plot.png"
    assert main(["show", str(made), "--plot", str(plot)]) == 0
    told = capsys.readouterr().out
    cache = GraspCache.load(made)
    assert cache.sha256 in told and "tilt" in told and "penetration" in told
    assert cache.meta["wrist"] == "palm_down"
    assert cache.meta["quaternion"] == "xyzw, object in palm frame"
    for condition in ("sink", "drift", "upright", "fingertips", "speed", "penetration", "tilt"):
        assert cache.meta["accepted"] <= cache.meta["passed"][condition] <= cache.meta["tried"]
    assert plot.stat().st_size > 5000


def test_the_same_words_make_the_same_grasps_and_another_seed_others(made, tmp_path):
    first = GraspCache.load(made).sha256
    assert main([*WORDS, "--out", str(tmp_path / "again.npz"), "--threads", "1"]) == 0
    assert main([*WORDS, "--out", str(tmp_path / "other.npz"), "--seed", "1"]) == 0
    assert GraspCache.load(tmp_path / "again.npz").sha256 == first
    assert GraspCache.load(tmp_path / "other.npz").sha256 != first


@pytest.mark.parametrize("wrist", WRISTS)
def test_objects_stay_in_the_hand_under_every_wrist(made, wrist):
    """Grasps are drawn by kind and size, so a slippery object may get one of a rough one: not all must stay."""
    ranges = dataclasses.replace(TABLE_14, families=FAMILIES)
    worlds = draw_worlds(World(wrist=wrist, physics="fast"), 16, ranges, 0)
    config = EnvConfig(auto_reset=False)
    env = RotationEnv(worlds, GraspCache.load(made), np.array([0, 0, 1.0]), config, 0, 1)
    fallen = np.zeros(16, dtype=bool)
    for _ in range(10):
        fallen |= env.step(np.zeros((16, 16))).terminated
    assert fallen.mean() <= 0.25


def test_an_oracle_begins_from_a_file_of_grasps(made, tmp_path):
    ranges = dataclasses.replace(TABLE_14, families=FAMILIES)
    config = OracleConfig(out=str(tmp_path), envs=8, grasps_from=str(made), randomisation=ranges)
    env = build_env(config)
    targets = GraspCache.load(made).target
    assert all((np.abs(targets - target).max(axis=1) < 1e-6).any() for target in env.target)
    other = dataclasses.replace(ranges, families=("cubes",))
    with pytest.raises(GraspError, match=r"no grasp of 'cuboid 1:1\.00:1\.00'"):
        build_env(dataclasses.replace(config, randomisation=other))


def test_what_cannot_be_used_is_refused_in_words(made, tmp_path, capsys):
    assert main([*WORDS, "--out", str(made)]) == 2
    assert "--replace" in capsys.readouterr().err
    (tmp_path / "no.npz").write_text("nothing")
    assert main(["show", str(tmp_path / "no.npz")]) == 2
    assert "is no grasp cache" in capsys.readouterr().err
    assert main(["make", "--out", str(tmp_path / "a.npz"), "--objects", "teapots"]) == 2
    assert "'teapots'" in capsys.readouterr().err
