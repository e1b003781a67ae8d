# SPDX-License-Identifier: Apache-2.0
"""What exports are made of: a stretch of valid rows of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Demo"]


@dataclass(frozen=True)
class Demo:
    """Consecutive valid rows of an episode.

    Attributes:
        columns: by their names in the dataset, (rows,) or (rows, width).
        facts: of the episode, as ``meta/episodes`` has them.
        first_frame: index in the episode of the first row.
    """

    columns: Mapping[str, NDArray[np.generic]]
    facts: Mapping[str, Any]
    first_frame: int = 0

    def __len__(self) -> int:
        return len(self.columns["valid"])

    @property
    def origin(self) -> dict[str, str | int]:
        """Which rows of the dataset it is."""
        return {
            "identity": str(self.facts["identity"]),
            "episode_index": int(self.facts["episode_index"]),
            "first_frame_index": self.first_frame,
        }
