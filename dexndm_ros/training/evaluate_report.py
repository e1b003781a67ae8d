# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found, as text and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.sim.randomise import OBJECTS_ONLY

__all__ = ["plot", "table"]

_COLUMNS = {
    "RotR, rad": "rotation_rad",
    "quarter turns": "quarter_turns",
    "TTF, share of 20 s": "held",
    "survived": "survived",
    "RotP, rad/s": "off_axis_rad_s",
    "goals reached": "goal_success",
}
"""Heading and name of a mean; a column that nothing has a number for is left out."""
_OBJECTS_SHOWN = 40


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as text: one row each, then means of each family where there are several."""
    shown = {
        head: key for head, key in _COLUMNS.items() if any(key in each["mean"] for each in results)
    }
    rows = [["policy", "wrist", "axis", *shown]]
    for each in results:
        mean, std = each["mean"], each["std"]
        cells = [
            f"{mean[key]:.3g} ± {std[key]:.2g}" if key in mean else "-" for key in shown.values()
        ]
        rows.append([each["policy"], each["world"]["wrist"], each["axis"], *cells])
    lines = _aligned(rows) + _families(results, shown)
    first = results[0]
    world, seeds = first["world"], [row["seed"] for row in first["seeds"]]
    lines.append(
        f"world {world['name']}, {first['episodes']} episodes a seed, seeds {seeds}, "
        f"physics {world['physics']}, {_drawn(first)}, {first['machine']}"
    )
    return "\n".join(lines)


def _families(results: Sequence[Mapping[str, Any]], shown: Mapping[str, str]) -> list[str]:
    rows = [["family", "policy", "wrist", "axis", "episodes", *shown]]
    for each in results:
        if len(each["by_family"]) < 2:
            continue
        for name, found in each["by_family"].items():
            cells = [f"{found[key]:.3g}" if key in found else "-" for key in shown.values()]
            task = [each["policy"], each["world"]["wrist"], each["axis"]]
            label = [name, *task, str(found["episodes"])]
            rows.append([*label, *cells])
    return ["", *_aligned(rows), ""] if len(rows) > 1 else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _drawn(result: Mapping[str, Any]) -> str:
    ranges = result["randomisation"]
    if ranges is None:
        return "not randomised"
    if families := ranges["families"]:
        return f"objects {', '.join(families)}, Table 14, pushes of {result['push_m_s2']:g} m/s2"
    return "objects drawn" if ranges == dataclasses.asdict(OBJECTS_ONLY) else "randomised"


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Bars of rotation and survival, one group a wrist and axis, error bars over the seeds; below, each object."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    turning = [each for each in results if "rotation_rad" in each["mean"]] or list(results)
    keys = {"rotation_rad": "rad in 20 s", "survived": "share surviving 20 s"}
    if "rotation_rad" not in turning[0]["mean"]:
        keys = {"goal_success": "share of goals reached"}
    objects = list(dict.fromkeys(name for each in turning for name in each["by_object"]))
    objects = objects[:_OBJECTS_SHOWN] if len(objects) > 1 else []
    several = len({each["policy"] for each in turning}) > 1
    names = [
        f"{each['policy']}\n" * several + f"{each['world']['wrist']}\n{each['axis']}"
        for each in turning
    ]
    figure, panels = plt.subplots(
        2 if objects else 1, len(keys), squeeze=False, layout="constrained",
        figsize=(3 + 1.6 * len(names) + 2 * bool(objects), 3.2 + 0.22 * len(objects)),
        height_ratios=[3.2, 0.22 * len(objects)] if objects else [1],
    )  # fmt: skip
    for column, (key, label) in enumerate(keys.items()):
        panel = panels[0, column]
        means = [each["mean"][key] for each in turning]
        panel.bar(names, means, yerr=[each["std"][key] for each in turning], capsize=4)
        panel.set_ylabel(label)
        panel.grid(axis="y", alpha=0.3)
        if not objects:
            continue
        grid = np.array(
            [
                [each["by_object"].get(name, {}).get(key, np.nan) for each in turning]
                for name in objects
            ]
        )
        panel = panels[1, column]
        image = panel.imshow(grid, aspect="auto", vmin=0, cmap="viridis")
        panel.set_yticks(range(len(objects)), objects if column == 0 else [""] * len(objects))
        panel.set_xticks(range(len(names)), names)
        figure.colorbar(image, ax=panel, label=label)
    figure.savefig(path, dpi=110)
    plt.close(figure)
