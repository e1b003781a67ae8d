# SPDX-License-Identifier: Apache-2.0
"""What a bag gives: topics, stretches of raw messages, and what in it is not whole."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from dexndm_ros.recording.read import BagError

__all__ = ["BagError", "Damage", "RawBatch", "TopicInfo", "parse_qos"]

Ints = NDArray[np.int64]


class RawBatch(NamedTuple):
    """Messages of one topic out of one stretch of a bag, in the order of the file.

    Attributes:
        topic: full name.
        type: "package/msg/Name".
        log_ns: int64 (n,), when received, wall time.
        publish_ns: int64 (n,), when published; equals ``log_ns`` where the storage keeps one time only (sqlite3).
        sequence: int64 (n,), the publisher's number of the message; 0 = unknown.
        begin: int64 (n,), where each message's CDR bytes begin in ``buffer``.
        size: int64 (n,), how many they are.
        buffer: uint8, shared by the topics of the stretch: a smaller ``begin`` came earlier in the file.
    """

    topic: str
    type: str
    log_ns: Ints
    publish_ns: Ints
    sequence: Ints
    begin: Ints
    size: Ints
    buffer: NDArray[np.uint8]

    def first(self, count: int) -> RawBatch:
        """The first so many of them."""
        return RawBatch(
            self.topic, self.type, self.log_ns[:count], self.publish_ns[:count], self.sequence[:count],
            self.begin[:count], self.size[:count], self.buffer,
        )  # fmt: skip

    def data(self, row: int) -> bytes:
        """CDR bytes of one message."""
        begin = int(self.begin[row])
        return self.buffer[begin : begin + int(self.size[row])].tobytes()


@dataclass(frozen=True)
class TopicInfo:
    """A topic of a bag.

    Attributes:
        name: full name.
        type: "package/msg/Name".
        definition: text of the type ("ros2msg", or IDL); '' = the bag does not say.
        type_hash: "RIHS01_..."; '' = the bag does not say.
        qos_text: offered QoS profiles as the bag keeps them (YAML).
        count: messages, as the bag says or as counted; -1 = unknown.
    """

    name: str
    type: str
    definition: str = ""
    type_hash: str = ""
    qos_text: str = ""
    count: int = -1

    @property
    def qos(self) -> tuple[Mapping[str, Any], ...]:
        """Offered QoS profiles, one a publisher; () where the bag says nothing that can be read."""
        return parse_qos(self.qos_text)


@functools.lru_cache(maxsize=256)
def parse_qos(text: str) -> tuple[Mapping[str, Any], ...]:
    """QoS profiles out of their YAML text; () of anything else."""
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError):
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(each for each in found if isinstance(each, dict))


@dataclass(frozen=True)
class Damage:
    """Something in a bag that is not whole.

    Attributes:
        file: name of the storage file.
        kind: "unfinished" (no end), "torn" (ends in a record), "chunk" (its checksum or compression is wrong),
            "frame" (bytes that are no record), "page" (of a database), "metadata" (metadata.yaml or custom data),
            "count" (messages that are told of and not there), "missing" (a file that should be there), "type" (a topic
            or channel that cannot be told), "compression", "content" (messages that are whole bytes, but none of their
            type).
        bytes: of the file that could not be used; 0 = nothing was lost by it, or it cannot be told.
        text: a sentence for a person: what, and where.
    """

    file: str
    kind: str
    bytes: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"
