# SPDX-License-Identifier: Apache-2.0
"""``dexndm convert`` as a user calls it, and what came of it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pyarrow.parquet as pq

from dexndm_ros.datasets.convert_cli import main

__all__ = ["convert", "provenance", "rows"]


def convert(*words: object, report: bool = False) -> tuple[int, str]:
    """Exit status, and all that was said; both streams take UTF-8 and nothing else, as a terminal does."""
    raw = io.BytesIO()
    said = io.TextIOWrapper(raw, encoding="utf-8", errors="strict", write_through=True)
    words = (*words, *([] if report or "--dry-run" in words else ["--no-report"]))
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:
            status = int(error.code or 0)
    return status, raw.getvalue().decode()


def rows(dataset: Path) -> int:
    """In all data files."""
    files = sorted((dataset / "data").rglob("*.parquet"))
    return sum(pq.read_metadata(path).num_rows for path in files)


def provenance(dataset: Path) -> dict:
    """What it says of itself."""
    return json.loads((dataset / "meta/provenance.json").read_text())
