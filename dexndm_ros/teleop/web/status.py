# SPDX-License-Identifier: Apache-2.0
"""What the page shows, in the headset and on the desk: what the arm does, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Status", "Tone", "as_json"]

Tone = Literal["off", "wait", "good", "warn", "bad"]
_MOST = 200  # characters of a sentence; the panel in the headset has room for no more
_FIGURES = 8


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
    for name in ("title", "why", "cure"):
        shown[name] = str(shown[name])[:_MOST]
    shown["figures"] = {
        str(name)[:40]: str(value)[:40] for name, value in list(status.figures.items())[:_FIGURES]
    }
    return shown
