# SPDX-License-Identifier: Apache-2.0
"""The figures of an analysis, each into one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.analyze.corrections import PAPER_MRAD, Corrections
from dexndm_ros.training.analyze.histories import LEVELS
from dexndm_ros.training.analyze.neighbours import FORETOLD, Gains
from dexndm_ros.training.analyze.overlap import COVERED, Overlap
from dexndm_ros.training.analyze.polynomials import UNITS, Fits, noise_left

__all__ = [
    "plot_corrections",
    "plot_examples",
    "plot_fits",
    "plot_foretold",
    "plot_gains",
    "plot_overlap",
    "plot_planes",
]

Array = NDArray[np.float64]
_COLOURS = ("tab:blue", "tab:orange")
_DPI = 90


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DPI)


def _joint_axis(panel: Any) -> None:
    panel.set_xticks(range(JOINT_COUNT), JOINT_NAMES, rotation=40, ha="right", fontsize=8)


def plot_overlap(found: Mapping[str, Overlap], path: Path) -> None:
    """The numbers of every group: joints as dots, fingers, whole hand."""
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    panels = figure.subplots(1, 5)
    words = {
        "coverage": ("share that the data cover", COVERED),
        "distance": ("distance to the nearest, spreads", None),
        "distance_ratio": ("distance, over the data's own", 1.0),
        "auc": ("AUC, angles and targets", 0.5),
        "auc_fine": ("AUC, fine", 0.5),
    }
    for panel, (field, (title, alike)) in zip(panels, words.items(), strict=True):
        if alike is not None:
            panel.axhline(alike, color="grey", ls="--", lw=1)
            panel.annotate(
                "alike", (2.45, alike), fontsize=8, color="grey", ha="right", va="bottom"
            )
        for place, groups in enumerate(LEVELS.values()):
            values = [getattr(found[name], field) for name in groups]
            across = place + np.linspace(-0.2, 0.2, len(values)) * (len(values) > 1)
            panel.plot(across, values, "o", color=_COLOURS[0], alpha=0.6)
            panel.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color="black", lw=2)
        panel.set_xticks(range(3), ["one joint\n(16)", "one finger\n(4)", "whole\nhand"])
        panel.set_xlim(-0.5, 2.5)
        panel.set_title(title, fontsize=10)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(-0.03, 1.03)
    panels[1].set_ylim(bottom=0)
    for panel in panels[3:]:
        panel.set_ylim(0.35, 1.03)
    _save(figure, path)


def plot_planes(
    planes: Mapping[str, tuple[Array, Array]], names: Sequence[str], columns: int, path: Path
) -> None:
    """t-SNE pictures of some groups, a panel each; ``names`` are those of the two datasets."""
    rows = -(-len(planes) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.8 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, (title, both) in zip(panels, planes.items(), strict=True):
        for points, colour, name in zip(both, _COLOURS, names, strict=True):
            panel.plot(*points.T, ".", ms=3.5, alpha=0.6, color=colour, label=name, mew=0)
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=3)
    _save(figure, path)


def plot_corrections(found: Corrections, path: Path) -> None:
    """Mean magnitude of each joint, with what 95 % are below, and the paper's."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panel = figure.subplots()
    places = np.arange(JOINT_COUNT)
    panel.bar(places, found.mean, color=_COLOURS[0], label="mean")
    panel.plot(places, found.high, "_", color="black", ms=14, label="95 % are below")
    panel.plot(places, PAPER_MRAD, "x", color=_COLOURS[1], label="paper, Table 8 (another hand)")
    _joint_axis(panel)
    panel.set_ylabel("|correction|, mrad")
    panel.grid(alpha=0.3, axis="y")
    figure.suptitle(found.source, fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    _save(figure, path)


def plot_gains(found: Mapping[str, Gains], path: Path) -> None:
    """A matrix for each set of windows: how much of a joint's error goes away by each other joint's history."""
    figure = Figure(figsize=(8.2 * len(found), 7), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    shown = {
        name: 100 * np.column_stack([gains.added, gains.finger, gains.hand])
        for name, gains in found.items()
    }
    most = max(1.0, *(float(np.quantile(np.abs(each), 0.98)) for each in shown.values()))
    for panel, (name, percent) in zip(panels, shown.items(), strict=True):
        image = panel.imshow(percent, cmap="RdBu", vmin=-most, vmax=most)
        for (row, column), value in np.ndenumerate(percent):
            if row != column and abs(value) >= 0.5:
                colour = "white" if abs(value) > 0.6 * most else "black"
                panel.text(
                    column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour
                )
        panel.axvline(JOINT_COUNT - 0.5, color="black", lw=1)
        for edge in range(3, JOINT_COUNT - 1, 4):
            for line in (panel.axhline, panel.axvline):
                line(edge + 0.5, color="grey", lw=0.5)
        names = [*JOINT_NAMES, "its finger", "all joints"]
        panel.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7.5)
        panel.set_yticks(range(JOINT_COUNT), JOINT_NAMES, fontsize=7.5)
        panel.set_xlabel("whose history is added")
        panel.set_ylabel("whose next change is predicted")
        panel.set_title(f"{name}: error that goes away, %", fontsize=10)
    figure.colorbar(image, ax=list(panels), shrink=0.7)
    _save(figure, path)


def plot_foretold(found: Mapping[str, tuple[Array, Array]], path: Path) -> None:
    """Errors of what a joint's history foretells, as shares of the spread; a dot a joint, a line their median."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panel = figure.subplots()
    width = 0.8 / len(found)
    for number, (name, (_, share)) in enumerate(found.items()):
        for place in range(len(FORETOLD)):
            middle = place + (number - (len(found) - 1) / 2) * width
            across = middle + np.linspace(-0.3, 0.3, JOINT_COUNT) * width
            label = name if place == 0 else None
            panel.plot(across, share[:, place], ".", color=_COLOURS[number], label=label)
            ends = [middle - 0.4 * width, middle + 0.4 * width]
            panel.plot(ends, [np.median(share[:, place])] * 2, color="black", lw=2)
    panel.axhline(1.0, color="grey", ls="--", lw=1)
    panel.annotate("knows nothing", (len(FORETOLD) - 0.5, 1.0), ha="right", va="bottom", fontsize=8)
    panel.set_yscale("log")
    panel.set_xticks(range(len(FORETOLD)), [word.replace(" joint's ", " joint's\n") for word in FORETOLD])  # fmt: skip
    panel.set_ylabel("error / spread of what is foretold")
    panel.grid(alpha=0.3, axis="y")
    panel.legend(fontsize=9, loc="lower right")
    _save(figure, path)


def plot_fits(found: Mapping[str, Mapping[str, Fits]], window: int, path: Path) -> None:
    """What each degree leaves of each signal, as a share of its spread in a window, against white noise."""
    signals = list(dict.fromkeys(name for fits in found.values() for name in fits))
    figure = Figure(figsize=(2.9 * len(signals), 3.6), layout="constrained")
    panels = figure.subplots(1, len(signals), sharey=True, squeeze=False)[0]
    for panel, signal in zip(panels, signals, strict=True):
        for (name, fits), colour in zip(found.items(), _COLOURS, strict=False):
            if signal in fits:
                left = fits[signal].left
                panel.plot(left, "o-", ms=4, color=colour, label=name)
        degrees = len(next(iter(next(iter(found.values())).values())).left)
        panel.plot(noise_left(window, degrees - 1), ":", color="grey", label="white noise")
        panel.set_title(signal, fontsize=10)
        panel.set_xlabel("degree")
        panel.set_xticks(range(degrees))
        panel.grid(alpha=0.3)
    panels[0].set_yscale("log")
    panels[0].set_ylabel(f"left of the spread in {window} ticks")
    panels[0].legend(fontsize=8)
    _save(figure, path)


def plot_examples(found: Mapping[str, Fits], path: Path) -> None:
    """Typical windows of each signal with the polynomial of degree 3 through them."""
    rows = len(next(iter(found.values())).examples)
    figure = Figure(figsize=(2.9 * len(found), 1.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, len(found), sharex=True, squeeze=False)
    for column, (signal, fits) in enumerate(found.items()):
        unit, factor = UNITS[signal]
        for row in range(rows):
            panel = panels[row, column]
            panel.plot(factor * fits.examples[row], "k.", ms=6, label="measured")
            panel.plot(factor * fits.fitted[row], color=_COLOURS[0], label="degree 3")
            panel.set_ylabel(unit, fontsize=8)
            panel.tick_params(labelsize=7)
            panel.grid(alpha=0.3)
        panels[0, column].set_title(signal, fontsize=10)
        panels[-1, column].set_xlabel("tick")
    panels[0, 0].legend(fontsize=7)
    _save(figure, path)
