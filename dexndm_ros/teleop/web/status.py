# SPDX-License-Identifier: Apache-2.0
"""What the page shows, in the headset and on the desk: what the arm does, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from dexndm_ros.teleop.clutch import State

__all__ = ["Status", "Tone", "as_json", "status_of", "with_recording"]

Tone = Literal["off", "wait", "good", "warn", "bad"]
_MOST = {
    "title": 60,
    "why": 200,
    "cure": 600,
}  # characters; a cure of many steps is for the desktop
_FIGURES = 8
_TITLES: dict[State, tuple[str, Tone]] = {
    State.DISCONNECTED: ("Not connected", "off"),
    State.READY: ("Ready", "wait"),
    State.ENGAGED: ("Following", "good"),
    State.FAULT_HOLD: ("Stopped", "bad"),
}
_NOBODY = "open this page in the headset and press Start"


@dataclass(frozen=True)
class Status:
    """One moment's words.

    Attributes:
        title: what the arm does, two or three words.
        tone: how good that is, for the colour.
        why: the reason, one sentence; empty when there is nothing to explain.
        cure: what the operator does next; empty = nothing.
        figures: names and values for the desktop, such as rate and delay.
    """

    title: str
    tone: Tone = "off"
    why: str = ""
    cure: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)


def as_json(status: Status) -> dict[str, Any]:
    """The status ready for JSON, its texts cut to what the page has room for."""
    shown = asdict(status)
    for name, most in _MOST.items():
        shown[name] = str(shown[name])[:most]
    shown["figures"] = {
        str(name)[:40]: str(value)[:40] for name, value in list(status.figures.items())[:_FIGURES]
    }
    return shown


def status_of(state: State, reason: str, figures: Mapping[str, str] | None = None) -> Status:
    """The clutch's state in words.

    Args:
        state: of the clutch.
        reason: why the arm does not move, and after a colon or a semicolon what mends it; empty while it moves.
        figures: for the desktop.
    """
    title, tone = _TITLES[state]
    why, mark, cure = reason.partition(": ")
    if not mark:
        why, mark, cure = reason.partition("; ")
    if state is State.READY and not mark:
        why, cure = "", why  # nothing is wrong: the words say what to do
    if state is State.DISCONNECTED and not mark:
        cure = _NOBODY
    return Status(title, tone, _sentence(why), _sentence(cure), figures or {})


def with_recording(status: Status, title: str, words: str) -> Status:
    """The status with what is recorded.

    Args:
        status: of the arm.
        title: two or three words for as long as a recording lasts; empty = there is none.
        words: what just happened with it; empty = nothing.
    """
    return replace(
        status,
        title=f"{status.title}, {title}" if title else status.title,
        why=f"{_sentence(words)} {status.why}".strip(),
        figures={**status.figures, **({"demonstration": words or title} if words or title else {})},
    )


def _sentence(text: str) -> str:
    if not text:
        return ""
    end = "" if text.endswith(("?", "!")) else "."
    return f"{text[0].upper()}{text[1:].rstrip('.')}{end}"
