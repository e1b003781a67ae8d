# SPDX-License-Identifier: Apache-2.0
"""One MCAP file, written so that it survives its writer: whatever was flushed is on the disk and readable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from mcap.writer import CompressionType, IndexType, Writer

from dexndm_ros.recording.definitions import definition
from dexndm_ros.recording.metadata import Topic

__all__ = ["McapFile"]

_CHUNK_BYTES = 256 * 1024
_LIBRARY = "dexndm_ros"
_SEQUENCE_MASK = 0xFFFF_FFFF


class _Disk:
    """Bytes straight to a file: an error is raised by the call that met it, and nothing lingers in a buffer."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.size = 0

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view:
            written = os.write(self.fd, view)
            self.size += written
            view = view[written:]
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class McapFile:
    """Writes messages as they came: CDR bytes, both times, and the publisher's number as ``sequence``.

    Profile "ros2", message definitions inside, zstd chunks with CRC, all indexes, and a CRC over everything.

    Args:
        path: file to make; must not exist.
        topics: what may be written to it.
        metadata: kept at its beginning, so that a torn file still says what it is.

    Raises:
        OSError: the file cannot be made.
        DefinitionError: a type that nobody knows.
    """

    def __init__(
        self, path: Path, topics: Sequence[Topic], name: str, metadata: Mapping[str, str]
    ) -> None:
        definitions = {topic.type: definition(topic.type) for topic in topics}
        self.path = path
        self._disk = _Disk(path)
        try:
            self._writer = Writer(
                self._disk,  # type: ignore[arg-type]  # it writes, tells and flushes; no more is asked
                chunk_size=_CHUNK_BYTES,
                compression=CompressionType.ZSTD,
                index_types=IndexType.ALL,
                enable_crcs=True,
                enable_data_crcs=True,
            )
            self._writer.start(profile="ros2", library=_LIBRARY)
            self._writer.add_metadata(name, dict(metadata))
            schemas = {
                kind: self._writer.register_schema(kind, "ros2msg", known.text.encode())
                for kind, known in definitions.items()
            }
            self._channels = {
                topic.name: self._writer.register_channel(
                    topic.name,
                    "cdr",
                    schemas[topic.type],
                    {
                        "offered_qos_profiles": qos_text(topic.qos),
                        "topic_type_hash": definitions[topic.type].type_hash,
                    },
                )
                for topic in topics
            }
            self._safe = self._disk.size
        except BaseException:
            self._disk.close()
            path.unlink(missing_ok=True)
            raise

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._disk.size

    def add(self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        """A message; it is on the disk after the next :meth:`flush`."""
        self._writer.add_message(
            self._channels[topic], log_ns, data, publish_ns, sequence & _SEQUENCE_MASK
        )

    def flush(self) -> None:
        """Close the chunk, and wait until it is on the disk."""
        self._writer.flush()
        os.fdatasync(self._disk.fd)
        self._safe = self._disk.size

    def finish(self, name: str, metadata: Mapping[str, str]) -> None:
        """Write what is left, some last metadata and the summary; wait for the disk; close."""
        self._writer.flush()
        self._writer.add_metadata(name, dict(metadata))
        self._writer.finish()
        os.fsync(self._disk.fd)
        self._disk.close()

    def abandon(self) -> None:
        """Close without a summary, keeping what was flushed; raises nothing.

        What a full disk left half-written is cut off, so that the rest reads cleanly.
        """
        if self._disk.fd < 0:
            return
        with contextlib.suppress(Exception):
            self.flush()
        with contextlib.suppress(OSError):
            os.ftruncate(self._disk.fd, self._safe)
        with contextlib.suppress(OSError):
            os.fsync(self._disk.fd)
        self._disk.close()


def qos_text(qos: Sequence[Mapping[str, object]]) -> str:
    """QoS of a topic's publishers as rosbag2 keeps it in a channel."""
    return yaml.safe_dump([dict(one) for one in qos], sort_keys=False) if qos else ""
