# SPDX-License-Identifier: Apache-2.0
"""Evaluation in worlds with a gap: the hand stays the file's, and a run repeats."""

from __future__ import annotations

import dataclasses

import numpy as np

from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.randomise import OBJECTS_ONLY, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import run_episodes, unseen_env
from dexndm_ros.training.evaluate import main


def test_keeping_the_hand_draws_objects_only():
    base = World.load("twin")
    worlds = draw_worlds(base, 5, OBJECTS_ONLY, 1)
    assert len({world.object for world in worlds}) == 5
    assert {world.servo.gains().kp_nm_rad.tobytes() for world in worlds} == {
        base.servo.gains().kp_nm_rad.tobytes()
    }
    assert {world.gap for world in worlds} == {base.gap}


def test_an_evaluation_with_a_gap_repeats_whatever_the_threads():
    world = dataclasses.replace(World.load("unmodelled"), physics="fast")
    short = EnvConfig(episode_steps=40)
    axis = np.array([0.0, 0.0, 1.0])

    def run(threads):
        env = unseen_env(world, axis, 4, 3, OBJECTS_ONLY, config=short, threads=threads)
        episodes = run_episodes(env, open_controller("cylinder_z", "", 4))
        return episodes.summary(), env.batch.q

    (first, first_q), (second, second_q) = run(1), run(2)
    assert first == second
    np.testing.assert_array_equal(first_q, second_q)


def test_a_world_without_an_object_or_file_is_refused_in_words(capsys):
    assert main(["--world", "twin_box"]) == 2
    assert "has no object to turn" in capsys.readouterr().err
    assert main(["--world", "absent"]) == 2
    assert "unmodelled" in capsys.readouterr().err
