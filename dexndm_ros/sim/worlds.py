# SPDX-License-Identifier: Apache-2.0
"""A world: the hand, its servos, the object or box of balls, the wrist and the physics, as one YAML file.

Every job takes a world file; unknown keys and impossible values are refused with the key that is wrong.
``scene.build_model`` turns a world into a MuJoCo model.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.hand.units import (
    XC330_M288,
    XL330_M288,
    MotorModel,
    ServoGains,
    per_joint_gains,
    servo_gains,
)
from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.sim.box import BoxConfig, BoxError
from dexndm_ros.sim.gap import GapConfig, GapError
from dexndm_ros.sim.hand_model import HandPhysics

__all__ = [
    "GRASP_CENTRE_M",
    "PHYSICS_PRESETS",
    "ObjectConfig",
    "PhysicsPreset",
    "ServoConfig",
    "World",
    "WorldError",
]

GRASP_CENTRE_M = np.array([-0.005, -0.040, -0.125])
"""Where the object's centre rests between the fingertips, palm frame, metres."""
_MOTORS: dict[str, MotorModel] = {"xc330_m288": XC330_M288, "xl330_m288": XL330_M288}
_KINDS = ("cylinder", "cuboid", "sphere", "shape", "none")


class WorldError(ValueError):
    """A world file that cannot be used; the message names the file, the key and what is allowed."""


@dataclass(frozen=True)
class PhysicsPreset:
    """Integration and contact settings.

    ``fast`` trains (probe: six substeps without multi-contact give 43 % more a core); ``ref`` is what results
    are claimed on: 5 ms, elliptic cones, impratio 10 (MuJoCo's friction creeps by design, less so at high impratio).
    ``balls`` is for hundreds of soft contacts: conjugate gradients on all of them at once. Ten iterations converge on
    contacts that soft; Newton's factors cost six times as much, and all that touches would be one island anyway.
    """

    substeps: int
    iterations: int
    line_search_iterations: int
    impratio: float
    multi_contact: bool
    conjugate_gradients: bool = False

    @property
    def time_step_s(self) -> float:
        """Physics step: a control period of 50 ms over the substeps."""
        return 0.05 / self.substeps


PHYSICS_PRESETS: dict[str, PhysicsPreset] = {
    "fast": PhysicsPreset(6, 6, 10, 3.0, multi_contact=False),
    "ref": PhysicsPreset(10, 20, 20, 10.0, multi_contact=True),
    "balls": PhysicsPreset(6, 10, 6, 3.0, multi_contact=False, conjugate_gradients=True),
}


@dataclass(frozen=True)
class ServoConfig:
    """Servo registers as the driver sets them, and how this world's motors deviate from nominal ones.

    Attributes:
        motor: xc330_m288 (LEAP "full") or xl330_m288 ("lite").
        p_gain: Position P Gain register; the side joints get 0.75 of it.
        d_gain: Position D Gain register; the side joints get 0.75 of it.
        current_limit_ma: Goal Current.
        kp_scale: true over nominal position gain, one number or 16 in motor order.
        kd_scale: true over nominal damping, one number or 16.
        torque_scale: true over nominal torque at the current limit, one number or 16.
    """

    motor: str = "xc330_m288"
    p_gain: float = 800
    d_gain: float = 200
    current_limit_ma: float = 500
    kp_scale: float | tuple[float, ...] = 1.0
    kd_scale: float | tuple[float, ...] = 1.0
    torque_scale: float | tuple[float, ...] = 1.0

    @property
    def motor_model(self) -> MotorModel:
        """The motor's constants."""
        return _MOTORS[self.motor]

    def gains(self) -> ServoGains:
        """Gains of the 16 servos in SI, motor order, deviations included."""
        return self.true_gains(
            servo_gains(
                per_joint_gains(self.p_gain),
                per_joint_gains(self.d_gain),
                np.full(JOINT_COUNT, self.current_limit_ma),
                self.motor_model,
            )
        )

    def true_gains(self, nominal: ServoGains) -> ServoGains:
        """What nominal gains become on this world's motors."""
        return ServoGains(
            nominal.kp_nm_rad * np.asarray(self.kp_scale),
            nominal.kd_nms_rad * np.asarray(self.kd_scale),
            nominal.torque_limit_nm * np.asarray(self.torque_scale),
        )


@dataclass(frozen=True)
class ObjectConfig:
    """The object in the hand.

    Attributes:
        kind: cylinder, cuboid, sphere, shape or none.
        radius_m: of a cylinder or sphere.
        half_height_m: of a cylinder, along the object's z.
        half_size_m: of a cuboid.
        shape: name of a shape made of convex pieces, see ``sim.shapes``.
        size_m: its shortest side.
        mass_kg: total mass, spread evenly.
        friction: sliding friction against everything (it wins over the hand's own).
        torsional_friction_m: MuJoCo's second friction number.
        centre_of_mass_m: offset of the centre of mass, object frame.
    """

    kind: str = "cylinder"
    radius_m: float = 0.034
    half_height_m: float = 0.030
    half_size_m: tuple[float, float, float] = (0.029, 0.029, 0.029)
    shape: str = ""
    size_m: float = 0.05
    mass_kg: float = 0.05
    friction: float = 1.0
    torsional_friction_m: float = 0.02
    centre_of_mass_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class World:
    """Everything a job needs to know about where the hand lives.

    Attributes:
        name: for reports.
        wrist: palm_up, palm_down, base_up, base_down, thumb_up, thumb_down, or a quaternion "x,y,z,w".
        physics: a key of ``PHYSICS_PRESETS``.
        servo: motors and registers.
        hand: passive joint physics and friction of the links.
        object: what is in the hand.
        box: what the hand is in, or has tied to it; then there is no object.
        gap: what its servos do that gains cannot say.
    """

    name: str = "nominal"
    wrist: str = "palm_up"
    physics: str = "ref"
    servo: ServoConfig = field(default_factory=ServoConfig)
    hand: HandPhysics = field(default_factory=HandPhysics)
    object: ObjectConfig = field(default_factory=ObjectConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    gap: GapConfig = field(default_factory=GapConfig)

    def __post_init__(self) -> None:
        _validate(self)

    @property
    def preset(self) -> PhysicsPreset:
        """The physics preset."""
        return PHYSICS_PRESETS[self.physics]

    def wrist_xyzw(self) -> NDArray[np.float64]:
        """Palm frame's orientation in the world."""
        return parse_wrist(self.wrist)

    def with_wrist(self, wrist: str) -> World:
        """The same world with the palm turned another way; "" = as it is.

        Raises:
            WorldError: no wrist orientation.
        """
        return dataclasses.replace(self, wrist=wrist) if wrist else self

    def with_load(self, load: str) -> World:
        """The same hand with a load in place of its object, as it collects; without object, or "": as it is.

        Args:
            load: full, half, free or tied, see ``paths.WORLD_OF_LOAD``.

        Raises:
            WorldError: no load.
        """
        from dexndm_ros.paths import WORLD_OF_LOAD

        if load and load not in WORLD_OF_LOAD:
            raise WorldError(f"load: {load!r} is none of {', '.join(WORLD_OF_LOAD)}")
        if not load or self.object.kind == "none":
            return self
        other = World.load(WORLD_OF_LOAD[load])
        return dataclasses.replace(
            self,
            name=f"{self.name}_{load}",
            physics=other.physics,
            object=other.object,
            box=other.box,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "world") -> World:
        """Build a world from nested mappings; unknown keys are refused.

        Raises:
            WorldError: names the key and what is allowed.
        """
        world: World = _from_mapping(cls, data, where)
        return world

    @classmethod
    def load(cls, path: str | Path) -> World:
        """Read a world file, or a shipped one by its name ("nominal").

        Raises:
            WorldError: no such file, not YAML, an unknown key or an impossible value.
        """
        from dexndm_ros.paths import world_path

        file = Path(path)
        if not file.suffix and not file.is_file():
            file = world_path(str(path))
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise WorldError(f"cannot read world file {file}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise WorldError(f"{file} is not valid YAML: {error}") from error
        return cls.from_dict(data if data is not None else {}, str(file))


def _from_mapping(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise WorldError(f"{where}: expected a mapping, got {type(data).__name__}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    unknown = [str(key) for key in data if key not in known]
    if unknown:
        raise WorldError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(known)}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        default = known[key].default
        if default is dataclasses.MISSING:
            factory = known[key].default_factory
            values[key] = _from_mapping(factory, value, f"{where}: {key}")
        else:
            values[key] = _scalar(value, default, f"{where}: {key}", str(known[key].type))
    try:
        return cls(**values)
    except WorldError as error:
        raise WorldError(f"{where}: {error}") from error


def _scalar(value: Any, default: Any, where: str, annotation: str) -> Any:
    if isinstance(default, str):
        if not isinstance(value, str):
            raise WorldError(f"{where}: expected a word, got {value!r}")
        return value
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if (
            isinstance(number, bool)
            or not isinstance(number, (int, float))
            or not math.isfinite(number)
        ):
            raise WorldError(f"{where}: expected a finite number, got {number!r}")
    if isinstance(value, list):
        if "tuple" not in annotation:
            raise WorldError(f"{where}: expected one number, got {len(value)}")
        allowed = {len(default)} if isinstance(default, tuple) else {JOINT_COUNT}
        if len(value) not in allowed:
            raise WorldError(f"{where}: expected {allowed.pop()} numbers, got {len(value)}")
        return tuple(float(v) for v in value)
    if isinstance(default, tuple):
        raise WorldError(f"{where}: expected {len(default)} numbers, got {value!r}")
    whole = annotation == "int"
    if whole and value != int(value):
        raise WorldError(f"{where}: expected a whole number, got {value!r}")
    return int(value) if whole else float(value)


def _validate(world: World) -> None:
    if world.physics not in PHYSICS_PRESETS:
        raise WorldError(f"physics: {world.physics!r} is none of {', '.join(PHYSICS_PRESETS)}")
    if world.servo.motor not in _MOTORS:
        raise WorldError(f"servo.motor: {world.servo.motor!r} is none of {', '.join(_MOTORS)}")
    if world.object.kind not in _KINDS:
        raise WorldError(f"object.kind: {world.object.kind!r} is none of {', '.join(_KINDS)}")
    if world.object.kind == "shape":
        from dexndm_ros.sim.shapes.families import shape_named  # which is made of objects of ours

        try:
            shape_named(world.object.shape)
        except ValueError as error:
            raise WorldError(f"object.shape: {error}") from error
    try:
        parse_wrist(world.wrist)
    except ValueError as error:
        raise WorldError(f"wrist: {error}") from error
    try:
        world.box.check()
        world.gap.check()
    except (BoxError, GapError) as error:
        raise WorldError(str(error)) from error
    if world.box.kind != "none" and world.object.kind != "none":
        raise WorldError(
            f"box.kind: {world.box.kind!r} takes the place of the object; set object.kind to none"
        )
    positive = {
        "servo.p_gain": world.servo.p_gain,
        "servo.current_limit_ma": world.servo.current_limit_ma,
        "object.radius_m": world.object.radius_m,
        "object.half_height_m": world.object.half_height_m,
        "object.mass_kg": world.object.mass_kg,
        "object.half_size_m": min(world.object.half_size_m),
        "object.size_m": world.object.size_m,
        "object.friction": world.object.friction,
        "servo.kp_scale": np.min(world.servo.kp_scale),
        "servo.kd_scale": np.min(world.servo.kd_scale),
        "servo.torque_scale": np.min(world.servo.torque_scale),
    }
    for key, value in positive.items():
        if not value > 0:
            raise WorldError(f"{key}: must be above zero, got {value}")
    for key, value in dataclasses.asdict(world.hand).items():
        if np.min(value) < 0:
            raise WorldError(f"hand.{key}: must not be negative, got {value}")
