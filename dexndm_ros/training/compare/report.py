# SPDX-License-Identifier: Apache-2.0
"""The report of a comparison: a page that needs nothing else, all numbers as JSON, every episode, a picture."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.training.compare.figures import plot_bars, plot_curve
from dexndm_ros.training.compare.gap import describe_gap
from dexndm_ros.training.compare.job import Comparison
from dexndm_ros.training.compare.methods import DIRECT
from dexndm_ros.training.compare.results import BOTH, METRICS, Measured, Row, rows_of
from dexndm_ros.training.compare.tables import HEAD, cells, error_rows, notes_of, winner
from dexndm_ros.training.page import page, picture, table
from dexndm_ros.training.progress import commit_id

__all__ = ["numbers", "write_report"]


def write_report(found: Comparison, file: Path | None = None) -> Path:
    """Write report.html, report.json, episodes.npz and pictures into ``<out>/<world>/``.

    Args:
        found: what is known so far.
        file: another place for the page.
    """
    folder = found.config.out / found.world.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(found.methods, found.config.wrists)
    data = numbers(found, rows)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    _save_episodes(folder / "episodes.npz", {**found.methods, **_prefixed(found.ablations)})
    body = _head(found) + _verdicts(rows)
    if rows:
        plot_bars(rows, DIRECT, f"World {found.world.name}", folder / "methods.png")
        body += picture(folder / "methods.png")
    body += _tables(found, rows) + _ablations(found, folder) + _foot(found, data)
    path = file or folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(f"Closing the gap: world {found.world.name}", body), encoding="utf-8")
    return path


def _prefixed(measured: Mapping[str, Measured]) -> dict[str, Measured]:
    return {f"ablation: {name}": each for name, each in measured.items()}


def numbers(found: Comparison, rows: Sequence[Row]) -> dict[str, Any]:
    """Everything in the report, as JSON has it: null for what is not a number."""
    config = found.config
    data = {
        "world": found.world.name,
        "gap": dict(describe_gap(found.world)),
        "commit": commit_id(),
        "stages_by_commits": sorted(found.commits),
        "settings": dataclasses.asdict(config) | {"out": str(config.out)},
        "rows": [dataclasses.asdict(row) for row in rows],
        "winner": {wrist: winner(_of(rows, wrist)) for wrist in _wrists(rows)},
        "methods": {name: _told(each) for name, each in found.methods.items()},
        "ablations": {name: _told(each) for name, each in found.ablations.items()},
        "ablation_rows": [dataclasses.asdict(row) for row in _ablation_rows(found)],
        "curve": [
            {"model": model, "trajectories": count, "task_mrad": errors}
            for (model, count), errors in sorted(found.studies.curve.items())
        ],
        "transfer": {
            name: [{"first_loss": first, "epochs": epochs} for first, epochs in told]
            for name, told in found.studies.transfer.items()
        },
        "studies_failed": found.studies.failed,
    }
    clean: dict[str, Any] = _finite(data)
    return clean


def _told(each: Measured) -> dict[str, Any]:
    return {"words": each.words, "notes": each.notes, "one_step_mrad": each.errors}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _save_episodes(path: Path, measured: Mapping[str, Measured]) -> None:
    """Arrays (wrists, episodes) named "method/pipeline/metric"."""
    arrays = {
        f"{name}/{seed}/{metric}": np.array([getattr(tested, metric) for tested in of_wrists])
        for name, each in measured.items()
        for seed, of_wrists in each.episodes.items()
        for metric in METRICS
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _wrists(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.wrist for row in rows))


def _of(rows: Sequence[Row], wrist: str) -> list[Row]:
    return [row for row in rows if row.wrist == wrist]


def _head(found: Comparison) -> str:
    gap = describe_gap(found.world)
    body = "<h2>The gap</h2>"
    return body + (table(("what is not nominal", "how much"), gap) if gap else "<p>None.</p>")


def _verdicts(rows: Sequence[Row]) -> str:
    lines = [
        f"<p><b>{html.escape(wrist)}</b>: {html.escape(winner(_of(rows, wrist)))}</p>"
        for wrist in _wrists(rows)
    ]
    return "<h2>Who turns furthest</h2>" + "".join(lines)


def _tables(found: Comparison, rows: Sequence[Row]) -> str:
    body = ""
    for wrist in _wrists(rows):
        body += f"<h2>{html.escape(wrist)}</h2>" + _table(_of(rows, wrist), found.methods)
    words = [(name, each.words, notes_of(each)) for name, each in found.methods.items()]
    marks = ["no" if "failed:" in note or "refused:" in note else "" for _, _, note in words]
    body += "<h2>Methods</h2>" + table(("method", "what it is", "what came of it"), words, marks)
    if errors := error_rows(found.methods):
        head = ("dynamics model", "held-out replays, mrad", "task rollouts, mrad")
        body += "<h2>One-step errors</h2>" + table(head, errors)
    return body


def _table(rows: Sequence[Row], methods: Mapping[str, Measured]) -> str:
    table_rows = cells(rows, methods)
    turned = {row.method: row.rotation.value for row in rows if row.rotation is not None}
    best = max(turned.values(), default=0.0)
    marks = []
    for name, *_, remark in table_rows:
        bad = "refused" in remark or "failed" in remark
        marks.append("best" if turned.get(name) == best else "no" if bad else "")
    return table(HEAD, table_rows, marks)


def _ablation_rows(found: Comparison) -> list[Row]:
    if not found.ablations:
        return []
    direct = {DIRECT: found.methods[DIRECT]}
    return [
        row
        for row in rows_of({**direct, **found.ablations}, found.config.wrists)
        if row.wrist == BOTH or len(found.config.wrists) == 1
    ]


def _ablations(found: Comparison, folder: Path) -> str:
    if not found.config.ablations:
        return ""
    rows = _ablation_rows(found)
    body = "<h2>Ablations of the joint-wise method</h2>"
    if rows:
        plot_bars(rows, DIRECT, f"Ablations, world {found.world.name}", folder / "ablations.png")
        methods = {DIRECT: found.methods[DIRECT]} | found.ablations
        body += _table(rows, methods) + picture(folder / "ablations.png")
    told = []
    for name, each in found.ablations.items():
        errors = [
            found_of["task"]["joint-wise"]
            for found_of in each.errors.values()
            if "task" in found_of
        ]
        mean = f"{np.mean(errors):.2f}" if errors else "-"
        told.append((name, mean, notes_of(each)))
    body += table(("change", "one-step error on the task, mrad", "what came of it"), told)
    if found.studies.curve:
        plot_curve(found.studies, folder / "curve.png")
        body += "<h2>Data size</h2>" + picture(folder / "curve.png")
    if found.studies.transfer:
        rows_told = [
            (name, *(" ".join(f"{one[k]:.3g}" for one in told) for k in (0, 1)))
            for name, told in found.studies.transfer.items()
        ]
        head = (
            "joint-wise models begin",
            "first loss / that from nothing",
            "epochs to the best loss from nothing",
        )
        body += "<h2>Transfer between joints</h2>" + table(head, rows_told)
    failed = [(name, reason) for name, reason in found.studies.failed.items()]
    return body + (table(("failed", "why"), failed, ["no"] * len(failed)) if failed else "")


def _foot(found: Comparison, data: Mapping[str, Any]) -> str:
    config, budget = found.config, found.config.budget
    done = max((len(each.episodes) for each in found.methods.values()), default=0)
    text = (
        f"{done} of {config.pipelines} pipelines (seeds of data, initialisation, training and test), "
        f"{config.episodes} episodes of each method, wrist and pipeline, the same objects and grasps for every method; "
        f"±: standard deviation over pipelines; in brackets: 95 % interval of a bootstrap over pipelines and episodes. "
        f"Each method may learn from {budget.trajectories} trajectories of 20 s of each wrist in this world. "
        f"The loss of a residual is chosen by rollouts in this world ({budget.select_episodes} objects of each wrist), "
        "which no test uses and the trajectories do not count. "
        f"Physics {config.physics}. Stages by commit {', '.join(data['stages_by_commits'])}. "
        "All numbers are in report.json, "
        "every episode is in episodes.npz beside it."
    )
    return f"<p>{html.escape(text)}</p>"
