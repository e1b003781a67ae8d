# SPDX-License-Identifier: Apache-2.0
"""What is identified, the ranges it is looked for in, and where a world keeps it.

A search sees numbers x without unit: the logarithm of the value over its reference (a scale that is wrong by half is as
far off as one that is twice too much), or, for the offset, which may have either sign, value over reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import FINGERS, LINKS
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.sysid.errors import SysidError

__all__ = [
    "DEFAULT",
    "JOINTS_A_FINGER",
    "LATER",
    "PARAMETERS",
    "Parameter",
    "Values",
    "label",
    "nominal_values",
    "parse_parameters",
    "with_values",
]

Array = NDArray[np.float64]
Values = Mapping[str, Array]
"""Value of each parameter by name, (..., 16) in motor order (masses: in the link table's); of the delay too, which a
world has but one of."""

JOINTS_A_FINGER = JOINT_COUNT // len(FINGERS)


@dataclass(frozen=True)
class Parameter:
    """One kind of parameter.

    Attributes:
        name: on the command line and in reports.
        key: of the world file.
        unit: of the value.
        text: what it is.
        reference: value at x = 0.
        low: least value that is looked at.
        high: largest one.
        deviation: of x, where a search begins.
        log: x is a logarithm.
        grain: for a value that may be zero: a spread is told in shares of the value, but not of less than this.
    """

    name: str
    key: str
    unit: str
    text: str
    reference: float
    low: float
    high: float
    deviation: float
    log: bool = True
    grain: float = 0.0

    def x(self, value: Array) -> Array:
        """Numbers of the search for values, kept within the bounds."""
        kept = np.clip(value, self.low, self.high) / self.reference
        return np.log(kept) if self.log else kept

    def value(self, x: Array) -> Array:
        """Values for numbers of the search."""
        return self.reference * (np.exp(x) if self.log else np.asarray(x))

    @property
    def bounds(self) -> tuple[float, float]:
        """Of x."""
        low, high = self.x(np.array([self.low, self.high]))
        return float(low), float(high)

    def spread(self, values: Array) -> float:
        """Range of several estimates (S,) over their mean size."""
        return float(np.ptp(values) / max(abs(float(values.mean())), self.grain, 1e-12))

    def changed(self, value: Array, share: float) -> Array:
        """Values that are larger by a share of themselves, smaller where it is negative; within the bounds."""
        size = np.maximum(np.abs(value), self.grain)
        return np.clip(value + share * size, self.low, self.high)

    def bound_reached(self, value: float) -> str:
        """Which bound a value sits on, lower or upper; "" for none."""
        low, high = self.bounds
        x, margin = float(self.x(np.array(value))), 0.02 * (high - low)
        return "lower" if x < low + margin else "upper" if x > high - margin else ""


_ALL = (
    Parameter("kp", "servo.kp_scale", "", "position gain over nominal", 1.0, 0.2, 5.0, 0.4),
    Parameter("kd", "servo.kd_scale", "", "damping over nominal", 1.0, 0.2, 5.0, 0.4),
    Parameter("torque", "servo.torque_scale", "", "torque limit over nominal", 1.0, 0.2, 5.0, 0.3),
    Parameter(
        "friction", "gap.friction_loss_nm", "N·m", "dry friction", 0.015, 0.001, 0.2, 0.7
    ),
    Parameter(
        "backlash", "gap.backlash_rad", "rad", "width of the play", 0.010, 0.001, 0.1, 0.7
    ),
    Parameter(
        "armature", "hand.armature_kg_m2", "kg·m²", "rotor inertia", 0.001, 0.0002, 0.005, 0.5
    ),
    Parameter(
        "delay", "gap.delay_s", "s", "delay of a command", 0.010, 0.001, 0.1, 0.5
    ),
    Parameter(
        "mass", "gap.link_mass_scale", "", "mass of the moved link over nominal", 1.0, 0.2, 5.0, 0.3
    ),
    Parameter(
        "offset", "gap.target_offset_rad", "rad", "offset of the targets", 0.02, -0.1, 0.1, 1.0,
        log=False, grain=0.005,
    ),
)  # fmt: skip
PARAMETERS: Mapping[str, Parameter] = {each.name: each for each in _ALL}
"""All parameters by name; masses are those of the 16 links that move, in the order of the link table."""
DEFAULT = ("kp", "kd", "torque", "friction", "backlash", "armature", "delay", "offset")
"""All but the masses, which are weakly seen: a link's weight is below the friction. Play and offset are among them
because they hide everything else where they are left out: 15 mrad of play are more than most gains make."""
LATER = ("torque", "armature")
"""Join in the second round. Alone in the air, a hand hardly feels them, and a search that begins with them slides along
the line on which gains, friction and inertia grow together."""


def parse_parameters(names: Sequence[str]) -> tuple[Parameter, ...]:
    """Parameters by name, in the table's order.

    Raises:
        SysidError: an unknown name, or none.
    """
    unknown = [name for name in names if name not in PARAMETERS]
    if unknown or not names:
        raise SysidError(
            f"parameters: {unknown[0] if unknown else 'none'}; choose from {', '.join(PARAMETERS)}"
        )
    return tuple(each for each in _ALL if each.name in names)


def label(parameter: Parameter, index: int) -> str:
    """Whose parameter it is: a joint, a link, or the hand."""
    if parameter.name == "delay":
        return "hand"
    return list(LINKS)[1 + index] if parameter.name == "mass" else JOINT_NAMES[index]


def nominal_values(world: World) -> dict[str, Array]:
    """A world's own values of every parameter, (16,)."""

    def joints(value: object) -> Array:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), JOINT_COUNT).copy()

    return {
        "kp": joints(world.servo.kp_scale),
        "kd": joints(world.servo.kd_scale),
        "torque": joints(world.servo.torque_scale),
        "friction": joints(world.gap.friction_loss_nm),
        "backlash": joints(world.gap.backlash_rad),
        "armature": joints(world.hand.armature_kg_m2),
        "delay": joints(world.gap.delay_s),
        "mass": joints(world.gap.link_mass_scale[1:]),
        "offset": joints(world.gap.target_offset_rad),
    }


def with_values(world: World, values: Values) -> World:
    """The world with other values; the joints' delays become one, their median.

    Args:
        world: base world.
        values: (16,) each; parameters left out stay as they are.
    """

    def numbers(name: str) -> tuple[float, ...]:
        return tuple(float(f"{v:.4g}") for v in values[name])

    places = {
        "kp": ("servo", "kp_scale"),
        "kd": ("servo", "kd_scale"),
        "torque": ("servo", "torque_scale"),
        "friction": ("gap", "friction_loss_nm"),
        "backlash": ("gap", "backlash_rad"),
        "armature": ("hand", "armature_kg_m2"),
        "offset": ("gap", "target_offset_rad"),
    }
    changed: dict[str, dict[str, object]] = {"servo": {}, "gap": {}, "hand": {}}
    for name, (section, key) in places.items():
        if name in values:
            changed[section][key] = numbers(name)
    if "delay" in values:
        changed["gap"]["delay_s"] = float(f"{np.median(values['delay']):.4g}")
    if "mass" in values:
        changed["gap"]["link_mass_scale"] = (world.gap.link_mass_scale[0], *numbers("mass"))
    return dataclasses.replace(
        world,
        servo=dataclasses.replace(world.servo, **changed["servo"]),  # type: ignore[arg-type]
        hand=dataclasses.replace(world.hand, **changed["hand"]),  # type: ignore[arg-type]
        gap=dataclasses.replace(world.gap, **changed["gap"]),  # type: ignore[arg-type]
    )
