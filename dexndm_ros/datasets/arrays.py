# SPDX-License-Identifier: Apache-2.0
"""Columns between numpy and Arrow."""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dexndm_ros.datasets.features import Feature

__all__ = ["column_type", "row_schema", "to_arrow", "to_numpy"]


def column_type(feature: Feature) -> pa.DataType:
    """Arrow's type of a column; lists have their fixed length, and no number in them is missing."""
    number = pa.from_numpy_dtype(np.dtype(feature.dtype))
    if not feature.width:
        return number
    return pa.list_(pa.field("element", number, nullable=False), feature.width)


@functools.cache
def row_schema(features: tuple[Feature, ...]) -> pa.Schema:
    """Of these columns; nothing is nullable."""
    return pa.schema([pa.field(each.name, column_type(each), nullable=False) for each in features])


def to_arrow(feature: Feature, values: NDArray[np.generic]) -> pa.Array:
    """A column for Arrow, without a copy where numpy's memory can be taken as it is.

    Args:
        feature: which.
        values: (rows,) or (rows, feature.width).
    """
    flat = np.ascontiguousarray(values, dtype=feature.dtype).reshape(-1)
    numbers = pa.array(flat)
    if not feature.width:
        return numbers
    return pa.FixedSizeListArray.from_arrays(numbers, type=column_type(feature))


def to_numpy(feature: Feature, column: pa.Array) -> NDArray[np.generic]:
    """A column from Arrow, (rows,) or (rows, feature.width): a read-only view where there is no need to copy."""
    if not feature.width:
        return column.to_numpy(zero_copy_only=False)
    return column.flatten().to_numpy(zero_copy_only=True).reshape(-1, feature.width)
