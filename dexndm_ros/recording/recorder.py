# SPDX-License-Identifier: Apache-2.0
"""The recorder without ROS: messages go in at one side, and bags come out of a thread of their own.

One thread calls everything here; the writer thread has the disk to itself, so that a slow disk costs memory
and not messages. What is queued names its episode: the cut between two episodes is exact, and the next one
fills the queue while the last one is being verified.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dexndm_ros.recording.check import LOSS_KEYS, SHARED_KEY
from dexndm_ros.recording.episode import EpisodeError, EpisodeResult, EpisodeWriter, words
from dexndm_ros.recording.metadata import Topic
from dexndm_ros.recording.partial import sweep
from dexndm_ros.recording.recorder_types import RecorderConfig, RecorderState
from dexndm_ros.recording.sequences import LossCount, SequenceTracker

__all__ = ["Recorder"]

_POLL_S = 0.02
_SAME_NAME_S = 2.0
_LOCK = ".recorder.lock"
_UNKNOWN_KEY = "loss_unknown"
_OURS = {"started_wall_ns", "started_monotonic_ns", "ended_wall_ns", "ended_monotonic_ns", "episode",
         SHARED_KEY, _UNKNOWN_KEY, *LOSS_KEYS}  # fmt: skip


@dataclass(eq=False)
class _Open:
    """An episode that is open or being closed."""

    writer: EpisodeWriter
    loss_before: Mapping[str, LossCount]
    received: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    shared: set[str] = field(default_factory=set)
    over: bool = False  # the writer thread takes no more messages for it
    closed: threading.Event = field(default_factory=threading.Event)  # its folder has its last name


class _Message(NamedTuple):
    owner: _Open
    topic: str
    data: bytes
    log_ns: int
    publish_ns: int
    sequence: int
    queued_s: float


class _Cut(NamedTuple):
    owner: _Open
    expected: Mapping[str, int] | None  # None = put it aside
    reason: str
    closing: Mapping[str, str]
    queued_s: float


class Recorder:
    """Records episodes.

    Args:
        config: where to and how much.
        latched: topics whose last message holds until the next: every bag begins with it.
        finished: called in the writer thread with how each recording ended.
    """

    def __init__(
        self,
        config: RecorderConfig,
        latched: Collection[str],
        finished: Callable[[EpisodeResult], None],
    ) -> None:
        self._config = config
        self._latched = frozenset(latched)
        self._finished = finished
        self._last: dict[str, tuple[bytes, int, int]] = {}
        self._trackers: dict[str, SequenceTracker] = {}
        self._publishers: dict[str, int] = {}
        self._open: _Open | None = None
        self._ended: list[_Open] = []  # those that the writer thread may still be closing
        self._queue: deque[_Message | _Cut] = deque()
        # Each number below is changed by one thread only.
        self._bytes_in = self._bytes_out = 0
        self._dropped = self._unwritten = 0
        self._messages = self._bytes = 0
        self._unflushed: set[_Open] = set()
        self._lock_fd = -1
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self.failure = ""
        """Why the writer thread ended; '' = it did not."""

    # --- the calling thread -----------------------------------------------------------------------

    def start(self) -> list[Path]:
        """Own the directory, put aside what a dead recorder left, start the writer.

        Returns:
            What was put aside.

        Raises:
            EpisodeError: another recorder writes there.
            OSError: the directory cannot be made or written.
        """
        directory = self._config.directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EpisodeError(
                f"another recorder writes to {directory}; give this one a directory of its own"
            ) from None
        swept = sweep(directory, "the recorder died while it was recording")
        self._thread.start()
        return swept

    def publishers(self, topic: str, count: int) -> None:
        """How many publishers a topic has; its numbers are counted accordingly."""
        self._publishers[topic] = count
        if count > 1 and self._open is not None:
            self._open.shared.add(topic)

    def forget(self, topic: str) -> None:
        """A topic was subscribed to anew: its numbers follow on nothing."""
        self._tracker(topic).forget()

    def add(self, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int) -> None:
        """A message came. Without an episode it is only counted; in one, its topic must be of it."""
        self._tracker(topic).observe(sequence, self._publishers.get(topic, 1))
        if topic in self._latched:
            self._last[topic] = data, publish_ns, sequence
        if (owner := self._current()) is not None:
            self._put(owner, topic, data, log_ns, publish_ns, sequence)

    def begin(self, episode: str, custom_data: Mapping[str, str], topics: Sequence[Topic]) -> None:
        """Open an episode: messages belong to it from now on. One still open is put aside.

        Raises:
            EpisodeError: it cannot be recorded: name, disk, custom data.
        """
        if wrong := sorted(_OURS & custom_data.keys()):
            raise EpisodeError(
                f"custom data may not be named {', '.join(wrong)}: the recorder's own"
            )
        if self._current() is not None:
            self.discard("", f"interrupted: {episode} began")
        if reason := self._refusal():
            raise EpisodeError(reason)
        self._ended = [owner for owner in self._ended if not owner.closed.is_set()]
        for owner in self._ended:
            if owner.writer.episode == episode:  # discarded a moment ago, and now the same again
                owner.closed.wait(_SAME_NAME_S)
        data = {
            **custom_data,
            "episode": episode,
            "started_wall_ns": str(time.time_ns()),
            "started_monotonic_ns": str(time.monotonic_ns()),
        }
        try:
            writer = EpisodeWriter(self._config.directory, episode, data, topics)
        except (OSError, ValueError) as error:
            raise EpisodeError(f"the bag cannot be opened: {words(error)}") from error
        loss = {topic.name: self._tracker(topic.name).count for topic in topics}
        shared = {topic.name for topic in topics if self._publishers.get(topic.name, 1) > 1}
        self._open = owner = _Open(writer, loss, shared=shared)
        for topic in topics:
            if topic.name in self._last:
                latched, publish_ns, sequence = self._last[topic.name]
                self._put(owner, topic.name, latched, time.time_ns(), publish_ns, sequence)

    def received(self, topic: str) -> int:
        """Messages of a topic that the open episode got so far, in the queue or written."""
        return 0 if self._open is None else self._open.received[topic]

    def end(self, episode: str, expected: Mapping[str, int]) -> None:
        """What came so far is the episode: verify it and give it its name, in the background.

        Raises:
            EpisodeError: it is not open.
        """
        self._cut(episode, expected, "")

    def discard(self, episode: str, reason: str) -> None:
        """Put the episode aside, in the background; '' = whichever is open.

        Raises:
            EpisodeError: it is not open.
        """
        self._cut(episode, None, reason or "discarded without a reason")

    def state(self) -> RecorderState:
        """How it is now."""
        current = self._current()
        counts = {topic: tracker.count for topic, tracker in self._trackers.items()}
        try:
            oldest_s = self._queue[0].queued_s
        except IndexError:
            oldest_s = time.monotonic()
        return RecorderState(
            reason=self._refusal(),
            episode="" if current is None else current.writer.episode,
            messages=self._messages,
            lost=sum(count.lost for count in counts.values()),
            dropped=self._dropped + self._unwritten,
            queue=len(self._queue),
            behind_s=max(0.0, time.monotonic() - oldest_s),
            bytes=self._bytes,
            free_bytes=self._free(),
            loss_unknown=tuple(sorted(topic for topic, each in counts.items() if each.unknown)),
        )

    def close(self, timeout_s: float, reason: str = "the recorder was stopped") -> bool:
        """Put aside what is open, close what was ended, end the thread; may be called twice.

        Returns:
            Whether all of it was done in time.
        """
        if self._current() is not None:
            self.discard("", reason)
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        return True

    def _tracker(self, topic: str) -> SequenceTracker:
        return self._trackers.setdefault(topic, SequenceTracker())

    def _current(self) -> _Open | None:
        if self._open is not None and self._open.over:  # the disk failed, and that has been told
            self._open = None
        return self._open

    def _put(
        self, owner: _Open, topic: str, data: bytes, log_ns: int, publish_ns: int, sequence: int
    ) -> None:
        waiting = self._bytes_in - self._bytes_out
        if (
            len(self._queue) >= self._config.queue_messages
            or waiting + len(data) > self._config.queue_bytes
        ):
            owner.dropped += 1
            self._dropped += 1
            return
        owner.received[topic] += 1
        self._bytes_in += len(data)
        self._queue.append(
            _Message(owner, topic, data, log_ns, publish_ns, sequence, time.monotonic())
        )

    def _cut(self, episode: str, expected: Mapping[str, int] | None, reason: str) -> None:
        owner = self._current()
        if owner is None:
            raise EpisodeError(f"no episode is open{f', not {episode} either' if episode else ''}")
        if episode not in ("", owner.writer.episode):
            raise EpisodeError(f"{owner.writer.episode} is open, not {episode}")
        self._open = None
        self._ended.append(owner)
        self._queue.append(
            _Cut(owner, expected, reason, self._words_at_end(owner), time.monotonic())
        )
        self._wake.set()

    def _words_at_end(self, owner: _Open) -> dict[str, str]:
        loss = {
            topic: self._trackers[topic].count - before
            for topic, before in owner.loss_before.items()
        }
        lost_key, dropped_key = LOSS_KEYS
        return {
            "ended_wall_ns": str(time.time_ns()),
            "ended_monotonic_ns": str(time.monotonic_ns()),
            lost_key: str(sum(each.lost for each in loss.values())),
            dropped_key: str(owner.dropped),
            SHARED_KEY: json.dumps(sorted(owner.shared)),
            _UNKNOWN_KEY: json.dumps(sorted(topic for topic, each in loss.items() if each.unknown)),
        }

    def _refusal(self) -> str:
        if self.failure:
            return self.failure
        free, least = self._free(), self._config.min_free_bytes
        if free < least:
            return (
                f"{free / 1e9:.2f} GB are free in {self._config.directory}, {least / 1e9:.2f} GB are needed: "
                "make room, or lower the parameter min_free_gb"
            )
        return ""

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._config.directory).free
        except OSError:
            return 0

    # --- the writer thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            flushed_s = time.monotonic()
            while self._queue or not self._closing.is_set():
                if self._queue:
                    self._work(self._queue.popleft())
                else:
                    self._wake.wait(_POLL_S)
                    self._wake.clear()
                if time.monotonic() - flushed_s >= self._config.flush_s:
                    for owner in self._unflushed:
                        if not owner.over:
                            self._try(owner, owner.writer.flush)
                    self._unflushed.clear()
                    flushed_s = time.monotonic()
        except Exception as error:
            self.failure = f"the writer thread ended: {error!r}"
            raise

    def _work(self, item: _Message | _Cut) -> None:
        if isinstance(item, _Message):
            self._write(item)
            self._bytes_out += len(item.data)
            return
        owner = item.owner
        self._unflushed.discard(owner)
        if owner.over:
            return
        owner.over = True
        if item.expected is None:
            result = owner.writer.abandon(item.reason, item.closing)
        else:
            result = owner.writer.finish(item.expected, item.closing)
        owner.closed.set()
        self._finished(result)

    def _write(self, item: _Message) -> None:
        owner = item.owner
        if owner.over:
            self._unwritten += 1
            return
        writer = owner.writer
        if not self._try(owner, lambda: writer.add(*item[1:6])):
            self._unwritten += 1
            return
        self._unflushed.add(owner)
        self._messages += 1
        self._bytes += len(item.data)

    def _try(self, owner: _Open, action: Callable[[], None]) -> bool:
        """Something with the disk. If that fails the episode is over, and the recorder lives on."""
        try:
            action()
        except OSError as error:
            owner.over = True
            result = owner.writer.abandon(words(error), self._words_at_end(owner))
            owner.closed.set()
            self._finished(result)
            return False
        return True
