# SPDX-License-Identifier: Apache-2.0
"""The inverse of an identification as a policy file, with its scores inside and a model card beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.spec import PolicySpec, read_spec, write_spec
from dexndm_ros.training.inverse_card import inverse_card
from dexndm_ros.training.residual_export import (
    ExportError,
    check_card,
    check_result,
    read_report,
    scores_of,
)
from dexndm_ros.training.sysid.inverse import write_inverse

__all__ = ["export_inverse"]


def export_inverse(run: Path, out: Path, report: Path | None = None) -> PolicySpec:
    """Write the inverse of a run's ``world.yaml``, and ``README.md`` beside it.

    Args:
        run: run folder of ``dexndm sysid fit``.
        out: policy file to write.
        report: of ``dexndm evaluate`` with this inverse, or None.

    Returns:
        The spec inside the written file.

    Raises:
        ExportError: no run, a report of something else, or a ``README.md`` that no export wrote.
        WorldError: a world that cannot be read.
    """
    numbers = _numbers(run / "report.json")
    results = read_report(report) if report else []
    for result in results:
        check_result(result, {fingerprint(out)}, report)
    card = check_card(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_inverse(str(run / "world.yaml"), out)
    if results:
        write_spec(out, dataclasses.replace(read_spec(out), scores=scores_of(results)))
    spec = read_spec(out)
    card.write_text(inverse_card(out.name, spec, numbers, results), encoding="utf-8")
    return spec


def _numbers(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{file} cannot be read: the run of `dexndm sysid fit` is not done; give its command again"
        ) from error
    return found
