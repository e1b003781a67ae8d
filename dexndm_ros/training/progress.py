# SPDX-License-Identifier: Apache-2.0
"""What every offline job shows and records: a progress bar with ETA, and the commit it ran from."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

__all__ = ["Bar", "Progress", "Stages", "commit_id", "open_bar"]


class Bar(Protocol):
    """What a job shows as it goes."""

    def update(self, done: int, figures: str = "") -> None:
        """Set the units done so far and the figures shown behind the bar."""

    def close(self) -> None:
        """End the line."""


OpenBar = Callable[[int, str, int], Bar]
"""A bar from the units of a job, what is being done, and the units done in an earlier run."""


class Progress:
    """A bar with rate, ETA and a line of figures.

    Args:
        total: units of the whole job.
        label: what is being done.
        done: units done in an earlier run.
    """

    def __init__(self, total: int, label: str, done: int = 0) -> None:
        self._bar = tqdm(total=total, initial=done, desc=label, unit_scale=True, mininterval=2.0)

    def update(self, done: int, figures: str = "") -> None:
        """Set the units done so far and the figures shown behind the bar."""
        if figures:
            self._bar.set_postfix_str(figures, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the line."""
        self._bar.close()


def open_bar(total: int, label: str, done: int = 0) -> Bar:
    """A bar of a job's own."""
    return Progress(total, label, done)


class Stages:
    """One bar, with one ETA, for jobs that run one after the other.

    Args:
        label: what is being done.
        lengths: how long each job is, in whatever unit is the same for all.
    """

    def __init__(self, label: str, lengths: Sequence[int]) -> None:
        self._bar = Progress(sum(lengths), label)
        self._ends = list(accumulate(lengths))
        self._lengths = list(lengths)
        self._stage = -1

    def next(self) -> OpenBar:
        """The bar of the next job: a stretch of this one."""
        self._stage += 1
        end, length = self._ends[self._stage], self._lengths[self._stage]
        return lambda total, label, done: _Stretch(self._bar, end - length, length, total, label)

    def close(self) -> None:
        """End the line."""
        self._bar.close()


class _Stretch:
    def __init__(self, bar: Progress, start: int, length: int, total: int, label: str) -> None:
        self._bar, self._start, self._label = bar, start, label
        self._scale = length / total

    def update(self, done: int, figures: str = "") -> None:
        at = self._start + round(self._scale * done)
        self._bar.update(at, f"{self._label}: {figures}" if figures else "")

    def close(self) -> None:
        """The whole bar goes on."""


def commit_id() -> str:
    """Commit of the checkout this package runs from, with ``+`` when it has changes, or "unknown"."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        result = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return result.stdout.strip() if result.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
