# SPDX-License-Identifier: Apache-2.0
"""Figures of an identification: measured against simulated, and every parameter with its spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.replay.trajectory import RATE_HZ
from dexndm_ros.training.sysid.job import Identified
from dexndm_ros.training.sysid.parameters import PARAMETERS

__all__ = ["plot_motion", "plot_parameters"]


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def plot_motion(found: Identified, path: Path) -> None:
    """A held-out clip, a panel a joint: measured, simulated before and after."""
    plt = _pyplot()
    measured, before, after = found.shown
    time_s = (1 + np.arange(len(measured))) / RATE_HZ
    figure, panels = plt.subplots(4, 4, figsize=(15, 9), sharex=True)
    for joint, panel in enumerate(panels.flat):
        panel.plot(time_s, before[:, joint], color="tab:orange", lw=0.9, label="before")
        panel.plot(time_s, after[:, joint], color="tab:blue", lw=1.2, label="identified")
        panel.plot(time_s, measured[:, joint], "k.", ms=2, label="measured")
        panel.set_title(
            f"{JOINT_NAMES[joint]}: {found.before[joint] * 1e3:.1f} to {found.after[joint] * 1e3:.1f} mrad",
            fontsize=9,
        )
        panel.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("s")
    figure.suptitle("A held-out clip, angles in rad; titles: error over all held-out clips")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def plot_parameters(found: Identified, path: Path) -> None:
    """A panel a parameter: nominal, each seed, identified or refused, and the truth of a twin."""
    plt = _pyplot()
    names = list(dict.fromkeys(each.parameter for each in found.rows))
    figure, panels = plt.subplots(
        len(names), 1, figsize=(11, 2.1 * len(names) + 0.8), squeeze=False
    )
    for panel, name in zip(panels[:, 0], names, strict=True):
        rows = [each for each in found.rows if each.parameter == name]
        places = np.arange(len(rows))
        panel.plot(places, [e.nominal for e in rows], "_", color="grey", ms=14, label="nominal")
        for e, x in zip(rows, places, strict=True):
            panel.plot([x] * len(e.seeds), e.seeds, "|", color="tab:blue", ms=7)
        for refused, mark, word in ((False, "o", "identified"), (True, "x", "refused")):
            mine = [k for k, e in enumerate(rows) if bool(e.refused) == refused]
            colour = "tab:red" if refused else "tab:blue"
            panel.plot(mine, [rows[k].shown for k in mine], mark, color=colour, label=word)
        if found.truth is not None:
            true = [float(found.truth[name][e.index]) for e in rows]
            panel.plot(places, true, "k+", ms=9, label="true")
        panel.set_xticks(places, [e.of for e in rows], rotation=30, ha="right", fontsize=7)
        unit = PARAMETERS[name].unit
        panel.set_ylabel(f"{name}, {unit}" if unit else name)
        panel.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=7, ncols=4)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
