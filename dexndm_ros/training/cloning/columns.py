# SPDX-License-Identifier: Apache-2.0
"""What a data file must have for a student of this hand to learn from it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES

__all__ = ["COLUMNS", "check_columns", "check_rate", "opened"]

_RATE_HZ = 20
COLUMNS = {
    "observation.state": JOINT_COUNT,
    "observation.command": JOINT_COUNT,
    "action.clean": JOINT_COUNT,
    "action.residual": JOINT_COUNT,
    "observation.wrist": 4,
    "observation.axis": 3,
}
"""Columns that are read, with the numbers in a row of each."""


def opened(path: Path) -> pq.ParquetFile:
    """A data file.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def check_rate(folder: Path) -> None:
    """Refuse a dataset of another rate.

    Raises:
        DatasetError: it is of another, or does not say.
    """
    file = folder / "meta" / "info.json"
    try:
        rate = json.loads(file.read_text(encoding="utf-8"))["fps"]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{file} does not say the dataset's rate: {error!r}") from error
    if rate != _RATE_HZ:
        raise DatasetError(
            f"{folder} has {rate} rows a second, and a policy has {_RATE_HZ} ticks; make it at that rate"
        )


def check_columns(path: Path, schema: pa.Schema) -> None:
    """Refuse rows that are not of this hand.

    Raises:
        DatasetError: says what is there and what is needed.
    """
    for name, width in COLUMNS.items():
        kind = schema.field(name).type if name in schema.names else None
        if kind is None or not pa.types.is_fixed_size_list(kind) or kind.list_size != width:
            raise DatasetError(
                f"{path}: column {name!r} is {kind or 'not there'}, and {width} numbers a row are needed; give "
                "datasets of `dexndm rollouts policy`"
            )
    text = (schema.metadata or {}).get(b"dexndm.columns", b"{}")
    joints = tuple(json.loads(text).get("joints", ()))
    if joints != JOINT_NAMES:
        got = ", ".join(joints) or "joints it does not name"
        raise DatasetError(
            f"{path}: its rows are of {got}; this hand's joints are {', '.join(JOINT_NAMES)}"
        )
