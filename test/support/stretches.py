# SPDX-License-Identifier: Apache-2.0
"""A recording in memory, cut into stretches wherever a test wants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dexndm_ros.bags.types import RawBatch


class Message(NamedTuple):
    """One message, in the order of the file."""

    topic: str
    log_ns: int
    data: bytes
    publish_ns: int = 0


class Stretches:
    """Gives its messages as ``Bag.batches`` does, so many in each stretch."""

    def __init__(self, messages: Sequence[Message], per_stretch: int = 3) -> None:
        self.messages = messages
        self._per_stretch = per_stretch
        self.passes = 0

    def batches(
        self, topics: Collection[str] | None = None, max_bytes: int = 0
    ) -> Iterator[dict[str, RawBatch]]:
        self.passes += 1
        for begin in range(0, len(self.messages), self._per_stretch):
            yield _stretch(self.messages[begin : begin + self._per_stretch], topics)


def _stretch(messages: Sequence[Message], topics: Collection[str] | None) -> dict[str, RawBatch]:
    buffer = np.frombuffer(b"".join(m.data for m in messages), np.uint8)
    ends = np.cumsum([len(m.data) for m in messages])
    found = {}
    for topic in dict.fromkeys(m.topic for m in messages):
        rows = [k for k, m in enumerate(messages) if m.topic == topic]
        if topics is not None and topic not in topics:
            continue
        sizes = np.array([len(messages[k].data) for k in rows], np.int64)
        found[topic] = RawBatch(
            topic,
            "some_msgs/msg/Type",
            np.array([messages[k].log_ns for k in rows], np.int64),
            np.array([messages[k].publish_ns for k in rows], np.int64),
            np.zeros(len(rows), np.int64),
            ends[rows].astype(np.int64) - sizes,
            sizes,
            buffer,
        )
    return found
