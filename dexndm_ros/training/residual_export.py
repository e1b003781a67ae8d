# SPDX-License-Identifier: Apache-2.0
"""The residual that a run chose, with its scores inside and a model card beside it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.spec import PolicySpec, PolicySpecError, read_spec, write_spec
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.residual_card import MARK, CardFacts, residual_card

__all__ = [
    "ExportError",
    "check_card",
    "check_result",
    "export_residual",
    "read_report",
    "scores_of",
]


class ExportError(ValueError):
    """What cannot be exported as asked; the message says what to do."""


def export_residual(run: Path, out: Path, report: Path | None = None) -> PolicySpec:
    """Copy ``residual.onnx`` of a run, put scores into it, write ``README.md`` beside it.

    Args:
        run: run folder of ``dexndm train residual``.
        out: policy file to write.
        report: of ``dexndm evaluate`` with this residual, or None.

    Returns:
        The spec inside the written file.

    Raises:
        ExportError: a report of something else, or a ``README.md`` that no export wrote.
        PolicySpecError: the run's file is no residual.
    """
    source = run / "residual.onnx"
    spec = read_spec(source)
    if spec.kind != "residual":
        raise PolicySpecError("kind", f"got {spec.kind!r}, a residual belongs here", source)
    results = read_report(report) if report else []
    for result in results:
        check_result(result, {fingerprint(source), fingerprint(out)}, report)
    card = check_card(out)
    made = dataclasses.replace(
        spec,
        scores=scores_of(results) if results else spec.scores,
        commit=f"{spec.commit.split(', exported')[0]}, exported at {commit_id()}",
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".new")
    shutil.copyfile(source, partial)
    write_spec(partial, made)
    partial.replace(out)
    facts = CardFacts(
        out.name, made, _read(run / "config.json"), _read(run / "metrics.json"), results
    )
    card.write_text(residual_card(facts), encoding="utf-8")
    return made


def check_card(out: Path) -> Path:
    """Where the card of a policy file comes to lie.

    Raises:
        ExportError: something else lies there.
    """
    card = out.parent / "README.md"
    if card.is_file() and MARK.format(name=out.name) not in card.read_text(encoding="utf-8"):
        raise ExportError(
            f"{card} is there already and not this file's card; give --out a folder of its own"
        )
    return card


def check_result(result: dict[str, Any], ours: set[str], report: Path | None) -> None:
    """Scores belong to what was measured.

    Raises:
        ExportError: they do not.
    """
    if not result.get("residual"):
        raise ExportError(f"{report} was measured without a residual; evaluate with --residual")
    if result.get("residual_refused"):
        raise ExportError(
            f"{report} is of the base policy alone, the residual did not run: {result['residual_refused']}; "
            "export without --scores"
        )
    if result.get("residual_sha256") not in (None, *ours):
        raise ExportError(f"{report} was measured with another residual file; evaluate this one")


def read_report(path: Path) -> list[dict[str, Any]]:
    """Results of ``dexndm evaluate``, one a wrist and axis.

    Raises:
        ExportError: another file, or scores of several policies.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        for result in results:
            _ = result["world"]["wrist"], result["axis"], result["mean"]["rotation_rad"]
        policies = {result.get("policy") for result in results}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{path} is no report of `dexndm evaluate --report` ({type(error).__name__}: {error})"
        ) from error
    if len(policies) > 1:
        raise ExportError(
            f"{path} has scores of {len(policies)} policies; evaluate this one alone for its scores"
        )
    return list(results)


def scores_of(results: list[dict[str, Any]]) -> dict[str, float]:
    """Mean rotation, survival and time held of each wrist and axis; a world that is not the nominal one is named."""
    scores = {}
    for result in results:
        world = result["world"]
        name = "" if world.get("name", "nominal") == "nominal" else f"{world['name']} "
        where = f"{name}{world['wrist']} {result['axis']}"
        for key, digits in (("rotation_rad", 2), ("survived", 3), ("held", 3)):
            scores[f"{where} {key}"] = round(result["mean"][key], digits)
    return scores


def _read(path: Path) -> dict[str, Any]:
    """What a run left behind; a run of another version may lack some of it."""
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}
