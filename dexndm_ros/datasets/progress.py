# SPDX-License-Identifier: Apache-2.0
"""How far a conversion is: a bar with the time to go on a terminal; anywhere else a plain line now and then."""

from __future__ import annotations

import math
import os
import time
from typing import Any, TextIO

from dexndm_ros.bags.names import readable

__all__ = ["Progress", "duration", "size"]

_PLAIN_PERIOD_S = 10.0
_COLUMNS, _ROWS = 100, 20


class Progress:
    """Shows one stage after the other.

    Args:
        stream: where to.
        plain_period_s: least time between plain lines.
    """

    def __init__(self, stream: TextIO, plain_period_s: float = _PLAIN_PERIOD_S) -> None:
        self._stream = stream
        self._period_s = plain_period_s
        self._bar: Any = None
        self._what = self._unit = ""
        self._count = self._done = 0
        self._amount = self._total = 0
        self._start_s = self._due_s = 0.0

    def begin(self, what: str, count: int, total: int, unit: str) -> None:
        """A stage begins.

        Args:
            what: the things that are done, "bags".
            count: how many of them.
            total: how much work they are.
            unit: of the work: "B" or "rows"; "" = it is a share, and the things are not counted.
        """
        self.end()
        self._what, self._count, self._total, self._unit = what, count, total, unit
        self._done = self._amount = 0
        self._start_s = time.monotonic()
        self._due_s = self._start_s + self._period_s
        if self._stream.isatty():
            from tqdm import tqdm

            form = None if unit else "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(
                total=total, unit=unit if unit == "B" else f" {unit}", unit_scale=True, bar_format=form,
                desc=self._head(), file=self._stream, mininterval=0.2, smoothing=0.1, **self._width(),
            )  # fmt: skip

    def step(self, amount: int) -> None:
        """One thing more is done, which was so much work."""
        self._done += 1
        if self._bar is not None:
            self._bar.set_description_str(self._head(), refresh=False)
        self.work(amount)

    def work(self, amount: int) -> None:
        """A part of a thing is done, which was so much work."""
        self._amount += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._period_s
            self._write(self._line())

    def say(self, text: str) -> None:
        """A line that stays."""
        text = readable(text)
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
            self._stream.flush()
        else:
            self._write(text)

    def end(self) -> None:
        """The stage is over; its bar stays."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _width(self) -> dict[str, Any]:
        """A terminal that does not tell its size (a pipe of ssh, a container) would get no bar at all."""
        try:
            known = os.get_terminal_size(self._stream.fileno()).columns > 0
        except (OSError, ValueError):
            known = False
        return {"dynamic_ncols": True} if known else {"ncols": _COLUMNS, "nrows": _ROWS}

    def _head(self) -> str:
        return f"{self._what} {self._done}/{self._count}" if self._unit else self._what

    def _line(self) -> str:
        passed_s = time.monotonic() - self._start_s
        left_s = (
            passed_s / self._amount * (self._total - self._amount) if self._amount else math.nan
        )
        if not self._unit:
            share = self._amount / max(self._total, 1)
            return f"{self._what} {share:.0%}, {duration(left_s)} to go"
        rate = self._amount / max(passed_s, 1e-9)
        amount = f"{size(rate)}/s" if self._unit == "B" else f"{rate:,.0f} {self._unit}/s"
        return f"{self._what} {self._done} of {self._count}, {amount}, {duration(left_s)} to go"

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """A time in words: 8 s, 12 min, 3 h 20 min."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes in words: 812 B, 4.3 MB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
