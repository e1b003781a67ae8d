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

from dexndm_ros.paths import policy_path
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.training.compare.choice import choice_rollouts
from dexndm_ros.training.compare.config import CompareConfig
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.figures import plot_bars, plot_curve
from dexndm_ros.training.compare.gap import describe_gap
from dexndm_ros.training.compare.job import Comparison
from dexndm_ros.training.compare.methods import DIRECT
from dexndm_ros.training.compare.results import BOTH, METRICS, Measured, Row, rows_of
from dexndm_ros.training.compare.tables import HEAD, Winner, cells, error_rows, notes_of, winners
from dexndm_ros.training.page import page, picture, table
from dexndm_ros.training.progress import commit_id

__all__ = ["numbers", "report_folder", "write_report"]

_SAME = ("world_sha256", "policy_sha256", "wrists", "axis", "episodes", "budget", "physics")
"""Settings that a report must agree in to be written anew, where it may grow."""


def report_folder(config: CompareConfig, folder: Path | None = None) -> Path:
    """Where the report is written, once it is sure that nothing is lost there.

    Args:
        config: of the comparison.
        folder: another place; None = in the folder of all worlds, named by the world's file and the trajectories.

    Raises:
        CompareError: the report of another comparison is there, or of one with more in it.
    """
    name = f"{config.world_file.stem}-{config.budget.trajectories}"
    folder = folder or config.out / name
    file = folder / "report.json"
    if not file.is_file():
        return folder
    theirs = json.loads(file.read_text(encoding="utf-8"))["settings"]
    ours = _finite(_settings(config))
    other = [key for key in _SAME if theirs.get(key) != ours[key]]
    if theirs["pipelines"] > ours["pipelines"]:
        other.append("pipelines")
    other += [
        key for key in ("methods", "ablations") if not set(theirs[key] or ()) <= set(ours[key])
    ]
    if other:
        raise CompareError(
            f"{folder} has the report of a comparison with other {', '.join(other)}; "
            "give another --report FOLDER (what was trained is used again), or remove that one"
        )
    return folder


def _settings(config: CompareConfig) -> dict[str, Any]:
    return dataclasses.asdict(config) | {
        "out": str(config.out),
        "world_sha256": fingerprint(config.world_file),
        "policy_sha256": fingerprint(policy_path(config.policy)),
    }


def write_report(found: Comparison, folder: Path | None = None) -> Path:
    """Write report.html, report.json, episodes.npz and pictures.

    Args:
        found: what is known so far.
        folder: see ``report_folder``.

    Raises:
        CompareError: see there.
    """
    folder = report_folder(found.config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(found.methods, found.config.wrists)
    best = winners(found.methods, found.config.wrists)
    data = numbers(found, rows, best)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    _save_episodes(folder / "episodes.npz", {**found.methods, **_prefixed(found.ablations)})
    body = _head(found) + _verdicts(best)
    if rows:
        plot_bars(rows, DIRECT, f"World {found.world.name}", folder / "methods.png")
        body += picture(folder / "methods.png")
    body += _tables(found, rows, best) + _ablations(found, folder) + _foot(found, data)
    path = folder / "report.html"
    path.write_text(page(f"Closing the gap: world {found.world.name}", body), encoding="utf-8")
    return path


def _prefixed(measured: Mapping[str, Measured]) -> dict[str, Measured]:
    return {f"ablation: {name}": each for name, each in measured.items()}


def numbers(found: Comparison, rows: Sequence[Row], best: Mapping[str, Winner]) -> dict[str, Any]:
    """Everything in the report, as JSON has it: null for what is not a number."""
    data = {
        "world": found.world.name,
        "gap": dict(describe_gap(found.world)),
        "commit": commit_id(),
        "stages_by_commits": sorted(found.commits),
        "settings": _settings(found.config),
        "rows": [dataclasses.asdict(row) for row in rows],
        "winner": {wrist: each.words for wrist, each in best.items()},
        "furthest": {wrist: each.method for wrist, each in best.items()},
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


def _head(found: Comparison) -> str:
    gap = describe_gap(found.world)
    body = "<h2>The gap</h2>"
    return body + (table(("what is not nominal", "how much"), gap) if gap else "<p>None.</p>")


def _verdicts(best: Mapping[str, Winner]) -> str:
    lines = [
        f"<p><b>{html.escape(wrist)}</b>: {html.escape(each.words)}</p>"
        for wrist, each in best.items()
    ]
    return "<h2>Who turns furthest</h2>" + "".join(lines)


def _tables(found: Comparison, rows: Sequence[Row], best: Mapping[str, Winner]) -> str:
    body = ""
    for wrist, each in best.items():
        of_wrist = [row for row in rows if row.wrist == wrist]
        body += f"<h2>{html.escape(wrist)}</h2>" + _table(of_wrist, found.methods, each.method)
    words = [(name, each.words, notes_of(each)) for name, each in found.methods.items()]
    marks = ["no" if "failed:" in note or "refused:" in note else "" for _, _, note in words]
    body += "<h2>Methods</h2>" + table(("method", "what it is", "what came of it"), words, marks)
    if errors := error_rows(found.methods):
        head = ("dynamics model", "held-out replays, mrad", "task rollouts, mrad")
        body += "<h2>One-step errors</h2>" + table(head, errors)
    return body


def _table(rows: Sequence[Row], methods: Mapping[str, Measured], best: str) -> str:
    table_rows = cells(rows, methods)
    marks = []
    for name, *_, remark in table_rows:
        bad = "refused" in remark or "failed" in remark
        marks.append("best" if name == best else "no" if bad else "")
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
        *_, best = winners(methods, found.config.wrists).values()
        body += _table(rows, methods, best.method) + picture(folder / "ablations.png")
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
        f"Each residual is chosen by up to {choice_rollouts(budget.select_episodes)} rollouts of up to 20 s of each "
        "wrist in this world, with objects that no test uses; the trajectories do not count them. "
        f"Physics {config.physics}. Stages by commit {', '.join(data['stages_by_commits'])}. "
        "All numbers are in report.json, "
        "every episode is in episodes.npz beside it."
    )
    return f"<p>{html.escape(text)}</p>"
