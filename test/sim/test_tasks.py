# SPDX-License-Identifier: Apache-2.0
"""The axes and wrists that tasks are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from dexndm_ros.policy.wrist import WRISTS, AxisError
from dexndm_ros.sim.tasks import ROTATION_AXES, TaskDraw


def test_there_are_32_axes_evenly_spread_with_the_principal_ones():
    assert ROTATION_AXES.shape == (32, 3)
    np.testing.assert_allclose(np.linalg.norm(ROTATION_AXES, axis=1), 1.0)
    for axis in np.concatenate([np.eye(3), -np.eye(3)]):
        assert (np.abs(ROTATION_AXES - axis).max(axis=1) < 1e-12).sum() == 1
        assert (np.abs(ROTATION_AXES + axis).max(axis=1) < 1e-12).sum() == 1
    cosines = ROTATION_AXES @ ROTATION_AXES.T - 2.0 * np.eye(32)
    nearest = np.degrees(np.arccos(cosines.max(axis=1)))
    assert nearest.min() > 33.0 and nearest.max() < 36.0


def test_words_choose_among_them():
    assert TaskDraw(axes=("all",)).axis_table() is ROTATION_AXES
    assert TaskDraw(wrists=("all",)).wrist_names() == tuple(WRISTS)
    np.testing.assert_array_equal(TaskDraw(axes=("+z", "-x")).axis_table(), [[0, 0, 1], [-1, 0, 0]])
    assert TaskDraw(wrists=("base_up",)).wrist_names() == ("base_up",)
    with pytest.raises(AxisError):
        TaskDraw(axes=("up",)).axis_table()
