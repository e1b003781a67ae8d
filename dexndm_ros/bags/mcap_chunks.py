# SPDX-License-Identifier: Apache-2.0
"""Decompresses pieces of an MCAP file side by side into one buffer and finds the messages in it, without a loop.

The message index tells where each message begins. It is not trusted: the records that it names must follow one
another without a gap from the first byte of the chunk to the last; else the chunk is read record by record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import zstandard
from numpy.typing import NDArray

from dexndm_ros.bags.checksum import crc32
from dexndm_ros.bags.mcap_frames import Op, Other, Piece

__all__ = ["HEAD", "Stretch", "sound", "unpack"]

HEAD = np.dtype(
    [
        ("opcode", "u1"),
        ("length", "<u8"),
        ("channel", "<u2"),
        ("sequence", "<u4"),
        ("log_ns", "<i8"),
        ("publish_ns", "<i8"),
    ]
)
"""The beginning of a message record."""
_RECORD = struct.Struct("<BQ")
_MAX_CHUNK_BYTES = 1 << 30
_STEP_BYTES = 512
_DECOMPRESSOR = zstandard.ZstdDecompressor()

Note = Callable[[str, int, int, str], None]
Bytes = NDArray[np.uint8]


@dataclass
class Stretch:
    """Messages of some pieces.

    Attributes:
        buffer: decompressed bytes, with gaps where a piece was damaged.
        begin: int64 (n,), where each message record begins.
        head: their heads.
        others: schemas and channels that stood between them.
        doubtful: schemas and channels out of damaged chunks: better than none.
    """

    buffer: Bytes
    begin: NDArray[np.int64]
    head: NDArray[np.void]
    others: list[Other] = field(default_factory=list)
    doubtful: list[Other] = field(default_factory=list)


def unpack(pieces: Sequence[Piece], note: Note) -> Stretch:
    """All whole messages of the pieces.

    Args:
        pieces: in the order of the file.
        note: is told what is damaged: kind, first byte in the file, last, why.
    """
    sizes = [_size(piece) for piece in pieces]
    buffer = np.empty(sum(sizes), np.uint8)
    good: list[tuple[Piece, int, int]] = []
    doubtful: list[Other] = []
    at = 0
    for piece, size in zip(pieces, sizes, strict=True):
        try:
            filled = _fill(piece, buffer[at : at + size])
        except (ValueError, RuntimeError, MemoryError, zstandard.ZstdError) as error:
            count = sum(map(len, piece.entries)) // 16
            what = f"a damaged chunk of {count} messages" if count else "a damaged chunk"
            note("chunk", piece.offset, piece.offset + len(piece.data), f"{what}: {error}")
            doubtful += _definitions(piece)
        else:
            good.append((piece, at, at + filled))
        at += size
    stretch = _messages(good, buffer, note)
    stretch.doubtful = doubtful
    return stretch


def sound(piece: Piece) -> bool:
    """Whether a chunk is whole."""
    wrong: list[str] = []
    unpack([piece], lambda kind, begin, end, text: wrong.append(text))
    return not wrong


def _size(piece: Piece) -> int:
    """Bytes that a piece takes in the buffer. zstd says it in its own frame too, and that one fills the buffer."""
    size = piece.size
    if piece.compression == "":
        size = len(piece.data)
    elif piece.compression == "zstd" and len(piece.data) >= 18:
        try:
            own = zstandard.frame_content_size(piece.data[:18])
        except zstandard.ZstdError:
            return 0
        size = own if own > 0 else size
    return size if size <= _MAX_CHUNK_BYTES else 0


def _fill(piece: Piece, out: Bytes) -> int:
    """Decompress a piece, check it, and return how many bytes it has."""
    if piece.compression == "":
        out[:] = np.frombuffer(piece.data, np.uint8)
        filled = len(out)
    elif piece.compression == "zstd":
        filled = _unzstd(piece.data, out.data)
    else:
        filled = _unlz4(piece, out)
    if piece.torn:
        return filled
    if filled != len(out) or (filled != piece.size and not piece.crc):
        raise ValueError(f"{filled} bytes are in it, {piece.size} were expected")
    if piece.crc and crc32(out.data) != piece.crc:
        raise ValueError("its checksum is another")
    return filled


def _unzstd(data: memoryview, out: memoryview) -> int:
    filled = 0
    with _DECOMPRESSOR.stream_reader(data) as reader:
        while filled < len(out):
            count = reader.readinto(out[filled:])
            if not count:
                break
            filled += count
    return filled


def _unlz4(piece: Piece, out: Bytes) -> int:
    import lz4.frame  # type: ignore[import-untyped]

    if piece.torn:
        content = lz4.frame.LZ4FrameDecompressor().decompress(bytes(piece.data))[: len(out)]
    else:
        content = lz4.frame.decompress(piece.data)
    if len(content) > len(out):
        raise ValueError(f"{len(content)} bytes are in it, {len(out)} were expected")
    out[: len(content)] = np.frombuffer(content, np.uint8)
    return len(content)


def _definitions(piece: Piece) -> list[Other]:
    """Schemas and channels at the beginning of a damaged chunk."""
    content = bytes(piece.data) if piece.compression == "" else b""
    if piece.compression == "zstd":
        decoder = _DECOMPRESSOR.decompressobj()
        with suppress(zstandard.ZstdError):
            for at in range(0, len(piece.data), _STEP_BYTES):
                content += decoder.decompress(piece.data[at : at + _STEP_BYTES])
    found: list[Other] = []
    at = 0
    while at + _RECORD.size <= len(content):
        opcode, length = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        if opcode not in (Op.SCHEMA, Op.CHANNEL, Op.MESSAGE) or at + length > len(content):
            break
        if opcode != Op.MESSAGE:
            found.append(Other(opcode, memoryview(content)[at : at + length]))
        at += length
    return found


def _messages(good: list[tuple[Piece, int, int]], buffer: Bytes, note: Note) -> Stretch:
    entries = [b"".join(piece.entries) for piece, _, _ in good]
    counts = np.array([len(each) // 16 for each in entries], np.int64)
    begins = np.array([begin for _, begin, _ in good], np.int64)
    ends = np.array([end for _, _, end in good], np.int64)
    offsets = np.frombuffer(b"".join(entries), "<i8").reshape(-1, 2)[:, 1]
    inside = (offsets >= 0) & (offsets <= np.repeat(ends - begins - HEAD.itemsize, counts))
    whole = bool(inside.all()) and len(offsets) > 0
    where = (offsets if whole else np.where(inside, offsets, 0)) + np.repeat(begins, counts)
    where.sort(kind="stable")  # runs that are merged; none of them reaches into another piece
    cuts = np.concatenate([[0], np.cumsum(counts)])
    if whole:
        head = heads(buffer, where)
        wrong, led = _unproven(head, where, cuts, begins, ends)
    else:
        wrong = led = np.ones(len(good), bool)
        head = np.empty(0, HEAD)
    others: list[Other] = []
    for number in np.flatnonzero(led & ~wrong).tolist():
        begin, stop = good[number][1], int(where[cuts[number]])
        wrong[number] = not _leads(buffer.data, begin, stop, others)
    if wrong.any():
        parts = [where[begin:end] for begin, end in pairwise(cuts.tolist())]
        for number in np.flatnonzero(wrong).tolist():
            parts[number] = _scan(good[number], buffer, parts[number], others, note)
        where = np.concatenate([np.empty(0, np.int64), *parts])
        head = heads(buffer, where)
    return Stretch(buffer, where, head, others)


def heads(buffer: Bytes, begin: NDArray[np.int64]) -> NDArray[np.void]:
    """The heads of the message records at these offsets, all of them inside of the buffer."""
    return rows(buffer, begin, HEAD.itemsize).view(HEAD)


def rows(buffer: Bytes, begin: NDArray[np.int64], length: int) -> NDArray[np.void]:
    """(n,) of V{length}: the bytes at these offsets, copied."""
    every = np.ndarray(max(0, len(buffer) - length + 1), f"V{length}", buffer, strides=(1,))
    return every[begin]  # take() would copy the overlapping rows first


def _unproven(
    head: NDArray[np.void],
    where: NDArray[np.int64],
    cuts: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(pieces,) twice: whose index does not name all of their bytes, and those where only the beginning is left out.

    Piece k has the messages from ``cuts[k]`` to ``cuts[k + 1]``, and the bytes from ``begins[k]`` to ``ends[k]``.
    """
    length = head["length"].astype(np.int64)
    after = where + length
    after += _RECORD.size
    some = np.flatnonzero(np.diff(cuts))
    first, last = cuts[some], cuts[some + 1] - 1
    gap = head["opcode"] != Op.MESSAGE
    gap |= length < 22
    broken = where[1:] != after[:-1]
    broken[first[1:] - 1] = False  # that is where the next piece begins
    gap[1:] |= broken
    gap[last] |= after[last] != ends[some]
    wrong = cuts[1:] == cuts[:-1]
    if gap.any():
        wrong[np.searchsorted(cuts, np.flatnonzero(gap), "right") - 1] = True
    led = np.zeros(len(wrong), bool)
    led[some] = where[first] > begins[some]
    return wrong, led


def _leads(view: memoryview, at: int, stop: int, others: list[Other]) -> bool:
    """Take up the records before the first message of a chunk; whether they end where it begins."""
    while at + _RECORD.size <= stop:
        opcode, length = _RECORD.unpack_from(view, at)
        at += _RECORD.size
        if opcode not in (Op.SCHEMA, Op.CHANNEL) or at + length > stop:
            return False
        others.append(Other(opcode, view[at : at + length]))
        at += length
    return at == stop


def _scan(
    good: tuple[Piece, int, int],
    buffer: Bytes,
    named: NDArray[np.int64],
    others: list[Other],
    note: Note,
) -> NDArray[np.int64]:
    """Message records between two offsets of the buffer; where one is broken, the index tells the next."""
    piece, begin, end = good
    view = buffer.data
    found: list[int] = []
    at = begin
    unpack_from, head = _RECORD.unpack_from, _RECORD.size
    while at < end:
        behind = 0
        if at + head <= end:
            opcode, length = unpack_from(view, at)
            behind = at + head + length
        if not behind or behind > end or not opcode > 0 or (opcode == Op.MESSAGE and length < 22):
            if not piece.torn:
                text = f"{end - at} bytes of a chunk are no records; nor may be the message before them"
                note("frame", piece.offset, piece.offset, text)
                if found and not piece.crc:
                    found.pop()  # its end may be another message's
            later = named[named > at]
            if not len(later) or piece.torn:
                break
            at = int(later[0])
            continue
        if opcode == Op.MESSAGE:
            found.append(at)
        elif opcode in (Op.SCHEMA, Op.CHANNEL):
            others.append(Other(opcode, view[at + head : behind]))
        at = behind
    if piece.torn:
        text = (
            f"the file ends inside a chunk; its first {len(found)} messages are given, without a checksum over them, "
            "and all that came behind is missing"
        )
        note("torn", piece.offset, piece.offset, text)
    return np.array(found, np.int64)
