# SPDX-License-Identifier: Apache-2.0
"""The model card of an inverse: what was identified, how well, how it is run, what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.policy.spec import PolicySpec
from dexndm_ros.training.residual_card import MARK, markdown_table, scores_section

__all__ = ["held_out_mrad", "inverse_card"]


def inverse_card(
    name: str, spec: PolicySpec, numbers: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> str:
    """The card as Markdown.

    Args:
        name: of the file.
        spec: inside it.
        numbers: ``report.json`` of the identification.
        results: of ``dexndm evaluate``, one a wrist and axis; empty = not measured.
    """
    parts = (
        _head(name, spec, results),
        _made(spec, numbers),
        _found(numbers),
        scores_section(results),
        _limits(),
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(name: str, spec: PolicySpec, results: Sequence[Mapping[str, Any]]) -> list[str]:
    world = results[0]["world"]["name"] if results else "WORLD"
    both = f"--policy cylinder_z --residual {name}"
    return [
        f"# {Path(name).stem}: inverse of an identified hand",
        MARK.format(name=name),
        "",
        f"`{name}` adds at most {spec.residual_bound_rad:g} rad to each joint target of a base policy, "
        f"{spec.rate_hz:g} times a second, so that the hand whose servos were identified gives the torque that a "
        "nominal one would give. Nothing was learned: it is an equation of gains, damping, friction, play, offsets "
        "and delay. It goes with any base policy that was trained in the nominal world.",
        "",
        "```bash",
        f"dexndm demo {both} --world {world}",
        f"ros2 launch dexndm_ros rotation_demo.launch.py policy:=cylinder_z residual:=$PWD/{name}",
        f"dexndm evaluate {both} --world {world} --keep-hand --wrist palm_up,palm_down --axis=+z --report scores.json",
        "```",
        *([] if results else ["", "WORLD is a world, file or name, that stands for the hand."]),
    ]


def _made(spec: PolicySpec, numbers: Mapping[str, Any]) -> list[str]:
    config = numbers["config"]
    before, after = held_out_mrad(numbers)
    rows = {
        "made from": spec.trained_on,
        "hand": Path(config["data"] or config["twin"]).name,
        "clips of it": f"{numbers['clips']} of {config['clip_s']:g} s, {len(numbers['held_out'])} held out",
        "error on the held-out ones": f"{before:.1f} mrad as nominal, {after:.1f} mrad as identified",
        "bound": f"{spec.residual_bound_rad:g} rad",
        "seed": config["seed"],
        "commit": spec.commit,
    }
    return ["## How it was made", "", *markdown_table(("", ""), rows.items())]


def _found(numbers: Mapping[str, Any]) -> list[str]:
    """A line for each kind of parameter: how many passed the gate, and where they lie."""
    rows = []
    for kind in dict.fromkeys(row["parameter"] for row in numbers["parameters"]):
        mine = [row for row in numbers["parameters"] if row["parameter"] == kind]
        good = [row["value"] for row in mine if not row["refused"]]
        span = f"{min(good):.3g} to {max(good):.3g}" if good else "-"
        rows.append((kind, f"{len(good)} of {len(mine)}", span))
    titles = ("parameter", "identified", "values (scales of nominal, N·m, rad, s)")
    return ["## What was identified", "", *markdown_table(titles, rows)]


def _limits() -> list[str]:
    return [
        "## What it cannot do",
        "",
        "- Compensate torque limits, masses, inertia, springs that soften, motors that tire; a delay is answered to "
        "first order only.",
        "- Serve another hand, or that hand after its gains, its friction or its motors have changed: identify anew.",
        "- Know better than the data: what they did not tell stays nominal.",
        "- Scores are of simulation where a world is named; none of them is of a real hand.",
    ]


def held_out_mrad(numbers: Mapping[str, Any]) -> tuple[float, float]:
    """Error on held-out clips before and after, root mean square over the joints, mrad, of a run's ``report.json``."""
    before, after = (
        float(np.sqrt(np.mean(np.square(list(numbers[f"error_{when}_mrad"].values())))))
        for when in ("before", "after")
    )
    return before, after
