# SPDX-License-Identifier: Apache-2.0
"""The report of an analysis: ``report.json``, and ``report.html`` that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexndm_ros.training.analyze.config import AnalyzeConfig
from dexndm_ros.training.progress import commit_id

__all__ = ["Section", "Table", "write_report"]


@dataclass(frozen=True)
class Table:
    """Words in rows under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One question and its answer.

    Attributes:
        title: the question.
        answer: in a line.
        how: how it was computed, a paragraph each.
        figures: files in the report's folder.
        tables: under the figures.
        numbers: for ``report.json``.
    """

    title: str
    answer: str
    how: tuple[str, ...]
    figures: tuple[str, ...]
    tables: tuple[Table, ...]
    numbers: dict[str, Any]


def write_report(sections: Sequence[Section], config: AnalyzeConfig) -> Path:
    """Write page and numbers beside the figures.

    Returns:
        The page.
    """
    settings = {
        name: value.resolve().name if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    commit = commit_id()
    numbers = {"config": settings, "commit": commit}
    for section in sections:
        numbers[section.title] = {"answer": section.answer, **section.numbers}
    (config.out / "report.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    told = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    title = "Analysis of " + " and ".join(
        each.resolve().name for each in (config.data, config.other) if each
    )
    body = "".join(_html(section, config.out) for section in sections)
    page = f"""<!doctype html>
<!-- SPDX-License-Identifier: Apache-2.0 -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>
{body}<p>All numbers are in report.json. Settings: {html.escape(told)}. Commit {html.escape(commit)}.</p></body></html>
"""
    path = config.out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:1.2em auto;max-width:75em;padding:0 1em}img{max-width:100%}"
    "table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}"
    "td,th{padding:.15em .6em;border-bottom:1px solid #ddd;text-align:left}"
)


def _html(section: Section, folder: Path) -> str:
    images = "".join(
        f'<p><img alt="{name}" src="data:image/png;base64,'
        f'{base64.b64encode((folder / name).read_bytes()).decode()}"></p>'
        for name in section.figures
    )
    how = "".join(f"<p>{html.escape(text)}</p>" for text in section.how)
    tables = "".join(_table(table) for table in section.tables)
    return (
        f"<h2>{html.escape(section.title)}</h2><p><b>{html.escape(section.answer)}</b></p>"
        f"{images}{tables}<details open><summary>How it was computed</summary>{how}</details>"
    )


def _table(table: Table) -> str:
    rows = "".join(
        f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
        for tag, cells in (("th", table.head), *(("td", row) for row in table.rows))
    )
    return f"<table>{rows}</table>"
