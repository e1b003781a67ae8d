# SPDX-License-Identifier: Apache-2.0
"""The shipped worlds with a gap are the ones that were written down once, and mean what the documentation says."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from dexndm_ros.hand.description import LINKS
from dexndm_ros.paths import world_path
from dexndm_ros.sim.gap import GapConfig
from dexndm_ros.sim.gap_worlds import gap_worlds, main
from dexndm_ros.sim.worlds import ServoConfig, World, WorldError

NAMES = (
    "gains",
    "gains_wide",
    "unmodelled",
    "twin",
    "twin_box",
    "delay_50ms",
    "mild_1",
    "mild_2",
    "mild_3",
)
DOCS = Path(__file__).parents[2] / "docs" / "worlds.md"


def test_the_frozen_files_have_the_bytes_that_were_written_down():
    table = dict(re.findall(r"^\| `(\w+)\.yaml` \| `([0-9a-f]{64})` \|$", DOCS.read_text(), re.M))
    assert set(table) == set(NAMES) == set(gap_worlds())
    for name, digest in table.items():
        file = world_path(name)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest, (
            f"{file} has changed. It is frozen: results were claimed on it. Put it back, and write a new "
            "world under a new name instead."
        )


def test_they_are_drawn_by_the_committed_program_and_no_hand(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.count(".yaml") == len(NAMES)
    for name in NAMES:
        assert (tmp_path / "new" / f"{name}.yaml").read_bytes() == world_path(name).read_bytes()


def test_what_they_leave_nominal_is_nominal():
    nominal = World.load("nominal")
    for name in NAMES:
        world = World.load(name)
        assert world.name == name
        assert world.hand == nominal.hand
        assert dataclasses.replace(
            world.servo, kp_scale=1.0, kd_scale=1.0, torque_scale=1.0
        ) == ServoConfig()  # fmt: skip
        if name != "twin_box":
            assert (world.object, world.wrist, world.physics) == (
                nominal.object,
                nominal.wrist,
                nominal.physics,
            )
    assert World.load("gains").gap == GapConfig()
    assert World.load("unmodelled").servo == nominal.servo
    assert World.load("delay_50ms") == dataclasses.replace(
        nominal, name="delay_50ms", gap=GapConfig(delay_s=0.05)
    )
    twin, box = World.load("twin"), World.load("twin_box")
    assert (twin.servo, twin.gap) == (box.servo, box.gap)
    assert (box.object.kind, box.box.kind, box.physics) == ("none", "balls", "balls")


def test_the_gains_world_has_the_paper_s_spread_and_the_nominal_mean():
    gains, nominal = World.load("gains").servo.gains(), ServoConfig().gains()
    for mine, plain, table in (
        (gains.kp_nm_rad, nominal.kp_nm_rad, {0: 1.78, 1: 3.52, 12: 1.94, 11: 1.53}),
        (gains.kd_nms_rad, nominal.kd_nms_rad, {0: 0.106, 1: 0.194, 12: 0.199, 11: 0.068}),
    ):
        assert mine.mean() == pytest.approx(plain.mean(), rel=1e-3)
        for k, identified in table.items():
            assert mine[k] / mine[0] == pytest.approx(identified / table[0], rel=1e-3)


def test_the_twin_has_the_paper_s_masses():
    scale = World.load("twin").gap.link_mass_scale
    links = {"palm": (0.257, 0), "index_base": (0.0241, 1), "ring_distal": (0.0223, 12)}
    for name, (kilograms, k) in (links | {"thumb_axial": (0.003, 14)}).items():
        assert scale[k] * LINKS[name].mass_kg == pytest.approx(kilograms, rel=1e-3)
        assert list(LINKS)[k] == name


def test_any_hand_goes_into_the_box():
    twin, box = World.load("twin"), World.load("twin_box")
    assert dataclasses.replace(twin.with_load("full"), name="twin_box", wrist="palm_down") == box
    assert twin.with_load("") is twin
    assert box.with_load("half") is box
    free = World.load("unmodelled").with_load("free")
    assert (free.name, free.object.kind, free.box.kind) == ("unmodelled_free", "none", "none")
    assert free.gap == World.load("unmodelled").gap
    with pytest.raises(WorldError, match="full, half, free, tied"):
        twin.with_load("heavy")


@pytest.mark.parametrize("name", ["mild_1", "mild_2", "mild_3", "twin"])
def test_mild_worlds_are_mild(name):
    world = World.load(name)
    assert 0.0 < world.gap.delay_s <= 0.02
    assert np.max(np.abs(world.gap.target_offset_rad)) <= 0.03
    assert np.max(world.gap.backlash_rad) <= 0.02
    assert np.max(world.gap.friction_loss_nm) <= 0.03
