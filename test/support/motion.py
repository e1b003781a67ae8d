# SPDX-License-Identifier: Apache-2.0
"""Datasets of sixteen made-up joints that follow their targets, each in its own way and none of them linearly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.features import empty_columns
from support.datasets import write_rows_only

__all__ = ["joint_motion", "write_motion"]


def joint_motion(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles and targets of one episode, (rows, 16) each: a joint's step saturates, each at another limit."""
    rng = np.random.default_rng(seed)
    target = np.cumsum(rng.normal(0.0, 0.03, (rows, 16)), axis=0)
    q = np.zeros((rows, 16))
    limit = 0.01 + 0.002 * np.arange(16)
    for k in range(1, rows):
        q[k] = q[k - 1] + limit * np.tanh(0.5 * (target[k - 1] - q[k - 1]) / limit)
    return q, target


def write_motion(
    folder: Path, episodes: int = 30, rows: int = 60, seed: int = 0, bad_row: int = -1
) -> Path:
    """A dataset of such episodes, of a trajectory each; ``bad_row`` of the first one is not finite, though valid."""
    made = []
    for number in range(episodes):
        columns = empty_columns(rows)
        q, target = joint_motion(rows, 1000 * seed + number)
        columns["observation.state"][...] = q
        columns["action"][...] = target
        columns["valid"][...] = True
        if number == 0 and bad_row >= 0:
            columns["observation.state"][bad_row, 3] = np.nan
        made.append(Episode(f"{seed}-{number}", "try", columns, {"trajectory": number}))
    return write_rows_only(folder, [made])
