# SPDX-License-Identifier: Apache-2.0
"""What is broken now and what is not right, each with its cure, from the newest of every message."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from dexndm_ros.dashboard.inputs import (
    DiagnosticSeen,
    HandSeen,
    HealthSeen,
    Input,
    RecorderSeen,
    ReplayState,
    StatusSeen,
)
from dexndm_ros.dashboard.words import clip, gist, split_cure

__all__ = ["Newest", "faults", "warnings"]

_MOST = 20
_MOST_DIAGNOSTICS = 64
_STALE_DIAGNOSTIC_S = 5.0
_ERROR = 2

Seen = TypeVar("Seen", bound=Input)


class Newest:
    """The newest message of each kind with its time; of diagnostics, the newest of each name."""

    def __init__(self) -> None:
        self._seen: dict[type, tuple[float, Input]] = {}
        self._complaints: dict[str, tuple[float, DiagnosticSeen]] = {}

    def put(self, seen: Input, now_s: float) -> None:
        """Keep a message, and forget the one before."""
        if not isinstance(seen, DiagnosticSeen):
            self._seen[type(seen)] = (now_s, seen)
            return
        name = clip(seen.name)
        self._complaints.pop(name, None)
        if seen.level > 0:
            self._complaints[name] = (now_s, seen)
        while len(self._complaints) > _MOST_DIAGNOSTICS:
            self._complaints.pop(next(iter(self._complaints)))

    def of(self, kind: type[Seen], now_s: float) -> tuple[Seen | None, float]:
        """The newest of a kind and its age, s; (None, infinite) when none came."""
        if kind not in self._seen:
            return None, math.inf
        stamp_s, seen = self._seen[kind]
        return (seen if isinstance(seen, kind) else None), now_s - stamp_s

    def complaints(self, now_s: float) -> list[DiagnosticSeen]:
        """Diagnostics above OK that are fresh."""
        return [
            seen
            for stamp_s, seen in self._complaints.values()
            if now_s - stamp_s < _STALE_DIAGNOSTIC_S
        ]


def faults(newest: Newest, now_s: float, silent_s: float) -> list[dict[str, Any]]:
    """What is broken, the driver's own words first: ``source``, ``text``, ``cure`` and ``more`` of each.

    Why the replay does not run is not among them: that is the line of the state.

    Args:
        newest: what came.
        now_s: the time.
        silent_s: who tells its state and says nothing for this long is silent.
    """
    found: list[tuple[str, str]] = []
    status, _ = newest.of(StatusSeen, now_s)
    health, _ = newest.of(HealthSeen, now_s)
    recorder, recorder_age_s = newest.of(RecorderSeen, now_s)
    hand, hand_age_s = newest.of(HandSeen, now_s)
    if health is not None and health.fault:
        found.append(("hand", health.fault))
    if status is None or status.state != ReplayState.DONE:  # at the end they may leave
        for seen, age_s, who in (
            (hand, hand_age_s, "leap_hand_driver"),
            (recorder, recorder_age_s, "episode_recorder"),
        ):
            if seen is not None and age_s > silent_s:
                text = f"{who} said nothing for {age_s:.0f} s; see its log, or start it again"
                found.append((who, text))
    if recorder is not None and recorder.reason and not recorder.ready:
        found.append(("recorder", recorder.reason))
    found += [(c.name, c.message) for c in newest.complaints(now_s) if c.level == _ERROR]
    return _rows(found)


def warnings(newest: Newest, now_s: float) -> list[dict[str, Any]]:
    """What is not right and stops nothing; rows as those of :func:`faults`."""
    found: list[tuple[str, str]] = []
    status, _ = newest.of(StatusSeen, now_s)
    recorder, _ = newest.of(RecorderSeen, now_s)
    if status is not None:
        found += [("replay", text) for text in status.warnings]
    if recorder is not None and recorder.reason and recorder.ready:
        found.append(("recorder", recorder.reason))
    found += [(c.name, c.message) for c in newest.complaints(now_s) if c.level != _ERROR]
    return _rows(found)


def _rows(found: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Sentences that differ in their numbers only (sixteen motors, one cable) are one row, the first said."""
    rows: dict[str, dict[str, Any]] = {}
    said: set[str] = set()
    for source, text in ((source, clip(text)) for source, text in found):
        if text in said:
            continue
        said.add(text)
        if (same := gist(text)) in rows:
            rows[same]["more"] += 1
            continue
        what, cure = split_cure(text)
        rows[same] = {"source": clip(source), "text": what, "cure": cure, "more": 0}
    return list(rows.values())[:_MOST]
