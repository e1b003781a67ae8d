# SPDX-License-Identifier: Apache-2.0
"""When each message of a bag is due: rate, pause, single steps, seeking, looping.

Nothing here waits or asks for the time: a runner calls ``advance`` and sleeps until what it answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from dexndm_ros.playback.timeline import Entry

__all__ = ["MAX_RATE", "MIN_RATE", "PlayConfig", "PlaybackError", "Player", "PlayerState", "State"]

MIN_RATE, MAX_RATE = 0.001, 1000.0
_OVER = "the end of the bag is reached; restart it, or seek back"
_BURST = 64
"""Messages published at one go before somebody else may have a word."""


class PlaybackError(ValueError):
    """Something that cannot be played as asked; the message says what is allowed."""


class State(Enum):
    """What a player does."""

    PLAYING = "playing"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """How a bag is played.

    Attributes:
        rate: how many times faster than it was recorded.
        paused: wait at the start.
        loop: begin again at the end, without end.
        late_s: a message later than this, in real time, is not caught up with in a burst: what follows moves with it.
    """

    rate: float = 1.0
    paused: bool = False
    loop: bool = False
    late_s: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_rate(self.rate)
        if not 0.0 < self.late_s < 3600.0:
            raise PlaybackError(f"late_s is {self.late_s!r}; allowed: above 0 s, up to an hour")


@dataclass(frozen=True)
class PlayerState:
    """Where a player stands.

    Attributes:
        state: what it does.
        position_s: since the beginning of the bag's part that is played.
        duration_s: of that part.
        position_ns: recorded time, wall time then.
        rate: times real time.
        played: messages since the start, steps and loops included.
        loops: how often the end was reached and it began again.
        stalls: how often playing was late and what followed was moved.
        stalled_s: by how much, in all.
        next_s: real time until the next message at this rate; 0 when nothing follows.
    """

    state: State
    position_s: float
    duration_s: float
    position_ns: int
    rate: float
    played: int
    loops: int
    stalls: int
    stalled_s: float
    next_s: float


def check_rate(rate: float) -> float:
    """The rate, if it can be played at.

    Raises:
        PlaybackError: it cannot.
    """
    if not (math.isfinite(rate) and MIN_RATE <= rate <= MAX_RATE):
        raise PlaybackError(
            f"rate is {rate:g}; allowed: {MIN_RATE:g} to {MAX_RATE:g} times real time"
        )
    return float(rate)


class Player:
    """Plays the entries of a timeline. Not thread-safe.

    Args:
        entries: the messages from a time on, as ``Timeline.entries``; called at each start, seek and loop.
        begin_ns: recorded time to begin at.
        end_ns: recorded time to end at; messages of just this time are played.
        publish: is given each message when it is due.
        config: how to play.
        ticks: topics whose messages are the control ticks.
    """

    def __init__(
        self,
        entries: Callable[[int], Iterator[Entry]],
        begin_ns: int,
        end_ns: int,
        publish: Callable[[Entry], None],
        config: PlayConfig,
        ticks: Collection[str] = (),
    ) -> None:
        self._source = entries
        self._begin_ns, self._end_ns = begin_ns, end_ns
        self._publish = publish
        self._config = config
        self._ticks = frozenset(ticks)
        self._rate = config.rate
        self._state = State.PAUSED if config.paused else State.PLAYING
        self._entries: Iterator[Entry] = iter(())
        self._next: Entry | None = None
        self._position_ns = begin_ns
        self._anchor_ns: int | None = (
            None  # machine's time at _position_ns; None = time stands still
        )
        self._to_tick = False
        self._newest_ns = -1
        self._played = self._loops = self._stalls = self._stalled_ns = 0
        self._open(begin_ns)

    # --- playing ----------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> int | None:
        """Publish what is due.

        Args:
            now_ns: the machine's monotonic time.

        Returns:
            when to call again; None = not before something was asked, or never when the state is ENDED.
        """
        for _ in range(_BURST):
            entry = self._next
            if entry is None:
                return self._at_end(now_ns)
            if entry.held:  # it holds at the start, also while time stands still
                self._emit(entry)
                continue
            if self._to_tick:
                self._step()
                self._to_tick = entry.topic not in self._ticks and self._next is not None
                continue
            if self._state is not State.PLAYING:
                return None
            due_ns = self._due_ns(entry, now_ns)
            if due_ns > now_ns:
                return due_ns
            self._move_if_late(entry, due_ns, now_ns)
            self._emit(entry)
        return now_ns

    def state(self, now_ns: int) -> PlayerState:
        """Where it stands."""
        position_ns, entry = self.position_ns(now_ns), self._next
        wait_ns = 0 if entry is None else max(0, entry.time_ns - position_ns)
        return PlayerState(
            self._state,
            (position_ns - self._begin_ns) / 1e9,
            (self._end_ns - self._begin_ns) / 1e9,
            position_ns,
            self._rate,
            self._played,
            self._loops,
            self._stalls,
            self._stalled_ns / 1e9,
            wait_ns / 1e9 / self._rate,
        )

    def position_ns(self, now_ns: int) -> int:
        """The recorded time that is now; never past a message that was not published."""
        position_ns = self._position_ns
        if self._anchor_ns is not None:
            position_ns += round((now_ns - self._anchor_ns) * self._rate)
        ceiling_ns = self._end_ns if self._next is None else self._next.time_ns
        return max(self._position_ns, min(position_ns, ceiling_ns))

    # --- asked for ------------------------------------------------------------------------------------

    def pause(self, now_ns: int) -> None:
        """Stand still."""
        if self._state is State.PLAYING:
            self._hold(now_ns)
            self._state = State.PAUSED

    def resume(self, now_ns: int) -> None:
        """Go on, at the recorded pace from where it stands.

        Raises:
            PlaybackError: the end is reached.
        """
        if self._state is State.ENDED:
            raise PlaybackError(_OVER)
        if self._state is State.PAUSED:
            self._to_tick = False
            self._anchor_ns = now_ns
            self._state = State.PLAYING

    def step(self, now_ns: int) -> Entry:
        """Publish the next message, now; pauses if it was playing.

        Raises:
            PlaybackError: the end is reached.
        """
        self.pause(now_ns)
        entry = self._coming()
        while entry.held:
            self._emit(entry)
            entry = self._coming()
        return self._step()

    def tick(self, now_ns: int) -> None:
        """Publish all messages up to the next control tick, now; pauses if it was playing.

        Without a topic of ticks that is the next message. It is done by ``advance``.

        Raises:
            PlaybackError: the end is reached.
        """
        self.pause(now_ns)
        self._coming()
        if self._ticks:
            self._to_tick = True
        else:
            self.step(now_ns)

    def set_rate(self, rate: float, now_ns: int) -> None:
        """Play faster or slower from here on.

        Raises:
            PlaybackError: a rate that is not allowed.
        """
        check_rate(rate)
        if self._anchor_ns is not None:
            self._hold(now_ns)
            self._anchor_ns = now_ns
        self._rate = float(rate)

    def seek(self, offset_s: float, now_ns: int) -> None:
        """Go to a place, this long after the beginning; past an end it is that end. After the end it pauses there.

        Raises:
            PlaybackError: no number.
        """
        if not math.isfinite(offset_s):
            raise PlaybackError(f"position is {offset_s!r}; give seconds from the beginning")
        target_ns = self._begin_ns + round(offset_s * 1e9)
        self._open(min(max(target_ns, self._begin_ns), self._end_ns))
        if self._state is State.ENDED:
            self._state = State.PAUSED
        if self._state is State.PLAYING:
            self._anchor_ns = now_ns

    def stop(self) -> None:
        """End, wherever it stands."""
        self._state, self._next, self._anchor_ns = State.ENDED, None, None
        self._close()

    # --- inside -----------------------------------------------------------------------------------

    def _open(self, at_ns: int) -> None:
        self._close()
        self._entries = iter(self._source(at_ns))
        self._position_ns, self._anchor_ns = at_ns, None
        self._newest_ns, self._to_tick = -1, False
        self._fetch()

    def _close(self) -> None:
        close = getattr(self._entries, "close", None)
        if close is not None:
            close()

    def _fetch(self) -> None:
        entry = next(self._entries, None)
        self._next = None if entry is None or entry.time_ns > self._end_ns else entry

    def _due_ns(self, entry: Entry, now_ns: int) -> int:
        if self._anchor_ns is None:
            self._anchor_ns = now_ns
        return self._anchor_ns + math.ceil((entry.time_ns - self._position_ns) / self._rate)

    def _move_if_late(self, entry: Entry, due_ns: int, now_ns: int) -> None:
        """What came out of order is late by what it is, and moves nothing."""
        in_order = entry.time_ns >= self._newest_ns
        if in_order and now_ns - due_ns > self._config.late_s * 1e9:
            self._stalls += 1
            self._stalled_ns += now_ns - due_ns
            self._anchor_ns, self._position_ns = now_ns, entry.time_ns

    def _emit(self, entry: Entry) -> None:
        self._played += 1
        self._newest_ns = max(self._newest_ns, entry.time_ns)
        self._publish(entry)
        self._fetch()

    def _step(self) -> Entry:
        entry = self._next
        assert entry is not None
        self._position_ns = max(self._position_ns, entry.time_ns)
        self._emit(entry)
        return entry

    def _hold(self, now_ns: int) -> None:
        """Time stands still from now on."""
        self._position_ns, self._anchor_ns = self.position_ns(now_ns), None

    def _at_end(self, now_ns: int) -> int | None:
        """The last message was played: begin again when the time has come, or end; steps end nothing."""
        if self._state is not State.PLAYING:
            return None
        if self._loops_on():
            if self._anchor_ns is None:
                self._anchor_ns = now_ns
            left_ns = math.ceil((self._end_ns - self._position_ns) / self._rate)
            if self._anchor_ns + left_ns > now_ns:
                return self._anchor_ns + left_ns
            self._begin_again()
            self._anchor_ns = now_ns
            return now_ns
        self._state, self._position_ns, self._anchor_ns = State.ENDED, self._end_ns, None
        self._close()
        return None

    def _loops_on(self) -> bool:
        """A bag of one moment would be repeated endlessly in no time, and one of nothing for nothing."""
        return self._config.loop and self._end_ns > self._begin_ns and self._newest_ns >= 0

    def _begin_again(self) -> None:
        self._loops += 1
        self._open(self._begin_ns)

    def _coming(self) -> Entry:
        """The next message; of the next round, if there is one."""
        if self._next is None and self._state is not State.ENDED and self._loops_on():
            self._begin_again()
        if self._next is None:
            raise PlaybackError(_OVER)
        return self._next
