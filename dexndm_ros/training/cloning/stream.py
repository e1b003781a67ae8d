# SPDX-License-Identifier: Apache-2.0
"""Shuffled batches of samples from shards: never more rows in memory than fit the buffer, in an order that can go on.

Row groups are shuffled, then read as many at a time as fit the buffer, and their samples are shuffled among each other.
The order follows from seed, epoch and buffer alone, and the batch after any other can be had without those before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.cloning.shards import Group, Rows, Shards

__all__ = ["Batch", "Position", "SampleStream"]

_SAMPLED_GROUPS = 64
_APART = 1 << 31
"""Not the number of an epoch."""


@dataclass(frozen=True)
class Position:
    """A place in the stream: what comes next.

    Attributes:
        epoch: number of it.
        fill: of the buffer, in the epoch.
        batch: in the fill.
        step: batches before it, of all epochs.
        samples: in them.
    """

    epoch: int = 0
    fill: int = 0
    batch: int = 0
    step: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Batch:
    """Samples of one gradient step.

    Attributes:
        observation: (B, 327).
        action: (B, 16).
        after: where the stream is behind it.
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    after: Position


class SampleStream:
    """Batches from shards.

    Args:
        shards: them.
        batch: most samples of a batch; those of a fill are shared out evenly.
        buffer_rows: most rows in memory at a time.
        seed: of order and noise.
        joint_noise_rad: uniform noise on measured angles, new ones in every epoch.

    Attributes:
        most_rows: largest number of rows that was in memory so far.

    Raises:
        ConfigError: a row group that does not fit the buffer.
    """

    def __init__(
        self, shards: Shards, batch: int, buffer_rows: int, seed: int, joint_noise_rad: float = 0.0
    ) -> None:
        self.shards = shards
        self.most_rows = 0
        self._batch, self._seed, self._noise_rad = batch, seed, joint_noise_rad
        largest = max(shards.groups, key=lambda group: group.rows)
        self._room = buffer_rows - largest.rows  # a group is read as a whole before it goes there
        if self._room < largest.rows:
            raise ConfigError(
                f"buffer_rows is {buffer_rows}, and {largest.path} has a row group of {largest.rows} rows, which is "
                f"read as a whole: give at least {2 * largest.rows}"
            )

    def batches(self, begin: Position, epochs: int) -> Iterator[Batch]:
        """What comes from a place on until so many epochs are over.

        Raises:
            DatasetError: a shard that cannot be learned from.
        """
        at = begin
        while at.epoch < epochs:
            fills = self._fills(at.epoch)
            for number in range(at.fill, len(fills)):
                for batch in self._of_fill(fills[number], at, number == len(fills) - 1):
                    at = batch.after
                    yield batch

    def held_out(self, most: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Observations and actions of trajectories that are not learned from, without noise; the same every time."""
        left = most
        for group in self._some_groups([g for g in self.shards.groups if g.held_out]):
            rows = self._read([group])
            for chosen in np.split(
                rows.held_out[:left], range(self._batch, group.held_out, self._batch)
            ):
                if len(chosen):
                    yield rows.observations(chosen), rows.action[chosen]
            left -= group.held_out
            if left <= 0:
                return

    def sample(self, count: int) -> NDArray[np.float32]:
        """Observations from all over the shards, about ``count``, (M, 327); the same every time."""
        groups = self._some_groups([g for g in self.shards.groups if g.learned])[:_SAMPLED_GROUPS]
        each = math.ceil(count / len(groups))
        rng = np.random.default_rng([self._seed, _APART])
        parts = []
        for group in groups:
            rows = self._read([group])
            chosen = np.sort(rng.permutation(rows.learned)[:each])
            parts.append(rows.observations(chosen, self._noise_rad, rng))
        return np.concatenate(parts)

    def _some_groups(self, groups: list[Group]) -> list[Group]:
        order = np.random.default_rng([self._seed, _APART + 1]).permutation(len(groups))
        return [groups[k] for k in order]

    def _fills(self, epoch: int) -> list[list[Group]]:
        """The groups of an epoch in its order, as many together as fit the buffer."""
        groups = [group for group in self.shards.groups if group.learned]
        fills: list[list[Group]] = []
        room = 0
        for k in np.random.default_rng([self._seed, epoch]).permutation(len(groups)):
            if groups[k].rows > room:
                fills.append([])
                room = self._room
            fills[-1].append(groups[k])
            room -= groups[k].rows
        return fills

    def _of_fill(self, groups: list[Group], at: Position, last: bool) -> Iterator[Batch]:
        """The batches of a fill that are not before the place."""
        rows = self._read(groups)
        seed = [self._seed, at.epoch, 1 + at.fill]
        order = np.random.default_rng(seed).permutation(rows.learned)
        parts = np.array_split(order, math.ceil(len(order) / self._batch))
        step, samples = at.step, at.samples
        for number in range(at.batch, len(parts)):
            # Their order within a batch is of no account; ascending, they lie closer together.
            chosen = np.sort(parts[number])
            rng = np.random.default_rng([*seed, 1 + number])
            observation = rows.observations(chosen, self._noise_rad, rng)
            place = (at.epoch, at.fill, number + 1)
            if number == len(parts) - 1:
                place = (at.epoch + 1, 0, 0) if last else (at.epoch, at.fill + 1, 0)
            step, samples = step + 1, samples + len(chosen)
            yield Batch(observation, rows.action[chosen], Position(*place, step, samples))

    def _read(self, groups: list[Group]) -> Rows:
        rows = self.shards.read(groups)
        self.most_rows = max(self.most_rows, len(rows) + max(group.rows for group in groups))
        return rows
