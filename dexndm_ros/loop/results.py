# SPDX-License-Identifier: Apache-2.0
"""What the steps have left behind, as numbers and as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexndm_ros.loop.records import Record, Records
from dexndm_ros.loop.settings import Settings
from dexndm_ros.loop.stages import CHOSEN, STAGES, Step
from dexndm_ros.training.choose_card import record_of

__all__ = [
    "KINDS",
    "Cell",
    "Results",
    "read_results",
    "refusal",
    "sentences",
    "stage_rows",
    "table",
    "words_for",
]

KINDS = {
    "nominal": "base, nominal world",
    "direct": "base alone",
    "inverse": "base + inverse",
    "residual": "base + residual",
}
"""What is evaluated: name of the report, words for it."""
_MARK = "  <- to run"


@dataclass(frozen=True)
class Cell:
    """An evaluation under one wrist: mean and standard deviation over the seeds.

    Attributes:
        turned_rad: rotation in 20 s.
        held: share of the time the object was held.
    """

    turned_rad: tuple[float, float]
    held: tuple[float, float]


@dataclass(frozen=True)
class Results:
    """A whole loop.

    Attributes:
        settings: of the loop.
        refused: why the residual must not run; "" = it may.
        cells: by kind (a key of ``KINDS``), then by wrist; no "residual" where it was refused.
        episodes: a seed and wrist.
        seeds: of the evaluation.
        errors: one-step error, mrad, of the dynamics of the hand: by data, then by model.
        identified: numbers of the identification's report.
        residual: metrics of the residual job.
        choice: between inverse, residual and the base alone, as ``dexndm choose`` wrote it down.
        done: the steps with their records.
    """

    settings: Settings
    refused: str
    cells: Mapping[str, Mapping[str, Cell]]
    episodes: int
    seeds: int
    errors: Mapping[str, Mapping[str, float]]
    identified: Mapping[str, Any]
    residual: Mapping[str, Any]
    choice: Mapping[str, Any]
    done: Sequence[tuple[Step, Record]]

    @property
    def chosen(self) -> str:
        """What is to run in the world, a key of ``KINDS``."""
        chosen = str(self.choice["chosen"])
        return chosen if chosen in self.cells else "direct"

    def mean(self, kind: str, wrist: str = "") -> float:
        """Mean rotation, rad, under one wrist, or over all of them."""
        cells = self.cells[kind]
        rotations = [cell.turned_rad[0] for name, cell in cells.items() if wrist in ("", name)]
        return sum(rotations) / len(rotations)


def refusal(out: Path) -> str:
    """Why the residual of a loop must not run; "" = it may."""
    metrics = _read(out / "residual" / "metrics.json")
    return str(metrics["refused"]) if metrics["chosen"] == "none" else ""


def read_results(settings: Settings, steps: Sequence[Step], records: Records) -> Results:
    """Collect the numbers; every step that is not senseless is done."""
    out = settings.out
    kinds = [kind for kind in KINDS if kind != "residual" or not refusal(out)]
    reports = {kind: _read(out / f"evaluation_{kind}.json") for kind in kinds}
    errors = _read(out / "dynamics" / "hand" / "metrics.json")["rms_mrad"]
    found = [(step, records.get(step.name)) for step in steps]
    first = reports["direct"][0]
    return Results(
        settings=settings,
        refused=refusal(out),
        cells={
            kind: {row["world"]["wrist"]: _cell(row) for row in report}
            for kind, report in reports.items()
        },
        episodes=first["episodes"],
        seeds=len(first["seeds"]),
        errors={Path(name).name: row for name, row in errors.items()},
        identified=_read(out / "sysid" / "report.json"),
        residual=_read(out / "residual" / "metrics.json"),
        choice=_read(record_of(out / CHOSEN)),
        done=[(step, record) for step, record in found if record is not None],
    )


def table(results: Results) -> str:
    """Rotation and time held, a line for each kind, and the verdict in words."""
    wrists = list(results.cells["direct"])
    world = Path(results.settings.world).stem
    head = f"{'rotation in 20 s, rad (time held)':<34}" + "".join(f"{w:>24}" for w in wrists)
    lines = ["", f"world {world}", head]
    for kind, cells in results.cells.items():
        texts = [_text(cells[wrist]) for wrist in wrists]
        mark = _MARK if kind == results.chosen else ""
        lines.append(f"{KINDS[kind]:<34}" + "".join(f"{text:>24}" for text in texts) + mark)
    return "\n".join([*lines, *sentences(results), ""])


def sentences(results: Results) -> list[str]:
    """What came out, what is to run, and how sure it is."""
    rows = results.choice["rows"]
    turned = ", ".join(f"{words_for(name)} {row['rotation_rad']:.1f}" for name, row in rows.items())
    said = [
        f"To run: {CHOSEN}, which is {KINDS[results.chosen]}. In the choice, on other objects, the mean of the wrists "
        f"was, in rad: {turned}."
    ]
    said += [
        f"Rotation with the {kind} over the base alone: {_ratios(results, kind)}."
        for kind in ("inverse", "residual")
        if kind in results.cells
    ]
    if results.refused:
        said.append(f"The residual is refused: {results.refused}.")
    said.append(
        f"{results.episodes} episodes a seed and wrist, {results.seeds} "
        f"seed{'s' * (results.seeds != 1)} (± is their spread), one identification and one training: it shows the way "
        "and proves nothing; `dexndm evaluate --compare` measures."
    )
    return said


def words_for(candidate: str) -> str:
    """Words for a candidate of the choice."""
    return KINDS.get(candidate, KINDS["direct"])


def _ratios(results: Results, kind: str) -> str:
    ratios = {
        wrist: results.mean(kind, wrist) / results.mean("direct", wrist)
        for wrist in results.cells["direct"]
    }
    return ", ".join(f"{wrist} {ratio:.2f}" for wrist, ratio in ratios.items())


def stage_rows(results: Results) -> list[tuple[str, float]]:
    """Name and time, s, of each stage."""
    return [
        (name, sum(record.seconds for step, record in results.done if step.stage == number))
        for number, name in enumerate(STAGES, 1)
    ]


def _cell(row: Mapping[str, Any]) -> Cell:
    mean, std = row["mean"], row["std"]
    return Cell((mean["rotation_rad"], std["rotation_rad"]), (mean["held"], std["held"]))


def _text(cell: Cell) -> str:
    return f"{cell.turned_rad[0]:.1f} ± {cell.turned_rad[1]:.1f} ({cell.held[0]:.0%})"


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
