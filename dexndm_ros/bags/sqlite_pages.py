# SPDX-License-Identifier: Apache-2.0
"""Rows of a damaged SQLite file, found page by page: no tree, no index and no header is needed.

Every page that holds rows of a table says so in its first byte, and rosbag2 never deletes a row: so each row that
lies in such a page, and is written as a row is, is one. (File format: https://www.sqlite.org/fileformat2.html)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dexndm_ros.bags.source import Source

__all__ = ["Pages", "Row"]

_LEAF = 0x0D
_FRACTIONS = b"\x40\x20\x20"  # the same in every database
_DEFAULT_PAGE_BYTES = 4096
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_MAX_ROW_BYTES = 1 << 30

Value = int | float | str | bytes | None


class Row(NamedTuple):
    """A row of some table.

    Attributes:
        number: its rowid.
        page: on which it begins, from 0.
        cell: offset of it in the page.
        values: of its columns; the rowid's own is None.
    """

    number: int
    page: int
    cell: int
    values: tuple[Value, ...]


class _TornError(ValueError):
    """A row that is not whole."""


class Pages:
    """A database file.

    Args:
        source: its bytes.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._size = self._usable = _page_size(
            source
        )  # rosbag2 reserves nothing at the end of a page

    def rows(self) -> Iterator[Row]:
        """All whole rows of all tables, in the order of the pages."""
        for page in range((self._source.size + self._size - 1) // self._size):
            block = self._block(page)
            start = 100 if page == 0 else 0
            if len(block) < start + 8 or block[start] != _LEAF:
                continue
            count = int.from_bytes(block[start + 3 : start + 5], "big")
            for number in range(count):
                at = start + 8 + 2 * number
                cell = int.from_bytes(block[at : at + 2], "big")
                if start + 8 < cell < self._usable and (row := self._row(block, page, cell)):
                    yield row

    def row(self, page: int, cell: int) -> Row | None:
        """One of them again."""
        return self._row(self._block(page), page, cell)

    def _block(self, page: int) -> bytes:
        return bytes(self._source.at(page * self._size, self._size))

    def _row(self, block: bytes, page: int, cell: int) -> Row | None:
        try:
            number, values = _row(self._source, block, cell, self._size, self._usable)
        except (_TornError, IndexError):
            return None
        return Row(number, page, cell, values)


def _page_size(source: Source) -> int:
    head = bytes(source.at(0, 24))
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    if size < 512 or size & (size - 1) or head[21:24] != _FRACTIONS:
        return _DEFAULT_PAGE_BYTES
    return size


def _row(
    source: Source, block: bytes, at: int, size: int, usable: int
) -> tuple[int, tuple[Value, ...]]:
    length, at = _varint(block, at)
    number, at = _varint(block, at)
    if not 2 <= length <= min(_MAX_ROW_BYTES, source.size) or number >= 1 << 63:
        raise _TornError
    most = usable - 35
    if length <= most:
        if at + length > usable:
            raise _TornError
        return number, _values(block[at : at + length])
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = local if local <= most else least
    if at + local + 4 > len(block):
        raise _TornError
    parts, left = [block[at : at + local]], length - local
    following = int.from_bytes(block[at + local : at + local + 4], "big")
    while left > 0:
        if not 1 < following <= source.size // size:
            raise _TornError
        page = bytes(source.at((following - 1) * size, size))
        parts.append(page[4 : 4 + min(left, usable - 4)])
        left -= usable - 4
        following = int.from_bytes(page[:4], "big")
    payload = b"".join(parts)
    if len(payload) != length:
        raise _TornError
    return number, _values(payload)


def _values(payload: bytes) -> tuple[Value, ...]:
    head, at = _varint(payload, 0)
    if not at <= head <= len(payload):
        raise _TornError
    values: list[Value] = []
    data = head
    while at < head:
        kind, at = _varint(payload, at)
        value, data = _value(payload, kind, data)
        values.append(value)
    if data != len(payload):
        raise _TornError
    return tuple(values)


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in _INT_BYTES:
        end = at + _INT_BYTES[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind == 7:
        return None, at + 8  # a float: rosbag2 keeps none
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise _TornError
    end = at + (kind - 12) // 2
    if end > len(payload):
        raise _TornError
    content = payload[at:end]
    return (content if kind % 2 == 0 else content.decode("utf-8", "replace")), end


def _varint(block: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = block[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    raise _TornError
