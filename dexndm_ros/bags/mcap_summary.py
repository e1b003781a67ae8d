# SPDX-License-Identifier: Apache-2.0
"""What the summary at the end of an MCAP file says; it is believed only when its checksum is right."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from dexndm_ros.bags.checksum import crc32
from dexndm_ros.bags.mcap_frames import MAGIC, Op
from dexndm_ros.bags.mcap_records import Channel, Metadata, Schema, channel, metadata, schema
from dexndm_ros.bags.source import Source

__all__ = ["Channels", "Summary", "metadata_at", "read_summary"]

_FOOTER = struct.Struct("<BQQQI")
_U32, _U64, _PAIR = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<HQ")
_METADATA_COUNT_AT, _STATISTICS_BYTES = 18, 42
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
        if opcode == Op.SCHEMA:
            if (one := schema(bytes(content))) is not None:
                self.schemas.setdefault(one.id, one)
            return one is not None
        if (other := channel(bytes(content))) is not None:
            self.channels.setdefault(other.id, other)
        return other is not None

    def fill(self, more: Channels, allowed: Callable[[str], object] = bool) -> list[str]:
        """Take over what is not known here yet; returns the topics of which that is so."""
        new = [
            each
            for number, each in more.channels.items()
            if number not in self.channels and allowed(each.topic)
        ]
        for each in new:
            self.channels[each.id] = each
            if each.schema_id in more.schemas:
                self.schemas.setdefault(each.schema_id, more.schemas[each.schema_id])
        return [each.topic for each in new]


@dataclass
class Summary:
    """What it says.

    Attributes:
        known: schemas and channels.
        chunks: offsets of all chunks, sorted.
        metadata: offsets of Metadata records; those of an index.
        metadata_count: how many there are.
        counts: messages of each channel id; None = it does not say.
    """

    known: Channels = field(default_factory=Channels)
    chunks: list[int] = field(default_factory=list)
    metadata: list[int] = field(default_factory=list)
    metadata_count: int = 0
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
    if crc and crc32(content) != crc:
        return None
    try:
        return _parse(content[: end - begin])
    except (struct.error, ValueError):
        return None


def _parse(content: memoryview) -> Summary:
    found = Summary()
    for opcode, record in _records(content):
        if opcode in (Op.SCHEMA, Op.CHANNEL):
            found.known.add(opcode, record)
        elif opcode == _CHUNK_INDEX:
            found.chunks.append(_U64.unpack_from(record, 16)[0])
        elif opcode == _METADATA_INDEX:
            found.metadata.append(_U64.unpack_from(record)[0])
        elif opcode == _STATISTICS:
            found.counts = _counts(record)
            (found.metadata_count,) = _U32.unpack_from(record, _METADATA_COUNT_AT)
    found.chunks.sort()
    return found


def _counts(statistics: memoryview) -> dict[int, int]:
    """Messages of each channel."""
    (size,) = _U32.unpack_from(statistics, _STATISTICS_BYTES)
    pairs = statistics[_STATISTICS_BYTES + 4 :]
    if size != len(pairs) or size % _PAIR.size:
        raise ValueError("the statistics are of another length than they say")
    return dict(_PAIR.iter_unpack(pairs))


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
    return metadata(bytes(source.at(offset + _RECORD.size, length)))
