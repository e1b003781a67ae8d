# SPDX-License-Identifier: Apache-2.0
"""Windows of angles and targets from datasets, out of memory or streamed from the files: the same batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dexndm_ros.datasets.split import split_episodes
from dexndm_ros.datasets.windows import WindowDataset
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.dynamics.errors import DynamicsError

__all__ = ["MemoryWindows", "StreamedWindows", "Windows", "open_windows", "share_of_batch"]

COLUMNS = ("observation.state", "action")
_ROW_BYTES = 2 * JOINT_COUNT * 4
_SHARE_OF_MEMORY = 0.5
"""Of what is free, for the data; the rest is for the training."""
_CHUNK = 1 << 16


class Windows(Protocol):
    """Windows of ``length`` consecutive ticks.

    Attributes:
        length: ticks.
        where: "memory" or "stream".
    """

    length: int
    where: str

    def __len__(self) -> int:
        """Windows."""

    def batches(
        self, size: int, epoch: int | None, rank: int = 0, ranks: int = 1, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of every batch.

        Args:
            size: windows of a batch, over all processes.
            epoch: decides the order; None = all windows in the order of the files.
            rank: number of this process.
            ranks: processes.
            first: batches to leave out at the begin.

        Returns:
            Angles and targets, (b, length, 16) each, rad, on the device. With an epoch, what is left over behind the
            last whole batch is not given, unless there is no whole batch.
        """

    def batch_count(self, size: int) -> int:
        """Batches of an epoch."""


def share_of_batch(count: int, rank: int, ranks: int) -> slice:
    """Which of a batch's windows a process takes."""
    each = -(-count // ranks)
    return slice(min(rank * each, count), min((rank + 1) * each, count))


def _batch_count(windows: int, size: int) -> int:
    return max(windows // size, 1) if windows else 0


class MemoryWindows:
    """All rows in the device's memory; a batch is one gather.

    Args:
        sets: the datasets' windows.
        device: where the rows are kept.
        seed: of the order.
        beside: other windows of the same datasets, whose rows are used too.
    """

    where = "memory"

    def __init__(
        self,
        sets: Sequence[WindowDataset],
        device: torch.device,
        seed: int,
        beside: MemoryWindows | None = None,
    ) -> None:
        self.length = sets[0].length
        self._seed = seed
        self._device = device
        offsets = np.cumsum([0, *(each.rows for each in sets)])
        self.starts = np.concatenate(
            [
                each.starts.astype(np.int64) + offset
                for each, offset in zip(sets, offsets, strict=False)
            ]
        )
        self._rows: list[Tensor] = beside._rows if beside is not None else _rows_of(sets, device)
        for name, column in zip(COLUMNS, self._rows, strict=True):
            self._check(name, column, sets)

    def __len__(self) -> int:
        return len(self.starts)

    def batch_count(self, size: int) -> int:
        """Batches of an epoch."""
        return _batch_count(len(self), size)

    def batches(
        self, size: int, epoch: int | None, rank: int = 0, ranks: int = 1, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``Windows``."""
        order = self.starts
        if epoch is not None:
            order = order.copy()
            stream = np.random.PCG64(np.random.SeedSequence([self._seed, epoch]))
            np.random.Generator(stream).shuffle(order)
        count = self.batch_count(size) if epoch is not None else -(-len(order) // size)
        # One view of every window that could be; what is copied are those of the batch.
        views = [
            column.as_strided(
                (len(column) - self.length + 1, self.length, JOINT_COUNT),
                (JOINT_COUNT, JOINT_COUNT, 1),
            )
            for column in self._rows
        ]
        for number in range(first, count):
            chosen = np.sort(order[number * size : (number + 1) * size])
            chosen = chosen[share_of_batch(len(chosen), rank, ranks)]
            index = torch.from_numpy(chosen).to(self._device)
            yield views[0].index_select(0, index), views[1].index_select(0, index)

    def _check(self, name: str, column: Tensor, sets: Sequence[WindowDataset]) -> None:
        bad = ~torch.isfinite(column).all(1)
        if not bad.any() or not len(self.starts):
            return
        before = torch.cat([bad.new_zeros(1, dtype=torch.int64), bad.cumsum(0)])
        starts = torch.from_numpy(self.starts).to(self._device)
        hit = before[starts + self.length] > before[starts]
        if hit.any():
            row = int(starts[hit][0])
            for each in sets:
                if row < each.rows:
                    raise DynamicsError(
                        f"{each.dataset}: {name} is not finite in the window from row {row}, though its rows are "
                        "valid; convert the bags again"
                    )
                row -= each.rows


def _rows_of(sets: Sequence[WindowDataset], device: torch.device) -> list[Tensor]:
    """Both columns of all datasets, one behind the other."""
    rows: list[list[NDArray[np.generic]]] = [[] for _ in COLUMNS]
    for each in sets:
        loader = WindowDataset(each.dataset, 1, COLUMNS, only_valid=False)
        for batch in loader.batches(_CHUNK, shuffle=False):
            for column, name in zip(rows, COLUMNS, strict=True):
                column.append(batch[name][:, 0])
    return [torch.from_numpy(np.concatenate(column)).to(device) for column in rows]


class StreamedWindows:
    """Windows from the mapped files, for data larger than the memory.

    Args:
        sets: the datasets' windows; made with the seed of the order.
        device: where the batches go.
        seed: of the order in which datasets take turns.
    """

    where = "stream"

    def __init__(self, sets: Sequence[WindowDataset], device: torch.device, seed: int) -> None:
        self.length = sets[0].length
        self._sets = [each for each in sets if len(each)]
        self._device = device
        self._seed = seed

    def __len__(self) -> int:
        return sum(len(each) for each in self._sets)

    def batch_count(self, size: int) -> int:
        """Batches of an epoch."""
        return sum(_batch_count(len(each), size) for each in self._sets)

    def batches(
        self, size: int, epoch: int | None, rank: int = 0, ranks: int = 1, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``Windows``; a batch has windows of one dataset only."""
        counts = [
            _batch_count(len(each), size) if epoch is not None else -(-len(each) // size)
            for each in self._sets
        ]
        turns = np.repeat(np.arange(len(counts)), counts)
        if epoch is not None and len(counts) > 1:
            stream = np.random.PCG64(np.random.SeedSequence([self._seed, epoch]))
            np.random.Generator(stream).shuffle(turns)
        sources = [self._of_one(each, size, epoch, rank, ranks) for each in self._sets]
        for number, turn in enumerate(turns):
            batch = next(sources[turn])
            if number >= first:
                yield batch

    def _of_one(
        self, data: WindowDataset, size: int, epoch: int | None, rank: int, ranks: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        # The whole batch is read and a share of it kept: then batches do not depend on how many processes there are.
        for batch in data.batches(
            size, epoch or 0, shuffle=epoch is not None, drop_last=epoch is not None and len(data) >= size
        ):  # fmt: skip
            part = share_of_batch(len(batch[COLUMNS[0]]), rank, ranks)
            q, a = (torch.from_numpy(np.ascontiguousarray(batch[name][part])) for name in COLUMNS)
            yield q.to(self._device, non_blocking=True), a.to(self._device, non_blocking=True)


def open_windows(
    folders: Sequence[str | Path],
    length: int,
    device: torch.device,
    episodes: Literal["train", "val"] | None = None,
    seed: int = 0,
    trajectories: int = 0,
    keep: Literal["auto", "memory", "stream"] = "auto",
    beside: Windows | None = None,
) -> Windows:
    """Windows of some datasets.

    Args:
        folders: that ``dexndm convert`` made.
        length: ticks of a window.
        device: where batches are wanted.
        episodes: which; None = all.
        seed: of order and draw.
        trajectories: so many of the episodes, drawn; 0 = all.
        keep: "auto" = in memory where half of what is free is enough.
        beside: other windows of the same folders: where they are in memory, these use the same rows.

    Raises:
        DatasetError: no dataset.
        DynamicsError: no window in it, or numbers that are not finite.
    """
    sets = []
    for folder, count in zip(folders, _drawn_of_each(folders, trajectories), strict=True):
        wanted: Literal["train", "val"] | list[int] | None = episodes
        if trajectories and episodes == "train":
            wanted = _draw(folder, count, seed)
        sets.append(WindowDataset(Path(folder), length, COLUMNS, seed=seed, episodes=wanted))
    if not sum(len(each) for each in sets):
        which = {"train": "to train on", "val": "to validate with", None: "at all"}[episodes]
        raise DynamicsError(
            f"{', '.join(map(str, folders))}: no stretch of {length} valid rows {which}; collect more trajectories"
        )
    if isinstance(beside, MemoryWindows):
        return MemoryWindows(sets, device, seed, beside)
    rows = sum(each.rows for each in sets)
    fits = rows * _ROW_BYTES < _SHARE_OF_MEMORY * _free_bytes(device)
    kind = MemoryWindows if keep == "memory" or (keep == "auto" and fits) else StreamedWindows
    return kind(sets, device, seed)


def _drawn_of_each(folders: Sequence[str | Path], trajectories: int) -> list[int]:
    """How many of the drawn trajectories come from each dataset: in proportion to what each has."""
    have = [len(split_episodes(folder)[0]) for folder in folders] if trajectories else []
    if not trajectories:
        return [0] * len(folders)
    if trajectories > sum(have):
        raise DynamicsError(
            f"trajectories is {trajectories}, and there are {sum(have)} to train on; give fewer, or 0 for all"
        )
    ends = np.round(np.cumsum([0, *have]) * (trajectories / sum(have))).astype(int)
    return [int(n) for n in np.diff(ends)]


def _draw(folder: str | Path, count: int, seed: int) -> list[int]:
    """The first so many of one shuffled list: a smaller draw is part of a larger one."""
    train = split_episodes(folder)[0]
    order = np.random.default_rng([seed, len(train)]).permutation(train)
    return sorted(int(episode) for episode in order[:count])


def _free_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
