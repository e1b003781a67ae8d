# SPDX-License-Identifier: Apache-2.0
"""Samples on their way to a file, from a loop that must not wait for a disk."""

from __future__ import annotations

import contextlib
import queue
import threading
from itertools import count
from pathlib import Path

from dexndm_ros.teleop.recording import SampleWriter
from dexndm_ros.teleop.sample import Sample

__all__ = ["SampleLog", "free_path"]

_CLOSE_S = 2.0


class SampleLog:
    """Writes samples in a thread of its own; whoever gives them is never held up, and never sees an error of the disk.

    A disk that is too slow costs samples, one that refuses ends the file; both are told in ``words``.

    Args:
        writer: is used by the thread alone from now on, and closed by it.
        most: samples that may wait; one more is dropped.
    """

    def __init__(self, writer: SampleWriter, most: int = 1000) -> None:
        self._writer = writer
        self._waiting: queue.Queue[Sample | None] = queue.Queue(most)
        self._dropped = self._written = 0
        self._error = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sample_log", daemon=True)
        self._thread.start()

    @property
    def words(self) -> str:
        """What of the recording is lost, and why; empty = nothing."""
        if self._error:
            return f"the recording ended after {self._written} samples: {self._error}"
        if self._dropped:
            return f"the disk is too slow: {self._dropped} samples are missing in the recording"
        return ""

    def put(self, sample: Sample) -> None:
        """Write it when there is time."""
        if self._error or self._ending.is_set():
            return
        try:
            self._waiting.put_nowait(sample)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits and end the file; a disk that stands still is not waited for. Works twice."""
        if not self._ending.is_set():
            self._ending.set()
            with contextlib.suppress(queue.Full):  # then the thread looks when it has caught up
                self._waiting.put_nowait(None)
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        try:
            while (sample := self._next()) is not None:
                self._writer.write(sample)
                self._written += 1
            self._writer.close()
        except OSError as error:
            self._error = error.strerror or str(error)
            self._writer.abandon()

    def _next(self) -> Sample | None:
        """The next sample; None = there is none any more."""
        if self._ending.is_set() and self._waiting.empty():
            return None
        return self._waiting.get()


def free_path(path: Path) -> Path:
    """The path, or, where that exists, ``name-2.jsonl``, ``name-3.jsonl`` and so on beside it."""
    if not path.exists():
        return path
    stem, dot, rest = path.name.partition(".")
    return next(
        other
        for number in count(2)
        if not (other := path.with_name(f"{stem}-{number}{dot}{rest}")).exists()
    )
