# SPDX-License-Identifier: Apache-2.0
"""Numbers as words: cells of the tables, and who turns furthest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dexndm_ros.training.compare.methods import DIRECT
from dexndm_ros.training.compare.results import METRICS, Measured, Row, rows_of, shared
from dexndm_ros.training.compare.statistics import Ratio, Spread, spread

__all__ = [
    "HEAD",
    "Winner",
    "cells",
    "error_rows",
    "interval",
    "markdown",
    "notes_of",
    "plus_minus",
    "winners",
]

HEAD = (
    "method", "RotR, rad", "TTF, s", "RotP, rad/s", "survived", "RotR / direct", "TTF / direct", "what came of it",
)  # fmt: skip


def plus_minus(value: Spread, digits: int = 2) -> str:
    """Mean and standard deviation over pipelines."""
    spread_words = "" if math.isnan(value.std) else f" ± {value.std:.{digits}f}"
    return f"{value.mean:.{digits}f}{spread_words}"


def interval(value: Ratio | None) -> str:
    """A ratio with its interval."""
    if value is None or math.isnan(value.value):
        return "-"
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def cells(rows: Sequence[Row], methods: Mapping[str, Measured]) -> list[tuple[str, ...]]:
    """The table of one wrist, as ``HEAD`` has it; a method without numbers is in it too, with the reason.

    Args:
        rows: of the wrist.
        methods: all, in the table's order.
    """
    of_method = {row.method: row for row in rows}
    table = []
    for name, each in methods.items():
        row = of_method.get(name)
        if row is None:
            numbers = ["-"] * (len(METRICS) + 2)
        else:
            numbers = [plus_minus(row.metrics[metric]) for metric in METRICS]
            numbers += [interval(row.rotation), interval(row.held)]
        table.append((name, *numbers, _remark(each)))
    return table


def _remark(each: Measured) -> str:
    """In short, and in how many pipelines: "loss paired 2 of 3, refused 1 of 3"."""
    short = Counter(note.split(":")[0] for note in each.notes.values() if note)
    return ", ".join(f"{words} {count} of {len(each.notes)}" for words, count in short.items())


def notes_of(each: Measured) -> str:
    """What is to be said of a method: the same of all pipelines once, else each one's."""
    notes = {seed: note for seed, note in sorted(each.notes.items()) if note}
    if not notes:
        return ""
    if len(set(notes.values())) == 1 and len(notes) == len(each.notes):
        return next(iter(notes.values()))
    return "; ".join(f"pipeline {seed}: {note}" for seed, note in notes.items())


@dataclass(frozen=True)
class Winner:
    """Which method turns furthest at one wrist (or all), and how sure that is; whoever it is.

    Attributes:
        method: "" where nothing can be compared, or nothing turns further than direct transfer.
        words: a sentence or two.
    """

    method: str
    words: str


def winners(methods: Mapping[str, Measured], wrists: Sequence[str]) -> dict[str, Winner]:
    """By wrist, ranked by the pipelines that all methods have; those that a pipeline is easy for gain nothing."""
    rows = rows_of(methods, wrists)
    some = shared(methods)
    ranked = rows_of(some, wrists)
    least = min((len(each.episodes) for each in some.values()), default=0)
    most = max((len(methods[name].episodes) for name in some), default=0)
    note = (
        f" Ranked by the {least} of {most} pipelines that no method lacks." if least < most else ""
    )
    return {
        wrist: _winner([row for row in ranked if row.wrist == wrist], note)
        for wrist in dict.fromkeys(row.wrist for row in rows)
    }


def _winner(rows: Sequence[Row], note: str) -> Winner:
    """Of one wrist's rows; those without a ratio to direct transfer do not take part."""
    ranked = sorted(
        (row for row in rows if row.rotation is not None and not math.isnan(row.rotation.value)),
        key=lambda row: -row.rotation.value if row.rotation else 0.0,
    )
    if not ranked:
        return Winner("", f"Nothing can be compared yet.{note}")
    best = ranked[0]
    joint = next((row for row in ranked if row.method == "joint"), None)
    if best.method == DIRECT or best.rotation is None:
        name, words = "", "No method turns further than direct transfer."
    else:
        name = best.method
        words = f"{name} turns furthest: {interval(best.rotation)} times direct transfer."
        if best.rotation.low <= 1.0:
            words += " The interval holds 1: not sure to be better."
    if joint is not None and joint is not best:
        words += f" Joint-wise dynamics: {interval(joint.rotation)}; "
        words += f"{best.method} turns {interval(best.rotation_to_joint)} times as far."
    return Winner(name, words + note)


def error_rows(methods: Mapping[str, Measured]) -> list[tuple[str, str, str]]:
    """(model, held-out replays, task rollouts): one-step errors, mrad, each model once."""
    found: dict[str, dict[str, list[float]]] = {}
    for each in methods.values():
        for of_data in each.errors.values():
            told: set[str] = set()
            for data, errors in of_data.items():
                for model, error in errors.items():
                    found.setdefault(model, {}).setdefault(data, []).append(error)
                    told.add(model)
    return [
        (model, *(_error(errors.get(data, [])) for data in ("validation", "task")))  # type: ignore[misc]
        for model, errors in found.items()
    ]


def _error(values: list[float]) -> str:
    return plus_minus(spread(np.array(values)[:, None])) if values else "-"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the documentation."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
