# SPDX-License-Identifier: Apache-2.0
"""Lets a player run in a thread of its own, on absolute deadlines, while others tell it what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dexndm_ros.playback.player import Player, PlayerState, State
from dexndm_ros.playback.timeline import Entry

__all__ = ["PlayerThread"]

_NS = 1_000_000_000
_JOIN_S = 5.0
_NAP_S = 3600.0
"""The longest wait at once: a clock that was set wrong may put centuries between two messages."""


class PlayerThread:
    """A player in a thread. Every method may be called from any thread; the player only through here.

    What the player publishes it publishes in this thread, or in that of a caller of ``step`` or ``tick``. It may
    ask this object back there, but must not wait for somebody who does.

    Args:
        player: from now on only used by this object.
        monotonic_ns: the machine's time.
    """

    def __init__(self, player: Player, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._player = player
        self._now_ns = monotonic_ns
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self.error: Exception | None = None
        """What ended it, when it was not the end of the bag: a defect, or a bag that cannot be read."""

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def close(self) -> None:
        """End it; also when it never began."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        self._player.stop()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes: the last message was played, or an error ended it."""
        return self.error is not None or self.state().state is State.ENDED

    def state(self) -> PlayerState:
        """Where it stands."""
        with self._changed:
            return self._player.state(self._now_ns())

    def position_ns(self) -> int:
        """The recorded time that is now."""
        with self._changed:
            return self._player.position_ns(self._now_ns())

    def pause(self) -> None:
        """Stand still."""
        with self._changed:
            self._player.pause(self._now_ns())

    def resume(self) -> None:
        """Go on.

        Raises:
            PlaybackError: the end is reached.
        """
        with self._changed:
            self._player.resume(self._now_ns())
            self._changed.notify_all()

    def step(self) -> Entry:
        """Publish the next message, now.

        Raises:
            PlaybackError: the end is reached.
        """
        with self._changed:
            return self._player.step(self._now_ns())

    def tick(self) -> int:
        """Publish all up to the next control tick, now; returns how many messages that were.

        Raises:
            PlaybackError: the end is reached.
        """
        with self._changed:
            before = self._player.state(0).played
            self._player.tick(self._now_ns())
            while self._player.advance(self._now_ns()) is not None:
                pass
            return self._player.state(0).played - before

    def set_rate(self, rate: float) -> None:
        """Play faster or slower from here on.

        Raises:
            PlaybackError: a rate that is not allowed.
        """
        with self._changed:
            self._player.set_rate(rate, self._now_ns())
            self._changed.notify_all()

    def seek(self, offset_s: float) -> None:
        """Go to a place, seconds from the beginning.

        Raises:
            PlaybackError: no number.
        """
        with self._changed:
            self._player.seek(offset_s, self._now_ns())
            self._changed.notify_all()

    def move(self, by_s: float) -> None:
        """Go forward or back from where it stands."""
        with self._changed:
            now_ns = self._now_ns()
            self._player.seek(self._player.state(now_ns).position_s + by_s, now_ns)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with self._changed:
                while not self._stopping and self.error is None:
                    deadline_ns = self._player.advance(self._now_ns())
                    wait_s = None
                    if deadline_ns is not None:
                        wait_s = min(max(0.0, (deadline_ns - self._now_ns()) / _NS), _NAP_S)
                    # Waiting lets the others in; also for no time at all, when many messages are due.
                    self._changed.wait(wait_s)
        except Exception as error:
            self.error = error
