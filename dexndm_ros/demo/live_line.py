# SPDX-License-Identifier: Apache-2.0
"""The live line: rewritten in place on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import math
import shutil
from typing import TextIO

from dexndm_ros.demo.run import LiveNumbers

__all__ = ["LiveLine", "live_text"]

_ERASE = "\r\x1b[2K"


def live_text(numbers: LiveNumbers) -> str:
    """One line: angle turned, seconds held, loop rate, worst tick."""
    if not numbers.running and not numbers.fallen:
        if numbers.status:
            return f"waiting: {numbers.status}"
        return "the hand opens, takes the object and closes"
    parts = []
    if numbers.angle_rad is not None:
        turns = numbers.angle_rad / math.tau
        parts.append(f"turned {numbers.angle_rad:+7.2f} rad ({turns:+.2f} turns)")
    parts.append(f"held {numbers.held_s:6.1f} s")
    parts.append(f"policy {_number(numbers.rate_hz, 5)} Hz")
    parts.append(f"worst tick {_number(numbers.worst_tick_ms, 5)} ms")
    if numbers.fallen:
        parts.append("the object fell")
    return "  ".join(parts)


def _number(value: float, width: int) -> str:
    return f"{value:{width}.1f}" if math.isfinite(value) else " " * (width - 1) + "-"


class LiveLine:
    """Shows a line of text that changes.

    Args:
        stream: where to.
        plain_period_s: time between lines where nothing can be rewritten.
    """

    def __init__(self, stream: TextIO, plain_period_s: float = 5.0) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._period_s = plain_period_s
        self._due_s = -math.inf
        self._shown = ""

    def show(self, text: str, now_s: float) -> None:
        """Show a text; call it as often as it changes.

        Args:
            text: without line ends.
            now_s: monotonic time.
        """
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._shown = text[:width]
            self._write(_ERASE + self._shown)
        elif now_s >= self._due_s:
            self._due_s = now_s + self._period_s
            self._write(text + "\n")

    def say(self, text: str) -> None:
        """Print lines that stay, above the live line."""
        if self._terminal:
            self._write(f"{_ERASE}{text}\n{self._shown}")
        else:
            self._write(text + "\n")

    def close(self) -> None:
        """Leave the last text standing and begin a new line."""
        if self._terminal and self._shown:
            self._write("\n")
        self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
