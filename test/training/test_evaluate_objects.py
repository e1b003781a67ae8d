# SPDX-License-Identifier: Apache-2.0
"""Evaluation on families of objects, and towards goals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.fall import FallLimits
from dexndm_ros.sim.shapes.families import TEST_FAMILY, TRAINED, parse_families
from dexndm_ros.sim.shapes.pieces import ShapeError
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.episodes import Episodes, run_goals, unseen_env
from dexndm_ros.training.evaluate import main


def test_sets_of_objects_have_names_and_the_test_set_is_none_of_the_training_sets():
    assert parse_families("train") == TRAINED
    assert parse_families("test") == (TEST_FAMILY,)
    assert parse_families("cubes, train,cubes") == ("cubes", *TRAINED)
    assert TEST_FAMILY not in TRAINED
    with pytest.raises(ShapeError, match="'cube' are none of train, test, cylinders"):
        parse_families("cylinders,cube")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    words = [
        "--objects",
        "cubes,cylinders",
        "--axis=+z,goal",
        "--wrist",
        "thumb_up",
        "--physics",
        "fast",
    ]
    words += ["--episodes", "6", "--seeds", "0,1", "--report", str(folder / "report.json")]
    assert main([*words, "--plot", str(folder / "plot.png")]) == 0
    return folder


def test_each_family_and_each_object_is_told_and_adds_up(reported):
    turning, goal = json.loads((reported / "report.json").read_text())
    assert set(turning["by_family"]) == {"cubes", "cylinders"}
    assert {each["episodes"] for each in turning["by_family"].values()} == {6}
    assert turning["by_object"]["cuboid 1:1.00:1.00"]["episodes"] == 6
    assert sum(each["episodes"] for each in turning["by_object"].values()) == 12
    for key in ("rotation_rad", "held", "survived"):
        of_families = np.mean([each[key] for each in turning["by_family"].values()])
        assert of_families == pytest.approx(turning["mean"][key])
    assert turning["push_m_s2"] == 2.0
    assert turning["randomisation"]["friction"] == [0.3, 3.0]
    assert 0.0 <= goal["mean"]["goal_success"] <= 1.0
    assert "rotation_rad" not in goal["mean"]


def test_the_picture_shows_something(reported):
    with Image.open(reported / "plot.png") as image:
        assert min(image.size) > 200
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20


def test_the_same_seed_gives_the_same_episodes(reported, tmp_path):
    words = [
        "--objects",
        "cubes,cylinders",
        "--axis",
        "goal",
        "--wrist",
        "thumb_up",
        "--physics",
        "fast",
    ]
    again = tmp_path / "again.json"
    assert (
        main([*words, "--episodes", "6", "--seeds", "1", "--report", str(again), "--threads", "1"])
        == 0
    )
    first = json.loads((reported / "report.json").read_text())[1]
    assert json.loads(again.read_text())[0]["seeds"][0] == first["seeds"][1]


def test_unknown_objects_are_refused_in_words(capsys):
    assert main(["--objects", "teapots"]) == 2
    assert "'teapots' are none of train, test" in capsys.readouterr().err


def _turned_by_hand(step_rad):
    """What turns objects exactly about the axis that is asked for, as no hand can."""

    def control(env, first):
        batch = env.batch
        result = env.step(np.zeros((env.count, 16)))
        turned = Rotation.from_rotvec(step_rad * env.axes) * batch.object_rotation
        rows = np.arange(env.count)
        batch.set_state(rows, batch.q, env._start_position, turned.as_quat(), env.target)
        return result

    return control


@pytest.mark.parametrize(("step_rad", "reached"), [(0.3, True), (-0.3, False)])
def test_goals_are_reached_by_turning_about_the_axis_that_is_asked_for_and_not_the_other_way(
    step_rad, reached
):
    config = EnvConfig(episode_steps=12, fall=FallLimits(10.0, 10.0, np.pi))
    env = unseen_env(World(physics="fast"), np.array([0, 0, 1.0]), 8, 0, None, None, config, 1)
    found = run_goals(env, _turned_by_hand(step_rad), seed=3)
    assert found.mean() == pytest.approx(float(reached), abs=0.26)  # some begin near their goals
    env.reset()
    np.testing.assert_array_equal(found, run_goals(env, _turned_by_hand(step_rad), seed=3))


def test_quarter_turns_are_whole_ones_in_the_right_direction():
    turned = np.array([np.pi, 0.4 * np.pi, -7.0, 1.6 * np.pi])
    found = Episodes(turned, np.ones(4), np.zeros(4)).summary()
    assert found["quarter_turns"] == pytest.approx((2 + 0 + 0 + 3) / 4)
