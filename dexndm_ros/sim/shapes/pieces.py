# SPDX-License-Identifier: Apache-2.0
"""A shape as a union of convex primitives, and its size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = ["KINDS", "Piece", "Shape", "ShapeError"]

Array = NDArray[np.float64]
Triple = tuple[float, float, float]
KINDS = ("box", "sphere", "ellipsoid", "cylinder", "capsule")


class ShapeError(ValueError):
    """A piece that cannot be; the message says which and why."""


@dataclass(frozen=True)
class Piece:
    """One convex primitive.

    Attributes:
        kind: one of ``KINDS``.
        size: half sides of a box or half axes of an ellipsoid; (radius, -, -) of a sphere; (radius, half length, -) of
            a cylinder or capsule, along z, a capsule's without its caps.
        position: centre in the shape.
        rotation_xyzw: in the shape.
    """

    kind: str
    size: Triple
    position: Triple = (0.0, 0.0, 0.0)
    rotation_xyzw: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse what is no body."""
        if self.kind not in KINDS:
            raise ShapeError(f"piece {self.kind!r} is none of {', '.join(KINDS)}")
        used = {"sphere": 1, "cylinder": 2, "capsule": 2}.get(self.kind, 3)
        if not all(math.isfinite(part) and part > 0 for part in self.size[:used]):
            raise ShapeError(f"{self.kind}: sizes must be above zero, got {self.size[:used]}")

    @property
    def volume(self) -> float:
        """In the cube of the unit of its sizes."""
        a, b, c = self.size
        if self.kind == "box":
            return 8.0 * a * b * c
        if self.kind == "cylinder":
            return 2.0 * math.pi * a**2 * b
        ball = 4.0 / 3.0 * math.pi
        if self.kind == "capsule":
            return 2.0 * math.pi * a**2 * b + ball * a**3
        return ball * (a**3 if self.kind == "sphere" else a * b * c)

    def reach(self) -> Array:
        """Half sides of the box around it, along the shape's axes, (3,)."""
        turn = Rotation.from_quat(self.rotation_xyzw).as_matrix()
        a, b, _ = self.size
        if self.kind == "box":
            return np.asarray(np.abs(turn) @ np.array(self.size))
        if self.kind == "ellipsoid":
            return np.asarray(np.linalg.norm(turn * np.array(self.size), axis=1))
        if self.kind == "sphere":
            return np.full(3, a)
        along = np.abs(turn[:, 2])
        if self.kind == "capsule":
            return np.asarray(a + b * along)
        return np.asarray(b * along + a * np.sqrt(np.maximum(0.0, 1.0 - along**2)))

    def scaled(self, factor: float) -> Piece:
        """The same piece in a larger or smaller shape."""
        (a, b, c), (x, y, z) = self.size, self.position
        return replace(
            self,
            size=(factor * a, factor * b, factor * c),
            position=(factor * x, factor * y, factor * z),
        )

    def moved(self, by: Array) -> Piece:
        """The same piece elsewhere in the shape."""
        x, y, z = (np.array(self.position) + by).tolist()
        return replace(self, position=(x, y, z))


@dataclass(frozen=True)
class Shape:
    """A union of pieces.

    Attributes:
        name: for files and reports.
        pieces: in the shape's frame.
    """

    name: str
    pieces: tuple[Piece, ...]

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of the box around it, each (3,)."""
        places = np.array([piece.position for piece in self.pieces])
        reaches = np.array([piece.reach() for piece in self.pieces])
        return (places - reaches).min(axis=0), (places + reaches).max(axis=0)

    @property
    def extents(self) -> Array:
        """Sides of the box around it, (3,)."""
        lower, upper = self.bounds()
        return upper - lower

    @property
    def aspect(self) -> float:
        """Longest over shortest side of the box around it."""
        extents = self.extents
        return float(extents.max() / extents.min())

    def sized(self, shortest: float) -> Shape:
        """Centred on its box, with this shortest side."""
        lower, upper = self.bounds()
        factor, centre = shortest / float((upper - lower).min()), 0.5 * (lower + upper)
        return Shape(self.name, tuple(p.moved(-centre).scaled(factor) for p in self.pieces))

    def masses(self, total: float) -> list[float]:
        """What each piece weighs, as its volume; where pieces overlap the shape is denser."""
        volumes = np.array([piece.volume for piece in self.pieces])
        return list(total * volumes / volumes.sum())
