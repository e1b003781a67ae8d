# SPDX-License-Identifier: Apache-2.0
"""What an MCAP file holds: topics, counts, times, numbers that are missing. It is read from its first byte on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from mcap.records import Channel, Metadata, Schema

from dexndm_ros.recording.mcap_records import RawMessage, check_integrity, records
from dexndm_ros.recording.metadata import Topic, TopicSummary
from dexndm_ros.recording.sequences import SequenceTracker

__all__ = ["McapContents", "read_contents"]


@dataclass(frozen=True)
class McapContents:
    """What a file holds.

    Attributes:
        topics: in the order of its channels.
        start_ns: earliest log time; 0 = no message.
        end_ns: latest log time.
        gaps: for each topic, numbers that its publisher skipped, taken for one publisher.
        metadata: its Metadata records, by their names.
    """

    topics: tuple[TopicSummary, ...]
    start_ns: int
    end_ns: int
    gaps: Mapping[str, int]
    metadata: Mapping[str, Mapping[str, str]]


def read_contents(path: Path) -> McapContents:
    """Read a finished file as a whole and check every byte of it.

    Raises:
        McapError: it is torn or damaged.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    check_integrity(memoryview(data))
    return _contents(memoryview(data))


def _contents(data: memoryview) -> McapContents:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    counts: dict[int, int] = {}
    trackers: dict[int, SequenceTracker] = {}
    metadata: dict[str, Mapping[str, str]] = {}
    start_ns, end_ns = 2**63, 0
    for record in records(data):
        if isinstance(record, RawMessage):
            counts[record.channel] += 1
            trackers[record.channel].observe(record.sequence)
            start_ns, end_ns = min(start_ns, record.log_ns), max(end_ns, record.log_ns)
        elif isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
            counts.setdefault(record.id, 0)
            trackers.setdefault(record.id, SequenceTracker())
        else:
            assert isinstance(record, Metadata)
            metadata[record.name] = record.metadata
    topics = tuple(
        TopicSummary(
            Topic(
                channel.topic,
                schemas[channel.schema_id].name,
                tuple(yaml.safe_load(channel.metadata.get("offered_qos_profiles", "")) or ()),
            ),
            channel.metadata.get("topic_type_hash", ""),
            counts[number],
        )
        for number, channel in channels.items()
    )
    gaps = {channels[number].topic: each.count.lost for number, each in trackers.items()}
    return McapContents(topics, start_ns if end_ns else 0, end_ns, gaps, metadata)
