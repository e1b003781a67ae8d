# SPDX-License-Identifier: Apache-2.0
"""What the summary at the end of an MCAP file says; it is believed only when its checksum is right."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

from mcap.data_stream import ReadDataStream
from mcap.records import Channel, ChunkIndex, Metadata, MetadataIndex, Schema, Statistics

from dexndm_ros.bags.mcap_frames import MAGIC, Op
from dexndm_ros.bags.source import Source

__all__ = ["Channels", "Summary", "read_summary"]

_FOOTER = struct.Struct("<BQQQI")
_RECORD = struct.Struct("<BQ")
_STATISTICS, _CHUNK_INDEX, _METADATA_INDEX = 0x0B, 0x08, 0x0D
_MAX_SUMMARY_BYTES = 1 << 28


@dataclass
class Channels:
    """What channel numbers mean: collected from the summary, or while a file is read.

    Attributes:
        schemas: by id.
        channels: by id.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)

    def add(self, opcode: int, content: memoryview) -> bool:
        """Take up a schema or channel record; whether it could be read. The first of an id stays."""
        try:
            if opcode == Op.SCHEMA:
                schema = Schema.read(stream(content))
                self.schemas.setdefault(schema.id, schema)
            elif opcode == Op.CHANNEL:
                channel = Channel.read(stream(content))
                self.channels.setdefault(channel.id, channel)
        except Exception:  # the library raises what its struct, codec or dict raises
            return False
        return True


@dataclass
class Summary:
    """What it says.

    Attributes:
        known: schemas and channels.
        chunks: offsets of all chunks, sorted.
        metadata: offsets of Metadata records.
        counts: messages of each channel id; None = it does not say.
    """

    known: Channels = field(default_factory=Channels)
    chunks: list[int] = field(default_factory=list)
    metadata: list[int] = field(default_factory=list)
    counts: Mapping[int, int] | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing else is needed to name the topics."""
        return self.counts is not None and self.counts.keys() <= self.known.channels.keys()


def read_summary(source: Source) -> Summary | None:
    """The summary of a file, an empty one where the writer made none; None when there is no end, or it is damaged."""
    tail = _FOOTER.size + len(MAGIC)
    end = source.size - tail
    last = source.at(max(0, end), tail)
    if end < len(MAGIC) or bytes(last[-len(MAGIC) :]) != MAGIC:
        return None
    opcode, length, begin, _, crc = _FOOTER.unpack_from(last)
    if opcode != Op.FOOTER or length != 20:
        return None
    if not begin:
        return Summary()
    if not len(MAGIC) <= begin <= end:
        return None
    if end - begin > _MAX_SUMMARY_BYTES:
        return None
    content = source.at(begin, end - begin + _FOOTER.size - 4)
    if crc and zlib.crc32(content) != crc:
        return None
    try:
        return _parse(content[: end - begin])
    except Exception:  # as above: wrong bytes raise anything
        return None


def _parse(content: memoryview) -> Summary:
    found = Summary()
    for opcode, record in _records(content):
        if opcode in (Op.SCHEMA, Op.CHANNEL):
            found.known.add(opcode, record)
        elif opcode == _CHUNK_INDEX:
            found.chunks.append(ChunkIndex.read(stream(record)).chunk_start_offset)
        elif opcode == _METADATA_INDEX:
            found.metadata.append(MetadataIndex.read(stream(record)).offset)
        elif opcode == _STATISTICS:
            found.counts = Statistics.read(stream(record)).channel_message_counts
    found.chunks.sort()
    return found


def _records(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(content):
        opcode, length = _RECORD.unpack_from(content, at)
        begin = at + _RECORD.size
        if length > len(content) - begin:
            raise ValueError("a record of the summary is longer than the summary")
        yield opcode, content[begin : begin + length]
        at = begin + length


def metadata_at(source: Source, offset: int) -> Metadata | None:
    """The Metadata record at an offset; None when there is none that can be read."""
    head = source.at(offset, _RECORD.size)
    if len(head) < _RECORD.size:
        return None
    opcode, length = _RECORD.unpack(head)
    if opcode != Op.METADATA or offset + _RECORD.size + length > source.size:
        return None
    return read_metadata(source.at(offset + _RECORD.size, length))


def read_metadata(content: memoryview) -> Metadata | None:
    """A Metadata record's content; None when it is damaged."""
    try:
        return Metadata.read(stream(content))
    except Exception:  # as above
        return None


def stream(content: memoryview) -> ReadDataStream:
    """Bytes as the mcap library wants them."""
    return ReadDataStream(BytesIO(content))
