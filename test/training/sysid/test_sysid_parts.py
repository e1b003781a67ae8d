# SPDX-License-Identifier: Apache-2.0
"""Probes, clips, simulation and gate of the identification, each at its seam."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.sysid.clips import clips_of_dataset, clips_of_world, cut, held_out
from dexndm_ros.training.sysid.errors import SysidError
from dexndm_ros.training.sysid.gate import Limits, estimates, refuse_fingers, refuse_worst
from dexndm_ros.training.sysid.parameters import (
    PARAMETERS,
    nominal_values,
    parse_parameters,
    with_values,
)
from dexndm_ros.training.sysid.probes import CENTRE_RAD, REACH_RAD, probe, write_probes
from dexndm_ros.training.sysid.simulate import FreeHands, free_world
from dexndm_ros.training.sysid.world_file import world_text
from support.datasets import write_rows_only


def values_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One candidate that differs from nominal in everything."""
    return {
        "kp": rng.uniform(0.7, 1.4, 16),
        "kd": rng.uniform(0.7, 1.4, 16),
        "torque": rng.uniform(0.6, 1.0, 16),
        "friction": rng.uniform(0.0, 0.03, 16),
        "backlash": rng.uniform(0.0, 0.03, 16),
        "armature": rng.uniform(0.0007, 0.002, 16),
        "delay": np.full(16, 0.013),
        "mass": rng.uniform(0.5, 1.5, 16),
        "offset": rng.uniform(-0.02, 0.02, 16),
    }


def test_probes_are_replayable_and_keep_fingers_apart(tmp_path: Path) -> None:
    count = write_probes(tmp_path / "probes.parquet", ("palm_down", "thumb_up"), 2, seed=3)
    source = open_source(str(tmp_path / "probes.parquet"), noise=NoiseConfig(probability=0.0))
    assert count == 4 and source.wrists == ("palm_down", "thumb_up")
    campaign = Campaign.load(tmp_path / "probes_thumb_up.yaml")
    assert campaign.hand_load == "free" and campaign.noise.silent and campaign.count == 2
    assert open_source(campaign.library, noise=campaign.noise).sha256 == source.sha256
    np.testing.assert_array_equal(source.trajectory(3).targets_rad, probe(1, 3))
    assert not np.array_equal(probe(0, 3), probe(1, 3))

    world = free_world(World())
    model = build_model(world)
    data = mujoco.MjData(model)
    slots = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
    rng = np.random.default_rng(0)
    corners = CENTRE_RAD + REACH_RAD * rng.choice([-1.0, 1.0], (100, 16))
    corners[:, [4, 8]] = corners[:, [0]]
    for pose in [*probe(0)[::4], *corners]:
        data.qpos[slots] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        assert data.ncon == 0


def test_a_candidate_moves_as_the_world_made_of_it() -> None:
    base = World(wrist="thumb_up", gap=GapConfig(link_mass_scale=(1.3,) + (0.8,) * 16))
    world = with_values(base, values_of(np.random.default_rng(1)))
    exact = nominal_values(world)  # the world keeps four digits
    targets = [("one", "thumb_up", probe(5)[:60]), ("two", "palm_down", probe(6)[:60])]
    clips = clips_of_world(free_world(world), targets, 59, quantised=False)
    hands = FreeHands(base, clips, contacts=True)
    for number, clip in enumerate(clips):
        np.testing.assert_allclose(hands.angles(exact, number), clip.q[1:], atol=1e-8)
    pairs = np.array([[1, 0], [0, 1], [1, 1]])
    stacked = {name: np.stack([nominal_values(base)[name], exact[name]]) for name in exact}
    errors = hands.errors(stacked, pairs, skip=5)
    assert errors[0].max() < 1e-11 and errors[2].max() < 1e-11 and errors[1].min() > 1e-6


def test_gravity_turns_with_the_wrist() -> None:
    targets = [("one", wrist, np.tile(CENTRE_RAD, (30, 1))) for wrist in ("palm_down", "palm_up")]
    down, up = clips_of_world(free_world(World()), targets, 29, quantised=False)
    sag = down.q[-1] - up.q[-1]
    assert np.abs(sag).max() > 0.005
    hands = FreeHands(World(), [down, up])
    nominal = nominal_values(World())
    found = hands.angles(nominal, 0)[-1] - hands.angles(nominal, 1)[-1]
    np.testing.assert_allclose(found, sag, atol=1e-6)


def test_a_world_that_softens_is_no_world_to_start_from() -> None:
    clips = cut("a", "a", "palm_up", np.zeros((9, 16)), np.zeros((9, 16)), np.zeros((9, 16)), 8)
    with pytest.raises(SysidError, match=r"load_gain and gap\.torque_loss must be 0"):
        FreeHands(World(gap=GapConfig(load_gain=0.3)), clips)


def episode(name: str, rows: int, wrist: str, invalid: list[int] | None = None) -> Episode:
    columns = empty_columns(rows)
    grid = np.arange(rows)[:, None] + np.arange(16) / 16
    columns["observation.state"][...] = grid
    columns["observation.velocity"][...] = 0.5
    columns["action"][...] = -grid
    columns["observation.wrist"][...] = parse_wrist(wrist)
    columns["valid"][...] = True
    columns["valid"][invalid or []] = False
    return Episode(name, "try", columns, {"trajectory": -1})


def test_clips_never_cross_an_episode_nor_an_invalid_row(tmp_path: Path) -> None:
    moving = episode("c", 20, "palm_up")
    moving.columns["observation.wrist"][10:] = parse_wrist("palm_down")
    data = write_rows_only(
        tmp_path / "set",
        [[episode("a", 25, "palm_down", [12]), episode("b", 11, "thumb_up")], [moving]],
    )
    clips = clips_of_dataset(data, 10, "palm_up", 0)
    assert [(clip.name, len(clip)) for clip in clips] == [
        ("episode 0 0", 10), ("episode 0 0", 10), ("episode 1 0", 10)
    ]  # fmt: skip
    assert [clip.q[0, 0] for clip in clips] == [0.0, 13.0, 0.0]
    assert clips[1].q[-1, 0] == 23.0 and clips[1].action[-1, 0] == -22.0
    np.testing.assert_allclose(parse_wrist(clips[2].wrist), parse_wrist("thumb_up"), atol=2e-3)
    assert len(clips_of_dataset(data, 10, "palm_up", 2)) == 2
    with pytest.raises(SysidError, match="no 51 valid rows"):
        clips_of_dataset(data, 100, "palm_up", 0)


def test_the_previous_target_is_what_a_clip_holds() -> None:
    action = np.tile(np.arange(21.0)[:, None], (1, 16))
    clips = cut("a", "a", "palm_up", action, np.full((21, 16), np.nan), action, 8)
    assert [clip.held[0] for clip in clips] == [0.0, 7.0, 15.0]
    assert [len(clip) for clip in clips] == [8, 8, 4] and not clips[0].qd.any()


def test_groups_are_held_out_as_a_whole() -> None:
    q = np.zeros((17, 16))
    clips = [c for name in "abcde" for c in cut(name, name, "palm_up", q, q, q, 8)]
    fit, out = held_out(clips, 0.2, seed=4)
    assert len(fit) == 8 and len(out) == 2 and len({clips[k].group for k in out}) == 1
    assert sorted(fit + out) == list(range(10)) and held_out(clips, 0.2, 4) == (fit, out)
    with pytest.raises(SysidError, match="at least two"):
        held_out(clips[:2], 0.2, 0)


def test_the_gate_refuses_what_is_spread_at_a_bound_or_not_felt() -> None:
    found = {"kp": np.full((3, 16), 1.2), "friction": np.full((3, 16), 0.02)}
    found["kp"][:, 1] = [1.0, 1.2, 1.5]
    found["kp"][:, 2] = 4.99
    found["friction"][:, 1] = [0.01, 0.02, 0.03]
    active = {name: np.ones(16, dtype=bool) for name in found}
    active["kp"][5] = False
    felt = {name: np.full(16, 0.5) for name in found}
    felt["kp"][3] = 0.01
    rows = estimates(found, active, nominal_values(World()), felt, Limits(0.3, 0.05))
    by_name = {(each.parameter, each.index): each for each in rows}
    assert len(rows) == 31 and ("kp", 5) not in by_name
    assert by_name["kp", 0].refused == "" and by_name["kp", 0].value == pytest.approx(1.2)
    assert "spread over seeds 41%" in by_name["kp", 1].refused and by_name["kp", 1].value == 1.0
    assert "upper bound, 5" in by_name["kp", 2].refused
    assert "not felt" in by_name["kp", 3].refused
    # The friction of joint 1 is worse than its gain: it goes first.
    worst = {(each.parameter, each.index) for each in refuse_worst(rows, False, True)}
    assert worst == {("friction", 1), ("kp", 2), ("kp", 3)}
    assert [(each.parameter, each.index) for each in refuse_worst(rows, True, False)] == [("kp", 3)]


def test_the_gate_refuses_a_finger_that_is_not_better_on_held_out_clips() -> None:
    found = {"kp": np.full((3, 16), 1.2), "delay": np.full((3, 16), 0.02)}
    active = {name: np.ones(16, dtype=bool) for name in found}
    felt = {name: np.full(16, 0.5) for name in found}
    rows = estimates(found, active, nominal_values(World()), felt, Limits())
    before, after = np.full(16, 0.01), np.full(16, 0.005)
    after[4:8] = 0.011
    judged = refuse_fingers(rows, before, after)
    assert [bool(each.refused) for each in judged] == [4 <= k < 8 for k in range(16)] + [False]
    assert "held-out error of the middle is 11.00 mrad" in judged[4].refused


def test_a_world_file_reads_back_as_the_world(tmp_path: Path) -> None:
    world = with_values(World.load("twin"), values_of(np.random.default_rng(2)))
    world = dataclasses.replace(world, name="again", wrist="0,0,0,1")
    path = tmp_path / "world.yaml"
    path.write_text(world_text(world, [], ["a line"]), encoding="utf-8")
    assert World.load(path) == world


@pytest.mark.parametrize("name", PARAMETERS)
def test_values_and_numbers_of_the_search_belong_together(name: str) -> None:
    parameter = PARAMETERS[name]
    values = np.linspace(parameter.low, parameter.high, 7)
    np.testing.assert_allclose(parameter.value(parameter.x(values)), values, rtol=1e-12, atol=1e-15)
    low, high = parameter.bounds
    assert low < high and parameter.bound_reached(parameter.low) == "lower"
    assert parameter.bound_reached((parameter.low + parameter.high) / 2) == ""


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(SysidError, match="stiffness; choose from kp"):
        parse_parameters(["kp", "stiffness"])
