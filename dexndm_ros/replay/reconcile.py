# SPDX-License-Identifier: Apache-2.0
"""Puts ledger and bags in order after a process died: nothing lost, nothing twice.

A recording is written as ``<episode>.part``, renamed to ``<episode>`` when it is whole, and then its row is done. So a
claimed attempt with a whole bag is done, one without is planned again, and what is left of it is put aside. Every
step may be cut short and repeated.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.partial import PART, PARTIAL, put_aside
from dexndm_ros.replay.ledger import Attempt, Ledger, Result
from dexndm_ros.replay.ledger_rows import parse_episode
from dexndm_ros.replay.recorded import STEP_TOPIC, is_topic
from dexndm_ros.replay.trajectory import STEPS

__all__ = ["ReconcileReport", "reconcile", "why_not_whole"]

_INTERRUPTED = "interrupted: the replay or the recorder ended while it was under way"


@dataclass(frozen=True)
class ReconcileReport:
    """What was put in order.

    Attributes:
        adopted: episodes whose bag was whole: done.
        interrupted: episodes that are planned again.
        orphans: bags that belong to no attempt that is done or under way: put aside.
        missing: done episodes whose bag is gone; only a person can help.
        lines: the same in sentences.
    """

    adopted: tuple[str, ...]
    interrupted: tuple[str, ...]
    orphans: tuple[str, ...]
    missing: tuple[str, ...]
    lines: tuple[str, ...]


def why_not_whole(bag: Path) -> tuple[str, Result | None]:
    """Why a bag is not a trajectory's whole recording, or '' and what is known of it.

    Args:
        bag: its folder.
    """
    found = check_bag(bag)
    if not found.complete:
        return found.reason, None
    steps = sum(n for topic, n in found.counts.items() if is_topic(topic, STEP_TOPIC))
    if steps != STEPS:
        return f"{steps} of {STEPS} steps", None
    if found.lost:
        return f"{found.lost} messages lost", None
    return "", Result(
        bag=bag.name,
        messages=found.messages,
        lost=0,
        dropped=0,
        bytes=found.bytes,
        started_ns=0,
        duration_s=found.duration_s,
    )


def reconcile(ledger: Ledger, bags: Path) -> ReconcileReport:
    """Put ledger and bags in order. The recorder must have nothing open; doing it again changes nothing.

    Args:
        ledger: open for writing.
        bags: folder of the bags.

    Raises:
        LedgerError: the ledger cannot be written.
        OSError: a folder cannot be renamed.
    """
    work = _Work(ledger, bags)
    for part in sorted(bags.glob(f"*{PART}")):
        work.aside(part, "the recorder ended while it was written")
    for attempt in ledger.attempts():
        if attempt.state == "claimed":
            work.settle(attempt)
    work.compare()
    report = ReconcileReport(
        adopted=tuple(work.adopted),
        interrupted=tuple(work.interrupted),
        orphans=tuple(work.orphans),
        missing=tuple(work.missing),
        lines=tuple(work.lines),
    )
    for line in report.lines:
        ledger.event("reconcile", line)
    return report


class _Work:
    def __init__(self, ledger: Ledger, bags: Path) -> None:
        self._ledger = ledger
        self._bags = bags
        self.adopted: list[str] = []
        self.interrupted: list[str] = []
        self.orphans: list[str] = []
        self.missing: list[str] = []
        self.lines: list[str] = []

    def aside(self, folder: Path, reason: str) -> None:
        # The recorder may be faster: its rename of a bag that it was closing when it was told to stop is fine.
        with contextlib.suppress(FileNotFoundError):
            put_aside(folder, reason)

    def settle(self, attempt: Attempt) -> None:
        """A claimed attempt becomes done or interrupted."""
        episode = attempt.claim.episode
        bag = self._bags / episode
        if bag.is_dir():
            reason, result = why_not_whole(bag)
            if result is not None:
                self._ledger.finish(attempt.claim, result)
                self.adopted.append(episode)
                self.lines.append(f"{episode}: its bag is whole; counted as done")
                return
            self.aside(bag, reason)
        else:
            reason = ""
        rest = self._bags / (episode + PARTIAL)
        self._ledger.release(
            attempt.claim,
            f"{_INTERRUPTED}{f' ({reason})' if reason else ''}",
            bag=rest.name if rest.is_dir() else "",
        )
        self.interrupted.append(episode)
        self.lines.append(f"{episode}: interrupted; its row is planned again")

    def compare(self) -> None:
        """Bags against attempts that have ended."""
        owned = {a.bag: a for a in self._ledger.attempts() if a.bag}
        for folder in sorted(self._bags.glob("*")):
            if folder.is_dir() and parse_episode(folder.name) and folder.name not in owned:
                self.aside(folder, "no attempt of the ledger owns it")
                self.orphans.append(folder.name)
                self.lines.append(f"{folder.name}: no attempt of the ledger owns it; put aside")
        for name, attempt in owned.items():
            if attempt.state == "done" and not (self._bags / name).is_dir():
                self.missing.append(name)
                self.lines.append(f"{name}: done, and its bag is gone from {self._bags}")
