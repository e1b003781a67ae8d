# SPDX-License-Identifier: Apache-2.0
"""What an oracle is told of the object in its hand, once for all episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.sim.grasp_cache import object_size_m
from dexndm_ros.sim.scene import object_shape
from dexndm_ros.sim.worlds import World

__all__ = ["object_numbers"]


def object_numbers(worlds: Sequence[World]) -> NDArray[np.float64]:
    """Half the width between the fingers, sides of the box around it, mass, friction, centre of mass, (N, 9).

    About 0, and of the order of 1.
    """
    objects = [world.object for world in worlds]
    return np.array(
        [
            [
                100.0 * (object_size_m(world) - 0.034),
                *(50.0 * (object_shape(one).extents - 0.06)),
                50.0 * (one.mass_kg - 0.05),
                one.friction - 1.0,
                *(200.0 * np.array(one.centre_of_mass_m)),
            ]
            for world, one in zip(worlds, objects, strict=True)
        ]
    )
