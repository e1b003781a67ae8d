# SPDX-License-Identifier: Apache-2.0
"""Histories of joints: windows drawn from a dataset, in two halves that share no trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.split import split_episodes
from dexndm_ros.datasets.windows import WindowDataset
from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.analyze.config import AnalyzeError

__all__ = ["GROUPS", "LEVELS", "Histories", "draw_columns", "draw_halves", "features"]

Array = NDArray[np.float64]

_A_FINGER = JOINT_COUNT // len(FINGERS)
LEVELS: dict[str, dict[str, tuple[int, ...]]] = {
    "joint": {name: (k,) for k, name in enumerate(JOINT_NAMES)},
    "finger": {
        name: tuple(range(k * _A_FINGER, (k + 1) * _A_FINGER)) for k, name in enumerate(FINGERS)
    },
    "hand": {"whole hand": tuple(range(JOINT_COUNT))},
}
"""Joints of every group: one joint, one finger, the whole hand."""
GROUPS = {name: joints for groups in LEVELS.values() for name, joints in groups.items()}


@dataclass(frozen=True, eq=False)
class Histories:
    """Windows of W ticks, oldest first, and the angles after them.

    Attributes:
        q: measured angles, (N, W + 1, 16) rad; the last row is the angles that follow.
        a: targets, (N, W, 16) rad; the newest acts until the angles that follow.
    """

    q: Array
    a: Array

    def __len__(self) -> int:
        return len(self.q)

    @property
    def change(self) -> Array:
        """How far each joint moves until the next tick, (N, 16) rad."""
        return self.q[:, -1] - self.q[:, -2]

    def first(self, count: int) -> Histories:
        """So many of them; they stand in a random order."""
        return Histories(self.q[:count], self.a[:count])

    def raw(self, joints: Sequence[int]) -> Array:
        """Angles and targets of some joints as they are, (N, joints * 2 W) rad."""
        chosen = list(joints)
        both = np.concatenate([self.q[:, :-1, chosen], self.a[:, :, chosen]], axis=1)
        return both.reshape(len(self), -1)


def features(histories: Histories) -> Array:
    """The same numbers as a model takes them: newest angle, changes between the angles, distances a - q.

    Returns:
        (N, 16, 2 W) rad, of each joint its own.
    """
    q, a = histories.q[:, :-1], histories.a
    parts = [q[:, -1:], np.diff(q, axis=1), a - q]
    return np.concatenate(parts, axis=1).transpose(0, 2, 1)


def draw_halves(folder: Path, window: int, count: int, seed: int) -> tuple[Histories, Histories]:
    """Windows from either half of a dataset's trajectories.

    Args:
        folder: of the dataset.
        window: ticks, W.
        count: most windows of a half.
        seed: of the draw.

    Raises:
        DatasetError: no dataset.
        AnalyzeError: episodes too short, or too few of them for two halves.
    """
    return (
        draw(folder, window, count, seed, half=0),
        draw(folder, window, count, seed, half=1),
    )


def draw(folder: Path, window: int, count: int, seed: int, half: int) -> Histories:
    """Windows from one half; see ``draw_halves``."""
    names = ("observation.state", "action")
    q, a = draw_columns(folder, names, window + 1, count, seed, half)
    return Histories(q, a[:, :-1])


def draw_columns(
    folder: Path, names: Sequence[str], length: int, count: int, seed: int, half: int
) -> list[Array]:
    """Columns of windows of ``length`` valid rows, in a random order; the same windows for the same settings.

    Raises:
        DatasetError: no dataset, or no such column.
        AnalyzeError: see ``draw_halves``.
    """
    episodes = split_episodes(folder, share=0.5)[half]
    if not len(episodes):
        raise AnalyzeError(
            f"{folder}: its trajectories do not fill two halves; give a dataset of at least ten trajectories"
        )
    windows = WindowDataset(folder, length, names, episodes=[int(k) for k in episodes])
    if not len(windows):
        raise AnalyzeError(
            f"{folder}: no {length} valid rows in a row in one half of its episodes; give a shorter --window, or "
            "longer episodes"
        )
    order = np.random.default_rng([seed, half]).permutation(len(windows))[:count]
    found = windows.windows(windows.starts[order])
    columns = [found[name].astype(np.float64) for name in names]
    for name, column in zip(names, columns, strict=True):
        if name in ("observation.state", "action") and not np.isfinite(column).all():
            raise AnalyzeError(
                f"{folder}: {name} is not finite in rows that are valid; convert the bags again"
            )
    return columns
