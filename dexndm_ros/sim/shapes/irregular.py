# SPDX-License-Identifier: Apache-2.0
"""Irregular shapes, drawn at random from four ways of making one; a number is a shape, for ever.

They stand in for the complex shapes of Visual Dexterity that the paper trains on (Table 14, "DexEnv Objects"): aspect
ratios 1.05 to 2, convex and not. None of the named shapes of ``named`` is made like these.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.shapes.pieces import Piece, Shape

__all__ = ["MOST_ASPECT", "irregular"]

MOST_ASPECT = 2.0
_LEAST_ASPECT = 1.05
Random = np.random.Generator


def irregular(number: int) -> Shape:
    """The shape of this number, centred, its shortest side 1."""
    rng = np.random.default_rng([20251109, number])
    make = (_cluster, _stack, _cross, _chain)[number % 4]
    while True:
        shape = Shape(f"irregular_{number:03d}", tuple(make(rng))).sized(1.0)
        if _LEAST_ASPECT <= shape.aspect <= MOST_ASPECT:
            return shape


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return (x, y, z)


def _any_turn(rng: Random) -> tuple[float, float, float, float]:
    x, y, z, w = Rotation.random(random_state=rng).as_quat().tolist()
    return (x, y, z, w)


def _cluster(rng: Random) -> list[Piece]:
    """A body with humps: ellipsoids and boxes about a common centre."""
    pieces = [Piece("ellipsoid", _triple(rng.uniform(0.35, 0.6, 3)))]
    for _ in range(rng.integers(2, 5)):
        out = rng.normal(size=3)
        place = _triple(0.45 * out / np.linalg.norm(out))
        kind = "ellipsoid" if rng.random() < 0.6 else "box"
        pieces.append(Piece(kind, _triple(rng.uniform(0.15, 0.32, 3)), place, _any_turn(rng)))
    return pieces


def _stack(rng: Random) -> list[Piece]:
    """Slices of different widths on one axis, round or square."""
    pieces, z = [], 0.0
    for _ in range(rng.integers(2, 5)):
        half, width = rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.5)
        if rng.random() < 0.5:
            piece = Piece("cylinder", (width, half, 0.0), (0.0, 0.0, z + half))
        else:
            yaw = Rotation.from_rotvec([0.0, 0.0, rng.uniform(0.0, np.pi / 2)]).as_quat()
            turn = (0.0, 0.0, float(yaw[2]), float(yaw[3]))
            deep = width * rng.uniform(0.6, 1.0)
            piece = Piece("box", (width, deep, half), (0.0, 0.0, z + half), turn)
        pieces.append(piece)
        z += 1.9 * half  # they overlap a little
    return pieces


def _cross(rng: Random) -> list[Piece]:
    """Bars through each other, roughly at right angles."""
    pieces = []
    frame = Rotation.random(random_state=rng)
    for axis in range(rng.integers(2, 4)):
        lean = Rotation.from_rotvec(rng.normal(scale=0.15, size=3))
        to_axis = Rotation.align_vectors([np.eye(3)[axis]], [[0.0, 0.0, 1.0]])[0]
        x, y, z, w = (frame * lean * to_axis).as_quat().tolist()
        thick, half = rng.uniform(0.14, 0.26), rng.uniform(0.35, 0.6)
        place = _triple(rng.uniform(-0.08, 0.08, 3))
        if rng.random() < 0.5:
            pieces.append(Piece("capsule", (thick, half - thick / 2, 0.0), place, (x, y, z, w)))
        else:
            size = (thick, thick * rng.uniform(0.7, 1.3), half)
            pieces.append(Piece("box", size, place, (x, y, z, w)))
    return pieces


def _chain(rng: Random) -> list[Piece]:
    """Balls and capsules along a bent line."""
    pieces, place = [], np.zeros(3)
    way = rng.normal(size=3)
    for _ in range(rng.integers(3, 6)):
        radius = rng.uniform(0.2, 0.38)
        if rng.random() < 0.5:
            pieces.append(Piece("sphere", (radius, 0.0, 0.0), _triple(place)))
        else:
            size = (0.8 * radius, 0.5 * radius, 0.0)
            pieces.append(Piece("capsule", size, _triple(place), _any_turn(rng)))
        way = way / np.linalg.norm(way) + rng.normal(scale=0.8, size=3)
        place = place + 0.9 * radius * way / np.linalg.norm(way)
    return pieces
