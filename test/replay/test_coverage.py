# SPDX-License-Identifier: Apache-2.0
"""What a library covers is counted exactly, and told in a table and a picture."""

from __future__ import annotations

import numpy as np
import pytest

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.replay.coverage import axis_name, coverage, plot_coverage, table
from dexndm_ros.training.library_cli import main
from support.trajectories import trajectories


def test_figures_are_those_of_all_targets_of_a_group():
    rows = trajectories(6)
    up, down = coverage(rows)
    assert [(group.wrist, group.count) for group in (up, down)] == [
        ("palm_up", 3),
        ("palm_down", 3),
    ]
    targets = np.stack([row.targets_rad for row in rows[::2]])
    np.testing.assert_array_equal(up.low_rad, targets.min(axis=(0, 1)))
    np.testing.assert_array_equal(up.high_rad, targets.max(axis=(0, 1)))
    wanted, _ = np.histogram(targets[:, :, 5], 64, (LOWER_RAD[5], UPPER_RAD[5]))
    np.testing.assert_array_equal(up.histogram[5], wanted)
    steps = np.abs(np.diff(targets, axis=1))
    assert up.largest_step_rad == steps.max()
    for share in (0.5, 0.99, 1.0):
        assert up.step_quantile_rad(share) == pytest.approx(np.quantile(steps, share), abs=2.6e-4)


def test_the_table_names_every_joint_and_the_way_between_trajectories():
    text = table(coverage(trajectories(6)))
    for name in JOINT_NAMES:
        assert name in text
    assert "palm_down, way to the next start: random order median" in text
    assert "one trajectory" in table(coverage(trajectories(1)))


def test_more_groups_than_columns_are_wrapped():
    rows = trajectories(2)
    groups = [group for _ in range(3) for group in coverage(rows)]
    assert table(groups).count("index_pip") == 2


@pytest.mark.parametrize(
    ("axis", "name"),
    [
        ((0.0, 0.0, 1.0), "+z"),
        ((-1.0, 0.0, 0.0), "-x"),
        ((0.0, 0.0, 0.0), "-"),
        ((0.6, 0.8, 0.0), "0.6,0.8,0"),
    ],
)
def test_axes_have_short_names(axis, name):
    assert axis_name(axis) == name


def test_a_picture_is_drawn(tmp_path):
    plot_coverage(coverage(trajectories(2)), tmp_path / "a.png", "two")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_waves_are_inspected_like_a_file(capsys):
    assert main(["inspect", "waves:sine:4,square:3"]) == 0
    text = capsys.readouterr().out
    assert "any        -            7" in text
