# SPDX-License-Identifier: Apache-2.0
"""A job's report as one HTML page that needs nothing else: style, tables, pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["page", "picture", "table"]

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:1.2em auto;max-width:70em;padding:0 1em}img{max-width:100%}"
    "table{border-collapse:collapse}td,th{padding:.15em .6em;border-bottom:1px solid #ddd;text-align:left}"
    ".no{color:#a33}.best{font-weight:600}pre{overflow-x:auto}.wide{overflow-x:auto}"
)


def page(title: str, body: str) -> str:
    """The page.

    Args:
        title: plain text.
        body: HTML.
    """
    title = html.escape(title)
    return f"""<!doctype html>
<!-- SPDX-License-Identifier: Apache-2.0 -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>
{body}</body></html>
"""


def picture(file: Path) -> str:
    """An image with its bytes in the page."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{html.escape(file.name)}" src="data:image/png;base64,{data}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marks: Sequence[str] = ()) -> str:
    """A table of plain text.

    Args:
        head: of the columns.
        rows: cells.
        marks: a class for each row: "no" for what was refused or failed, "best", "" for the others.
    """
    lines = [f"<tr>{''.join(f'<th>{html.escape(word)}</th>' for word in head)}</tr>"]
    for number, row in enumerate(rows):
        mark = marks[number] if number < len(marks) else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{f' class={mark}' if mark else ''}>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'
