# SPDX-License-Identifier: Apache-2.0
"""Datasets of made-up rollouts that something can be learned from: an action is twice the lead of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.layout import write_info
from support.datasets import write_rows_only

__all__ = ["made_up_rollout", "write_cloneable"]


def made_up_rollout(
    identity: str, rows: int, rng: np.random.Generator, facts: Mapping[str, Any] | None = None
) -> Episode:
    """Angles that wander; actions in (-0.9, 0.9), no two rows alike."""
    columns = empty_columns(rows)
    action = rng.uniform(-0.9, 0.9, (rows, 16))
    q = 0.01 * np.cumsum(rng.normal(size=(rows, 16)), axis=0)
    columns["observation.state"][...] = q
    columns["observation.command"][...] = q + 0.5 * action
    columns["action.clean"][...] = columns["observation.command"] + action / 24
    columns["action"][...] = columns["action.clean"]
    columns["observation.wrist"][...] = (0.0, 0.0, 0.0, 1.0)
    columns["observation.axis"][...] = (0.0, 0.0, 1.0)
    columns["valid"][...] = True
    told = {"trajectory": -1, "orientation": "palm_down", "axis": "+z", "campaign": "made_up"}
    return Episode(identity, "try", columns, told | dict(facts or {}))


def write_cloneable(
    folder: Path, files: Sequence[Sequence[int]], seed: int = 0, rate_hz: int = 20
) -> Path:
    """A dataset with episodes of so many rows in each of its files."""
    rng = np.random.default_rng(seed)
    made = [
        [made_up_rollout(f"{seed}/{n}/{k}", rows, rng) for k, rows in enumerate(lengths)]
        for n, lengths in enumerate(files)
    ]
    write_rows_only(folder, made)
    lengths = [rows for file in files for rows in file]
    write_info(folder, len(lengths), sum(lengths), 1, rate_hz)
    return folder
