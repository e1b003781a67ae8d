# SPDX-License-Identifier: Apache-2.0
"""All worlds of a folder in one table, for the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.methods import DIRECT, METHODS
from dexndm_ros.training.compare.results import BOTH
from dexndm_ros.training.compare.tables import markdown

__all__ = ["summarise"]


def summarise(out: Path) -> str:
    """Markdown: a table of RotR and one of TTF over direct transfer, a line a report, a column a method.

    What turns furthest is bold.

    Raises:
        CompareError: no report in the folder.
    """
    reports = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/report.json"))
    ]
    if not reports:
        raise CompareError(f"{out} has no report of a comparison; run one with --out {out}")
    names = [name for name in METHODS if any(name in report["methods"] for report in reports)]
    head = ("world", "trajectories", DIRECT, *names[1:])
    parts = [
        f"{title}\n\n" + markdown(head, [_line(r, names, key, metric) for r in reports])
        for title, key, metric in (
            ("RotR over that of direct transfer (direct: rad in 20 s)", "rotation", "rotation_rad"),
            ("TTF over that of direct transfer (direct: s)", "held", "held_s"),
        )
    ]  # fmt: skip
    return "\n\n".join(parts)


def _line(report: dict[str, Any], names: list[str], key: str, metric: str) -> list[str]:
    wrists = [row["wrist"] for row in report["rows"]]
    wrist = BOTH if BOTH in wrists else (wrists[0] if wrists else "")
    rows = {row["method"]: row for row in report["rows"] if row["wrist"] == wrist}
    furthest = report.get("furthest", {}).get(wrist) if key == "rotation" else None
    cells = [report["world"], str(report["settings"]["budget"]["trajectories"])]
    for name in names:
        row = rows.get(name)
        if row is None:
            cells.append("failed" if name in report["methods"] else "-")
        elif name == DIRECT:
            cells.append(f"{row['metrics'][metric]['mean']:.1f}")
        else:
            text = _cell(report, name, row, key)
            cells.append(f"**{text}**" if name == furthest else text)
    return cells


def _cell(report: dict[str, Any], name: str, row: dict[str, Any], key: str) -> str:
    ratio = row[key]
    if not ratio or ratio["value"] is None:
        return "-"
    notes = report["methods"][name]["notes"].values()
    refused = sum(note.startswith("refused") for note in notes)
    mark = f" ({refused} of {len(notes)} refused)" if refused else ""
    return f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high'] or float('inf'):.2f}]{mark}"
