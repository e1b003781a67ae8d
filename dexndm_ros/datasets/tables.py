# SPDX-License-Identifier: Apache-2.0
"""Messages of a topic as columns of equal length, and the few things one does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table", "as_of", "concat", "rows", "size"]

Table = Mapping[str, NDArray[Any]]
"""Columns by name; the first axis is the message."""


def size(table: Table | None) -> int:
    """Messages in it."""
    return 0 if not table else len(next(iter(table.values())))


def rows(table: Table, index: NDArray[Any] | slice) -> Table:
    """Some of the messages: a mask, numbers or a slice."""
    return {name: column[index] for name, column in table.items()}


def concat(tables: Sequence[Table]) -> Table:
    """One after the other; their columns are those of the first."""
    filled = [table for table in tables if size(table)] or list(tables[:1])
    if len(filled) == 1:
        return filled[0]
    return {name: np.concatenate([table[name] for table in filled]) for name in filled[0]}


def as_of(stamps_ns: NDArray[np.int64], at_ns: NDArray[np.int64]) -> NDArray[np.intp]:
    """For each time the newest stamp that is not later; -1 = there is none. Nothing ever comes from the future.

    Args:
        stamps_ns: rising.
        at_ns: any order.
    """
    return np.searchsorted(stamps_ns, at_ns, side="right") - 1
