# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the last so many times: how old what was published is, how even its pace is."""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["Percentiles"]


class Percentiles:
    """Keeps the last ``size`` values."""

    def __init__(self, size: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Take a value."""
        self._values.append(value)

    def at(self, *percents: float) -> tuple[float, ...]:
        """Percentiles 0..100 of what is kept; NaN where nothing is."""
        if not self._values:
            return tuple(float("nan") for _ in percents)
        return tuple(np.percentile(self._values, percents).tolist())
