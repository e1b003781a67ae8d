# SPDX-License-Identifier: Apache-2.0
"""The witnesses beside a policy: a planner that searches in the true world, and an open-loop replay."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import GraspCache, make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.training.action_replay import ActionReplay, Recording, matched, record, replay
from dexndm_ros.training.controllers import (
    Controller,
    ControllerError,
    open_controller,
    refused_residual,
)
from dexndm_ros.training.evaluate import main, run_episodes, table
from dexndm_ros.training.planner import Planner, PlannerConfig

FAST = World(physics="fast")
SMALL = PlannerConfig(samples=6)


@cache
def grasps() -> GraspCache:
    return make_grasps(draw_worlds(FAST, 32, Randomisation(), 0), 64, seed=0)


def env_of(
    count: int, steps: int, ranges: Randomisation | None = None, threads: int = 1
) -> RotationEnv:
    config = EnvConfig(episode_steps=steps, auto_reset=False)
    worlds = draw_worlds(FAST, count, ranges, 1)
    return RotationEnv(worlds, grasps(), parse_axis("+z"), config, 0, threads)


def test_the_planner_turns_what_stands_still_without_it():
    env = env_of(1, 25)
    planned = run_episodes(env, Planner(SMALL))
    env.reset()
    still = run_episodes(env, lambda env, first: env.step(np.zeros((1, 16))))
    assert planned.held == 1.0
    assert planned.turned_rad > 0.5
    assert abs(still.turned_rad) < 0.1


def test_the_same_seed_plans_the_same_whatever_the_threads_and_another_one_otherwise():
    def run(seed, threads):
        env = env_of(2, 2, Randomisation(), threads)
        run_episodes(env, Planner(dataclasses.replace(SMALL, seed=seed)))
        return env.target

    np.testing.assert_array_equal(run(1, 1), run(1, 2))
    assert np.abs(run(1, 1) - run(2, 1)).max() > 0.01


def test_hands_that_have_lost_their_object_are_planned_for_no_more_and_disturb_nobody():
    both, alone = env_of(2, 6), env_of(2, 6)
    planner, other = Planner(SMALL), Planner(SMALL)
    planner(both, True)
    other(alone, True)
    here = both.batch.object_position[1]
    both.batch.set_state(np.array([1]), both.batch.q[1:], here[None] - 0.1, np.array([[0, 0, 0, 1.0]]))  # fmt: skip
    assert planner(both, False).terminated.tolist() == [False, True]
    given_up = both.target[1].copy()
    for env, control in [(both, planner), (both, planner), *[(alone, other)] * 3]:
        control(env, False)
    np.testing.assert_array_equal(both.target[0], alone.target[0])
    np.testing.assert_array_equal(both.target[1], given_up)


def test_what_was_recorded_is_repeated_to_the_last_bit_from_the_same_start():
    first, again = env_of(3, 25, Randomisation()), env_of(3, 25, Randomisation())
    recording = record(first, open_controller("cylinder_z", "", 3))
    assert recording.held.tolist() == [25] * 3
    run_episodes(again, replay(recording, np.arange(3)))
    np.testing.assert_array_equal(again.batch.q, first.batch.q)
    np.testing.assert_array_equal(again.batch.object_position, first.batch.object_position)


def test_a_replay_begins_within_the_guards_limit_and_ends_where_the_recording_lost_its_object():
    env = env_of(1, 12)
    executed = np.tile(env.target, (12, 1, 1))
    executed += np.linspace(0.3, 0.4, 12)[:, None, None]
    control = replay(Recording(env.target, executed, np.array([6])), np.array([0]))
    start = env.target.copy()
    control(env, True)
    np.testing.assert_allclose(env.executed - start, 0.15)
    for _ in range(11):
        control(env, False)
    np.testing.assert_array_equal(env.executed, executed[5])


def test_an_environment_repeats_what_held_longest_of_its_kind_and_not_its_own_episode():
    sphere = dataclasses.replace(FAST, object=ObjectConfig(kind="sphere"))
    env = env_of(4, 10)
    other = env.another(1)
    env.batch.worlds[3] = other.batch.worlds[3] = sphere
    start = env.target + np.array([[0.0], [0.1], [0.1], [0.1]])
    recording = Recording(start, np.zeros((10, 4, 16)), np.array([10, 9, 9, 4]))
    assert matched(env, other, recording).tolist() == [1, 0, 0, 3]
    nothing = Recording(env.target, recording.executed, recording.held)
    env.target[:] = env.target[0]
    with pytest.raises(ControllerError, match="ask for more episodes"):
        matched(env, other, dataclasses.replace(nothing, start=env.target))


def test_a_replay_records_other_episodes_and_the_same_ones_each_time():
    shown = []

    class Bar:
        def update(self, done, figures=""):
            shown.append(done)

        def close(self):
            shown.append("closed")

    def run(control: Controller):
        env = env_of(4, 8, Randomisation())
        run_episodes(env, control)
        return env.executed

    policy = open_controller("cylinder_z", "", 4)
    closed_loop, once = run(policy), run(ActionReplay(policy, lambda *_: Bar()))
    np.testing.assert_array_equal(once, run(open_controller("replay:cylinder_z", "", 4)))
    assert np.abs(once - closed_loop).max() > 0.01
    assert shown == [*range(1, 9), "closed"]


@pytest.mark.parametrize(
    ("policy", "residual", "said"),
    [
        ("planner:1", "", "at least 2, as in planner:32"),
        ("planner:many", "", "at least 2, as in planner:32"),
        ("planner", "r.onnx", "a planner takes none"),
        ("replay:", "", "does not say what to replay"),
        ("replay:planner", "r.onnx", "a planner takes none"),
        ("cylinder_z,replay:absent", "", "absent"),
    ],
)
def test_what_a_witness_cannot_do_is_told_before_anything_runs(policy, residual, said, capsys):
    assert main(["--policy", policy, "--residual", residual, "--episodes", "2"]) == 2
    assert said in capsys.readouterr().err


def test_a_search_that_plans_nothing_is_refused():
    with pytest.raises(ValueError, match="13 knots do not go into 12 steps"):
        PlannerConfig(knots=13)
    with pytest.raises(ValueError, match="0 knots do not go into 0 steps"):
        PlannerConfig(horizon_steps=0, knots=0)


def test_names_of_witnesses_open_them():
    planner = open_controller("planner:8", "", 2)
    assert isinstance(planner, Planner)
    assert planner.config.samples == 8
    assert isinstance(open_controller("replay:cylinder_z", "", 2), ActionReplay)
    assert refused_residual("planner", "") == refused_residual("replay:cylinder_z", "") == ""


def test_several_policies_make_one_table_and_one_report(tmp_path, capsys):
    report, plot = tmp_path / "report.json", tmp_path / "plot.png"
    words = ["--policy", "cylinder_z,replay:cylinder_z", "--episodes", "2", "--seeds", "3"]
    asked = ["--physics", "fast", "--threads", "1", "--report", str(report), "--plot", str(plot)]
    assert main([*words, *asked]) == 0
    results = json.loads(report.read_text())
    assert [result["policy"] for result in results] == ["cylinder_z", "replay:cylinder_z"]
    assert results[0]["mean"] != results[1]["mean"]
    printed = capsys.readouterr().out
    assert table(results) in printed
    header, *rows = table(results).splitlines()[:3]
    assert header.split()[0] == "policy"
    assert [row.split()[0] for row in rows] == ["cylinder_z", "replay:cylinder_z"]
    assert plot.stat().st_size > 0
