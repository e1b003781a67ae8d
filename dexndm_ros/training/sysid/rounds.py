# SPDX-License-Identifier: Apache-2.0
"""A round of searches: what is looked for, by whom, and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.training.sysid.parameters import Values

__all__ = ["Round"]


@dataclass(frozen=True)
class Round:
    """One round of searches.

    Attributes:
        number: from 0.
        groups: joints of each search.
        active: what is searched for: masks (16,).
        start: where it begins, and what stays where it is not active.
        generations: at most.
        width: of the begin, relative to the parameters' own deviations.
    """

    number: int
    groups: Sequence[Sequence[int]]
    active: Mapping[str, NDArray[np.bool_]]
    start: Values
    generations: int
    width: float

    def places(self, group: int) -> list[tuple[str, list[int]]]:
        """Parameters of a group's search with the joints that each is for, in its order."""
        joints = list(self.groups[group])
        found: list[tuple[str, list[int]]] = []
        for name, mask in self.active.items():
            if name == "delay":  # one for all
                found += [(name, joints)] if mask.any() else []
            else:
                found += [(name, [joint]) for joint in joints if mask[joint]]
        return found
