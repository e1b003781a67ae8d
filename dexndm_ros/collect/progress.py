# SPDX-License-Identifier: Apache-2.0
"""A progress bar on a terminal; anywhere else a plain line when there is something new, now and then."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, TextIO

__all__ = ["Progress"]


class Progress:
    """Shows how far a campaign is.

    Args:
        stream: where to.
        bar: a bar, if the stream is a terminal.
        plain_period_s: least time between plain lines.
    """

    def __init__(self, stream: TextIO, *, bar: bool = True, plain_period_s: float = 10.0) -> None:
        self._stream = stream
        self._wanted = bar and stream.isatty()
        self._bar: Any = None
        self._period_s = plain_period_s
        self._due_s = -math.inf
        self._last = ""

    def show(self, text: str, done: int, total: int, now_s: float) -> None:
        """Show where it stands; call it as often as it changes.

        Args:
            text: one line.
            done: trajectories finished or rejected for good.
            total: trajectories planned; 0 = not known yet.
            now_s: monotonic time.
        """
        if not self._wanted:
            if text != self._last and now_s >= self._due_s:
                self._due_s = now_s + self._period_s
                self._last = text
                self._write(text)
            return
        if total <= 0:
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{percentage:3.0f}%|{bar}| {desc}"
            self._bar = tqdm(total=total, initial=done, file=self._stream, bar_format=form)
        self._bar.n = done
        self._bar.set_description_str(text)

    def say(self, text: str) -> None:
        """Print a line that stays, with the time of day: it may be read in the morning."""
        self._write(f"{datetime.now():%H:%M:%S} {text}")

    def close(self) -> None:
        """Leave the bar standing and begin a new line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
