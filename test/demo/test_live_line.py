# SPDX-License-Identifier: Apache-2.0
"""The live line on a terminal and off it."""

from __future__ import annotations

import io
import math

from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.demo.live_line import LiveLine, live_text
from dexndm_ros.demo.run import LiveNumbers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def numbers(**changes) -> LiveNumbers:
    values = {
        "running": True, "angle_rad": 2 * math.pi, "held_s": 12.3, "rate_hz": 20.0,
        "worst_tick_ms": 51.25, "fallen": False, "status": "",
    }  # fmt: skip
    return LiveNumbers(**values | changes)


def test_it_tells_angle_time_rate_and_worst_tick() -> None:
    text = live_text(numbers())
    for part in ("+6.28 rad", "+1.00 turns", "12.3 s", "20.0 Hz", "51.2 ms"):
        assert part in text


def test_a_real_hand_shows_no_angle() -> None:
    assert "rad" not in live_text(numbers(angle_rad=None))


def test_before_the_run_it_says_what_it_waits_for() -> None:
    early = numbers(running=False, status="the hand is not enabled")
    assert live_text(early) == "waiting: the hand is not enabled"
    assert "closes" in live_text(numbers(running=False))


def test_a_fall_is_told() -> None:
    assert live_text(numbers(fallen=True)).endswith("the object fell")


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_no_number_breaks_it(rate, worst) -> None:
    assert "\n" not in live_text(numbers(rate_hz=rate, worst_tick_ms=worst))


def test_a_terminal_gets_one_line_rewritten() -> None:
    stream = Terminal()
    line = LiveLine(stream)
    for k in range(3):
        line.show(f"line {k}", float(k))
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("line 2")
    line.say("a sentence")
    assert stream.getvalue().endswith("a sentence\nline 2")
    line.close()
    line.close()
    assert stream.getvalue().count("\n") == 2


def test_a_file_gets_plain_lines_now_and_then() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, plain_period_s=5.0)
    for k in range(11):
        line.show(f"line {k}", float(k))
    line.say("a sentence")
    line.close()
    assert stream.getvalue() == "line 0\nline 5\nline 10\na sentence\n"
