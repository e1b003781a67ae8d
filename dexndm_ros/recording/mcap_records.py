# SPDX-License-Identifier: Apache-2.0
"""Reads the records of an MCAP file one by one, up to its end or to where it is torn."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Metadata, Schema

__all__ = ["McapError", "RawMessage", "Record", "check_integrity", "records"]

MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_FOOTER = struct.Struct("<BQQQI")
_DATA_END = struct.Struct("<BQI")
_MAX_CHUNK_BYTES = 1 << 30


class McapError(ValueError):
    """The file is torn or damaged; the message says where."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message record.

    Attributes:
        channel: id of its channel.
        sequence: the publisher's number; 0 = unknown.
        log_ns: when it was received, wall time.
        publish_ns: when it was published, wall time.
        data: CDR bytes.
    """

    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes


Record = Schema | Channel | Metadata | RawMessage


def check_integrity(data: memoryview) -> None:
    """Refuse a file unless every byte of it is as it was written.

    Three checksums cover it: of the data section, of the summary with its footer, and the fixed bytes between.

    Raises:
        McapError: it is not, or the writer left checksums out.
    """
    tail = _FOOTER.size + len(MAGIC)
    least = len(MAGIC) + _DATA_END.size + tail
    if len(data) < least or data[: len(MAGIC)] != MAGIC:
        raise McapError(f"no MCAP file: {len(data)} bytes, or another beginning")
    if data[-len(MAGIC) :] != MAGIC:
        raise McapError("the file was not finished: it has no end mark")
    opcode, length, summary, _, summary_crc = _FOOTER.unpack_from(data, len(data) - tail)
    begin = summary - _DATA_END.size
    if opcode != Opcode.FOOTER or length != 20 or not 0 <= begin <= len(data) - tail:
        raise McapError("the footer is damaged")
    if not summary_crc or zlib.crc32(data[summary : len(data) - len(MAGIC) - 4]) != summary_crc:
        raise McapError("the summary is damaged, or has no checksum")
    opcode, length, data_crc = _DATA_END.unpack_from(data, begin)
    if opcode != Opcode.DATA_END or length != 4:
        raise McapError("the end of the data section is damaged")
    if not data_crc or zlib.crc32(data[:begin]) != data_crc:
        raise McapError("the data section is damaged, or has no checksum")


def records(data: memoryview) -> Iterator[Record]:
    """Schemas, channels, metadata and messages in the order of the file.

    A finished file repeats schemas and channels in its summary; without messages they are there only.

    Raises:
        McapError: at the place where the file is torn or damaged; what came before is good.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise McapError("no MCAP file: it begins with other bytes")
    for opcode, payload in _split(data, len(MAGIC)):
        if opcode == Opcode.FOOTER:
            return
        if opcode == Opcode.CHUNK:
            for inner, content in _split(_chunk(payload), 0):
                if (record := _record(inner, content)) is not None:
                    yield record
        elif (record := _record(opcode, payload)) is not None:
            yield record
    raise McapError("it ends without a summary")


def _split(data: memoryview, offset: int) -> Iterator[tuple[int, memoryview]]:
    while offset < len(data):
        if offset + _HEAD.size > len(data):
            raise McapError(f"torn at byte {offset}")
        opcode, length = _HEAD.unpack_from(data, offset)
        begin = offset + _HEAD.size
        if length > len(data) - begin:
            raise McapError(f"torn at byte {offset}")
        yield opcode, data[begin : begin + length]
        offset = begin + length


def _record(opcode: int, payload: memoryview) -> Record | None:
    try:
        if opcode == Opcode.MESSAGE:
            channel, sequence, log_ns, publish_ns = _MESSAGE.unpack_from(payload)
            return RawMessage(
                channel, sequence, log_ns, publish_ns, bytes(payload[_MESSAGE.size :])
            )
        if opcode == Opcode.SCHEMA:
            return Schema.read(_stream(payload))
        if opcode == Opcode.CHANNEL:
            return Channel.read(_stream(payload))
        if opcode == Opcode.METADATA:
            return Metadata.read(_stream(payload))
    except Exception as error:  # the library raises what its struct, codec or dict raises
        raise McapError(f"a damaged record, opcode {opcode}: {error}") from error
    return None


def _chunk(payload: memoryview) -> memoryview:
    try:
        chunk = Chunk.read(_stream(payload))
        if chunk.uncompressed_size > _MAX_CHUNK_BYTES:
            raise ValueError(f"{chunk.uncompressed_size} bytes")
        if chunk.compression == "zstd":
            content = zstandard.decompress(chunk.data, chunk.uncompressed_size)
        elif chunk.compression == "":
            content = chunk.data
        else:
            raise ValueError(
                f"compression {chunk.compression!r} is not supported, zstd and none are"
            )
    except Exception as error:
        raise McapError(f"a damaged chunk: {error}") from error
    if chunk.uncompressed_crc and zlib.crc32(content) != chunk.uncompressed_crc:
        raise McapError("a damaged chunk: its checksum is another")
    return memoryview(content)


def _stream(payload: memoryview) -> ReadDataStream:
    return ReadDataStream(BytesIO(payload))
