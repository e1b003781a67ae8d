# SPDX-License-Identifier: Apache-2.0
"""States and faults in words, with what mends them, and numbers as JSON allows them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from dexndm_ros.dashboard.inputs import HandMode, ReplayState, StatusSeen

__all__ = [
    "StateLine",
    "clip",
    "duration",
    "gist",
    "json_ready",
    "mode_word",
    "split_cure",
    "state_line",
]

MAX_TEXT = 400
"""Longer texts of others are cut: a page and its memory have a size."""

_NUMBERS = re.compile(r"\d[\d.]*")
_DO = re.compile(
    r"(add|ask|call|check|clear|close|cool|end|free|give|go|install|let|look|lower|make|mend|move|open|plug|press|raise"
    r"|read|remove|replace|reset|see|set|start|stop|take|tighten|turn|use|wait)\b"
)

_MODES = {
    HandMode.RELAXED: "relaxed",
    HandMode.RAMPING: "ramping",
    HandMode.ACTIVE: "following",
    HandMode.HOLDING: "holding",
    HandMode.FAULT: "fault",
}


@dataclass(frozen=True)
class StateLine:
    """What a person reads first.

    Attributes:
        name: for programs: running, idle, paused, cooling, fault, done, silent, none, unknown.
        tone: its colour: good, wait, warn, bad, done or off.
        title: one or two words.
        detail: why, or what it does.
        cure: what mends it, or what to do next; empty = nothing to do.
    """

    name: str
    tone: str
    title: str
    detail: str
    cure: str


def split_cure(text: str) -> tuple[str, str]:
    """What happened and what mends it, from a sentence of the form "what; cure" or "what: do this".

    Returns:
        both parts; the cure is empty where the sentence has none.
    """
    text = clip(text)
    what, found, cure = text.rpartition("; ")
    if found and what and cure:
        return what, cure
    # A colon may as well say why; a cure tells somebody to do something.
    for mark in re.finditer(": ", text):
        what, cure = text[: mark.start()], text[mark.end() :]
        if what and (_DO.match(cure) or cure.endswith("?")):
            return what, cure
    return text, ""


def gist(text: str) -> str:
    """The sentence without its numbers: an age that grows or another motor does not make it another one."""
    return _NUMBERS.sub("#", text)


def clip(text: str) -> str:
    """One line of at most ``MAX_TEXT`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def mode_word(mode: int) -> str:
    """A HandState mode in one word."""
    return _MODES[HandMode(mode)] if mode in _MODES else f"mode {mode}"


def state_line(status: StatusSeen | None, silent_s: float, patience_s: float) -> StateLine:
    """The campaign's state for the top of the page.

    Args:
        status: the newest; None = none came yet.
        silent_s: its age.
        patience_s: age from which the replay counts as silent.
    """
    if status is None:
        return StateLine(
            "none", "off", "No campaign", "chaos_box_replay has not been heard yet",
            "start one with dexndm collect or chaos_box.launch.py",
        )  # fmt: skip
    if silent_s > patience_s:
        ended = status.state == ReplayState.DONE
        return StateLine(
            "silent", "done" if ended else "bad", "Ended" if ended else "Silent",
            f"chaos_box_replay said nothing for {duration(silent_s)}; last: "
            f"{_word(status.state)}, {status.done} of {status.total} done",
            "" if ended else "see its log; dexndm collect with the same folder goes on where it stopped",
        )  # fmt: skip
    what, cure = split_cure(status.reason)
    if status.state == ReplayState.RUNNING:
        again = f"; row {status.entry} is tried again" if status.attempt > 1 else ""
        return StateLine(
            "running", "good", "Collecting",
            f"{status.done} of {status.total} trajectories are safe on disk{again}", "",
        )  # fmt: skip
    if status.state == ReplayState.IDLE:
        return StateLine("idle", "wait", "Waiting", what or "not started", cure or "press start")
    if status.state == ReplayState.PAUSED:
        # A pause for the recorder or the disk ends by itself; one that was asked for says what to call.
        return StateLine(
            "paused", "wait", "Paused", what or "asked to",
            cure or ("nothing: it goes on by itself" if what else "press resume"),
        )  # fmt: skip
    if status.state == ReplayState.COOLING:
        return StateLine(
            "cooling", "warn", "Cooling down", what or "a motor is too warm",
            cure or "nothing: it goes on by itself",
        )  # fmt: skip
    if status.state == ReplayState.FAULT:
        return StateLine(
            "fault", "bad", "Stopped by a fault", what or "no reason was given",
            cure or "see the faults below, then press start",
        )  # fmt: skip
    if status.state == ReplayState.DONE:
        return StateLine("done", "done", "Done", what or f"{status.done} trajectories", cure)
    return StateLine(
        "unknown", "warn", f"State {status.state}", what or "this page does not know that state",
        "use the same version of dexndm_ros everywhere",
    )  # fmt: skip


def duration(seconds: float) -> str:
    """A time in words: 8 s, 12 min, 3 h 20 min."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def json_ready(value: Any, digits: int = 4) -> Any:
    """The same value with rounded numbers, and None where JSON has no number (NaN, infinite)."""
    if isinstance(value, dict):
        return {str(key): json_ready(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item, digits) for item in value]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def _word(state: int) -> str:
    known = [member for member in ReplayState if member == state]
    return known[0].name.lower() if known else f"state {state}"
