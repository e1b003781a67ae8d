# SPDX-License-Identifier: Apache-2.0
"""The report of an identification: ``report.json``, two figures, and ``report.html`` that needs nothing else."""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.training.page import page, picture, table
from dexndm_ros.training.sysid.config import SysidConfig
from dexndm_ros.training.sysid.gate import Estimate
from dexndm_ros.training.sysid.job import Identified
from dexndm_ros.training.sysid.parameters import JOINTS_A_FINGER, PARAMETERS
from dexndm_ros.training.sysid.plots import plot_motion, plot_parameters

__all__ = ["numbers", "summary", "write_report"]


def numbers(found: Identified, config: SysidConfig) -> dict[str, Any]:
    """Everything in the report, as JSON has it."""
    return {
        "config": dataclasses.asdict(config)
        | {"out": config.out.name, "data": str(config.data or "")},
        "commit": found.commit,
        "clips": len(found.clips),
        "wrists": sorted({clip.wrist for clip in found.clips}),
        "held_out": [found.clips[k].name for k in found.held_out],
        "rounds": found.rounds,
        "generations": found.generations,
        "error_before_mrad": dict(zip(JOINT_NAMES, _mrad(found.before), strict=True)),
        "error_after_mrad": dict(zip(JOINT_NAMES, _mrad(found.after), strict=True)),
        "parameters": [_row(each, found) for each in found.rows],
    }


def _mrad(error: Any) -> list[float]:
    return [round(float(value) * 1e3, 3) for value in error]


def _row(each: Estimate, found: Identified) -> dict[str, Any]:
    row = dataclasses.asdict(each) | {"estimate": each.estimate, "value": each.value}
    if found.truth is not None:
        row["true"] = float(found.truth[each.parameter][each.index])
    return row


def summary(found: Identified) -> str:
    """What came out, in a few lines of text."""
    lines = [f"{'finger':<9}{'held-out error before':>24}{'after':>12}"]
    for place, finger in enumerate(FINGERS):
        rows = slice(place * JOINTS_A_FINGER, (place + 1) * JOINTS_A_FINGER)
        old, new = (
            float(np.sqrt(np.mean(e[rows] ** 2))) * 1e3 for e in (found.before, found.after)
        )
        lines.append(f"{finger:<9}{old:>19.2f} mrad{new:>7.2f} mrad")
    for name in dict.fromkeys(each.parameter for each in found.rows):
        mine = [each for each in found.rows if each.parameter == name]
        good = [each for each in mine if not each.refused]
        words = f"{name:<9}{len(good)} of {len(mine)} identified"
        if good:
            values = [each.value for each in good]
            words += f", {min(values):.3g} to {max(values):.3g} {PARAMETERS[name].unit}".rstrip()
        if found.truth is not None and good:
            words += f", {_truth_words(good, found)}"
        lines.append(words)
    return "\n".join(lines)


def _truth_words(good: list[Estimate], found: Identified) -> str:
    assert found.truth is not None
    off = [
        each.value / float(found.truth[each.parameter][each.index]) - 1.0
        for each in good
        if found.truth[each.parameter][each.index]
    ]
    if not off:
        return "where the truth is 0"
    return (
        f"off the truth by {np.median(np.abs(off)):.1%} (median), {np.max(np.abs(off)):.1%} (most)"
    )


def write_report(found: Identified, config: SysidConfig) -> Path:
    """Write all of it into the run folder.

    Returns:
        The page.
    """
    folder = config.out
    figures = {"motion.png": plot_motion, "parameters.png": plot_parameters}
    for name, plot in figures.items():
        plot(found, folder / name)
    data = numbers(found, config)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    good = sum(not each.refused for each in found.rows)
    head = f"{good} of {len(found.rows)} parameters identified from {len(found.clips)} clips"
    rows = [_cells(each, found) for each in found.rows]
    marks = ["no" if each.refused else "" for each in found.rows]
    body = f"""<p>{head}, {len(found.held_out)} of them held out. What was refused keeps its nominal value.
The world is <code>world.yaml</code> beside this page.</p>
<pre>{html.escape(summary(found))}</pre>{"".join(picture(folder / name) for name in figures)}
{table(_HEAD, rows, marks)}
<p>All numbers are in report.json. Commit {html.escape(found.commit)}, seed {config.seed}.</p>"""
    path = folder / "report.html"
    title = f"System identification: {found.world.name}"
    path.write_text(page(title, body), encoding="utf-8")
    return path


_HEAD = ("parameter", "of", "nominal", "estimate", "spread", "true", "verdict")


def _cells(each: Estimate, found: Identified) -> tuple[str, ...]:
    true = (
        f"{float(found.truth[each.parameter][each.index]):.4g}" if found.truth is not None else ""
    )
    return (
        each.parameter,
        each.of,
        f"{each.nominal:.4g}",
        f"{each.shown:.4g}",
        f"{each.spread:.0%}",
        true,
        each.refused or "identified",
    )
