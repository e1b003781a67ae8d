# SPDX-License-Identifier: Apache-2.0
"""Which blocks a job needs: known beforehand, or so many that enough episodes are of use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dexndm_ros.datasets.part import part_name
from dexndm_ros.training.simulate.blocks import Block
from dexndm_ros.training.simulate.config import SimulateError
from dexndm_ros.training.simulate.work import BlockDone, trim_part

__all__ = ["Task"]

_EXPECTED_SHARE = 0.85
_MOST_TRIES = 20
_LEAST_TRIES = 64


class Task:
    """The blocks of one wrist (and axis), in their order.

    The episodes taken are the first ones that are of use: how many processes simulate, and how far one was ahead of
    the others, changes nothing.

    Args:
        words: what it is, for messages.
        make: the block with a number.
        size: episodes of a block.
        wanted: episodes of use.
        picky: not every episode can be expected to be of use.
        known: fingerprints of blocks that the dataset has, with the episodes of each.
    """

    def __init__(
        self,
        words: str,
        make: Callable[[int], Block],
        size: int,
        wanted: int,
        picky: bool,
        known: Mapping[str, int],
    ) -> None:
        self.words = words
        self.wanted = wanted
        self._make, self._size, self._picky, self._known = make, size, picky, known
        self._blocks: list[Block] = []
        self._done: dict[int, BlockDone] = {}

    @classmethod
    def of_blocks(cls, words: str, blocks: Sequence[Block], known: Mapping[str, int]) -> Task:
        """A task whose blocks are all needed."""
        size = len(blocks[0].entries)
        wanted = sum(len(block.entries) for block in blocks)
        return cls(words, blocks.__getitem__, size, wanted, False, known)

    def missing(self) -> list[Block]:
        """Blocks to simulate next; none = there are enough episodes.

        Raises:
            SimulateError: hardly an episode is of use.
        """
        left, tried, number = self.wanted, 0, 0
        while left > 0 and (kept := self._kept(number, left)) is not None:
            left -= kept
            tried += self._size
            number += 1
        if left <= 0:
            return []
        got = self.wanted - left
        if tried >= max(_LEAST_TRIES, _MOST_TRIES * self.wanted):
            raise SimulateError(
                f"{self.words}: {got} of {tried} episodes are of use, {self.wanted} are wanted; take a policy that "
                "masters this world, or take falls too"
            )
        share = 1.0
        if self._picky:
            share = max(got / tried, 1.0 / _MOST_TRIES) if tried else _EXPECTED_SHARE
        count = math.ceil(left / (share * self._size))
        numbers = range(number, number + count)
        return [self._block(k) for k in numbers if k not in self._done]

    def note(self, block: Block, done: BlockDone) -> None:
        """A block has been simulated, now or by an earlier run."""
        self._done[block.number] = done

    def outcome(self) -> tuple[int, int, int]:
        """Of the blocks simulated for this: episodes, episodes that fell, other bad ones."""
        done = self._done.values()
        return len(done) * self._size, sum(d.fell for d in done), sum(d.bad for d in done)

    def parts(self, folder: Path, made_by: str) -> list[Path]:
        """Part files of what the dataset does not have, the last one trimmed to the episodes wanted.

        Raises:
            DatasetError: a part is torn.
            DatasetWriteError: the disk refuses.
        """
        paths = []
        left, number = self.wanted, 0
        while left > 0:
            block = self._block(number)
            if number not in self._done:  # the dataset has it
                left -= self._kept(number, left) or left
            elif (kept := self._done[number].kept) > left:
                paths.append(trim_part(folder, block, left, made_by))
                left = 0
            else:
                paths.append(folder / part_name(block.sha256))
                left -= kept
            number += 1
        return paths

    def _block(self, number: int) -> Block:
        while len(self._blocks) <= number:
            self._blocks.append(self._make(len(self._blocks)))
        return self._blocks[number]

    def _kept(self, number: int, left: int) -> int | None:
        """Episodes of use of a block; None = nobody knows."""
        if number in self._done:
            return self._done[number].kept
        block = self._block(number)
        kept = self._known.get(block.sha256)
        if kept is None and left <= self._size:
            kept = self._known.get(block.trimmed_sha256(left))
        return kept
