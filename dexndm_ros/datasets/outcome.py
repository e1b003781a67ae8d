# SPDX-License-Identifier: Apache-2.0
"""What came of a conversion, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dexndm_ros.datasets.dataset_plan import DatasetPlan
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.parts import Part
from dexndm_ros.datasets.plan import LeftOut
from dexndm_ros.datasets.progress import duration, size
from dexndm_ros.datasets.quality import ALL_CHECKS

__all__ = ["Outcome"]

_MANY = 20
"""Most reasons that are told one by one; the others are counted."""
_REPEATED = "repeated"


@dataclass
class Outcome:
    """What came of a conversion so far.

    Attributes:
        left_out: bags that were not meant, with reasons.
        known: bags that the dataset had already.
        failed: bags that gave nothing, with reasons.
        again: bags whose worker died once.
        twice: bags of the same bytes as another one.
        parts: of the new bags, in the order of the dataset.
        plan: what of them comes into the dataset.
        bytes: of the new bags.
        seconds: that converting them took, without the report.
        no_report: why there is no quality report; "" = there is one, or none was asked for.
        old_report: what became of the one of before, when none was asked for; "" = there was none.
    """

    left_out: Sequence[LeftOut] = ()
    known: int = 0
    failed: list[LeftOut] = field(default_factory=list)
    again: list[Path] = field(default_factory=list)
    twice: list[Path] = field(default_factory=list)
    parts: Sequence[Part] = ()
    plan: DatasetPlan = DatasetPlan()  # noqa: RUF009 - frozen
    bytes: int = 0
    seconds: float = 0.0
    no_report: str = ""
    old_report: str = ""

    @property
    def warnings(self) -> int:
        """Bags that failed, things flagged or dropped, and a report that is missing."""
        found = sum(each.action in ("flagged", "dropped") for _, each in self._findings())
        return len(self.failed) + found + bool(self.no_report)

    def lines(self) -> Iterator[str]:
        """What to tell: of bags, of episodes, of every check that found something."""
        yield from _named("left out", self.left_out)
        yield from _named("FAILED", self.failed)
        died = "its worker died; the next one did it"
        yield from _named(died, [LeftOut(path, "") for path in self.again])
        yield from _named("the same bytes as another bag", [LeftOut(p, "") for p in self.twice])
        if self.known:
            yield f"{_bags(self.known)} {'is' if self.known == 1 else 'are'} in the dataset already"
        if not self.plan.bags:
            return
        kept = sum(bag["episodes"] for bag in self.plan.bags)
        flagged = sum(bag["flagged"] for bag in self.plan.bags)
        yield (
            f"{_bags(len(self.plan.bags), 'new ')}: {kept - flagged} episodes kept, {flagged} kept and flagged, "
            f"{len(self.plan.rejected)} dropped; {self.plan.rows:,} transitions"
        )
        yield from self._checks()
        yield from filter(None, (self.no_report, self.old_report))
        if self.seconds > 0 and self.bytes:
            yield (
                f"{size(self.bytes)} in {duration(self.seconds)}: {size(self.bytes / self.seconds)}/s, "
                f"{self.plan.rows / self.seconds:,.0f} transitions/s"
            )

    def _checks(self) -> Iterator[str]:
        found: dict[str, list[tuple[str, Finding]]] = {}
        for where, each in self._findings():
            found.setdefault(each.check, []).append((where, each))
        for check in [*ALL_CHECKS, *sorted(set(found) - set(ALL_CHECKS))]:
            if check not in found:
                continue
            actions = Counter(each.action for _, each in found[check])
            done = ", ".join(f"{n} {action}" for action, n in sorted(actions.items()))
            title = ALL_CHECKS[check].title if check in ALL_CHECKS else check
            where, first = found[check][0]
            yield f"  {title} ({done}), such as {where}: {first.text}"

    def _findings(self) -> Iterator[tuple[str, Finding]]:
        """Where, and what. Of an episode that is in the dataset already only that: it is told, and no trouble."""
        repeated = {
            (entry["bag_sha256"], entry["identity"]): (entry["bag"], each)
            for entry in self.plan.rejected
            for each in entry["findings"]
            if each["check"] == _REPEATED
        }
        for part in self.parts:
            for identity, each in part.findings:
                if (part.sha256, identity) not in repeated:
                    yield f"{part.bag}, {identity}" if identity else part.bag, each
        for bag, each in repeated.values():
            yield bag, Finding(**{**each, "action": "noted"})


def _bags(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}bag{'' if count == 1 else 's'}"


def _named(what: str, bags: Sequence[LeftOut]) -> Iterator[str]:
    """Bags by their reasons, the first of each by name."""
    reasons: dict[str, list[Path]] = {}
    for each in bags:
        reasons.setdefault(each.reason, []).append(each.path)
    for number, (reason, paths) in enumerate(reasons.items()):
        if number == _MANY:
            rest = list(reasons.values())[_MANY:]
            more = _bags(sum(map(len, rest)), "more ")
            yield f"{what}: {more}, for {len(rest)} other reason{'s' if len(rest) > 1 else ''}"
            return
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"{what}: {paths[0]}{more}" + (f": {reason}" if reason else "")
