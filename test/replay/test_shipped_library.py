# SPDX-License-Identifier: Apache-2.0
"""The library that ships: found by name, fit to be replayed, and made by the policy that ships beside it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dexndm_ros.hand.guard import Accepted, Guard, Mode
from dexndm_ros.paths import library_path, policy_path, share_dir
from dexndm_ros.replay.coverage import coverage
from dexndm_ros.replay.library import TrajectoryLibrary, open_source
from dexndm_ros.replay.noise import NoiseConfig, executed, noise, trajectory_seed
from dexndm_ros.replay.ramp_order import ends, order_by_ramp, ramp_rad


@pytest.fixture(scope="module")
def library() -> TrajectoryLibrary:
    source = open_source("cylinder_z")
    assert isinstance(source, TrajectoryLibrary)
    return source


def test_it_is_found_by_folder_by_name_and_by_file():
    file = share_dir() / "policies" / "cylinder_z" / "trajectories.parquet"
    assert library_path("cylinder_z") == file
    assert library_path("cylinder_z/trajectories") == file
    assert library_path(file) == file
    assert file.stat().st_size < 4e6


def test_it_holds_64_trajectories_of_each_task_of_the_policy(library):
    groups = {(group.wrist, group.axis[2]): group.count for group in coverage(library)}
    assert groups == {(wrist, z): 64 for wrist in ("palm_up", "palm_down") for z in (1.0, -1.0)}


def test_the_policy_that_made_it_is_the_one_that_ships(library):
    made_by = library.header.provenance["policy_sha256"]["cylinder_z/generalist"]
    assert made_by == hashlib.sha256(policy_path("cylinder_z").read_bytes()).hexdigest()


def test_its_trajectories_differ(library):
    assert len({one.targets_rad.tobytes() for one in library}) == len(library)


def test_a_guard_lets_noisy_targets_pass_unlimited(library):
    for name in (0, 100, 200):
        clean = library.trajectory(name).targets_rad
        targets = executed(clean, noise(NoiseConfig(), trajectory_seed(0, name)))
        guard = Guard()
        guard.enable(targets[0])
        now_s = 10.0
        for seq, target in enumerate([targets[0], *targets]):
            assert guard.accept(target, seq, "test", now_s) == Accepted(clipped=False)
            output = guard.tick(target, now_s)
            assert output.mode is Mode.ACTIVE
            assert not output.limited
            np.testing.assert_array_equal(output.target, target)
            now_s += 0.05


def test_ways_between_trajectories_leave_room_for_a_duty_cycle_of_99_percent(library):
    """At 0.15 rad a tick a way may take 4 ticks of 400 on average; the greedy order is shorter still."""
    for wrist in library.wrists:
        starts, finals = ends(library, library.ids(wrist))
        ticks = [
            np.ceil(ramp_rad(starts, finals, list(order)) / 0.15).mean()
            for order in (
                np.random.RandomState(0).permutation(len(starts)),
                order_by_ramp(starts, finals),
            )
        ]
        assert ticks[1] < ticks[0] < 4.0
