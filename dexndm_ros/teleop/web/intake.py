# SPDX-License-Identifier: Apache-2.0
"""What of an operator's frames is taken: not too many, in order, not late. The rest is counted by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dexndm_ros.teleop.web.clock import ClockOffset
from dexndm_ros.teleop.web.messages import Frame, Message, RefusedError, parse

__all__ = ["Intake", "Limits"]


@dataclass(frozen=True)
class Limits:
    """What a page may send.

    Attributes:
        message_bytes: the longest message.
        rate_hz: messages in the long run; a Quest 3 draws at most 120 frames a second.
        burst: messages at once; a radio that was blocked for a moment delivers what it held back.
        refused_in_a_row: so many, and the connection is closed.
        late_s: a frame that was longer on its way is not taken.
    """

    message_bytes: int = 2048
    rate_hz: float = 200.0
    burst: int = 60
    refused_in_a_row: int = 100
    late_s: float = 0.15


class Intake:
    """One connection's messages, from text to what may be used.

    Args:
        limits: what the page may send.
        counts: where refusals are counted by reason; shared by all connections.
    """

    def __init__(self, limits: Limits, counts: Counter[str]) -> None:
        self.clock = ClockOffset()
        self._limits = limits
        self._counts = counts
        self._room = float(limits.burst)
        self._filled_s = 0.0
        self._last: Frame | None = None
        self._refused = 0

    @property
    def hopeless(self) -> bool:
        """Nothing of use came for so many messages that the connection is to be closed."""
        return self._refused >= self._limits.refused_in_a_row

    def take(self, text: str, now_s: float) -> Message | None:
        """Read a message that came now; None = refused and counted.

        Args:
            text: as it came.
            now_s: monotonic, never falls.
        """
        try:
            self._within_rate(now_s)
            message = parse(text)
            if isinstance(message, Frame):
                self._in_order(message)
                self._in_time(message, now_s)
        except RefusedError as error:
            self._counts[error.reason] += 1
            self._refused += 1
            return None
        self._refused = 0
        return message

    def take_control(self, now_s: float) -> bool:
        """Count a ping or pong of the protocol's own, which is of no use but takes room; whether there was some."""
        try:
            self._within_rate(now_s)
        except RefusedError as error:
            self._counts[error.reason] += 1
            self._refused += 1
            return False
        return True

    def _within_rate(self, now_s: float) -> None:
        limits = self._limits
        self._room = min(self._room + (now_s - self._filled_s) * limits.rate_hz, limits.burst)
        self._filled_s = now_s
        if self._room < 1.0:
            raise RefusedError("too many")
        self._room -= 1.0

    def _in_order(self, frame: Frame) -> None:
        last = self._last
        if last is not None and (
            frame.seq <= last.seq
            or frame.captured_s < last.captured_s
            or frame.origin < last.origin
        ):
            raise RefusedError("out of order")
        self._last = frame

    def _in_time(self, frame: Frame, now_s: float) -> None:
        if abs(self.clock.delay_s(frame.captured_s, now_s)) > self._limits.late_s:
            raise RefusedError("late")
