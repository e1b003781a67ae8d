# SPDX-License-Identifier: Apache-2.0
"""Stretches of a dataset: consecutive valid rows of one episode, with the hand's base at rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.mapped import RowGroups, open_row_groups

__all__ = ["Stretch", "stretches_of_dataset"]

Array = NDArray[np.float64]
_WRIST_TURN = 0.05
"""Most that a quaternion's numbers may change in a stretch: gravity is taken as constant."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """M rows, at least three; the action of a row acts from it to the next.

    Attributes:
        episode: index in the dataset.
        wrist: as ``parse_wrist`` reads it.
        q: measured angles, (M, 16) rad.
        qd: measured velocities, (M, 16) rad/s; not finite where nobody knows.
        action: executed targets, (M, 16) rad.
    """

    episode: int
    wrist: str
    q: Array
    qd: Array
    action: Array


def stretches_of_dataset(folder: Path, wrist: str) -> list[Stretch]:
    """All stretches of a dataset that ``dexndm convert`` or ``dexndm rollouts`` made, in its order.

    Args:
        folder: of the dataset.
        wrist: where the dataset does not know it.

    Raises:
        DatasetError: no dataset.
    """
    groups = open_row_groups(folder)
    episode = groups.numbers("episode_index").astype(np.int64)
    valid = groups.numbers("valid").astype(bool)
    names = ("observation.state", "action", "observation.velocity", "observation.wrist")
    state, action, velocity, turned = (_joined(groups, name) for name in names)
    stretches = []
    edges = np.flatnonzero((np.diff(episode) != 0) | ~valid[1:] | ~valid[:-1]) + 1
    for begin, end in zip([0, *edges], [*edges, len(valid)], strict=True):
        if not valid[begin] or end - begin < 3:
            continue
        rows = slice(int(begin), int(end))
        where = _wrist(turned[rows], wrist)
        if where:
            stretches.append(
                Stretch(int(episode[begin]), where, state[rows], velocity[rows], action[rows])
            )
    return stretches


def _joined(groups: RowGroups, name: str) -> Array:
    column = groups.column(name)
    return np.concatenate(column.groups).astype(np.float64).reshape(groups.rows, -1)


def _wrist(turned: Array, known: str) -> str:
    """Wrist of a stretch, "" where it moved."""
    if not np.isfinite(turned).all():
        return known
    if np.ptp(turned, axis=0).max() > _WRIST_TURN:
        return ""
    mean = turned.mean(axis=0)
    return ",".join(f"{v:.3f}" for v in mean / np.linalg.norm(mean))
