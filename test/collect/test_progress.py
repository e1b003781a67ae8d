# SPDX-License-Identifier: Apache-2.0
"""Bar on a terminal, lines anywhere else."""

from __future__ import annotations

import io
import os
import re
import select
import termios

from dexndm_ros.collect.progress import Progress


def test_plain_lines_come_when_there_is_something_new_and_not_too_often() -> None:
    stream = io.StringIO()
    progress = Progress(stream, plain_period_s=10.0)
    for now_s, text in [(0.0, "a"), (1.0, "b"), (11.0, "b"), (30.0, "b"), (31.0, "c")]:
        progress.show(text, 1, 2, now_s)
    progress.close()
    assert stream.getvalue().splitlines() == ["a", "b", "c"]


def test_a_line_that_stays_tells_the_time_of_day() -> None:
    stream = io.StringIO()
    Progress(stream).say("the cable is out")
    assert re.fullmatch(r"\d\d:\d\d:\d\d the cable is out\n", stream.getvalue())


def test_a_terminal_gets_a_bar_and_lines_above_it() -> None:
    control, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with os.fdopen(terminal, "w") as stream:
        assert stream.isatty()
        progress = Progress(stream)
        progress.show("starting", 0, 0, 0.0)
        progress.show("3 of 12 done", 3, 12, 1.0)
        progress.say("a word")
        progress.close()
        stream.flush()
        text = ""
        while select.select([control], [], [], 0.0)[0]:
            text += os.read(control, 4096).decode()
    os.close(control)
    assert "25%" in text and "3 of 12 done" in text
    assert "a word" in text
    assert "starting" not in text  # how long the bar is was not known then


def test_a_terminal_without_a_bar_gets_lines() -> None:
    control, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with os.fdopen(terminal, "w") as stream:
        Progress(stream, bar=False).show("3 of 12 done", 3, 12, 1.0)
        stream.flush()
        assert os.read(control, 4096).decode().split("\r\n")[0] == "3 of 12 done"
    os.close(control)
