# SPDX-License-Identifier: Apache-2.0
"""What a choice by rollouts says: in a sentence, and as the card beside the file that is to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexndm_ros.training.residual_card import CANDIDATES, markdown_table

__all__ = ["MARK", "choice_card", "choice_words", "record_of"]

MARK = "<!-- written by dexndm choose for {name} -->"
"""Stands in a card that a choice may write over."""


def record_of(out: Path) -> Path:
    """Where the numbers of a choice stand: beside the file that it wrote."""
    return out.with_suffix(".json")


def choice_words(record: Mapping[str, Any]) -> str:
    """Which is to run, and how far each has turned."""
    rows, chosen = record["rows"], record["chosen"]
    if not rows:
        return f"the base policy is to run alone: {_left_out(record)}"
    turned = ", ".join(
        f"{CANDIDATES.get(name, name)} {row['rotation_rad']:.1f} rad" for name, row in rows.items()
    )
    which = "the base policy alone" if chosen in CANDIDATES else f"the base policy with {chosen}"
    left_out = _left_out(record)
    return f"{which} is to run: in rollouts in {_world(record)} {turned}{'; ' * bool(left_out)}{left_out}"


def choice_card(record: Mapping[str, Any]) -> str:
    """The card as Markdown, with ``MARK`` in it."""
    name, base, chosen = record["file"], record["base"], record["chosen"]
    alone = chosen in CANDIDATES
    what = (
        f"`{name}` runs the policy `{base}` alone: it holds a correction that says of itself that it must not run."
        if alone
        else f"`{name}` is the very file `{chosen}.onnx`; its own card says how that was made."
    )
    rows = [
        (
            CANDIDATES.get(each, each),
            row["episodes"],
            f"{row['rotation_rad']:.1f}",
            f"{100 * row['held']:.0f}",
            "runs" if each == chosen else "",
        )
        for each, row in record["rows"].items()
    ]
    titles = ("candidate", "objects a wrist and axis", "rotation, rad in 20 s", "time held, %", "")
    lines = [
        f"# What to run: {Path(name).stem}",
        MARK.format(name=name),
        "",
        f"{_sentence(choice_words(record))} {what}",
        "",
        "```bash",
        f"dexndm demo --policy {base} --residual {name} --world {_world(record)}",
        f"ros2 launch dexndm_ros rotation_demo.launch.py policy:={base} residual:=$PWD/{name}",
        "```",
        "",
        *(["## The rollouts", "", *markdown_table(titles, rows), ""] if rows else []),
        f"All turned the same objects from the same grasps, which no test uses; axis {record['axis']}, seed "
        f"{record['seed']}, commit {record['commit']}. The world stands for the hand only as far as it is like it: an "
        "identified one is no judge between its own inverse and anything else. On a hand, try both.",
    ]
    return "\n".join(lines) + "\n"


def _left_out(record: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} is refused: {why}" for name, why in record["left_out"].items())


def _world(record: Mapping[str, Any]) -> str:
    """Without the folders of the machine that it lies on."""
    return Path(str(record["world"])).name


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
