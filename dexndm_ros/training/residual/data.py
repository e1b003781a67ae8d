# SPDX-License-Identifier: Apache-2.0
"""Stretches of the base policy's rollouts, and what the residual saw in each of their ticks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dexndm_ros.datasets.windows import WindowDataset
from dexndm_ros.policy.observation import HISTORY_LENGTH, canonical_quaternion
from dexndm_ros.training.residual.errors import ResidualError

__all__ = ["Segments", "Stretch", "checksum", "open_segments"]

_COLUMNS = (
    "observation.state",
    "action.clean",
    "action.residual",
    "observation.wrist",
    "observation.axis",
)
_MOST_RESIDUAL_RAD = 1e-6


@dataclass(frozen=True)
class Stretch:
    """Some stretches of S ticks side by side.

    Attributes:
        q: measured angles, (B, S, 16) rad.
        a: base targets, (B, S, 16) rad; of a tick, what was decided in it.
        wrist: quaternions, xyzw, canonical, (B, S, 4).
        axis: (B, S, 3).
    """

    q: Tensor
    a: Tensor
    wrist: Tensor
    axis: Tensor

    def inputs(self) -> Tensor:
        """What the residual's network saw, (B, S - 10, 343): in every tick with ten pairs before it."""
        first, ticks = HISTORY_LENGTH, self.q.shape[1]
        # The pair of tick k is (q_k, a_{k-1}); ten of them, oldest first.
        pairs = torch.cat([self.q[:, 1:], self.a[:, :-1]], 2).unfold(1, HISTORY_LENGTH, 1)
        pairs = pairs.transpose(2, 3).reshape(len(self.q), ticks - first, -1)
        return torch.cat([pairs, self.wrist[:, first:], self.axis[:, first:], self.a[:, first:]], 2)


class Segments:
    """All stretches of some datasets.

    Args:
        sets: their windows.
        seed: of the order.
    """

    def __init__(self, sets: Sequence[WindowDataset], seed: int) -> None:
        parts = [each.windows(each.starts) for each in sets if len(each)]
        columns = {
            name: np.concatenate([part[name] for part in parts]).astype(np.float32)
            for name in _COLUMNS
        }
        if np.abs(columns["action.residual"]).max() > _MOST_RESIDUAL_RAD:
            raise ResidualError(
                "the rollouts were made with a residual already; make some with the base policy alone"
            )
        for name, column in columns.items():
            if not np.isfinite(column).all():
                raise ResidualError(
                    f"{name} of the rollouts has numbers that are not finite; make them again"
                )
        self._q, self._a, _, wrist, self._axis = (torch.from_numpy(columns[n]) for n in _COLUMNS)
        self._wrist = torch.from_numpy(canonical_quaternion(wrist.numpy()))
        self._seed = seed

    def __len__(self) -> int:
        return len(self._q)

    def checksum(self) -> str:
        """Of the data."""
        return checksum(self._q, self._a, self._wrist, self._axis)

    def take(self, rows: Tensor) -> Stretch:
        """Some of them."""
        return Stretch(self._q[rows], self._a[rows], self._wrist[rows], self._axis[rows])

    def batches(self, size: int, epoch: int) -> Iterator[Stretch]:
        """All of them once, in an order that follows from seed and epoch."""
        order = torch.from_numpy(np.random.default_rng([self._seed, epoch]).permutation(len(self)))
        for rows in order.split(size):
            yield self.take(rows)

    def sample(self, count: int) -> Stretch:
        """So many, the same ones whenever asked."""
        order = torch.from_numpy(
            np.random.default_rng([self._seed, 1 << 31]).permutation(len(self))
        )
        return self.take(order[:count])


def checksum(*tensors: Tensor) -> str:
    """Another one for other numbers."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()


def open_segments(folders: Sequence[str], ticks: int, seed: int) -> Segments:
    """Overlapping stretches, each tick in about two of them.

    Args:
        folders: that ``dexndm rollouts policy`` made.
        ticks: of a stretch.
        seed: of the order.

    Raises:
        DatasetError: no dataset, or one without the columns.
        ResidualError: no stretch that long, or data of another kind.
    """
    sets = [WindowDataset(Path(each), ticks, _COLUMNS, stride=ticks // 2) for each in folders]
    if not sum(len(each) for each in sets):
        raise ResidualError(
            f"{', '.join(folders)}: no stretch of {ticks} valid ticks; make rollouts that hold the object longer"
        )
    return Segments(sets, seed)
