# SPDX-License-Identifier: Apache-2.0
"""Which episodes a model is trained on, and which it is validated with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dexndm_ros.datasets.errors import DatasetError

__all__ = ["is_held_out", "split_episodes"]

_FACTS = ("identity", "trajectory")
_SHARE = 0.1


def split_episodes(
    dataset: Path | str, share: float = _SHARE
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Episodes to train on and those to validate with, the same for the same episodes in whatever order.

    The replays of one trajectory are all on one side: else the validation would know its targets already.

    Args:
        dataset: folder that ``dexndm convert`` made.
        share: of the trajectories that go to the validation, about.

    Returns:
        Indices of episodes, ascending.

    Raises:
        DatasetError: no dataset.
    """
    files = sorted((Path(dataset) / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise DatasetError(
            f"{dataset} has no meta/episodes: give the folder that dexndm convert made"
        )
    index: list[int] = []
    held: list[bool] = []
    for path in files:
        try:
            names = pq.read_schema(path).names
            table = pq.read_table(
                path, columns=["episode_index", *(n for n in _FACTS if n in names)]
            )
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        for row in table.to_pylist():
            index.append(row["episode_index"])
            held.append(_share_of(_group_of(row)) < share)
    order = np.argsort(index)
    indices, validation = np.asarray(index, dtype=np.int64)[order], np.asarray(held)[order]
    return indices[~validation], indices[validation]


def is_held_out(trajectory: int, share: float = _SHARE) -> bool:
    """Whether the replays of a trajectory of a library are to validate with, by its number."""
    return _share_of(_group_of({"trajectory": trajectory})) < share


def _group_of(row: dict[str, Any]) -> str:
    trajectory = row.get("trajectory")
    if isinstance(trajectory, int) and trajectory >= 0:
        return f"trajectory {trajectory}"
    return str(row.get("identity", row["episode_index"]))


def _share_of(text: str) -> float:
    """A number from 0 to 1 that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
