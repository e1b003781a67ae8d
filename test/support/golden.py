# SPDX-License-Identifier: Apache-2.0
"""Bags as other writers leave them, and all messages of a bag as plain tuples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from dexndm_ros.bags.open import Bag
from dexndm_ros.recording.definitions import definition, typestore
from support.bags import JOINTS, START_NS, STATE, hand_state, joint_state

Message = tuple[str, int, int, int, bytes]
"""Topic, log time, publish time, sequence, data."""

MCAPS: dict[str, dict[str, Any]] = {
    "zstd": {"compression": CompressionType.ZSTD},
    "lz4": {"compression": CompressionType.LZ4},
    "plain": {"compression": CompressionType.NONE},
    "no_checksums": {"compression": CompressionType.NONE, "enable_crcs": False},
    "unchunked": {"compression": CompressionType.NONE, "use_chunking": False},
    "no_index": {"compression": CompressionType.ZSTD, "index_types": IndexType.NONE},
    "no_summary": {
        "compression": CompressionType.ZSTD, "index_types": IndexType.NONE, "repeat_channels": False,
        "repeat_schemas": False, "use_statistics": False, "use_summary_offsets": False,
    },
}  # fmt: skip
"""Ways to write an MCAP file: arguments of the library's writer."""


def stream(count: int) -> Iterator[Message]:
    """States at 100 Hz, and a joint state with every third."""
    for k in range(count):
        now_ns = START_NS + k * 10_000_000
        yield STATE.name, now_ns, now_ns - 1000, k + 1, hand_state(k)
        if k % 3 == 0:
            yield JOINTS.name, now_ns + 1, now_ns - 999, k // 3 + 1, joint_state(k)


def write_mcap(path: Path, kind: str = "zstd", count: int = 150) -> Path:
    """One MCAP file, its chunks of 8 KiB."""
    with path.open("wb") as file:
        writer = Writer(file, **{"chunk_size": 8192, **MCAPS[kind]})
        writer.start(profile="ros2", library="other")
        writer.add_metadata("dexndm.episode.begin", {"seed": "7", "campaign": "night"})
        channels = {}
        for topic in (STATE, JOINTS):
            schema = writer.register_schema(
                topic.type, "ros2msg", definition(topic.type).text.encode()
            )
            channels[topic.name] = writer.register_channel(topic.name, "cdr", schema, {})
        for topic, log_ns, publish_ns, sequence, data in stream(count):
            writer.add_message(channels[topic], log_ns, data, publish_ns, sequence)
        writer.finish()
    return path


def write_rosbags(
    folder: Path,
    storage: StoragePlugin,
    version: int = 9,
    mode: CompressionMode = CompressionMode.NONE,
    count: int = 60,
) -> list[Message]:
    """A folder as the rosbags library writes it; returns what is in it as it can be read."""
    writer = RosbagsWriter(folder, version=version, storage_plugin=storage)
    if mode != CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    writer.set_custom_data("seed", "7")
    with writer:
        connections = {
            topic.name: writer.add_connection(topic.name, topic.type, typestore=typestore())
            for topic in (STATE, JOINTS)
        }
        written = []
        for topic, log_ns, _, _, data in stream(count):
            writer.write(connections[topic], log_ns, data)
            written.append((topic, log_ns, log_ns, 0, data))
    return written


def contents(bag: Bag, topics: list[str] | None = None, max_bytes: int = 1 << 26) -> list[Message]:
    """All messages, in the order of the files."""
    found: list[Message] = []
    for stretch in bag.batches(topics, max_bytes):
        rows = sorted(
            (int(batch.begin[row]), topic, row)
            for topic, batch in stretch.items()
            for row in range(len(batch.begin))
        )
        for _, topic, row in rows:
            batch = stretch[topic]
            times = int(batch.log_ns[row]), int(batch.publish_ns[row])
            found.append((topic, *times, int(batch.sequence[row]), batch.data(row)))
    return found


def same(left: Any, right: Any) -> bool:
    """Equal numbers of equal shape, NaN included."""
    left, right = np.asarray(left), np.asarray(right)
    return left.shape == right.shape and bool(
        np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    )
