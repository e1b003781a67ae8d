# SPDX-License-Identifier: Apache-2.0
"""The library job: whole episodes only, the same file for the same settings, and nothing left of a broken one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.paths import policy_path
from dexndm_ros.policy.wrist import AxisError, parse_axis
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.trajectory import STEPS
from dexndm_ros.sim.env import ACTION_SCALE_RAD
from dexndm_ros.sim.randomise import Randomisation
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.library import (
    GRID_RAD,
    BuildConfig,
    BuildError,
    BuildTask,
    build_library,
)
from dexndm_ros.training.library_cli import main
from support.tiny_policy import write_tiny_policy

UP = BuildTask("palm_up", "+z", "cylinder_z")
DOWN = BuildTask("palm_down", "-z", "cylinder_z")


def build(out: Path, *tasks: BuildTask, **changes) -> TrajectoryLibrary:
    settings = {"count": 3, "physics": "fast"} | changes
    build_library(BuildConfig(out, tasks, **settings), quiet=True)
    library = TrajectoryLibrary.open(out)
    library.check()
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> TrajectoryLibrary:
    return build(tmp_path_factory.mktemp("library") / "two.parquet", UP, DOWN)


def test_a_library_of_two_tasks_can_be_replayed_and_says_where_it_is_from(library):
    assert library.ids("palm_up").tolist() == [0, 1, 2]
    assert library.ids("palm_down").tolist() == [3, 4, 5]
    for one in library:
        assert one.axis == tuple(parse_axis("+z" if one.wrist == "palm_up" else "-z"))
        assert (one.object_set, one.source) == ("cylinder", "cylinder_z/generalist")
        steps = np.abs(np.diff(one.targets_rad, axis=0))
        # The policy's largest step, and rounding to the grid at both ends.
        assert ACTION_SCALE_RAD / 2 < steps.max() <= ACTION_SCALE_RAD + GRID_RAD
    provenance = library.header.provenance
    assert provenance["tasks"][1] == {
        "wrist": "palm_down",
        "axis": "-z",
        "policy": "cylinder_z/generalist",
    }
    assert list(provenance["policy_sha256"]) == ["cylinder_z/generalist"]
    assert str(Path.home()) not in str(provenance)
    assert provenance["randomisation"]["friction"] == [0.7, 1.1]


def test_a_tasks_trajectories_depend_on_the_seed_and_on_nothing_else(library, tmp_path):
    alone = build(tmp_path / "alone.parquet", DOWN, threads=1)
    for k in range(3):
        np.testing.assert_array_equal(
            alone.trajectory(k).targets_rad, library.trajectory(3 + k).targets_rad
        )
    other = build(tmp_path / "other.parquet", DOWN, count=1, seed=1)
    assert not np.array_equal(other.trajectory(0).targets_rad, alone.trajectory(0).targets_rad)


def test_what_is_kept_holds_the_object_when_it_is_replayed_where_it_was_made(tmp_path):
    """Open loop in the very world and from the very grasp, the rounded targets still hold the object."""
    from dexndm_ros.training.library import _round_seed

    config = BuildConfig(tmp_path / "one.parquet", (UP,), count=8, physics="fast", envs=16)
    (report,) = build_library(config, quiet=True)
    stored = [t.targets_rad for t in TrajectoryLibrary.open(config.out)]
    seed = _round_seed(config.seed, UP, 0)
    world = World(physics="fast")
    env = unseen_env(world, parse_axis("+z"), report.episodes, seed, Randomisation())
    assert report.survived == report.episodes, "choose a seed where rows and trajectories agree"
    held = np.ones(report.episodes, dtype=bool)
    for step in range(STEPS):
        target = env.target.copy()
        target[: len(stored)] = [targets[step] for targets in stored]
        held &= ~env.step_target(target, target).terminated
    assert held[: len(stored)].mean() >= 0.75


def test_a_policy_that_drops_everything_is_told_and_leaves_no_file(tmp_path):
    policy = tmp_path / "opens.onnx"
    write_tiny_policy(policy, bias=np.full(16, -1.0))
    with pytest.raises(
        BuildError, match=r"palm_down -z: .* to the end in 0 of \d+ episodes, 2 are"
    ):
        build(tmp_path / "none.parquet", BuildTask("palm_down", "-z", str(policy)), count=2)
    assert [file.name for file in tmp_path.iterdir()] == ["opens.onnx"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ()}, "no task"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"envs": 0}, "envs must be at least 1"),
        ({"tasks": (UP, UP)}, "named twice"),
        ({"tasks": (BuildTask("palm_left", "+z", "cylinder_z"),)}, "wrist 'palm_left' is none of"),
        ({"tasks": (BuildTask("palm_up", "stop", "cylinder_z"),)}, "axis 'stop'"),
    ],
)
def test_settings_that_give_no_library_are_refused_before_anything_runs(changes, message):
    with pytest.raises(BuildError, match=message):
        BuildConfig(**{"out": Path("x.parquet"), "tasks": (UP,)} | changes)


def test_an_axis_that_is_none_is_refused():
    with pytest.raises(AxisError):
        BuildConfig(Path("x.parquet"), (BuildTask("palm_up", "up", "cylinder_z"),))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_leaves_nothing(tmp_path, stop):
    words = ["library", "build", "--out", str(tmp_path / "x.parquet"), "--physics", "fast"]
    code = f"import sys; from dexndm_ros.cli import main; sys.exit(main({words!r}))"
    job = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert job.stderr is not None
    seen = ""
    while "palm_up +z]" not in seen:  # the bar's figures: rollouts are under way
        assert job.poll() is None, seen
        seen += job.stderr.read(1)
    assert (tmp_path / "x.parquet.part").exists()
    job.send_signal(stop)
    _, rest = job.communicate(timeout=120)
    assert job.returncode == 130
    assert "interrupted" in rest
    assert not list(tmp_path.iterdir())


def test_the_command_builds_refuses_to_overwrite_and_inspects(tmp_path, capsys):
    out, picture = tmp_path / "made.parquet", tmp_path / "made.png"
    policy = policy_path("cylinder_z")
    words = ["build", "--out", str(out), "--count", "1", "--physics", "fast"]
    tasks = f"palm_up:+z:{policy},palm_down:+z:cylinder_z"
    assert main([*words, "--tasks", tasks]) == 0
    assert "palm_down +z: held to the end in" in capsys.readouterr().out
    before = out.read_bytes()
    assert main([*words, "--tasks", tasks]) == 2
    assert "--replace overwrites it" in capsys.readouterr().err
    assert out.read_bytes() == before
    with pytest.raises(BuildError, match="WRIST:AXIS:POLICY"):
        main([*words, "--replace", "--tasks", "palm_up"])

    assert main(["inspect", str(out), "--plot", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "2 trajectories, sha256" in text
    assert "palm_up    +z" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
