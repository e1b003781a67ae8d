# SPDX-License-Identifier: Apache-2.0
"""What a residual run tells: a table of its losses, and a picture of what each joint gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES

__all__ = ["plot_residuals", "table"]


def table(metrics: Mapping[str, Any]) -> str:
    """The losses, what the gate said, and what was chosen."""
    rows = metrics["selection"].get("rows", {})
    lines = [
        f"{'loss':<15}{'predicted error':>16}{'mean residual':>15}{'at bound':>10}{'response':>10}  gate"
    ]
    for name, row in metrics["losses"].items():
        lines.append(
            f"{name:<15}{row['rms_mrad']:>11.2f} mrad{row['mean_mrad']:>10.1f} mrad{row['at_bound']:>10.0%}"
            f"{row['response']:>10.2f}  {row['refused'] or 'passed'}"
        )
    tried = sorted(rows.items(), key=lambda item: -float(item[1]["rotation_rad"]))
    lines += [
        f"rollouts: {'base alone' if name == 'none' else name:<22}{row['rotation_rad']:>7.2f} rad, held "
        f"{row['held']:.0%} of the time, {row['episodes']} objects a wrist and axis"
        for name, row in tried
    ]
    refused = metrics["refused"]
    lines.append(f"chosen: {metrics['chosen']}" + (f" ({refused})" if refused else ""))
    return "\n".join(lines)


def plot_residuals(path: Path, metrics: Mapping[str, Any]) -> None:
    """For each joint: mean size of each loss's residual, and the share of ticks at the bound."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    width = 0.8 / len(metrics["losses"])
    for number, (name, row) in enumerate(metrics["losses"].items()):
        places = [k + (number + 0.5) * width - 0.4 for k in range(JOINT_COUNT)]
        panels[0].bar(places, row["mean_mrad_by_joint"], width, label=name)
        panels[1].bar(places, row["at_bound_by_joint"], width, label=name)
    panels[0].set_ylabel("mean |residual|, mrad")
    panels[1].set_ylabel("share of ticks at the bound")
    panels[1].set_xticks(range(JOINT_COUNT), JOINT_NAMES, rotation=40, ha="right", fontsize=8)
    panels[0].legend()
    for panel in panels:
        panel.grid(axis="y", alpha=0.3)
    figure.suptitle(
        f"residual, bound {1e3 * metrics['bound_rad']:g} mrad; chosen: {metrics['chosen']}"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
