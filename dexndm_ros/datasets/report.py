# SPDX-License-Identifier: Apache-2.0
"""The quality report of a dataset: ``report.html`` for people, ``quality.json`` with the same numbers for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.report_html import page
from dexndm_ros.datasets.report_numbers import report_numbers
from dexndm_ros.datasets.report_plots import report_plots
from dexndm_ros.datasets.report_source import TASK_KINDS, open_view, row_groups
from dexndm_ros.datasets.report_tally import COLUMNS, Tally

__all__ = ["NUMBERS_FILE", "REPORT_FILE", "write_report"]

REPORT_FILE = "report.html"
NUMBERS_FILE = "quality.json"
_DIGITS = 6


def write_report(
    folder: Path, name: str = "", progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Read a dataset once and write both files into its folder. The same dataset gives the same bytes.

    Args:
        folder: a dataset that is whole but for its report; ``meta/`` and ``data/`` are read.
        name: what to call it; '' = the folder's name.
        progress: called now and then with the share of the rows that is done.

    Returns:
        What ``quality.json`` holds.

    Raises:
        DatasetError: it is no dataset, or a data file cannot be read.
        DatasetWriteError: the disk refuses.
        ImportError: matplotlib is not there.
    """
    view = open_view(folder)
    is_task = np.array([each.kind in TASK_KINDS for each in view.episodes], dtype=bool)
    tally = Tally(len(view.episodes), sum(each.length for each in view.episodes))
    for rows, share in row_groups(folder, COLUMNS):
        tally.add(rows, is_task[np.asarray(rows["episode_index"])])
        if progress is not None:
            progress(share)
    numbers = json_ready(report_numbers(view, tally))
    text = page(name or view.name, numbers, list(report_plots(numbers)))
    for file_name, content in ((NUMBERS_FILE, to_json(numbers)), (REPORT_FILE, text)):
        with new_file(folder / file_name) as file:
            file.write(content.encode())
    return numbers


def json_ready(value: Any) -> Any:
    """The same value with rounded numbers, and None where JSON has no number (NaN, infinite)."""
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, _DIGITS) if np.isfinite(value) else None
    return value


def to_json(numbers: dict[str, Any]) -> str:
    """A line for each part: a person finds it, and long lists do not fill the screen."""
    parts = [
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in numbers.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"
