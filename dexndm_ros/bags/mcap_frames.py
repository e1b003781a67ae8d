# SPDX-License-Identifier: Apache-2.0
"""The records of an MCAP file one after the other, past what is damaged.

A chunk comes as a :class:`Piece`, not yet decompressed, with its message index; messages outside of chunks come as
pieces too. Where a record's frame is broken, reading goes on at the next chunk that the summary names, or, without
a summary, at the next bytes that can be nothing else than records.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dexndm_ros.bags.source import Source

__all__ = ["MAGIC", "Op", "Other", "Piece", "behind_data", "walk"]

MAGIC = b"\x89MCAP0\r\n"


class Op:
    """Opcodes of the records that are read here."""

    HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(1, 8)
    METADATA, DATA_END = 0x0C, 0x0F
    PRIVATE = 0x80


_HEAD = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQII")
_INDEX = struct.Struct("<BQHI")
_U64 = struct.Struct("<Q")
_RUN_BYTES = 4 * 1024 * 1024
_SEARCH_BYTES = 4 * 1024 * 1024
_COMPRESSIONS = (b"zstd", b"lz4", b"")
_LENGTHS = {
    Op.HEADER: (8, 1 << 16), Op.FOOTER: (20, 20), Op.SCHEMA: (14, 1 << 24), Op.CHANNEL: (16, 1 << 24),
    Op.MESSAGE: (22, 1 << 32), Op.CHUNK: (40, 1 << 40), Op.INDEX: (6, 1 << 32), 0x08: (64, 1 << 24),
    0x09: (48, 1 << 40), 0x0A: (48, 1 << 24), 0x0B: (46, 1 << 24), Op.METADATA: (8, 1 << 28), 0x0D: (20, 1 << 16),
    0x0E: (17, 17), Op.DATA_END: (4, 4),
}  # fmt: skip
"""Of the records by their opcodes: least and most bytes."""
_CHAIN = 3
_INDEX_BYTES = 64 * 1024

Note = Callable[[str, int, int, str], None]


class Piece(NamedTuple):
    """A chunk, or a run of messages outside of chunks.

    Attributes:
        offset: of its record in the file.
        data: its content as in the file.
        size: of the content decompressed, bytes.
        crc: of it; 0 = none was kept.
        compression: "zstd", "lz4" or "".
        entries: MessageIndex entries: pairs of (u64 log time, u64 offset).
        torn: the file ends in it.
    """

    offset: int
    data: memoryview
    size: int
    crc: int
    compression: str
    entries: list[memoryview]
    torn: bool = False


class Other(NamedTuple):
    """Any other record of the data section, its end among them.

    Attributes:
        opcode: of it.
        content: of it.
        end: where it ends in the file; of records in chunks 0.
    """

    opcode: int
    content: memoryview
    end: int = 0


def walk(
    source: Source, hints: Sequence[int], note: Note, sound: Callable[[Piece], bool]
) -> Iterator[Piece | Other]:
    """Pieces and records in the order of the file, up to the end of its data section.

    Args:
        source: the file; it begins with ``MAGIC``.
        hints: offsets of all chunks, sorted, where a summary tells them.
        note: is told what was skipped: kind, from which byte, to which, and why.
        sound: whether a chunk is whole, where what follows it makes one doubt its length.
    """
    at = len(MAGIC)
    while at < source.size:
        if at + _HEAD.size > source.size:
            note("torn", at, source.size, "the file ends inside a record")
            return
        source.need(at, at + 4096)
        opcode, length = _HEAD.unpack_from(source.view, at - source.base)
        end = at + _HEAD.size + length
        if (
            _known(hints, at)
            or (opcode == Op.CHUNK)
            or (opcode >= Op.PRIVATE and _chunk_end(source, at))
        ):
            behind = yield from _chunk(source, at, hints, sound)
            if behind:
                at = behind
                continue
        elif (
            opcode == Op.MESSAGE
            and length >= 22
            and end <= source.size
            and not _passes(hints, at, end)
        ):
            behind = yield from _run(source, at, hints, note)
            if behind:
                at = behind
                continue
        elif (
            opcode == Op.DATA_END
            and length == 4
            and end <= source.size
            and not _passes(hints, at, source.size)
        ):
            yield Other(opcode, source.at(at + _HEAD.size, length), end)
            return
        elif plausible(source, at) and not _passes(hints, at, end):
            if opcode == Op.FOOTER:
                note("unfinished", at, at, "the data section has no end")
                return
            yield Other(opcode, source.at(at + _HEAD.size, length))
            at = end
            continue
        found = _resync(source, at + 1, hints)
        torn = found == source.size
        what = (
            "the file ends inside a record, or is unreadable from there"
            if torn
            else "bytes that are no record"
        )
        note("torn" if torn else "frame", at, found, what)
        at = found


def behind_data(source: Source, at: int) -> Iterator[Other]:
    """Schemas and channels of a summary that is damaged elsewhere; ``at``: where it begins."""
    while plausible(source, at):
        head = source.at(at, _HEAD.size)
        if len(head) < _HEAD.size:
            return
        opcode, length = _HEAD.unpack(head)
        if opcode in (Op.SCHEMA, Op.CHANNEL):
            yield Other(opcode, source.at(at + _HEAD.size, length))
        at += _HEAD.size + length


def _known(hints: Sequence[int], at: int) -> bool:
    place = bisect.bisect_left(hints, at)
    return place < len(hints) and hints[place] == at


def _passes(hints: Sequence[int], at: int, end: int) -> bool:
    """Whether a record would reach over the beginning of a chunk that is known to be there."""
    place = bisect.bisect_right(hints, at)
    return place < len(hints) and hints[place] < end


def _chunk(
    source: Source, at: int, hints: Sequence[int], sound: Callable[[Piece], bool]
) -> Generator[Piece, None, int]:
    """Yields the chunk at this offset and returns where the record behind its index begins; 0 = there is none."""
    end = _chunk_end(source, at)
    if not end:
        torn = _torn_chunk(source, at, hints)
        if torn is None:
            return 0
        yield torn
        return source.size
    source.need(at, end)
    begin = at + _HEAD.size
    _, _, size, crc, letters = _CHUNK.unpack_from(source.view, begin - source.base)
    name = begin + _CHUNK.size
    compression = bytes(source.at(name, letters))
    data = source.at(name + letters + 8, end - name - letters - 8)
    entries: list[memoryview] = []
    piece = Piece(at, data, size, crc, compression.decode(), entries)
    if end < source.size and not plausible(source, end) and not sound(piece):
        return 0  # bytes were lost in it: the next chunk begins earlier than it says
    source.need(end, end + _INDEX_BYTES)
    at = _indexes(source.view, source.base, end, entries)
    while at + _INDEX.size <= source.size:  # what the view does not hold
        source.need(at, at + _INDEX.size)
        opcode, length, _, count = _INDEX.unpack_from(source.view, at - source.base)
        if opcode != Op.INDEX or length != count + 6 or count % 16 or at + 9 + length > source.size:
            break
        entries.append(source.at(at + _INDEX.size, count))
        at += 9 + length
    yield piece
    return at


def _indexes(view: memoryview, base: int, at: int, entries: list[memoryview]) -> int:
    """Take up the message indexes that begin here and lie whole in the view; where they end."""
    unpack, head, size = _INDEX.unpack_from, _INDEX.size, len(view)
    here = at - base
    while here >= 0 and here + head <= size:
        opcode, length, _, count = unpack(view, here)
        behind = here + _HEAD.size + length
        if opcode != Op.INDEX or length != count + 6 or count % 16 or behind > size:
            break
        entries.append(view[here + head : behind])
        here = behind
    return here + base


def _chunk_end(source: Source, at: int) -> int:
    """Where the chunk that begins here ends; 0 = there is no whole chunk here.

    Its length stands in it twice: where one of the two is wrong, that one counts behind which a record stands.
    """
    head = source.at(at + _HEAD.size, _CHUNK.size + 12 + 8)
    if len(head) < _CHUNK.size + 8:
        return 0
    letters = _CHUNK.unpack_from(head)[4]
    if letters > 4 or len(head) < _CHUNK.size + letters + 8:
        return 0
    if bytes(head[_CHUNK.size : _CHUNK.size + letters]) not in _COMPRESSIONS:
        return 0
    (inner,) = _U64.unpack_from(head, _CHUNK.size + letters)
    (outer,) = _U64.unpack_from(source.at(at + 1, 8))
    least = at + _HEAD.size + _CHUNK.size + letters + 8
    ends = (at + _HEAD.size + outer, least + inner)
    if ends[0] == ends[1]:
        return ends[0] if ends[0] <= source.size else 0
    for end in ends:
        if least <= end < source.size and plausible(source, end):
            return end
    return 0


def _torn_chunk(source: Source, at: int, hints: Sequence[int]) -> Piece | None:
    """The chunk in which an unfinished file ends; None when the file has its end mark, or this is no chunk."""
    head = source.at(at, _HEAD.size + _CHUNK.size + 12)
    least = _HEAD.size + _CHUNK.size
    if hints or len(head) < least + 12 or bytes(source.at(source.size - 8, 8)) == MAGIC:
        return None
    outer = _HEAD.unpack_from(head)[1]
    _, _, size, _, letters = _CHUNK.unpack_from(head, _HEAD.size)
    name = bytes(head[least : least + letters]) if letters <= 4 else b"?"
    if name not in _COMPRESSIONS:
        return None
    begin = at + least + letters + 8
    (inner,) = _U64.unpack_from(source.at(begin - 8, 8))
    if outer != _CHUNK.size + letters + 8 + inner or begin + inner <= source.size:
        return None
    data = source.at(begin, source.size - begin)
    return Piece(at, data, size, 0, name.decode(), [], torn=True)


def _run(source: Source, at: int, hints: Sequence[int], note: Note) -> Generator[Piece, None, int]:
    """Yields messages that stand outside of chunks, up to a limit; returns where they end."""
    begin, last = at, at
    source.need(at, at + _RUN_BYTES)
    limit = min(source.size, at + _RUN_BYTES)
    unpack = _HEAD.unpack_from
    while at + 31 <= limit:
        view, base = source.view, source.base
        if at + _HEAD.size - base > len(view):
            break
        opcode, length = unpack(view, at - base)
        end = at + _HEAD.size + length
        if opcode != Op.MESSAGE or length < 22 or end > source.size or _passes(hints, at, end):
            break
        if end > limit and at > begin:
            break
        last, at = at, end
    behind = at
    if at > begin and at < source.size and not (plausible(source, at) or _cut_off(source, at)):
        # Behind the last message stands no record: its length may be wrong, or its end another message's. Records may
        # begin inside of it.
        behind = _resync(source, last + 31, hints)
        note("frame", last, behind, "a message without a proper end, or bytes that are no record")
        at = last
    if at > begin:
        data = source.at(begin, at - begin)
        yield Piece(begin, data, at - begin, 0, "", [])
    return behind


def _cut_off(source: Source, at: int) -> bool:
    """Whether a record begins here in which an unfinished file ends."""
    head = bytes(source.at(at, _HEAD.size))
    if bytes(source.at(source.size - len(MAGIC), len(MAGIC))) == MAGIC:
        return False
    return 0 < head[0] <= Op.DATA_END and not any(head[5:])


def plausible(source: Source, at: int) -> bool:
    """Whether a whole record, of a kind and length that exist, begins at this offset."""
    length = _length(source, at)
    if length < 0:
        return bytes(source.at(at, 9)) == MAGIC and at + len(MAGIC) == source.size
    opcode, end = source.at(at, 1)[0], at + _HEAD.size + length
    if opcode == Op.CHUNK:
        return _chunk_end(source, at) == end
    if opcode == Op.INDEX:
        content = source.at(at + _HEAD.size, 6)
        return int.from_bytes(content[2:], "little") == length - 6
    if opcode in (Op.SCHEMA, Op.CHANNEL, Op.METADATA):
        return _strings_fit(source, at, opcode, length)
    if opcode in (Op.DATA_END, Op.FOOTER):
        return True
    return end == source.size or _length(source, end) >= 0 or _cut_off(source, end)


def _length(source: Source, at: int) -> int:
    """Length of the record here; -1 = of no length that its kind can have, or longer than the file."""
    head = source.at(at, _HEAD.size)
    if len(head) < _HEAD.size:
        return -1
    opcode, length = _HEAD.unpack(head)
    least, most = _LENGTHS.get(opcode, (0, 1 << 40) if opcode >= Op.PRIVATE else (1, 0))
    return length if least <= length <= most and at + _HEAD.size + length <= source.size else -1


def _strings_fit(source: Source, at: int, opcode: int, length: int) -> bool:
    """Whether the first string of a schema, channel or metadata record lies inside of it."""
    skip = {Op.SCHEMA: 2, Op.CHANNEL: 4, Op.METADATA: 0}[opcode]
    if length < skip + 4:
        return False
    text = int.from_bytes(source.at(at + _HEAD.size + skip, 4), "little")
    if text > length - skip - 4:
        return False
    try:
        return (
            bytes(source.at(at + _HEAD.size + skip + 4, min(text, 1 << 16))).decode().isprintable()
        )
    except UnicodeDecodeError:
        return False


def _resync(source: Source, at: int, hints: Sequence[int]) -> int:
    """Where records go on; the end of the file when they do not."""
    if hints:
        place = bisect.bisect_left(hints, at)
        if place < len(hints):
            return hints[place]
    while at < source.size:
        block = np.frombuffer(source.at(at, _SEARCH_BYTES + 8), np.uint8)
        if len(block) < 9:
            break
        first, high = block[:-8], block[5:]
        here = (high[: len(first)] == 0) & (block[6 : 6 + len(first)] == 0)
        here &= (block[7 : 7 + len(first)] == 0) & (block[8 : 8 + len(first)] == 0)
        here &= np.isin(first, _STARTS)
        for offset in np.flatnonzero(here).tolist():
            if _chain(source, at + offset):
                return int(at + offset)
        at += len(first)
    return source.size


_STARTS = np.array(
    [Op.SCHEMA, Op.CHANNEL, Op.MESSAGE, Op.CHUNK, Op.INDEX, Op.METADATA, Op.DATA_END], np.uint8
)


def _chain(source: Source, at: int) -> bool:
    """Whether some records follow each other from here on, or a chunk stands here."""
    for _ in range(_CHAIN):
        if not plausible(source, at):
            return False
        head = source.at(at, _HEAD.size)
        if len(head) < _HEAD.size or head[0] == Op.CHUNK:
            return True
        length = int.from_bytes(head[1:], "little")
        at += _HEAD.size + length
        if at == source.size:
            return True
    return True
