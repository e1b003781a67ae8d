# SPDX-License-Identifier: Apache-2.0
"""Writes what is whole in a bag into a new one that is whole altogether."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcap.writer import CompressionType, IndexType, Writer

from dexndm_ros.bags.columns import ColumnError, columns
from dexndm_ros.bags.layout import is_idl
from dexndm_ros.bags.open import Bag
from dexndm_ros.bags.types import BagError, Damage, RawBatch, TopicInfo
from dexndm_ros.recording.check import BEGIN_RECORD, END_RECORD
from dexndm_ros.recording.contents import read_contents
from dexndm_ros.recording.definitions import DefinitionError, definition
from dexndm_ros.recording.metadata import (
    FILE_NAME,
    BagSummary,
    Topic,
    TopicSummary,
    metadata_text,
)
from dexndm_ros.recording.partial import PART, sync_folder

__all__ = ["SalvageReport", "salvage"]

_CHUNK_BYTES = 256 * 1024
_SEQUENCE_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class SalvageReport:
    """What became of a bag.

    Attributes:
        bag: the new one.
        messages: in it, by topic.
        missing: messages that the old one says it had and that are not in it, by topic; only topics that miss some.
        damage: what was not whole in the old one, and which messages are none of their type: they are in the new one
            as they are.
        bytes: size of the new file.
        duration_s: from its first message to its last.
    """

    bag: Path
    messages: Mapping[str, int]
    missing: Mapping[str, int]
    damage: tuple[Damage, ...]
    bytes: int
    duration_s: float


def salvage(bag: Bag, out: Path) -> SalvageReport:
    """Write a new MCAP bag with all whole messages: same bytes, times, numbers, definitions and custom data.

    It is read again and compared before it gets its name; the old one is not touched.

    Args:
        bag: whatever state it is in.
        out: folder to make.

    Raises:
        BagError: ``out`` exists, nothing in the bag is whole, or what was written reads otherwise.
        OSError: the disk refuses; nothing is left behind.
    """
    if out.exists():
        raise BagError(f"{out} exists already; a bag is never overwritten: give another name")
    part = out.with_name(f"{out.name}{PART}")
    if part.exists():
        raise BagError(f"{part} is in the way: a salvage that was cut off left it; remove it")
    part.mkdir(parents=True)
    try:
        report = _salvage(bag, part, out)
        part.rename(out)
        sync_folder(out.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return report


def _salvage(bag: Bag, part: Path, out: Path) -> SalvageReport:
    file = part / f"{out.name}_0.mcap"
    counts: dict[str, int] = {}
    ends = [2**63, 0]
    with file.open("xb") as opened:
        writer = Writer(
            opened,
            chunk_size=_CHUNK_BYTES,
            compression=CompressionType.ZSTD,
            index_types=IndexType.ALL,
            enable_crcs=True,
            enable_data_crcs=True,
        )
        writer.start(profile="ros2", library="dexndm_ros")
        begun = dict(bag.custom_data)
        writer.add_metadata(BEGIN_RECORD, begun)
        channels: dict[str, int] = {}
        checked = _Checked(bag)
        for found in bag.batches():
            checked.look(found)
            _copy(found, bag, writer, channels, counts)
            for batch in found.values():
                ends[0] = min(ends[0], int(batch.log_ns.min()))
                ends[1] = max(ends[1], int(batch.log_ns.max()))
        if not counts:
            raise BagError(f"{bag.path}: no whole message is in it, so no bag was made")
        damage = (*bag.damage, *checked.damage())
        ended = {
            "salvaged_from": bag.name,
            "salvage_damage": json.dumps([str(each) for each in damage]),
        }
        writer.add_metadata(END_RECORD, ended)
        writer.finish()
        opened.flush()
        os.fsync(opened.fileno())
    custom = {**begun, **ended}
    summary = _verified(file, counts, custom)
    with (part / FILE_NAME).open("w", encoding="utf-8") as text:
        text.write(metadata_text(summary))
        text.flush()
        os.fsync(text.fileno())
    sync_folder(part)
    told = {topic: info.count for topic, info in bag.topics.items()}
    for topic, count in bag.declared.items():
        told[topic] = max(count, told.get(topic, 0))
    return SalvageReport(
        out,
        counts,
        {
            topic: count - counts.get(topic, 0)
            for topic, count in told.items()
            if count > counts.get(topic, 0)
        },
        damage,
        file.stat().st_size,
        (ends[1] - ends[0]) / 1e9,
    )


class _Checked:
    """Messages whose bytes are whole, but are none of their type: an archive keeps them, and says so."""

    def __init__(self, bag: Bag) -> None:
        self._bag = bag
        self._seen: Counter[str] = Counter()
        self._wrong: Counter[str] = Counter()
        self._why: dict[str, str] = {}

    def look(self, found: Mapping[str, RawBatch]) -> None:
        """Walk along all messages of a stretch by their definitions."""
        for topic, batch in found.items():
            self._seen[topic] += len(batch.begin)
            info = self._bag.topics.get(topic) or TopicInfo(topic, batch.type)
            try:
                walked = columns(batch, info, ())
                wrong, why = len(walked.bad), walked.why
            except ColumnError as error:
                wrong, why = len(batch.begin), str(error)
            if wrong:
                self._wrong[topic] += wrong
                self._why.setdefault(topic, why)

    def damage(self) -> Iterator[Damage]:
        """What is to be told, a topic a time."""
        for topic, count in sorted(self._wrong.items()):
            kind = self._bag.topics[topic].type if topic in self._bag.topics else "its type"
            text = (
                f"{topic}: {count} of {self._seen[topic]} messages cannot be decoded as {kind} "
                f"({self._why[topic]}); their bytes are kept as they are"
            )
            yield Damage(self._bag.name, "content", 0, text)


def _copy(
    found: Mapping[str, RawBatch],
    bag: Bag,
    writer: Writer,
    channels: dict[str, int],
    counts: dict[str, int],
) -> None:
    """The messages of a stretch in the order of the file."""
    for topic, batch in found.items():
        if topic not in channels:
            info = bag.topics.get(topic) or TopicInfo(topic, batch.type)
            text = _definition(info)
            encoding = "ros2idl" if is_idl(text) else "ros2msg"
            schema = writer.register_schema(info.type, encoding, text.encode())
            words = {
                "offered_qos_profiles": info.qos_text,
                "topic_type_hash": info.type_hash,
            }
            channels[topic] = writer.register_channel(topic, "cdr", schema, words)
        counts[topic] = counts.get(topic, 0) + len(batch.begin)
    order = sorted(
        (begin, topic, row)
        for topic, batch in found.items()
        for row, begin in enumerate(batch.begin.tolist())
    )
    for _, topic, row in order:
        batch = found[topic]
        writer.add_message(
            channels[topic],
            int(batch.log_ns[row]),
            batch.data(row),
            int(batch.publish_ns[row]),
            int(batch.sequence[row]) & _SEQUENCE_MASK,
        )


def _definition(info: TopicInfo) -> str:
    if info.definition:
        return info.definition
    try:
        return definition(info.type).text
    except DefinitionError:
        return ""  # as in the old bag: the bytes are kept, and whoever knows the type can read them


def _verified(file: Path, counts: Mapping[str, int], custom: Mapping[str, str]) -> BagSummary:
    """What the new file holds, read from its first byte on."""
    contents = read_contents(file)
    read = {each.topic.name: each.messages for each in contents.topics}
    if read != counts:
        raise BagError(
            f"{file.name}: written {dict(counts)}, read again {read}; the disk is faulty"
        )
    topics = [
        TopicSummary(
            Topic(each.topic.name, each.topic.type, each.topic.qos), each.type_hash, each.messages
        )
        for each in contents.topics
    ]
    return BagSummary(file.name, topics, contents.start_ns, contents.end_ns, custom)
