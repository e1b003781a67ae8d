# SPDX-License-Identifier: Apache-2.0
"""``metadata.yaml`` of a rosbag2 folder, version 9 as Jazzy writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

__all__ = [
    "FILE_NAME",
    "BagSummary",
    "Topic",
    "TopicSummary",
    "bag_information",
    "metadata_text",
    "parse_metadata",
]

FILE_NAME = "metadata.yaml"
_KEY = "rosbag2_bagfile_information"
_VERSION = 9
_DISTRO = "jazzy"

Qos = Mapping[str, Any]


@dataclass(frozen=True)
class Topic:
    """A topic to record.

    Attributes:
        name: its full name, with the leading slash.
        type: "package/msg/Name".
        qos: what its publishers offer, each as rosbag2 writes it (``history: keep_last`` and so on).
    """

    name: str
    type: str
    qos: tuple[Qos, ...] = ()


@dataclass(frozen=True)
class TopicSummary:
    """What a bag holds of a topic.

    Attributes:
        topic: name, type and offered QoS.
        type_hash: "RIHS01_...".
        messages: how many.
    """

    topic: Topic
    type_hash: str
    messages: int


@dataclass(frozen=True)
class BagSummary:
    """What a bag holds.

    Attributes:
        file: name of the MCAP file in the folder.
        topics: in the order of the file's channels.
        start_ns: log time of the first message; 0 = there is none.
        end_ns: of the last.
        custom_data: what the recorder was asked to keep, and what it adds.
    """

    file: str
    topics: Sequence[TopicSummary]
    start_ns: int
    end_ns: int
    custom_data: Mapping[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Of all topics."""
        return sum(topic.messages for topic in self.topics)


class _Quoted(str):
    """Text that stays text in every YAML reader, also where it looks like a number or a yes."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def bag_information(bag: BagSummary) -> dict[str, Any]:
    """The content of ``metadata.yaml`` below its only key."""
    start = {"nanoseconds_since_epoch": bag.start_ns}
    duration = {"nanoseconds": bag.end_ns - bag.start_ns}
    return {
        "version": _VERSION,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": bag.messages,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": each.topic.name,
                    "type": each.topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [dict(qos) for qos in each.topic.qos],
                    "type_description_hash": each.type_hash,
                },
                "message_count": each.messages,
            }
            for each in bag.topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [bag.file],
        "files": [
            {
                "path": bag.file,
                "starting_time": dict(start),
                "duration": dict(duration),
                "message_count": bag.messages,
            }
        ],
        "custom_data": dict(bag.custom_data),
        "ros_distro": _DISTRO,
    }


def metadata_text(bag: BagSummary) -> str:
    """The text of ``metadata.yaml``."""
    content = bag_information(bag)
    content["custom_data"] = {
        _Quoted(key): _Quoted(value) for key, value in content["custom_data"].items()
    }
    return str(yaml.dump({_KEY: content}, Dumper=_Dumper, sort_keys=False, width=1000))


def parse_metadata(text: str) -> dict[str, Any]:
    """What a ``metadata.yaml`` says, below its only key.

    Raises:
        ValueError: it is not one; YAML errors among them.
    """
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f"{FILE_NAME} is no YAML: {error}") from error
    inside = content.get(_KEY) if isinstance(content, dict) else None
    if not isinstance(inside, dict):
        raise ValueError(f"{FILE_NAME} has no {_KEY}")
    return inside
