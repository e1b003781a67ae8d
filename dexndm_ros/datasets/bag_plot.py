# SPDX-License-Identifier: Apache-2.0
"""A figure of what the joints did in a bag: measured and target, currents, temperatures, and faults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.datasets.bag_marks import SERIOUS, Mark
from dexndm_ros.datasets.bag_traces import Traces

__all__ = ["ENDINGS", "plot_traces"]

ENDINGS = (".png", ".svg", ".pdf")
_MEASURED, _TARGET, _QUIET = "#2f6c9e", "#d9661f", "#6c675f"
_SHADES = {
    "gap": "#c0392b",
    "FAULT": "#c0392b",
    "damage": "#c0392b",
    "clock": "#8e44ad",
    "holding": "#b8b2a7",
    "ramping": "#b9d3e6",
    "relaxed": "#d8d4cc",
}
_FEW = 6
"""So many joints get a panel of the whole width each."""
_TOLD = 8
"""Marks that are told in words."""


def plot_traces(traces: Traces, joints: list[int], title: str, out: Path) -> None:
    """Draw and write it.

    Args:
        traces: of a bag.
        joints: to show, indices of ``traces.names``.
        title: above it.
        out: file, PNG, SVG or PDF by its ending; whole or not at all.

    Raises:
        OSError: the disk refuses.
        ImportError: matplotlib is not there.
    """
    from matplotlib.figure import Figure

    wide = 1 if len(joints) <= _FEW else 4
    rows = -(-len(joints) // wide)
    slow = _slow(traces)
    below = len(slow)
    told = _words(traces.marks)
    heights = [1.9 if wide == 1 else 2.0] * rows + [1.8] * below
    figure = Figure(figsize=(15.0, sum(heights) + 0.9 + 0.18 * len(told)), layout="constrained")
    grid = figure.add_gridspec(rows + below, wide, height_ratios=heights)
    shared: Any = None
    panels = []
    for place, joint in enumerate(joints):
        # A finger is a column, as in the report.
        at = (place % rows, place // rows) if wide > 1 else (place, 0)
        panel = figure.add_subplot(grid[at[0], at[1]], sharex=shared)
        shared = shared or panel
        _joint(panel, traces, joint)
        if at[1] == 0:
            panel.set_ylabel("rad")
        panels.append(panel)
    for row, (label, time_s, values) in enumerate(slow, start=rows):
        panel = figure.add_subplot(grid[row, :], sharex=shared)
        _lines(panel, time_s, values, joints, traces.names)
        panel.set_ylabel(label)
        if row == rows:
            corner = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 8}
            panel.legend(fontsize=7, frameon=False, **corner)
        panels.append(panel)
    for panel in panels:
        _shade(panel, traces.marks)
        panel.grid(alpha=0.25)
    panels[-1].set_xlabel("time since the first state, s")
    shared.set_xlim(
        float(traces.time_s[0]), max(float(traces.time_s[-1]), float(traces.time_s[0]) + 1e-3)
    )
    handles, labels = panels[0].get_legend_handles_labels()
    shades = [mark for mark in dict.fromkeys(m.kind for m in traces.marks) if mark in _SHADES]
    from matplotlib.patches import Patch

    handles += [Patch(color=_SHADES[kind], alpha=0.4) for kind in shades]
    figure.legend(handles, [*labels, *shades], loc="outside upper right", ncols=8, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    if told:
        figure.supxlabel("\n".join(told), x=0.01, ha="left", fontsize=9, color=_SHADES["gap"])
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        figure.savefig(part, format=out.suffix[1:], dpi=110)
        part.replace(out)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error
    finally:
        part.unlink(missing_ok=True)


def _joint(panel: Any, traces: Traces, joint: int) -> None:
    title = traces.names[joint]
    if traces.target is not None:
        panel.step(
            traces.time_s,
            traces.target[:, joint],
            where="post",
            color=_TARGET,
            linewidth=0.9,
            label="target",
        )
        error = traces.target[:, joint] - traces.position[:, joint]
        error = error[np.isfinite(error)]
        if len(error):
            title += f", error {np.sqrt(np.mean(error**2)):.3f} rad rms"
    panel.plot(
        traces.time_s, traces.position[:, joint], color=_MEASURED, linewidth=0.9, label="measured"
    )
    panel.set_title(title, fontsize=9, loc="left")
    panel.tick_params(labelsize=8)


def _slow(traces: Traces) -> list[tuple[str, Any, Any]]:
    """What is drawn below the joints: label, times and values."""
    found = []
    if traces.current is not None:
        found.append((traces.effort_name, traces.time_s, traces.current))
    if len(traces.temperature_s):
        found.append(("temperature, °C", traces.temperature_s, traces.temperature))
    return found


def _lines(panel: Any, time_s: Any, values: Any, joints: list[int], names: Sequence[str]) -> None:
    """A line a joint: a finger is a colour, its joints from dark to light."""
    import matplotlib as mpl

    maps = [mpl.colormaps[name] for name in ("Blues", "Greens", "Oranges", "Purples")]
    marker = "." if len(time_s) < 200 else ""
    for joint in joints:
        colour = maps[joint // 4 % 4](0.9 - 0.18 * (joint % 4))
        style = {"color": colour, "linewidth": 0.8, "marker": marker, "markersize": 3}
        panel.plot(time_s, values[:, joint], label=names[joint], **style)
    panel.tick_params(labelsize=8)


def _shade(panel: Any, marks: list[Mark]) -> None:
    for mark in marks:
        colour = _SHADES.get(mark.kind)
        if colour is None or np.isnan(mark.begin_s):
            continue
        if mark.end_s > mark.begin_s:
            panel.axvspan(mark.begin_s, mark.end_s, color=colour, alpha=0.3, linewidth=0.8)
        else:
            panel.axvline(mark.begin_s, color=colour, linewidth=0.9)


def _words(marks: list[Mark]) -> list[str]:
    """What the shades cannot say."""
    told = [m for m in marks if m.kind in SERIOUS]
    lines = [
        m.text if np.isnan(m.begin_s) else f"{m.begin_s:.2f} s: {m.text}" for m in told[:_TOLD]
    ]
    if len(told) > _TOLD:
        lines.append(f"and {len(told) - _TOLD} more (--json tells all)")
    return lines
