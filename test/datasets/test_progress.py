# SPDX-License-Identifier: Apache-2.0
"""What a person sees while bags are converted."""

from __future__ import annotations

import io
import math

import pytest

from dexndm_ros.datasets.progress import Progress, duration, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_count_rate_and_time_to_go():
    screen = Terminal()
    progress = Progress(screen)
    progress.begin("bags", 3, 3_000_000, "B")
    for _ in range(3):
        progress.step(1_000_000)
    progress.say("a line that stays")
    progress.end()
    text = screen.getvalue()
    assert "bags 3/3" in text
    assert "3.00M/3.00M" in text
    assert "a line that stays\n" in text


def test_a_share_is_shown_in_percent():
    screen = Terminal()
    progress = Progress(screen)
    progress.begin("report", 1, 1000, "")
    progress.work(1000)
    progress.end()
    assert "report: 100%" in screen.getvalue()


def test_a_log_gets_plain_lines_now_and_then():
    log = io.StringIO()
    progress = Progress(log, plain_period_s=0.0)
    progress.begin("bags", 4, 4_000_000, "B")
    progress.step(1_000_000)
    progress.begin("data files", 2, 800, "rows")
    progress.step(800)
    progress.begin("report", 1, 1000, "")
    progress.work(250)
    bags, files, report = log.getvalue().splitlines()
    assert bags.startswith("bags 1 of 4, ")
    assert bags.endswith(" to go")
    assert "rows/s" in files
    assert report.startswith("report 25%, ")


def test_a_log_is_not_flooded():
    log = io.StringIO()
    progress = Progress(log, plain_period_s=math.inf)
    progress.begin("bags", 4, 4, "B")
    for _ in range(4):
        progress.step(1)
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.14, "3.1 s"), (42, "42 s"), (600, "10 min"), (12_000, "3 h 20 min"), (math.nan, "an unknown time")],
)  # fmt: skip
def test_times_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(812, "812 B"), (4_300_000, "4.3 MB"), (2.5e12, "2500.0 GB")])  # fmt: skip
def test_sizes_in_words(count, text):
    assert size(count) == text
