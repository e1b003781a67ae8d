# SPDX-License-Identifier: Apache-2.0
"""One MCAP file: its topics, its metadata, and its messages by stretches."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.checksum import crc32
from dexndm_ros.bags.mcap_chunks import HEAD, Stretch, sound, unpack
from dexndm_ros.bags.mcap_frames import MAGIC, Op, Other, Piece, behind_data, walk
from dexndm_ros.bags.mcap_records import metadata
from dexndm_ros.bags.mcap_summary import (
    Channels,
    Summary,
    metadata_at,
    read_summary,
)
from dexndm_ros.bags.source import Source
from dexndm_ros.bags.types import BagError, Damage, RawBatch, TopicInfo

__all__ = ["McapReader"]

_CRC = struct.Struct("<I")
_NAME = re.compile(r"/[A-Za-z0-9_/]+")
_CDR = "cdr"
_DATA_END_BYTES = 13
_SCAN_BYTES = 16 * 1024 * 1024

Report = Callable[[Damage], None]


class McapReader:
    """Reads a file, whatever state it is in.

    Args:
        source: the file.
        name: how damage names it.
        report: is told of what is not whole, each time it is met.
        alone: no ``metadata.yaml`` says the same as the file's metadata records.

    Raises:
        BagError: it is no MCAP file, or of another profile than ROS 2.
        OSError: it cannot be read.
    """

    storage = "mcap"

    def __init__(self, source: Source, name: str, report: Report, alone: bool = False) -> None:
        self._source, self._name, self._report, self._alone = source, name, report, alone
        self._bare = self._noted = False
        start = bytes(source.at(0, len(MAGIC)))
        if not source.size:
            raise BagError(f"{name} is empty: nothing was written to it")
        if start != MAGIC[: len(start)]:
            raise BagError(f"{name} is no MCAP file: it begins with {start!r}")
        self.metadata: dict[str, Mapping[str, str]] = {}
        """Metadata records by their names."""
        summary = read_summary(source)
        self._hints = () if summary is None else tuple(summary.chunks)
        if summary is None:
            self._note("unfinished", 0, 0, "no summary that could be read stands at its end")
        self._behind, self._doubtful = Channels(), Channels()
        self._known = Channels() if summary is None else summary.known
        self._counts: Mapping[int, int] = {}
        if summary is not None and summary.complete:
            self._counts = summary.counts or {}
            self._read_metadata(summary)
        else:
            self._scan()

    @property
    def topics(self) -> list[TopicInfo]:
        """Topics, in the order of their channels."""
        found: dict[str, TopicInfo] = {}
        for number, channel in self._known.channels.items():
            schema = self._known.schemas.get(channel.schema_id)
            count = self._counts.get(number, 0)
            if channel.topic in found:
                before = found[channel.topic]
                found[channel.topic] = TopicInfo(
                    before.name, before.type, before.definition, before.type_hash, before.qos_text,
                    before.count + count,
                )  # fmt: skip
                continue
            text = "" if schema is None else schema.text
            found[channel.topic] = TopicInfo(
                channel.topic,
                "" if schema is None else schema.name,
                text,
                channel.metadata.get("topic_type_hash", ""),
                channel.metadata.get("offered_qos_profiles", ""),
                count,
            )
        return list(found.values())

    def batches(
        self, wanted: Collection[str] | None, max_bytes: int
    ) -> Iterator[dict[str, RawBatch]]:
        """Messages of the wanted topics (None = all), one stretch after the other."""
        for stretch in self._stretches(max_bytes):
            if found := self._by_topic(stretch, wanted):
                yield found

    def _note(self, kind: str, begin: int, end: int, text: str) -> None:
        where = f"bytes {begin} to {end}: {text}" if end > begin else text
        if end == begin and begin:
            where = f"byte {begin}: {text}"
        self._noted = True
        self._report(Damage(self._name, kind, end - begin, where))

    def _stretches(self, max_bytes: int) -> Iterator[Stretch]:
        pieces: list[Piece] = []
        total = 0
        for item in walk(self._source, self._hints, self._note, sound):
            if isinstance(item, Other):
                self._take(item)
                continue
            self._bare |= not item.crc
            size = min(max(item.size, len(item.data)), 1 << 30)
            if pieces and total + size > max_bytes:
                yield self._unpack(pieces)
                pieces, total = [], 0
            pieces.append(item)
            total += size
        if pieces:
            yield self._unpack(pieces)

    def _unpack(self, pieces: list[Piece]) -> Stretch:
        stretch = unpack(pieces, self._note)
        for other in stretch.others:
            self._take(other)
        for other in stretch.doubtful:
            self._doubtful.add(other.opcode, other.content)
        return stretch

    def _take(self, item: Other) -> None:
        if item.opcode in (Op.SCHEMA, Op.CHANNEL):
            self._known.add(item.opcode, item.content)
        elif item.opcode == Op.DATA_END:
            self._prove(item)
            if self._hints:
                return
            for other in behind_data(self._source, item.end):
                self._behind.add(other.opcode, other.content)
        elif item.opcode == Op.METADATA and (record := metadata(bytes(item.content))):
            self.metadata[record.name] = record.words

    def _prove(self, end: Other) -> None:
        """Compare the checksum over the data section, where no chunk's own covers all that is used of it."""
        (crc,) = _CRC.unpack(end.content)
        if not crc or not (self._bare or self._alone) or not self._source.whole:
            return
        if crc32(self._source.view[: end.end - _DATA_END_BYTES]) != crc and not self._noted:
            text = "its checksum is another: bytes of it are not as they were written, and which cannot be told"
            self._note("chunk", 0, 0, text)

    def _read_metadata(self, summary: Summary) -> None:
        for offset in summary.metadata:
            if (record := metadata_at(self._source, offset)) is not None:
                self.metadata[record.name] = record.words
        if summary.metadata_count > len(self.metadata):  # no index names them
            for item in walk(self._source, self._hints, self._note, sound):
                if isinstance(item, Other):
                    self._take(item)

    def _scan(self) -> None:
        """Read all of a file that does not say what is in it."""
        counts: dict[int, int] = {}
        for stretch in self._stretches(_SCAN_BYTES):
            numbers, how_often = np.unique(stretch.head["channel"], return_counts=True)
            for number, count in zip(numbers.tolist(), how_often.tolist(), strict=True):
                counts[number] = counts.get(number, 0) + count
        self._counts = counts
        for more in (self._behind, self._doubtful):
            for topic in self._known.fill(more, _NAME.fullmatch):
                text = f"the name {topic} and its type come out of a part that is damaged elsewhere"
                self._note("type", 0, 0, text)

    def _types(self) -> dict[str, str]:
        """The type of each topic: its first channel's."""
        types: dict[str, str] = {}
        for channel in self._known.channels.values():
            schema = self._known.schemas.get(channel.schema_id)
            types.setdefault(channel.topic, "" if schema is None else schema.name)
        return types

    def _by_topic(self, stretch: Stretch, wanted: Collection[str] | None) -> dict[str, RawBatch]:
        channel = np.ascontiguousarray(stretch.head["channel"])
        rows: dict[str, list[NDArray[np.int64]]] = {}
        types = self._types()
        for number, group in _groups(channel):
            info = self._known.channels.get(number)
            if info is None:
                text = f"{len(group)} messages of channel {number}, of which nothing is said"
                self._note("type", 0, 0, text)
                continue
            if wanted is not None and info.topic not in wanted:
                continue
            if info.encoding != _CDR:
                text = f"{info.topic} is kept as {info.encoding!r}, and only {_CDR!r} can be read"
                self._note("type", 0, 0, text)
                continue
            schema = self._known.schemas.get(info.schema_id)
            kind = "" if schema is None else schema.name
            if types[info.topic] != kind:
                text = f"{len(group)} messages on {info.topic} are of type {kind}, others of {types[info.topic]}"
                self._note("type", 0, 0, text)
                continue
            rows.setdefault(info.topic, []).append(group)
        head = stretch.head
        # Whole columns first: to take rows of such a record costs ten times as much.
        log_ns, publish_ns = head["log_ns"].astype(np.int64), head["publish_ns"].astype(np.int64)
        sequence = head["sequence"].astype(np.int64)
        begin = stretch.begin + HEAD.itemsize
        size = head["length"].astype(np.int64) - (HEAD.itemsize - 9)
        batches = {}
        for topic, groups in rows.items():
            at = groups[0] if len(groups) == 1 else np.sort(np.concatenate(groups))
            batches[topic] = RawBatch(
                topic, types[topic], log_ns[at], publish_ns[at], sequence[at], begin[at], size[at],
                stretch.buffer,
            )  # fmt: skip
        return batches


def _groups(channel: NDArray[np.uint16]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Every channel number, and the rows that have it, sorted."""
    order = np.argsort(channel, kind="stable")
    cuts = np.flatnonzero(np.diff(channel[order])) + 1
    for group in np.split(order, cuts) if len(order) else ():
        yield int(channel[group[0]]), group
