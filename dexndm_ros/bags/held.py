# SPDX-License-Identifier: Apache-2.0
"""The bytes of messages of one size, gathered as few times as their fields allow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.mcap_chunks import rows as take

__all__ = ["Held", "alike"]

_LINE_BYTES = 64

Ints = NDArray[np.int64]


class Held:
    """Bytes of n messages of one size.

    Small fields lie close together: the lines of 64 bytes around them are gathered once. Large ones are copied
    straight from where they are.

    Args:
        buffer: in which they lie.
        begin: int64 (n,), where each begins.
        size: of each, bytes.
    """

    def __init__(self, buffer: NDArray[np.uint8], begin: Ints, size: int) -> None:
        self.begin = begin
        self._buffer, self._size = buffer, size
        self._lines: dict[int, NDArray[np.void]] = {}

    def only(self, these: NDArray[np.bool_]) -> Held:
        """Some of them."""
        some = Held(self._buffer, self.begin[these], self._size)
        some._lines = {number: line[these] for number, line in self._lines.items()}
        return some

    def at(self, offset: int, size: int) -> NDArray[Any]:
        """V{size} (n,), a copy of these bytes of each; they must lie inside of the message."""
        number, inside = divmod(offset, _LINE_BYTES)
        length = min(_LINE_BYTES, self._size - number * _LINE_BYTES)
        if inside + size > length or size == _LINE_BYTES:
            return take(self._buffer, self.begin + offset, size)
        if (line := self._lines.get(number)) is None:
            line = take(self._buffer, self.begin + number * _LINE_BYTES, length)
            self._lines[number] = line
        if not len(line):
            return np.empty(0, f"V{size}")
        return np.ndarray(len(line), f"V{size}", line, inside, (length,)).copy()

    def words(self, offsets: Ints) -> NDArray[np.uint32]:
        """(n, k): the four bytes at each of these offsets, as "<u4"."""
        where = self.begin[:, None] + offsets
        return take(self._buffer, where.ravel(), 4).view("<u4").reshape(where.shape)


def alike(block: NDArray[Any]) -> bool:
    """Whether all rows have the same bytes."""
    if not len(block):
        return True
    raw = block.view(np.uint8).reshape(len(block), -1)
    return bool((raw == raw[0]).all())
