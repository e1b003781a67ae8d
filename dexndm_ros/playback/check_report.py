# SPDX-License-Identifier: Apache-2.0
"""What the checks found: in words, as JSON, and as pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.playback.check_types import CheckResult, Verdict

__all__ = ["REPORT_FILE", "as_json", "lines", "percent", "write_report"]

REPORT_FILE = "check.json"
_WORST = 4
"""Joints, and stretches of ticks, that are named in words."""


def lines(result: CheckResult) -> list[str]:
    """A check in words, the first line the verdict."""
    judged = result.compared
    what, skipped = result.what, sum(result.unknown.values())
    if not judged:
        head = f"{result.check}: nothing could be compared"
    elif result.diverged:
        head = f"{result.check}: DIVERGED in {result.diverged} of {judged} {what}"
    else:
        same = "as they should be" if result.check == "driver" else "equal to the last bit"
        head = f"{result.check}: {judged} of {judged} {what} are {same}"
    if judged and judged < result.comparable:
        head += f" ({percent(result.share)} of {result.comparable} could be compared)"
    out = [head + (f"; {skipped} not compared" if skipped else "")]
    if result.first is not None:
        out.append(f"  first: {result.first.text}")
        if stretches := _stretches(result):
            more = f" and {len(stretches) - _WORST} more" if len(stretches) > _WORST else ""
            out.append(f"  diverged {what}: {', '.join(stretches[:_WORST])}{more}")
    apart = result.max_difference_rad
    if result.diverged and np.nanmax(apart) > 0:
        order = np.argsort(-apart)[:_WORST]
        worst = ", ".join(f"{JOINT_NAMES[k]} {apart[k]:.3g}" for k in order if apart[k] > 0)
        out.append(f"  largest differences (rad): {worst}")
    out += [f"  not compared, {count}: {reason}" for reason, count in result.unknown.items()]
    out += [f"  note: {note}" for note in result.notes]
    return out


def percent(share: float) -> str:
    """Rounded down: what is not all is not "100 %"."""
    return f"{math.floor(share * 1000) / 10:g} %"


def _stretches(result: CheckResult) -> list[str]:
    """Ticks that diverged one after the other, "296-305"."""
    trace = result.trace
    if trace is None:
        return []
    rows = np.flatnonzero(trace.verdict == Verdict.DIVERGED)
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    ends = [(int(trace.tick[part[0]]), int(trace.tick[part[-1]])) for part in parts if len(part)]
    return [str(first) if first == last else f"{first}-{last}" for first, last in ends]


def as_json(
    bag: str,
    results: Sequence[CheckResult],
    refused: Mapping[str, str],
    status: int,
    software: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Everything as JSON holds it.

    Args:
        bag: its path.
        results: checks that ran.
        refused: checks that could not, and why.
        status: exit status.
        software: that recorded, and that checked.
    """
    checks = {
        each.check: {
            "what": each.what,
            "equal": each.equal,
            "diverged": each.diverged,
            "not_compared": dict(each.unknown),
            "share_compared": each.share,
            "max_difference_rad": dict(
                zip(JOINT_NAMES, map(_plain, each.max_difference_rad.tolist()), strict=True)
            ),
            "divergences": [
                {key: _plain(value) for key, value in dataclasses.asdict(found).items()}
                for found in each.divergences
            ],
            "facts": {key: _plain(value) for key, value in each.facts.items()},
            "notes": list(each.notes),
        }
        for each in results
    }
    return {
        "bag": bag,
        "status": status,
        **{key: dict(told) for key, told in software.items()},
        "checks": checks,
        "cannot": dict(refused),
    }


def _plain(value: Any) -> Any:
    """As JSON knows it; NaN and infinity become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def write_report(
    folder: Path, report: Mapping[str, Any], results: Sequence[CheckResult]
) -> list[Path]:
    """Write ``check.json`` and a picture of each check.

    Args:
        folder: made if it is not there; files of an earlier report are replaced.
        report: what ``as_json`` gives.
        results: checks that ran.

    Returns:
        The files.

    Raises:
        OSError: no room, or it must not be written.
        ImportError: matplotlib is not there.
    """
    from dexndm_ros.playback.check_plot import plot_check

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / REPORT_FILE]
    part = folder / f".{REPORT_FILE}.part"
    part.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(files[0])
    for result in results:
        if result.trace is not None:
            files.append(folder / f"{result.check}.png")
            plot_check(result, str(report["bag"]), files[-1])
    return files
