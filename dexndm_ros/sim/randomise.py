# SPDX-License-Identifier: Apache-2.0
"""Worlds drawn at random around a base world: object, size, mass, friction and servo gains."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from dexndm_ros.sim.scene import object_shape
from dexndm_ros.sim.shapes.families import FAMILIES, draw_object
from dexndm_ros.sim.worlds import ObjectConfig, World

__all__ = ["OBJECTS_ONLY", "TABLE_14", "Randomisation", "draw_worlds", "family_of", "keep_hand"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Randomisation:
    """Ranges of uniform draws; the defaults span the probe's zero-shot table (radius, mass, friction, gains).

    Attributes:
        families: sets of objects that are drawn from, in turn; none = the base world's object with drawn sizes.
        radius_m: of the object, without families.
        half_height_m: of the object, without families.
        centre_of_mass_share: of the object: up to so much of its shortest side from its middle, along each axis.
        mass_kg: of the object.
        friction: of the object against everything.
        kp_scale: one factor for the whole hand.
        kd_scale: one factor for the whole hand.
        joint_gain_spread: further factor of each joint, 1 +- this.
    """

    families: tuple[str, ...] = ()
    radius_m: Range = (0.031, 0.037)
    half_height_m: Range = (0.028, 0.032)
    centre_of_mass_share: float = 0.0
    mass_kg: Range = (0.040, 0.100)
    friction: Range = (0.7, 1.1)
    kp_scale: Range = (0.8, 1.25)
    kd_scale: Range = (0.8, 1.25)
    joint_gain_spread: float = 0.05


TABLE_14 = Randomisation(centre_of_mass_share=0.1, mass_kg=(0.010, 0.050), friction=(0.3, 3.0))
"""Mass and friction of the paper's Table 14; families are added by who trains or tests. It gives no centre of mass."""


def keep_hand(ranges: Randomisation) -> Randomisation:
    """The same, but the hand is as the world file has it."""
    return dataclasses.replace(
        ranges, kp_scale=(1.0, 1.0), kd_scale=(1.0, 1.0), joint_gain_spread=0.0
    )


OBJECTS_ONLY = keep_hand(Randomisation())
"""Draws the object and leaves the hand as the world file has it: one hand, many objects."""


def draw_worlds(
    base: World, count: int, ranges: Randomisation | None, seed: int, first: int = 0
) -> list[World]:
    """``count`` worlds around ``base``; without ranges, copies of it.

    Args:
        base: gives everything that is not drawn.
        count: number of worlds.
        ranges: what is drawn, or None for no randomisation.
        seed: the same seed gives the same worlds.
        first: number of the first one: families and their prototypes are gone through from there.
    """
    if ranges is None:
        return [base] * count
    rng = np.random.default_rng(seed)
    worlds = []
    for number in range(first, first + count):
        spread = 1.0 + rng.uniform(-1, 1, (2, 16)) * ranges.joint_gain_spread
        kp, kd = rng.uniform(*ranges.kp_scale), rng.uniform(*ranges.kd_scale)
        servo = dataclasses.replace(
            base.servo,
            kp_scale=tuple(kp * spread[0] * np.asarray(base.servo.kp_scale)),
            kd_scale=tuple(kd * spread[1] * np.asarray(base.servo.kd_scale)),
        )
        obj = _draw_object(base.object, number, ranges, rng)
        worlds.append(dataclasses.replace(base, servo=servo, object=obj))
    return worlds


def family_of(ranges: Randomisation, number: int) -> str:
    """Of the world of this number; "" where nothing is drawn from families."""
    return ranges.families[number % len(ranges.families)] if ranges.families else ""


def _draw_object(
    base: ObjectConfig, number: int, ranges: Randomisation, rng: np.random.Generator
) -> ObjectConfig:
    if ranges.families:
        turn = number // len(ranges.families)
        one = draw_object(FAMILIES[family_of(ranges, number)], turn, rng)
    else:
        one = dataclasses.replace(
            base,
            radius_m=float(rng.uniform(*ranges.radius_m)),
            half_height_m=float(rng.uniform(*ranges.half_height_m)),
        )
    one = dataclasses.replace(
        one,
        mass_kg=float(rng.uniform(*ranges.mass_kg)),
        friction=float(rng.uniform(*ranges.friction)),
    )
    if not ranges.centre_of_mass_share:
        return one
    far_m = ranges.centre_of_mass_share * float(object_shape(one).extents.min())
    x, y, z = rng.uniform(-far_m, far_m, 3).tolist()
    return dataclasses.replace(one, centre_of_mass_m=(x, y, z))
