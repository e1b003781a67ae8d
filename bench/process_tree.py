# SPDX-License-Identifier: Apache-2.0
"""Runs a ``dexndm`` command and measures it with all the processes that it starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Used", "run_measured"]

_LOOK_S = 0.05


@dataclass(frozen=True)
class Used:
    """What something took.

    Attributes:
        wall_s: time by the clock.
        cpu_s: user and system time of all its processes.
        peak_mb: most resident memory of all of them together; shared pages are counted in each.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


def run_measured(words: Sequence[str], allowed: Sequence[int] = (0,)) -> Used:
    """Run ``dexndm WORDS``.

    Args:
        words: command and arguments.
        allowed: exit statuses that are no failure.

    Raises:
        RuntimeError: another exit status, with the end of what it said.
    """
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "dexndm_ros.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    peak = _Peak(process.pid)
    said, _ = process.communicate()
    wall_s = time.perf_counter() - began
    peak_mb = peak.end()
    after = os.times()
    if process.returncode not in allowed:
        raise RuntimeError(f"dexndm {words[0]} ended with {process.returncode}: {said[-2000:]}")
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # of children that ended, and of theirs
    return Used(wall_s, cpu_s, peak_mb)


class _Peak(threading.Thread):
    """Looks again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._most = 0
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._pid)
            while not self._over.wait(_LOOK_S):
                self._most = max(self._most, _resident(root))

    def end(self) -> float:
        """MB."""
        self._over.set()
        self.join()
        return self._most / 1e6


def _resident(root: psutil.Process) -> int:
    total = 0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
