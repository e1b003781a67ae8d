# SPDX-License-Identifier: Apache-2.0
"""Whether a bag is whole and sound: everything that a conversion would find, without a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dexndm_ros.bags.types import BagError
from dexndm_ros.datasets.config import ConfigError, ConvertConfig
from dexndm_ros.datasets.convert_bag import BagRefusedError, convert_bag
from dexndm_ros.datasets.episode import BagResult, Finding
from dexndm_ros.datasets.quality import ALL_CHECKS
from dexndm_ros.recording.partial import reason_of

__all__ = ["CheckedBag", "check_bag", "check_lines"]

Outcome = Literal["sound", "warnings", "refused"]
_MARKS = {"noted": " ", "repaired": "+", "flagged": "!", "dropped": "X"}


@dataclass(frozen=True)
class CheckedBag:
    """What was found.

    Attributes:
        path: of the bag.
        result: of the conversion; None = it was refused.
        refused: why, in words; '' = it was not.
    """

    path: Path
    result: BagResult | None
    refused: str = ""

    @property
    def findings(self) -> list[tuple[str, Finding]]:
        """Of the bag ('') and of each of its episodes (its identity), in this order."""
        if self.result is None:
            return []
        found = [("", each) for each in self.result.findings]
        return found + [(e.identity, each) for e in self.result.episodes for each in e.findings]

    @property
    def outcome(self) -> Outcome:
        """Flagged and dropped are warnings; what is noted or repaired is sound."""
        if self.result is None:
            return "refused"
        serious = any(each.action in ("flagged", "dropped") for _, each in self.findings)
        return "warnings" if serious else "sound"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        if self.result is None:
            return {"name": self.path.name, "outcome": self.outcome, "refused": self.refused}
        return {
            "name": self.result.name,
            "outcome": self.outcome,
            "sha256": self.result.sha256,
            "bytes": self.result.bytes,
            "messages": dict(self.result.messages),
            "findings": [asdict(each) for each in self.result.findings],
            "episodes": [
                {
                    "identity": each.identity,
                    "verdict": each.verdict,
                    "facts": dict(each.facts),
                    "findings": [asdict(finding) for finding in each.findings],
                }
                for each in self.result.episodes
            ],
        }


def check_bag(path: Path, config: ConvertConfig) -> CheckedBag:
    """Check a bag; nothing is raised for what may be wrong with it.

    Args:
        path: folder or storage file.
        config: as for a conversion.
    """
    try:
        return CheckedBag(path, convert_bag(path, config))
    except (BagError, BagRefusedError, ConfigError) as error:
        return CheckedBag(path, None, str(error))
    except OSError as error:
        return CheckedBag(path, None, f"{path} cannot be read: {error.strerror or error}")


def check_lines(checked: CheckedBag, name: str) -> Iterator[str]:
    """The same in lines for a person: the verdict, the episodes, and what was found, worst first.

    Args:
        checked: bag.
        name: what to call it.
    """
    if checked.result is None:
        yield f"{name}: refused: {checked.refused}"
        return
    result = checked.result
    messages = sum(result.messages.values())
    words = {"sound": "sound", "warnings": "WARNINGS"}[checked.outcome]
    yield f"{name}: {words}; {messages:,} messages, {result.bytes / 1e6:.2f} MB"
    if aside := reason_of(checked.path):
        yield f"    put aside: {aside}"
    for episode in result.episodes:
        yield f"    {episode.identity}: {_episode(episode.facts)}"
    order = list(reversed(_MARKS))
    for place, each in sorted(checked.findings, key=lambda pair: order.index(pair[1].action)):
        title = ALL_CHECKS[each.check].title if each.check in ALL_CHECKS else each.check
        where = f" ({place})" if place and len(result.episodes) > 1 else ""
        yield f"  {_MARKS[each.action]} {each.action:<8}  {title}: {each.text}{where}"


def _episode(facts: Any) -> str:
    """Its figures in a line; what is not known is left out."""
    parts = [f"{facts['rows']} ticks in {facts['duration_s']:.2f} s"]
    if facts["period_p50_ms"]:
        parts.append(
            f"period {facts['period_p50_ms']:.2f} ms (99 % {facts['period_p99_ms']:.2f}, "
            f"longest {facts['period_max_ms']:.2f})"
        )
    if facts["state_hz"]:
        parts.append(f"states {facts['state_hz']:.1f} Hz")
    if facts["error_rms_rad"]:
        parts.append(f"error {facts['error_rms_rad']:.3f} rad rms")
    if facts["lag_ticks"] is not None and facts["lag_ticks"] == facts["lag_ticks"]:
        parts.append(f"lag {facts['lag_ticks']:.1f} ticks")
    if facts["temperature_max_c"] == facts["temperature_max_c"]:
        parts.append(f"hottest {facts['temperature_max_c']:.0f} °C")
    return ", ".join(parts)
