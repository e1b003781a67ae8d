# SPDX-License-Identifier: Apache-2.0
"""A residual that does not run: every job says so, once, and measures the base policy alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.hand.guard import Guard, GuardConfig
from dexndm_ros.paths import policy_path, share_dir
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.spec import RATE_HZ
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import ControllerError, open_controller, refused_residual
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.evaluate import main as evaluate
from dexndm_ros.training.library_cli import main as library
from dexndm_ros.training.simulate.cli import main as rollouts
from support.tiny_policy import leap_seat, residual_spec, write_tiny_policy

ORACLE = str(share_dir() / "policies" / "cylinder_z" / "oracles" / "up_plus")
LINE = "the residual does not run, the base policy runs alone: a delay of a tick"


@pytest.fixture
def residual(tmp_path):
    """Would push every joint to its bound."""
    spec = residual_spec(0.05, refused="a delay of a tick")
    return str(write_tiny_policy(tmp_path / "residual.onnx", bias=[0.05] * 16, spec=spec))


@pytest.fixture
def running(tmp_path):
    """The same, and nobody refused it."""
    path = tmp_path / "running.onnx"
    return str(write_tiny_policy(path, bias=[0.05] * 16, spec=residual_spec(0.05)))


@pytest.fixture(scope="module")
def env() -> RotationEnv:
    """Two hands with objects."""
    world = dataclasses.replace(World.load("nominal"), physics="fast")
    quiet = EnvConfig(auto_reset=False)
    return unseen_env(world, parse_axis("+z"), 2, 0, None, config=quiet, threads=1)


def alternating(folder: Path) -> tuple[Path, Path]:
    """A base policy that steps to and fro, and a residual that goes 0.3 rad with it."""
    newest, before = (np.arange(16) + 32 * pair + 16 for pair in (9, 8))
    joints = np.arange(16)
    back = np.zeros((327, 16))
    back[newest, joints], back[before, joints] = -48.0, 48.0
    along = np.zeros((343, 16))
    along[327 + joints, joints], along[newest, joints] = 100.0, -100.0
    base = write_tiny_policy(folder / "base.onnx", weight=back, bias=np.ones(16))
    spec = residual_spec(0.3)
    return base, write_tiny_policy(folder / "residual.onnx", weight=along, spec=spec)


def test_a_base_policy_alone_never_meets_the_guards_limit(env: RotationEnv) -> None:
    """What it asks for is executed to the last bit."""
    env.reset()
    alone = load_policy(policy_path("cylinder_z"), leap_seat(), None, env.count)
    alone.reset(env.measured, env.target)
    control = open_controller("cylinder_z", "", env.count)
    for step in range(40):
        wanted = alone.step(env.measured, env.wrists, env.axes).target
        control(env, step == 0)
        np.testing.assert_array_equal(env.executed, wanted)
        np.testing.assert_array_equal(env.target, wanted)


def test_a_residual_is_slewed_as_the_guard_does(env: RotationEnv, tmp_path: Path) -> None:
    env.reset()
    base, residual = alternating(tmp_path)
    both = load_policy(base, leap_seat(), residual, env.count)
    both.reset(env.measured, env.target)
    guards = [Guard() for _ in range(env.count)]
    for guard, start in zip(guards, env.target, strict=True):
        guard.enable(start)
        guard.accept(start, 1, "policy", 0.0)
        guard.tick(start, 0.0)
    control = open_controller(str(base), str(residual), env.count)
    cut = 0
    for step in range(20):
        now_s = (step + 1) / RATE_HZ
        action = both.step(env.measured, env.wrists, env.axes)
        control(env, step == 0)
        np.testing.assert_array_equal(env.target, action.base)
        for row, guard in enumerate(guards):
            guard.accept(action.target[row], step + 2, "policy", now_s)
            passed = guard.tick(env.measured[row], now_s).target
            np.testing.assert_allclose(env.executed[row], passed, rtol=0.0, atol=1e-12)
        cut += np.any(env.executed != action.target)
    assert cut > 15
    # A new episode begins from its own target, not from where the last one ended.
    env.reset()
    start = env.target.copy()
    control(env, True)
    assert np.abs(env.executed - start).max() == pytest.approx(GuardConfig.max_step_rad)


def test_a_control_step_is_the_guards_command_period() -> None:
    assert GuardConfig.command_period_s == 1.0 / RATE_HZ


def test_an_oracle_and_a_residual_are_refused_together(residual):
    with pytest.raises(ControllerError, match="an oracle takes none; give a policy file"):
        open_controller(ORACLE, residual, 4)
    with pytest.raises(ControllerError, match="an oracle takes none; give a policy file"):
        refused_residual(ORACLE, residual)
    assert refused_residual(ORACLE, "") == ""


@pytest.mark.parametrize(
    "job",
    [
        (evaluate, ["--episodes", "4", "--report"]),
        (library, ["build", "--count", "1", "--out"]),
        (rollouts, ["policy", "--episodes", "1", "--out"]),
    ],
    ids=["evaluate", "library", "rollouts"],
)
@pytest.mark.parametrize(
    ("policy", "said"),
    [(ORACLE, "an oracle takes none"), ("cylinder_z", "'rate_hz'")],
    ids=["oracle", "unfit"],
)
def test_what_cannot_run_is_told_before_anything_does(job, policy, said, tmp_path, capsys):
    main, words = job
    unfit = write_tiny_policy(tmp_path / "unfit.onnx", spec=residual_spec(rate_hz=30.0))
    out = tmp_path / "out"
    assert main([*words, str(out), "--policy", policy, "--residual", str(unfit)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_an_evaluation_with_a_refused_residual_is_one_of_the_base_policy(
    residual, running, tmp_path, capsys
):
    def report(*words):
        out = tmp_path / "report.json"
        asked = ["--episodes", "2", "--seeds", "3", "--physics", "fast", "--threads", "1"]
        assert evaluate([*asked, "--report", str(out), *words]) == 0
        (result,) = json.loads(out.read_text())
        return result, capsys.readouterr().out.splitlines()

    alone, _ = report()
    refused, told = report("--residual", residual)
    with_it, said = report("--residual", running)
    assert refused["mean"] == alone["mean"] != with_it["mean"]
    assert [refused["residual_refused"], with_it["residual_refused"]] == ["a delay of a tick", ""]
    assert told.count(LINE) == 1
    assert LINE not in said


def test_rollouts_and_libraries_say_it_once(residual, tmp_path, capsys):
    words = ["--residual", residual, "--physics", "fast", "--axis=+z", "--wrist"]
    data = ["--episodes", "1", "--block", "1", "--jobs", "1", "--no-report"]
    assert rollouts(["policy", *words, "palm_up,palm_down", *data, "--out", str(tmp_path / "data")]) == 0  # fmt: skip
    assert capsys.readouterr().out.splitlines().count(LINE) == 1
    count = ["--count", "1", "--envs", "2", "--threads", "1"]
    file = tmp_path / "library.parquet"
    assert library(["build", *words, "palm_up", *count, "--out", str(file)]) == 0
    assert capsys.readouterr().out.splitlines().count(LINE) == 1
