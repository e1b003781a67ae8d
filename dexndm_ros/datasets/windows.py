# SPDX-License-Identifier: Apache-2.0
"""Windows of consecutive rows for training, shuffled, straight from a dataset's mapped files.

    windows = WindowDataset(Path("night"), length=10, episodes="train")
    for epoch in range(20):
        for batch in windows.batches(4096, epoch):
            q, target = batch["observation.state"], batch["action"]  # (B, 10, 16) float32

A window never crosses the end of an episode, nor a row that is not valid. Nothing is copied but the windows themselves;
memory does not grow with the dataset, but for one number a window. No torch here: ``torch.from_numpy`` takes them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.mapped import Column, joined, open_row_groups
from dexndm_ros.datasets.split import split_episodes

__all__ = ["WindowDataset"]

_LEAST_A_THREAD = 2048
"""Windows that are worth a thread."""

Batch = dict[str, NDArray[np.generic]]


class WindowDataset:
    """All windows of a dataset.

    Args:
        dataset: folder that ``dexndm convert`` made.
        length: rows of a window.
        columns: which to give.
        stride: rows from one window's begin to the next one's, counted from the begin of the episode.
        seed: of the shuffling.
        only_valid: no window with a row that is not ``valid``.
        episodes: "train" or "val" (see ``split.split_episodes``), indices of episodes, or None for all.
        threads: that copy windows; 0 = one a core.

    Attributes:
        copied: columns that had to be read into memory as a whole.
        starts: row of the dataset at which each window begins, ascending.

    Raises:
        DatasetError: no dataset, no such column or episode, or a length that no window can have.
    """

    def __init__(
        self,
        dataset: Path | str,
        length: int,
        columns: Sequence[str] = ("observation.state", "action"),
        stride: int = 1,
        seed: int = 0,
        only_valid: bool = True,
        episodes: Literal["train", "val"] | Collection[int] | None = None,
        threads: int = 0,
    ) -> None:
        if length < 1 or stride < 1:
            raise DatasetError(f"length and stride must be 1 or more, got {length} and {stride}")
        if not columns:
            raise DatasetError("columns is empty; give at least one, such as observation.state")
        self.dataset = Path(dataset)
        self.length = length
        self._seed = seed
        self._groups = open_row_groups(self.dataset)
        episode = self._groups.numbers("episode_index").astype(np.int64)
        self._columns = [self._groups.column(name) for name in columns]
        self._group_starts = self._groups.starts
        inner = self._group_starts[1:-1]
        if (
            episode[inner] == episode[inner - 1]
        ).any():  # not written by us: no window there in one piece
            self._columns = [joined(each) for each in self._columns]
            self._group_starts = self._group_starts[[0, -1]]
        self.copied = tuple(each.name for each in self._columns if not each.mapped)
        self._threads = threads or os.cpu_count() or 1
        self.starts = self._starts(episode, stride, only_valid, episodes)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def rows(self) -> int:
        """Of the dataset."""
        return self._groups.rows

    def batches(
        self,
        batch_size: int,
        epoch: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        shard: tuple[int, int] = (0, 1),
        reuse: bool = False,
    ) -> Iterator[Batch]:
        """Every window once, in an order that follows from seed and epoch alone.

        Which windows are together in a batch is chance; within the batch they stand in the order of the files, which
        is what makes it fast. Take a batch as a whole: do not cut it into smaller ones.

        Args:
            batch_size: windows in a batch.
            epoch: another order for each.
            shuffle: False = all in the order of the files.
            drop_last: leave out what does not fill a batch of every shard.
            shard: (k, n): the k-th of every n batches; the n of them together see every window once.
            reuse: the arrays of a batch are overwritten by the next one; saves the time to get memory for them.

        Returns:
            Batches: arrays by column, (B, length, width), (B, length) where the column has one number a row.

        Raises:
            DatasetError: a batch size below 1, or an impossible shard.
        """
        rank, ranks = shard
        if batch_size < 1 or not 0 <= rank < ranks:
            raise DatasetError(
                f"batch_size must be 1 or more and shard (k, n) with 0 <= k < n, got {batch_size} and {shard}"
            )
        # One round of all shards at a time: without what is left over each has equally many.
        whole = len(self.starts) // (batch_size * ranks) * ranks
        count = whole if drop_last else -(-len(self.starts) // batch_size)
        return self._batches(
            range(rank, count, ranks), batch_size, epoch if shuffle else None, reuse
        )

    def _batches(
        self, numbers: range, batch_size: int, epoch: int | None, reuse: bool
    ) -> Iterator[Batch]:
        order = self.starts
        if epoch is not None:
            stream = np.random.Generator(
                np.random.PCG64(np.random.SeedSequence([self._seed, epoch]))
            )
            order = order.copy()
            stream.shuffle(order)
        room = self._room(min(batch_size, len(order))) if reuse else None
        with ThreadPoolExecutor(self._threads) as pool:
            for number in numbers:
                chosen = order[number * batch_size : (number + 1) * batch_size]
                out = room or self._room(len(chosen))
                out = {name: array[: len(chosen)] for name, array in out.items()}
                self._copy(np.sort(chosen), out, pool)
                yield out

    def windows(self, starts: NDArray[np.integer] | Sequence[int]) -> Batch:
        """Windows that begin at some rows of the dataset, in the order given.

        Args:
            starts: some of ``self.starts``.

        Raises:
            DatasetError: no window begins there.
        """
        wanted = np.asarray(starts, dtype=self.starts.dtype).reshape(-1)
        at = np.minimum(np.searchsorted(self.starts, wanted), max(len(self) - 1, 0))
        wrong = self.starts[at] != wanted if len(self) else np.ones(len(wanted), bool)
        if wrong.any():
            raise DatasetError(f"no window begins at row {int(wanted[np.argmax(wrong)])}")
        order = np.argsort(wanted, kind="stable")
        out = self._room(len(wanted))
        self._copy(wanted[order], out, None)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {name: array[back] for name, array in out.items()}

    def _room(self, count: int) -> Batch:
        return {
            each.name: np.empty((count, self.length, *each.shape), each.dtype)
            for each in self._columns
        }

    def _copy(
        self, starts: NDArray[np.integer], out: Batch, pool: ThreadPoolExecutor | None
    ) -> None:
        """Windows in ascending order, from group to group, into ``out``."""
        bounds = np.searchsorted(starts, self._group_starts)
        full = np.flatnonzero(np.diff(bounds))
        parts = min(self._threads, len(starts) // _LEAST_A_THREAD) if pool is not None else 0
        if parts < 2 or pool is None:
            self._copy_groups(full, starts, bounds, out)
            return
        # Groups are shared out by the windows that are in them.
        cuts = np.searchsorted(bounds[full], np.arange(1, parts) * len(starts) // parts)
        jobs = [
            pool.submit(self._copy_groups, part, starts, bounds, out)
            for part in np.split(full, cuts)
            if len(part)
        ]
        for job in jobs:
            job.result()

    def _copy_groups(
        self, groups: NDArray[np.intp], starts: NDArray[np.integer], bounds: NDArray[np.intp], out: Batch
    ) -> None:  # fmt: skip
        rows = np.arange(self.length, dtype=np.intp)
        for group in groups.tolist():
            low, high = int(bounds[group]), int(bounds[group + 1])
            local = starts[low:high].astype(np.intp) - int(self._group_starts[group])
            index = (local[:, None] + rows).reshape(-1)
            for column in self._columns:
                source = _as_void(column, group)
                target = out[column.name][low:high].reshape(-1).view(np.uint8)
                source.take(index, out=target.view(source.dtype), mode="clip")

    def _starts(
        self, episode: NDArray[np.int64], stride: int, only_valid: bool, episodes: Any
    ) -> NDArray[np.integer]:
        """Rows at which a window begins, ascending."""
        count = max(len(episode) - self.length + 1, 0)
        last = self.length - 1
        # Episodes stand one after the other: equal at both ends is equal all the way.
        fits = episode[:count] == episode[last : last + count]
        if stride > 1:
            fits &= self._groups.numbers("frame_index")[:count].astype(np.int64) % stride == 0
        if only_valid:
            invalid = np.cumsum(self._groups.numbers("valid") == 0)
            before = np.concatenate([[0], invalid])[:count]
            fits &= invalid[last : last + count] == before
        if episodes is not None:
            fits &= np.isin(episode[:count], self._wanted(episodes, episode))
        return np.flatnonzero(fits).astype(np.int32 if len(episode) < 2**31 else np.int64)

    def _wanted(self, episodes: Any, episode: NDArray[np.int64]) -> NDArray[np.int64]:
        if isinstance(episodes, str):
            if episodes not in ("train", "val"):
                raise DatasetError(
                    f"episodes {episodes!r}: give 'train', 'val', or indices of episodes"
                )
            return split_episodes(self.dataset)[0 if episodes == "train" else 1]
        wanted = np.unique(np.asarray(list(episodes), dtype=np.int64))
        unknown = np.setdiff1d(wanted, episode)
        if len(unknown):
            raise DatasetError(
                f"{self.dataset} has no episode {int(unknown[0])}; it has {len(np.unique(episode))}"
            )
        return wanted


def _as_void(column: Column, group: int) -> NDArray[Any]:
    """Rows of a group as opaque pieces, so that one copy a row is enough."""
    rows = column.groups[group]
    return np.ndarray((len(rows),), dtype=f"V{column.row_bytes}", buffer=rows)
