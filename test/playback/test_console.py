# SPDX-License-Identifier: Apache-2.0
"""Keys and the status line, at a terminal of the test's and off it."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.playback.console import Console, Key, next_rate, read_keys, status_text
from dexndm_ros.playback.player import PlayerState, State
from support.terminal import Terminal


def state(**changes) -> PlayerState:
    values = {
        "state": State.PLAYING, "position_s": 5.0, "duration_s": 20.0, "position_ns": 0, "rate": 2.0,
        "played": 1234, "loops": 0, "stalls": 0, "stalled_s": 0.0, "next_s": 0.01,
    }  # fmt: skip
    return PlayerState(**values | changes)


def test_the_line_tells_what_where_how_fast_and_how_long_still() -> None:
    text = status_text(state())
    for part in ("playing", "25%", "5.00 of 20.00 s", "x2", "1234 messages", "8 s left"):
        assert part in text
    assert "left" not in status_text(state(state=State.PAUSED))
    assert "round 3" in status_text(state(loops=2))
    assert "nothing for 60 s" in status_text(state(next_s=60.0))
    assert "100%" in status_text(state(duration_s=0.0, position_s=0.0))


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b" ", [Key.PAUSE]),
        (b"n\x1b[C", [Key.STEP, Key.STEP]),
        (b".\x1bOC", [Key.TICK, Key.STEP]),
        (b"+\x1b[A-\x1b[B", [Key.FASTER, Key.FASTER, Key.SLOWER, Key.SLOWER]),
        (b"[]\x1b[D", [Key.BACK, Key.FORWARD, Key.BACK]),
        (b"rqh?", [Key.RESTART, Key.QUIT, Key.HELP, Key.HELP]),
        (b"xyz\x1b[5~", []),
    ],
)
def test_keys(data, keys) -> None:
    assert read_keys(data) == keys


@given(st.binary(max_size=40))
def test_whatever_is_typed_is_read_without_harm(data) -> None:
    assert all(isinstance(key, Key) for key in read_keys(data))


def test_rates_go_up_and_down_a_ladder_and_stay_within_its_ends() -> None:
    rates = [1.0]
    for _ in range(4):
        rates.append(next_rate(rates[-1], faster=True))
    assert rates == pytest.approx([1, 2, 5, 10, 20])
    assert next_rate(3.0, faster=False) == pytest.approx(2.0)
    assert next_rate(1000.0, faster=True) == 1000.0
    assert next_rate(0.001, faster=False) == 0.001


def test_without_a_terminal_there_are_plain_lines_now_and_then_and_no_keys() -> None:
    stream = io.StringIO()
    console = Console(lambda key: None, io.StringIO("q"), stream)
    console.start()
    assert not console.has_keys
    for now_s in (0.0, 1.0, 6.0):
        console.show(f"at {now_s:g}", now_s)
    console.clear()
    console.close()
    assert stream.getvalue() == "at 0\nat 6\n"


AT_THE_TERMINAL = """
import queue, sys, termios
from dexndm_ros.playback.console import Console
keys = queue.Queue()
before = termios.tcgetattr(0)
console = Console(keys.put)
console.start()
during = termios.tcgetattr(0)
console.show("ready", 0.0)
got = [keys.get(timeout=60.0).value for _ in range(2)]
console.close()
console.close()
print(got, not during[3] & termios.ICANON, bool(during[3] & termios.ISIG), termios.tcgetattr(0) == before)
"""


def test_at_a_terminal_keys_come_one_by_one_and_it_is_left_as_it_was() -> None:
    with Terminal([sys.executable, "-c", AT_THE_TERMINAL]) as terminal:
        terminal.until("ready")
        terminal.type("n")
        terminal.type("q")
        terminal.until("['step', 'quit'] True True True")
        assert terminal.wait() == 0
