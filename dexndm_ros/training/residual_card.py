# SPDX-License-Identifier: Apache-2.0
"""The model card of a residual: what it is, what it was made of, what was measured, how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dexndm_ros.policy.spec import PolicySpec, refusal

__all__ = ["CANDIDATES", "MARK", "CardFacts", "residual_card"]

MARK = "<!-- written by dexndm export for {name} -->"
"""Stands in a card that an export may write over."""
CANDIDATES = {"none": "base alone"}
"""Names in the choice that are no residual's."""
_LOSS_COLUMNS = (
    ("rms_mrad", "predicted error, mrad", 1.0),
    ("mean_mrad", "mean size, mrad", 1.0),
    ("at_bound", "at its bound, %", 100.0),
    ("response", "response to the newest target, rad a rad", 1.0),
)
_SCORES = (
    ("rotation_rad", "rotation, rad in 20 s", 1.0),
    ("held", "time held, %", 100.0),
    ("survived", "survives, %", 100.0),
    ("off_axis_rad_s", "off-axis, rad/s", 1.0),
)


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        name: name of the residual's file.
        spec: inside it.
        config: settings of the run; any keys may be missing.
        metrics: of the run, likewise.
        results: of ``dexndm evaluate``, one a wrist and axis; empty = not measured.
    """

    name: str
    spec: PolicySpec
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[Mapping[str, Any]] = ()

    @property
    def base(self) -> str:
        """The policy that is corrected."""
        return _told(self.config.get("base", "?"))


def residual_card(facts: CardFacts) -> str:
    """The card as Markdown, with ``MARK`` in it."""
    parts = (_head, _use, _made, _losses, _choice, _scores, _limits)
    texts = ["\n".join(part(facts)) for part in parts]
    return "\n\n".join(text for text in texts if text) + "\n"


def _head(facts: CardFacts) -> list[str]:
    bound = facts.spec.residual_bound_rad
    lines = [
        f"# {Path(facts.name).stem}: a correction of the policy {facts.base}",
        MARK.format(name=facts.name),
        "",
        f"`{facts.name}` adds at most {bound:g} rad to each joint target of the policy `{facts.base}`, "
        f"{facts.spec.rate_hz:g} times a second, from what that policy sees and decides. It was trained through a "
        "model of one hand's dynamics, so that the hand moves under the corrected targets as the simulator's does "
        "under the policy's own.",
    ]
    if facts.spec.refused:
        lines += ["", f"**Not to be deployed.** In every program {refusal(facts.spec.refused)}."]
    return lines


def _use(facts: CardFacts) -> list[str]:
    chosen_in = _told((facts.metrics.get("selection") or {}).get("world"))
    world = facts.results[0]["world"]["name"] if facts.results else chosen_in or "nominal"
    both = f"--policy {facts.base} --residual {facts.name}"
    wrists = ",".join(facts.spec.wrists) or "palm_up"
    axes = ",".join(facts.spec.axes) or "+z"
    return [
        "```bash",
        f"dexndm demo {both} --world {world}",
        f"ros2 launch dexndm_ros rotation_demo.launch.py policy:={facts.base} residual:=$PWD/{facts.name}",
        f"dexndm evaluate {both} --world {world} --keep-hand --wrist {wrists} --axis={axes} --report scores.json",
        "```",
    ]


def _made(facts: CardFacts) -> list[str]:
    config, selection = facts.config, facts.metrics.get("selection") or {}
    world = _told(selection.get("world"))
    rows = {
        "trained on": facts.spec.trained_on,
        "rollouts of the base policy": _told(config.get("data")),
        "dynamics of the hand": _told(config.get("dynamics")),
        "dynamics of the nominal world": _told(config.get("nominal")),
        "chosen": facts.metrics.get("chosen"),
        "chosen in": f"the world {world}, by the rollouts below" if world else "",
        "bound": f"{facts.spec.residual_bound_rad:g} rad",
        "seed": config.get("seed"),
        "commit": facts.spec.commit,
    }
    kept = {key: value for key, value in rows.items() if value not in (None, "")}
    return ["## How it was made", "", *_table(("", ""), kept.items())]


def _losses(facts: CardFacts) -> list[str]:
    losses: Mapping[str, Mapping[str, Any]] = facts.metrics.get("losses") or {}
    columns = [
        column for column in _LOSS_COLUMNS if any(column[0] in row for row in losses.values())
    ]
    names = ["loss", *(title for _, title, _ in columns), "gate"]
    rows = [
        (
            name,
            *(_number(row.get(key), scale) for key, _, scale in columns),
            row.get("refused") or "passed",
        )
        for name, row in losses.items()
    ]
    return ["## Losses and the gate", "", *_table(names, rows)]


def _choice(facts: CardFacts) -> list[str]:
    """Every candidate that was rolled out: a loss, or one with a share of what varies in it."""
    candidates = (facts.metrics.get("selection") or {}).get("rows") or {}
    if not candidates:
        return []
    rows = [
        (
            CANDIDATES.get(name, name),
            row.get("episodes", "-"),
            _number(row.get("rotation_rad")),
            _number(row.get("held"), 100.0),
        )
        for name, row in candidates.items()
    ]
    titles = ("candidate", "objects a wrist and axis", "rotation, rad in 20 s", "time held, %")
    return [
        "## The choice by rollouts",
        "",
        "Rows with the same number of objects turned the same ones.",
        "",
        *_table(titles, rows),
    ]


def _scores(facts: CardFacts) -> list[str]:
    if not facts.results:
        return [
            "## Scores",
            "",
            "Not measured: evaluate it as above, and export it again with `--scores scores.json`.",
        ]
    rows, notes = [], []
    for result in facts.results:
        world, mean, std = result["world"], result["mean"], result["std"]
        numbers = [
            f"{_number(mean[key], scale)} ± {_number(std[key], scale)}" for key, _, scale in _SCORES
        ]
        rows.append((world["name"], world["wrist"], result["axis"], *numbers))
        drawn = "worlds drawn" if result.get("randomisation") else "the world as it is"
        notes.append(
            f"Physics {world['physics']}, {result['episodes']} episodes a seed, seeds "
            f"{', '.join(str(row['seed']) for row in result['seeds'])}, {drawn}; mean ± standard deviation over the "
            f"seeds; measured on {result.get('date', 'an unknown date')} at commit {result.get('commit', 'unknown')}."
        )
    titles = ("world", "wrist", "axis", *(title for _, title, _ in _SCORES))
    return ["## Scores", "", *_table(titles, rows), "", *dict.fromkeys(notes)]


def _limits(facts: CardFacts) -> list[str]:
    wrists, axes = ", ".join(facts.spec.wrists), ", ".join(facts.spec.axes)
    return [
        "## What it cannot do",
        "",
        "- Correct another hand than the one whose dynamics it was trained through, or that hand after its gains, its "
        "friction or its motors have changed: collect, train and measure anew.",
        f"- Serve another policy than `{facts.base}`: {_belongs(facts.spec)}.",
        f"- More than the base policy can: wrists {wrists or 'as trained'}, axes {axes or 'as trained'}.",
        "- Feel the object: there is none in a dynamics model, and the residual sees no more than the policy does.",
        "- Scores are of simulation where a world is named; none of them is of a real hand.",
    ]


def _belongs(spec: PolicySpec) -> str:
    digest = spec.base_sha256
    if not digest:
        return "the file does not say which it was made for, so no program checks it"
    return f"whatever loads it wants the base policy file with SHA-256 `{digest[:12]}...`"


def _table(titles: Sequence[str], rows: Any) -> list[str]:
    """Rows of cells as Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines
    ]


def _number(value: Any, scale: float = 1.0) -> str:
    return "-" if value is None else f"{float(value) * scale:.3g}"


def _told(value: Any) -> str:
    """Files and folders without the folders of the machine that they lie on."""
    if isinstance(value, str):
        return Path(value).name if Path(value).is_absolute() else value
    return ", ".join(map(_told, value or ()))
