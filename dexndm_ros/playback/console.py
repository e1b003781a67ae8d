# SPDX-License-Identifier: Apache-2.0
"""The terminal of a replay: keys, and a line that tells where it stands."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable
from enum import Enum
from typing import Any, TextIO

from dexndm_ros.playback.player import MAX_RATE, MIN_RATE, PlayerState, State

__all__ = ["HELP", "Console", "Key", "next_rate", "read_keys", "status_text"]

_ERASE = "\r\x1b[2K"
_PLAIN_PERIOD_S = 5.0


class Key(Enum):
    """What a key asks for."""

    PAUSE = "pause"
    STEP = "step"
    TICK = "tick"
    FASTER = "faster"
    SLOWER = "slower"
    BACK = "back"
    FORWARD = "forward"
    RESTART = "restart"
    HELP = "help"
    QUIT = "quit"


_KEYS = {
    b" ": Key.PAUSE,
    b"n": Key.STEP,
    b"\x1b[C": Key.STEP,
    b"\x1bOC": Key.STEP,
    b".": Key.TICK,
    b"+": Key.FASTER,
    b"=": Key.FASTER,
    b"\x1b[A": Key.FASTER,
    b"\x1bOA": Key.FASTER,
    b"-": Key.SLOWER,
    b"\x1b[B": Key.SLOWER,
    b"\x1bOB": Key.SLOWER,
    b"[": Key.BACK,
    b"\x1b[D": Key.BACK,
    b"\x1bOD": Key.BACK,
    b"]": Key.FORWARD,
    b"r": Key.RESTART,
    b"h": Key.HELP,
    b"?": Key.HELP,
    b"q": Key.QUIT,
    b"\x04": Key.QUIT,
}
HELP = (
    "space pause or go on | n or right arrow next message | . next control tick | + - rate | "
    "[ ] 5 s back or forward | r from the start | q quit"
)
_LADDER = (1.0, 2.0, 5.0)


def read_keys(data: bytes) -> list[Key]:
    """The keys in what a terminal sent; anything else is passed over."""
    keys = []
    at = 0
    while at < len(data):
        length = 3 if data[at : at + 2] in (b"\x1b[", b"\x1bO") else 1
        key = _KEYS.get(data[at : at + length])
        if key is not None:
            keys.append(key)
        at += length
    return keys


def next_rate(rate: float, faster: bool) -> float:
    """The next rate of 0.1, 0.2, 0.5, 1, 2, 5, 10 and so on, within what is allowed."""
    steps = [digit * 10.0**power for power in range(-3, 4) for digit in _LADDER]
    steps = [step for step in steps if MIN_RATE <= step <= MAX_RATE]
    if faster:
        return next((step for step in steps if step > rate * 1.000001), MAX_RATE)
    return next((step for step in reversed(steps) if step < rate * 0.999999), MIN_RATE)


def status_text(state: PlayerState, note: str = "", width: int = 20) -> str:
    """One line: what it does, where, how fast, and how many messages were played.

    Args:
        state: of the player.
        note: what to say besides.
        width: of the bar, characters.
    """
    share = state.position_s / state.duration_s if state.duration_s > 0 else 1.0
    share = min(max(share, 0.0), 1.0)
    filled = round(share * width)
    parts = [
        f"{state.state.value:<7}",
        f"[{'#' * filled}{'.' * (width - filled)}] {share:4.0%}",
        f"{state.position_s:.2f} of {state.duration_s:.2f} s",
        f"x{state.rate:g}",
        f"{state.played} messages",
    ]
    if state.state is State.PLAYING and state.duration_s > 0:
        left_s = (state.duration_s - state.position_s) / state.rate
        parts.append(f"{math.ceil(left_s)} s left")
    if state.loops:
        parts.append(f"round {state.loops + 1}")
    if state.state is State.PLAYING and state.next_s > 2.0:
        parts.append(f"nothing for {state.next_s:.0f} s")
    if note:
        parts.append(note)
    return "  ".join(parts)


class Console:
    """Keys and a status line, in a terminal; elsewhere plain lines now and then.

    Args:
        on_key: called with each key, in a thread of the console's own.
        keys: where they come from; without a terminal there are none.
        stream: where the line goes.
    """

    def __init__(
        self,
        on_key: Callable[[Key], None],
        keys: TextIO = sys.stdin,
        stream: TextIO = sys.stdout,
    ) -> None:
        self._on_key = on_key
        self._keys, self._stream = keys, stream
        self._terminal = stream.isatty()
        self._before: list[Any] | None = None
        self._shown = ""
        self._due_s = -math.inf
        self._wake: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def has_keys(self) -> bool:
        """Whether keys are heard."""
        return self._thread is not None

    def start(self) -> None:
        """Hear keys, each as it is pressed, if there is a terminal."""
        try:
            number = self._keys.fileno()
            if not os.isatty(number) or os.tcgetpgrp(number) != os.getpgrp():
                return  # in the background reading would stop the process
            self._before = termios.tcgetattr(number)
            tty.setcbreak(number, termios.TCSANOW)
            if threading.current_thread() is threading.main_thread():
                # After Ctrl-Z and fg the shell has put the terminal back as it likes it.
                signal.signal(signal.SIGCONT, lambda *_: self._again(number))
        except (OSError, ValueError, termios.error):
            return
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(number,), daemon=True)
        self._thread.start()

    def show(self, text: str, now_s: float) -> None:
        """Show a line in the place of the one before.

        Args:
            text: without line ends.
            now_s: monotonic time.
        """
        with self._lock:
            if self._terminal:
                line = text[: shutil.get_terminal_size().columns - 1]
                if line != self._shown:
                    self._write(_ERASE + line)
                    self._shown = line
            elif now_s >= self._due_s:
                self._due_s = now_s + _PLAIN_PERIOD_S
                self._write(text + "\n")

    def clear(self) -> None:
        """Make room for a line of somebody else."""
        with self._lock:
            if self._shown:
                self._write(_ERASE)
                self._shown = ""

    def close(self) -> None:
        """Leave the terminal as it was. May be called twice."""
        if self._thread is not None and self._wake is not None:
            os.write(self._wake[1], b"x")
            if self._thread is not threading.current_thread():
                self._thread.join(1.0)
            self._thread = None
        if self._before is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._keys.fileno(), termios.TCSADRAIN, self._before)
            self._before = None
        with self._lock:
            if self._shown:
                self._write("\n")
                self._shown = ""

    def _again(self, number: int) -> None:
        with contextlib.suppress(OSError, termios.error):
            if self._before is not None and os.tcgetpgrp(number) == os.getpgrp():
                tty.setcbreak(number, termios.TCSANOW)

    def _read(self, number: int) -> None:
        assert self._wake is not None
        while True:
            ready, _, _ = select.select([number, self._wake[0]], [], [])
            if self._wake[0] in ready:
                return
            try:
                data = os.read(number, 64)
            except OSError:
                return
            if not data:
                return
            for key in read_keys(data):
                self._on_key(key)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
