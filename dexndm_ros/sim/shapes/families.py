# SPDX-License-Identifier: Apache-2.0
"""The families of objects that are trained and tested on (paper, Table 14), and drawing from them.

Table 14 gives for each family the number of shapes, the smallest extent, aspect ratios and scales. Its extents of
cylinders are read as radii: with 0.04 and 0.70 to 0.86 the diameters are 56 to 69 mm, as in hora, where they come from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache

import numpy as np

from dexndm_ros.sim.shapes.irregular import irregular
from dexndm_ros.sim.shapes.named import NAMED
from dexndm_ros.sim.shapes.pieces import Shape, ShapeError
from dexndm_ros.sim.worlds import ObjectConfig

__all__ = [
    "FAMILIES",
    "TEST_FAMILY",
    "TRAINED",
    "Family",
    "draw_object",
    "object_label",
    "parse_families",
    "shape_named",
]

_IRREGULAR_COUNT = 120
Range = tuple[float, float]


@dataclass(frozen=True)
class Family:
    """One set of objects.

    Attributes:
        name: of the set.
        prototypes: its shapes at scale 1; metres.
        scale: range of uniform draws.
        extent_m: of irregular shapes: range of the shortest side at scale 1; 0, 0 = the prototype's own.
    """

    name: str
    prototypes: tuple[ObjectConfig, ...]
    scale: Range
    extent_m: Range = (0.0, 0.0)


def _cylinders(radius_m: float, aspects: Range) -> tuple[ObjectConfig, ...]:
    return tuple(
        ObjectConfig(kind="cylinder", radius_m=radius_m, half_height_m=float(radius_m * aspect / 2))
        for aspect in np.linspace(*aspects, 9)
    )


def _cuboid(x: float, y: float, z: float) -> ObjectConfig:
    return ObjectConfig(kind="cuboid", half_size_m=(x / 2, y / 2, z / 2))


def _cuboids() -> tuple[ObjectConfig, ...]:
    """Shortest side 64 mm, the longest 1.25 to 1.5 times that."""
    sides = (
        (64, 80),
        (64, 88),
        (64, 96),
        (80, 80),
        (80, 88),
        (80, 96),
        (88, 88),
        (88, 96),
        (96, 96),
    )
    return tuple(_cuboid(0.064, y / 1000, z / 1000) for y, z in sides)


def _long_cuboids() -> tuple[ObjectConfig, ...]:
    """Shortest sides 60 to 80 mm, the longest 2.5 to 6.67 times that."""
    return tuple(
        _cuboid(s, s, s * ratio)
        for s, ratio in ((0.08, 2.5), (0.06, 3.33), (0.07, 4.5), (0.06, 6.67))
    )


def _shapes(names: list[str]) -> tuple[ObjectConfig, ...]:
    return tuple(ObjectConfig(kind="shape", shape=name) for name in names)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("cylinders", _cylinders(0.04, (1.6, 2.4)), (0.70, 0.86)),
        Family("cuboids", _cuboids(), (0.70, 0.86)),
        Family("long_cuboids", _long_cuboids(), (0.5, 0.5)),
        Family("small_cylinders", _cylinders(0.025, (1.92, 2.56)), (0.5, 0.6)),
        Family(
            "irregular",
            _shapes([f"irregular_{k:03d}" for k in range(_IRREGULAR_COUNT)]),
            (0.6, 0.7),
            (0.056, 0.090),
        ),
        Family("named", _shapes(sorted(NAMED)), (0.5, 0.6), (0.07, 0.11)),
        Family("cubes", (_cuboid(1.0, 1.0, 1.0),), (0.045, 0.060)),
        Family("bricks", (_cuboid(1.0, 1.0, 3.0),), (0.040, 0.050)),
    )
}
TEST_FAMILY = "named"
"""No oracle and no generalist ever sees it, and nothing is tuned on it."""
TRAINED = ("cylinders", "cuboids", "long_cuboids", "small_cylinders", "irregular")
"""The five categories of the paper. Cubes and bricks (3:1) are simple things that are asked about on their own."""
_SETS = {"train": TRAINED, "test": (TEST_FAMILY,)}


def parse_families(text: str) -> tuple[str, ...]:
    """Names from "cylinders,cubes"; "train" and "test" stand for the sets of those names.

    Raises:
        ShapeError: a name that is none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    names = [name for word in words for name in _SETS.get(word, (word,))]
    for name in names:
        if name not in FAMILIES:
            known = ", ".join([*_SETS, *FAMILIES])
            raise ShapeError(f"objects {name!r} are none of {known}")
    return tuple(dict.fromkeys(names))


def object_label(config: ObjectConfig) -> str:
    """What an object is called in a table: sizes left out, proportions not."""
    if config.kind == "shape":
        return config.shape
    if config.kind == "cuboid":
        x, y, z = config.half_size_m
        return f"cuboid 1:{y / x:.2f}:{z / x:.2f}"
    if config.kind == "cylinder":
        return f"cylinder 1:{config.half_height_m / config.radius_m:.2f}"
    return config.kind


@cache
def shape_named(name: str) -> Shape:
    """A shape, its shortest side 1.

    Raises:
        ShapeError: there is none of that name.
    """
    if name in NAMED:
        return NAMED[name]
    family, _, number = name.rpartition("_")
    if family == "irregular" and number.isdigit() and int(number) < _IRREGULAR_COUNT:
        return irregular(int(number))
    raise ShapeError(
        f"shape {name!r} is none of irregular_000 .. irregular_{_IRREGULAR_COUNT - 1}, {', '.join(sorted(NAMED))}"
    )


def draw_object(family: Family, number: int, rng: np.random.Generator) -> ObjectConfig:
    """The prototype of this number (counted round) at a drawn scale; mass and friction are the prototype's."""
    scale, one = rng.uniform(*family.scale), family.prototypes[number % len(family.prototypes)]
    if one.kind == "shape":
        return dataclasses.replace(one, size_m=float(scale * rng.uniform(*family.extent_m)))
    x, y, z = one.half_size_m
    return dataclasses.replace(
        one,
        radius_m=one.radius_m * scale,
        half_height_m=one.half_height_m * scale,
        half_size_m=(scale * x, scale * y, scale * z),
    )
