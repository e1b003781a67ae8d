# SPDX-License-Identifier: Apache-2.0
"""Figures of a comparison: bars of every method, and the data size curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.training.compare.ablations import Studies
from dexndm_ros.training.compare.results import NOMINAL, Row

__all__ = ["plot_bars", "plot_curve"]

_METRICS = {"rotation_rad": "RotR, rad in 20 s", "held_s": "TTF, s"}


_COLOURS = {"joint": "tab:orange", NOMINAL: "tab:grey"}


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def plot_bars(rows: Sequence[Row], line: str, title: str, path: Path) -> None:
    """A panel for each wrist and metric: means over pipelines with their spread; one method as a line.

    Args:
        rows: of all wrists.
        line: name of the method that is the line.
        title: of the figure.
        path: PNG file.
    """
    plt = _pyplot()
    wrists = list(dict.fromkeys(row.wrist for row in rows))
    names = list(dict.fromkeys(row.method for row in rows))
    figure, panels = plt.subplots(
        len(_METRICS), len(wrists), figsize=(2.5 + 0.42 * len(names) * len(wrists), 6.5), squeeze=False, sharex="col",
    )  # fmt: skip
    for column, wrist in enumerate(wrists):
        of_wrist = {row.method: row for row in rows if row.wrist == wrist}
        for panel, (metric, label) in zip(panels[:, column], _METRICS.items(), strict=True):
            places = np.arange(len(of_wrist))
            values = [row.metrics[metric] for row in of_wrist.values()]
            errors = [0.0 if np.isnan(v.std) else v.std for v in values]
            colours = [_COLOURS.get(name, "tab:blue") for name in of_wrist]
            panel.bar(places, [v.mean for v in values], yerr=errors, capsize=3, color=colours)
            if line in of_wrist:
                panel.axhline(
                    of_wrist[line].metrics[metric].mean, color="k", ls="--", lw=1, label=line
                )
                panel.legend(fontsize=7)
            panel.set_xticks(places, list(of_wrist), rotation=55, ha="right", fontsize=8)
            panel.set_ylabel(label)
            panel.grid(axis="y", alpha=0.3)
        panels[0, column].set_title(wrist, fontsize=10)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_curve(studies: Studies, path: Path) -> None:
    """One-step error on the task against the number of trajectories, a line a model."""
    plt = _pyplot()
    figure, panel = plt.subplots(figsize=(6, 4))
    for model in dict.fromkeys(model for model, _ in studies.curve):
        counts = sorted(count for name, count in studies.curve if name == model)
        values = [np.array(studies.curve[model, count]) for count in counts]
        spread = [v.std(ddof=1) if len(v) > 1 else 0.0 for v in values]
        panel.errorbar(
            counts, [v.mean() for v in values], spread, marker="o", capsize=3, label=model
        )
    panel.set_xscale("log")
    panel.set_xlabel("trajectories of each wrist")
    panel.set_ylabel("one-step error on the task, mrad")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
