# SPDX-License-Identifier: Apache-2.0
"""Datasets of rollouts as what behaviour cloning needs of them, one row group at a time.

A row has the measured angles, the target in force and the target that the oracle wanted. Its action is
(wanted - in force) x 24; its observation is made of the ten rows up to it by ``policy.observation``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.mapped import data_files, decoded
from dexndm_ros.datasets.split import split_episodes
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.policy.observation import HISTORY_LENGTH, ObservationHistory
from dexndm_ros.sim.env import ACTION_SCALE_RAD
from dexndm_ros.training.cloning.columns import COLUMNS, check_columns, check_rate, opened

__all__ = ["Group", "Rows", "Shards"]

Array = NDArray[np.float32]
_NUMBERS = {"episode_index": 0, "frame_index": 0, "valid": 0}
_MOST_RESIDUAL_RAD = 1e-6
_MOST_ACTION = 1.001
"""An action is at most 1; angles are kept in single precision."""
_TOLD = {"wrists": "orientation", "axes": "axis", "worlds": "campaign", "families": "object_family"}


@dataclass(frozen=True)
class Group:
    """A row group of a data file.

    Attributes:
        dataset: number of its dataset.
        path: its file.
        index: of it in the file.
        rows: in it.
        learned: of them, samples to learn from.
        held_out: samples to validate with.
    """

    dataset: int
    path: Path
    index: int
    rows: int
    learned: int
    held_out: int


@dataclass
class Rows:
    """M rows in memory.

    Attributes:
        q: measured angles, (M, 16) rad.
        target: in force when they were measured, (M, 16) rad.
        action: what the oracle wanted, in [-1, 1], (M, 16).
        wrist: quaternions xyzw, (M, 4).
        axis: palm frame, (M, 3).
        first: number of the first row of the row's episode, (M,).
        learned: numbers of the rows to learn from.
        held_out: numbers of the rows to validate with.
    """

    q: Array
    target: Array
    action: Array
    wrist: Array
    axis: Array
    first: NDArray[np.int64]
    learned: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.q)

    def observations(
        self,
        rows: NDArray[np.int64],
        noise_rad: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> Array:
        """What the student sees in some rows, (B, 327).

        Args:
            rows: their numbers, (B,).
            noise_rad: uniform noise on each measured angle.
            rng: of the noise.
        """
        # Before an episode's first row there was nothing: its history begins full of that row.
        window = rows[:, None] + np.arange(1 - HISTORY_LENGTH, 1)
        window = np.maximum(window, self.first[rows][:, None])
        q = self.q[window]
        if noise_rad and rng is not None:
            q = q + rng.uniform(-noise_rad, noise_rad, q.shape).astype(np.float32)
        history = ObservationHistory(len(rows))
        history.resume(q, self.target[window])
        return history.observation(self.wrist[rows], self.axis[rows])

    @staticmethod
    def room(count: int) -> Rows:
        """So many rows, not yet filled, and no samples."""
        q, target, action = np.empty((3, count, JOINT_COUNT), np.float32)
        wrist, axis = np.empty((count, 4), np.float32), np.empty((count, 3), np.float32)
        first, none = np.empty(count, np.int64), np.empty(0, np.int64)
        return Rows(q, target, action, wrist, axis, first, none, none)


class Shards:
    """The row groups of some datasets, checked, and counted by what they are for.

    Args:
        folders: that ``dexndm rollouts policy`` made.
        held_out: share of the trajectories to validate with.
        survivors_only: nothing of episodes that lost their object.

    Attributes:
        groups: in the order of datasets and rows.
        told: words about the data: wrists, axes, worlds, families, and the number of episodes.

    Raises:
        DatasetError: no dataset, or one that a student of this hand and rate cannot learn from.
    """

    def __init__(self, folders: Sequence[str], held_out: float, survivors_only: bool) -> None:
        self._use: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self.groups: list[Group] = []
        told: dict[str, set[str]] = {name: set() for name in _TOLD}
        for number, folder in enumerate(map(Path, folders)):
            files = data_files(folder)
            check_rate(folder)
            self._use.append(_episodes(folder, held_out, survivors_only, told))
            for path in files:
                self.groups += self._groups(number, path)
        if not self.learned:
            raise DatasetError(
                f"{', '.join(folders)}: there is no row to learn from; make more rollouts, or take those that lost "
                "their object too (--no-survivors-only)"
            )
        episodes = sum(len(learned) for learned, _ in self._use)
        self.told: dict[str, Any] = {name: sorted(words) for name, words in told.items()}
        self.told["episodes"] = episodes

    @property
    def learned(self) -> int:
        """Samples to learn from."""
        return sum(group.learned for group in self.groups)

    def fingerprint(self) -> str:
        """Another one for other data, the same wherever they lie."""
        told = [
            (each.path.name, each.index, each.rows, each.learned, each.path.stat().st_size)
            for each in self.groups
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def read(self, groups: Sequence[Group]) -> Rows:
        """Row groups, one after the other; beside them one more is in memory while they are read.

        Raises:
            DatasetError: damaged, or no rollouts of a policy without residual.
        """
        rows = Rows.room(sum(group.rows for group in groups))
        learned, held, at = [], [], 0
        for group in groups:
            samples = self._read(group, rows, slice(at, at + group.rows))
            learned.append(samples[0] + at)
            held.append(samples[1] + at)
            at += group.rows
        rows.learned, rows.held_out = np.concatenate(learned), np.concatenate(held)
        return rows

    def _read(
        self, group: Group, rows: Rows, place: slice
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A row group into its place; of its rows, those to learn from and to validate with."""
        with opened(group.path) as file:
            read = decoded(group.path, file, group.index, COLUMNS)
            first, learned, held = self._samples(group.dataset, group.path, file, group.index)
        column = {name: values.astype(np.float32, copy=False) for name, values in read.items()}
        wanted = column["action.clean"].astype(np.float64) - column["observation.command"]
        usable = np.concatenate([learned, held])
        where = f"{group.path}, row group {group.index}"
        if np.abs(column["action.residual"][usable]).max(initial=0.0) > _MOST_RESIDUAL_RAD:
            raise DatasetError(
                f"{where}: made with a residual; clone rollouts of an oracle or a base policy alone"
            )
        most = np.abs(wanted[usable]).max(initial=0.0) / ACTION_SCALE_RAD
        if not most <= _MOST_ACTION:
            raise DatasetError(
                f"{where}: a target lies {most * ACTION_SCALE_RAD:.3g} rad from the one in force, and an action moves "
                f"it by at most {ACTION_SCALE_RAD:.3g}; give datasets of `dexndm rollouts policy`"
            )
        rows.action[place] = np.clip(wanted / ACTION_SCALE_RAD, -1.0, 1.0)
        rows.q[place], rows.target[place] = (
            column["observation.state"],
            column["observation.command"],
        )
        rows.wrist[place], rows.axis[place] = (
            column["observation.wrist"],
            column["observation.axis"],
        )
        rows.first[place] = first + place.start
        return learned, held

    def _groups(self, dataset: int, path: Path) -> list[Group]:
        with opened(path) as file:
            check_columns(path, file.schema_arrow)
            groups = []
            for index in range(file.num_row_groups):
                first, learned, held = self._samples(dataset, path, file, index)
                groups.append(Group(dataset, path, index, len(first), len(learned), len(held)))
            return groups

    def _samples(
        self, dataset: int, path: Path, file: pq.ParquetFile, index: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """First row of each row's episode; rows to learn from; rows to validate with."""
        numbers = decoded(path, file, index, _NUMBERS)
        episode, frame, valid = (numbers[name].astype(np.int64) for name in _NUMBERS)
        rows = np.arange(len(episode))
        first = rows - frame
        if len(first) and (first.min() < 0 or (np.diff(first) < 0).any()):
            raise DatasetError(
                f"{path}, row group {index}: it begins in mid-episode; give datasets as `dexndm rollouts` writes them"
            )
        # A history must not hold rows that are no use; bad[k] of them stand before row k.
        bad = np.concatenate([[0], np.cumsum(valid == 0)])
        clean = bad[rows + 1] == bad[np.maximum(rows + 1 - HISTORY_LENGTH, first)]
        learned, held = (np.flatnonzero(clean & _among(episode, use)) for use in self._use[dataset])
        return first, learned, held


def _among(values: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of a few values are among many that ascend."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.asarray(known[at] == values)


def _episodes(
    folder: Path, held_out: float, survivors_only: bool, told: dict[str, set[str]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Episodes to learn from and to validate with; words about them go into ``told``."""
    learned, held = split_episodes(folder, held_out)
    fell: list[int] = []
    for path in sorted((folder / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        names = pq.read_schema(path).names
        wanted = [name for name in ("episode_index", "survived", *_TOLD.values()) if name in names]
        table = pq.read_table(path, columns=wanted)
        for key, name in _TOLD.items():
            if name in names:
                told[key] |= {word for word in pc.unique(table[name]).to_pylist() if word}
        if survivors_only and "survived" in names:
            lost = pc.equal(table["survived"], False)
            fell += table.filter(lost)["episode_index"].to_pylist()
    return np.setdiff1d(learned, fell), np.setdiff1d(held, fell)
