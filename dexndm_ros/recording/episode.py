# SPDX-License-Identifier: Apache-2.0
"""One episode, from the first message to a verified bag under its final name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.recording.check import BEGIN_RECORD, END_RECORD, check_files
from dexndm_ros.recording.definitions import definition
from dexndm_ros.recording.mcap_file import McapFile
from dexndm_ros.recording.metadata import (
    FILE_NAME,
    BagSummary,
    Topic,
    TopicSummary,
    metadata_text,
)
from dexndm_ros.recording.partial import PART, PARTIAL, put_aside, sync_folder

__all__ = ["EpisodeError", "EpisodeResult", "EpisodeWriter", "check_name", "words"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)


class EpisodeError(ValueError):
    """An episode that cannot be recorded or finished; the message says why."""


@dataclass(frozen=True)
class EpisodeResult:
    """How a recording ended; fields as in ``EpisodeRecorded.msg``."""

    episode: str
    complete: bool
    reason: str
    path: str
    messages: int
    lost: int
    dropped: int
    bytes: int
    duration_s: float


def check_name(episode: str) -> str:
    """The name, if it may become a folder.

    Raises:
        EpisodeError: it may not.
    """
    if not _NAME.fullmatch(episode) or episode.endswith((PART, PARTIAL)):
        raise EpisodeError(
            f"episode name {episode!r}: 1 to 100 letters, digits, '_', '-' and '.' are allowed, beginning with "
            f"a letter, digit or '_', and not ending in {PART} or {PARTIAL}"
        )
    return episode


class EpisodeWriter:
    """Writes ``<directory>/<episode>.part``, and renames it to ``<episode>`` when it is proven whole.

    Not thread-safe, but may be handed from one thread to another.

    Args:
        directory: of the bags; made if missing.
        episode: name of the episode and of its bag.
        custom_data: to be kept in the bag.
        topics: what may be written.

    Raises:
        EpisodeError: the name is not allowed or taken.
        OSError: the file cannot be made.
        DefinitionError: a type that nobody knows.
    """

    def __init__(
        self,
        directory: Path,
        episode: str,
        custom_data: Mapping[str, str],
        topics: Sequence[Topic],
    ) -> None:
        self.episode = check_name(episode)
        self._final = directory / episode
        self._part = directory / f"{episode}{PART}"
        for taken in (self._final, self._part):
            if taken.exists():
                raise EpisodeError(f"{taken} exists already; a bag is never overwritten")
        self._topics = tuple(topics)
        self._custom = dict(custom_data)
        self._part.mkdir(parents=True)
        try:
            name = f"{episode}_0.mcap"
            self._file = McapFile(self._part / name, topics, BEGIN_RECORD, self._custom)
        except BaseException:
            with contextlib.suppress(OSError):
                self._part.rmdir()
            raise
        self._counts = dict.fromkeys((topic.name for topic in topics), 0)
        self._start_ns, self._end_ns = 2**63, 0
        self._dirty = False
        self._entered = False

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages of each topic so far."""
        return self._counts

    @property
    def messages(self) -> int:
        """Of all topics."""
        return sum(self._counts.values())

    def add(self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        """A message of a topic.

        Args:
            topic: one of those given.
            data: CDR bytes.
            log_ns: when it was received, wall time.
            publish_ns: when it was published, wall time.
            sequence: the publisher's number of it; 0 = unknown.

        Raises:
            OSError: the disk refuses.
        """
        self._file.add(topic, data, log_ns, publish_ns, sequence)
        self._counts[topic] += 1
        self._start_ns, self._end_ns = min(self._start_ns, log_ns), max(self._end_ns, log_ns)
        self._dirty = True

    def flush(self) -> None:
        """Wait until all messages so far are on the disk.

        Raises:
            OSError: the disk refuses.
        """
        if not self._dirty:
            return
        self._dirty = False
        self._file.flush()
        if not self._entered:  # a file is safe once its folder and the folder's name are
            sync_folder(self._part)
            sync_folder(self._part.parent)
            self._entered = True

    def finish(self, expected: Mapping[str, int], closing: Mapping[str, str]) -> EpisodeResult:
        """Close the file, read all of it again, and give the bag its final name; or put it aside.

        Args:
            expected: exact numbers of messages of some topics.
            closing: more custom data; the keys that ``check.LOSS_KEYS`` and ``check.SHARED_KEY`` name must be
                in it.

        Returns:
            How it went. Nothing is raised.
        """
        try:
            self._close(closing)
            self._verify(expected)
            if self._final.exists():
                raise EpisodeError(f"{self._final} appeared while it was recorded")
            self._part.rename(self._final)
            sync_folder(self._final.parent)
        except (OSError, ValueError) as error:
            return self.abandon(words(error), closing)
        return self._result(True, "", self._final, closing)

    def abandon(self, reason: str, closing: Mapping[str, str] | None = None) -> EpisodeResult:
        """Stop, and put aside what is on the disk; also after an error. Nothing is raised."""
        self._file.abandon()
        place = self._final if not self._part.exists() else self._part
        with contextlib.suppress(OSError):
            place = put_aside(place, reason)
        return self._result(False, reason, place, closing or {})

    def _close(self, closing: Mapping[str, str]) -> None:
        self._file.finish(END_RECORD, closing)
        summary = BagSummary(
            self._file.path.name,
            [
                TopicSummary(topic, definition(topic.type).type_hash, self._counts[topic.name])
                for topic in self._topics
            ],
            self._start_ns if self._end_ns else 0,
            self._end_ns,
            {**self._custom, **closing},
        )
        with (self._part / FILE_NAME).open("w", encoding="utf-8") as file:
            file.write(metadata_text(summary))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._part)

    def _verify(self, expected: Mapping[str, int]) -> None:
        found = check_files(self._part)
        if not found.complete:
            raise EpisodeError(f"read again, the bag is not whole: {found.reason}")
        for topic, count in expected.items():
            if self._counts.get(topic, 0) != count:
                raise EpisodeError(
                    f"{topic}: {self._counts.get(topic, 0)} messages came, {count} were expected"
                )

    def _result(
        self, complete: bool, reason: str, place: Path, closing: Mapping[str, str]
    ) -> EpisodeResult:
        size = 0
        with contextlib.suppress(OSError):
            size = sum(path.stat().st_size for path in place.iterdir())
        return EpisodeResult(
            self.episode,
            complete,
            reason,
            str(place) if place.exists() else "",
            self.messages,
            int(closing.get("messages_lost", 0)),
            int(closing.get("messages_dropped", 0)),
            size,
            max(0, self._end_ns - self._start_ns) / 1e9 if self._end_ns else 0.0,
        )


def words(error: Exception) -> str:
    """An error for a person; of the system's errors without their number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error)
