# SPDX-License-Identifier: Apache-2.0
"""Data files of made-up episodes whose numbers tell where they belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.datasets.data_file import rows_path, write_data_file
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.episode_table import fact_types, finish_rows
from dexndm_ros.datasets.features import empty_columns

__all__ = ["numbered_episode", "write_rows_only"]


def numbered_episode(
    identity: str, rows: int, first: int, invalid: Sequence[int] = (), facts: Mapping[str, Any] | None = None
) -> Episode:  # fmt: skip
    """An episode: ``observation.state[k, j]`` is ``(first + k) + j / 16``, ``action`` the same below zero."""
    columns = empty_columns(rows)
    grid = (first + np.arange(rows))[:, None] + np.arange(16) / 16
    columns["observation.state"][...] = grid
    columns["action"][...] = -grid
    columns["observation.seq"][...] = first + np.arange(rows)
    columns["valid"][...] = True
    columns["valid"][list(invalid)] = False
    return Episode(identity, "try", columns, dict(facts or {"trajectory": -1}))


def write_rows_only(dataset: Path, files: Sequence[Sequence[Episode]]) -> Path:
    """Data files and ``meta/episodes`` of a dataset, nothing else of it."""
    episode = row = 0
    for number, episodes in enumerate(files):
        path = dataset / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        meta = dataset / "meta" / "episodes" / "chunk-000" / path.name
        for each in (path, meta):
            each.parent.mkdir(parents=True, exist_ok=True)
        done = write_data_file(path, episodes, episode, row, {"try": 0})
        finish_rows(rows_path(path), meta, fact_types(rows_path(path)), 0, number)
        rows_path(path).unlink()
        episode, row = episode + done.episodes, row + done.rows
    return dataset
