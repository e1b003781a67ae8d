# SPDX-License-Identifier: Apache-2.0
"""Loads for a hand that collects alone: a box of soft balls, or one ball tied to three fingertips.

The balls slide but do not roll, and touch each other without friction: a bed of light balls flows like that
anyway, and it costs a third. A box stands on a table, so its walls are vertical whatever the wrist; they stop
balls and never the hand. Nothing is needed to refill it: the walls have no upper edge.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES
from dexndm_ros.sim.hand_model import wxyz

__all__ = ["BOX_KINDS", "FILLS", "BallView", "BoxConfig", "BoxError", "add_box", "prepare"]

Vector = NDArray[np.float64]

BOX_KINDS = ("none", "balls", "tied")
FILLS = ("full", "half")
FEWEST_BALLS, MOST_BALLS = 100, 400

CLOSED_HAND_M = np.array([[-0.101, -0.102, -0.157], [0.058, 0.028, 0.012]])
"""Smallest box, palm frame, around the closed hand (the canonical pose)."""
CLOSED_TIPS_M = np.array([-0.005, -0.038, -0.148])
"""Mean of the closed hand's fingertips, palm frame."""

_BALL_BIT = 128
_OBJECT_BIT = 1
_PACKING = 0.74
_HAND_VOLUME_M3 = 0.6e-3
_HALF_LOAD = 0.8
_SETTLE_S = 3.0
_LOWER_S = 2.0
_RAISED_M = 0.4
_JITTER_M = 0.002
_RADII_SEED = 0
_TIED_FINGERS = ("index_tip", "middle_tip", "thumb_tip")
_TIED_CENTRE_M = np.array([0.0, -0.022, -0.140])
_COLOURS = ((0.91, 0.30, 0.24), (0.95, 0.69, 0.15), (0.18, 0.62, 0.84), (0.30, 0.70, 0.42))


class BoxError(ValueError):
    """A box that cannot be built; the message names the key and what is allowed."""


@dataclass(frozen=True)
class BoxConfig:
    """What loads the hand when nobody is there.

    Attributes:
        kind: none, balls (the Chaos Box) or tied (one ball bound to index, middle finger and thumb).
        fill: full (the hand is sunk in balls) or half (the surface is where the fingertips are, or at four
            fifths of the closed hand's height where that is lower).
        count: balls in the box, at least 100; not used by tied.
        radius_m: mean radius of a ball.
        radius_spread: largest relative deviation from it, so that the balls do not stack like crystals.
        mass_kg: of a ball.
        friction: sliding friction between ball and hand.
        softness_s: time constant of a contact (MuJoCo's solref); at least two physics steps.
        hardness: how much of a contact force is there at first touch and at full depth (solimp).
        hard_depth_m: depth at which a ball is as hard as it gets.
        drag_ns_m: viscous drag of a ball, stands for rubbing between balls.
        width_m: inner width and length of the box.
        stiffness_n_m: of the band that ties the ball to each fingertip.
        band_m: how far a fingertip may lie from the ball's surface before its band pulls.
    """

    kind: str = "none"
    fill: str = "full"
    count: int = 110
    radius_m: float = 0.0285
    radius_spread: float = 0.1
    mass_kg: float = 0.01
    friction: float = 0.4
    softness_s: float = 0.02
    hardness: tuple[float, float] = (0.5, 0.9)
    hard_depth_m: float = 0.01
    drag_ns_m: float = 0.02
    width_m: float = 0.25
    stiffness_n_m: float = 150.0
    band_m: float = 0.005

    def check(self) -> None:
        """Refuse what cannot be built.

        Raises:
            BoxError: names the key and what is allowed.
        """
        if self.kind not in BOX_KINDS:
            raise BoxError(f"box.kind: {self.kind!r} is none of {', '.join(BOX_KINDS)}")
        if self.fill not in FILLS:
            raise BoxError(f"box.fill: {self.fill!r} is none of {', '.join(FILLS)}")
        low, high = self.hardness
        ranges = {
            "count": (self.count, FEWEST_BALLS, MOST_BALLS),
            "radius_m": (self.radius_m, 0.01, 0.05),
            "radius_spread": (self.radius_spread, 0.0, 0.3),
            "mass_kg": (self.mass_kg, 0.001, 0.1),
            "friction": (self.friction, 0.0, 2.0),
            "softness_s": (self.softness_s, 0.017, 0.2),
            "hardness": (low, 0.1, high),
            "hardness ": (high, low, 0.99),
            "hard_depth_m": (self.hard_depth_m, 0.0005, 0.05),
            "drag_ns_m": (self.drag_ns_m, 0.0, 1.0),
            "width_m": (self.width_m, 0.15, 1.0),
            "stiffness_n_m": (self.stiffness_n_m, 0.0, 500.0),
            "band_m": (self.band_m, 0.0, 0.1),
        }
        for key, (value, least, most) in ranges.items():
            if not least <= value <= most:
                raise BoxError(f"box.{key.strip()}: {value} is not within {least} .. {most}")


def add_box(
    spec: mujoco.MjSpec,
    config: BoxConfig,
    palm_m: Vector,
    wrist_xyzw: Vector,
    visual: bool = False,
) -> float:
    """Add box and balls, or the tied ball, to a model that has the hand.

    Args:
        spec: model under construction.
        config: checked.
        palm_m: palm frame's origin in the world, (3,).
        wrist_xyzw: palm frame's orientation in the world.
        visual: also draw the walls (no effect on the physics).

    Returns:
        height of the table that the box stands on; 0 without one.
    """
    wrist = Rotation.from_quat(wrist_xyzw)
    if config.kind == "balls":
        return _add_balls(spec, config, palm_m, wrist, visual)
    if config.kind == "tied":
        _add_tied_ball(spec, config, palm_m + wrist.apply(_TIED_CENTRE_M))
    return 0.0


def _add_balls(
    spec: mujoco.MjSpec, config: BoxConfig, palm_m: Vector, wrist: Rotation, visual: bool
) -> float:
    centre = palm_m + _around(CLOSED_HAND_M, wrist).mean(axis=0)
    floor_m, depth_m = _floor(config, palm_m, wrist)
    _add_walls(spec, centre, config.width_m / 2.0, floor_m, depth_m if visual else None)
    rng = np.random.default_rng(_RADII_SEED)
    radii = config.radius_m * (1.0 + config.radius_spread * rng.uniform(-1, 1, config.count))
    colours = rng.integers(len(_COLOURS), size=config.count)
    # Loose layers, that `prepare` lets fall.
    pitch = 2.1 * radii.max()
    across = int(config.width_m // pitch)
    places = (np.arange(across) - (across - 1) / 2.0) * (config.width_m / across)
    for number in range(config.count):
        layer, row, column = number // across**2, number // across % across, number % across
        at = [centre[0] + places[row], centre[1] + places[column], floor_m + (layer + 0.5) * pitch]
        body = spec.worldbody.add_body(name=f"ball_{number}", pos=at)
        for axis in np.eye(3):
            body.add_joint(
                type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, damping=[config.drag_ns_m, 0, 0]
            )
        # Without priority a ball that meets a link takes the link's condim (with friction), one that meets
        # a ball its own (without); the large solmix keeps the ball's softness in both.
        _add_ball_geom(
            body, config, float(radii[number]), _COLOURS[colours[number]], condim=1, bits=_BALL_BIT
        )
    return floor_m


def _add_ball_geom(
    body: mujoco.MjsBody,
    config: BoxConfig,
    radius_m: float,
    colour: tuple[float, float, float],
    condim: int,
    bits: int,
) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[radius_m, 0, 0],
        mass=config.mass_kg,
        contype=_OBJECT_BIT | bits,
        conaffinity=bits,
        condim=condim,
        friction=[config.friction, 0.005, 1e-4],
        solref=[config.softness_s, 1.0],
        solimp=[*config.hardness, config.hard_depth_m, 0.5, 2.0],
        solmix=100.0,
        rgba=[*colour, 1.0],
    )


def _around(corners_m: Vector, wrist: Rotation) -> Vector:
    """The world's axis-parallel box around a box of the palm frame; (2, 3) relative to the palm."""
    points = wrist.apply(list(itertools.product(*corners_m.T)))
    return np.array([points.min(axis=0), points.max(axis=0)])


def _floor(config: BoxConfig, palm_m: Vector, wrist: Rotation) -> tuple[float, float]:
    """Height of the floor, and how deep the balls lie on it, so that the surface is where it belongs."""
    low, high = _around(CLOSED_HAND_M, wrist)[:, 2]
    volume = config.count * 4.0 / 3.0 * np.pi * config.radius_m**3 / _PACKING
    if config.fill == "full":
        depth = float((volume + _HAND_VOLUME_M3) / config.width_m**2)
        surface = min(high + config.radius_m, low - config.radius_m + depth)
    else:
        depth = float(volume / config.width_m**2)
        tips = wrist.apply(CLOSED_TIPS_M)[2] + 1.5 * config.radius_m
        surface = min(tips, low + _HALF_LOAD * (high - low))
    return float(palm_m[2] + surface - depth), depth


def _add_walls(
    spec: mujoco.MjSpec, centre: Vector, half_m: float, floor_m: float, pane_m: float | None
) -> None:
    normals = ([1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1])
    for normal in map(np.array, normals):
        at = np.array([centre[0], centre[1], floor_m]) - half_m * normal * [1, 1, 0]
        turn = Rotation.align_vectors([normal], [[0, 0, 1]])[0].as_quat()
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[half_m, half_m, 0.01],
            pos=at,
            quat=wxyz(turn),
            contype=0,
            conaffinity=_BALL_BIT,
            condim=1,
            group=4,  # not drawn: a plane seen from behind hides what is in the box
        )
        if pane_m is not None and normal[2] == 0:
            # Soft balls bulge beyond their wall by as much as they give.
            glass, height = half_m + 0.01, pane_m + 0.05
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=np.where(normal != 0, 0.001, [glass, glass, height / 2.0]),
                pos=at - (glass - half_m) * normal + np.array([0.0, 0.0, height / 2.0]),
                contype=0,
                conaffinity=0,
                rgba=[0.75, 0.88, 0.95, 0.13],
            )


def _add_tied_ball(spec: mujoco.MjSpec, config: BoxConfig, at: Vector) -> None:
    body = spec.worldbody.add_body(name="ball_0", pos=at)
    body.add_freejoint()
    _add_ball_geom(body, config, config.radius_m, _COLOURS[0], condim=4, bits=0)
    body.add_site(name="ball_centre", size=[0.002] * 3)
    for tip in _TIED_FINGERS:
        band = spec.add_tendon(
            name=f"band_{tip}",
            stiffness=[config.stiffness_n_m, 0, 0],
            damping=[0.2, 0, 0],
            springlength=[0.0, config.radius_m + config.band_m],
            width=0.002,
            rgba=[0.9, 0.85, 0.7, 1.0],
        )
        band.wrap_site(tip)
        band.wrap_site("ball_centre")


def prepare(model: mujoco.MjModel, data: mujoco.MjData, config: BoxConfig, seed: int) -> None:
    """Bring a new world to its beginning: the hand closed, sunk into the settled balls or around the tied one.

    The hand is held by its own servos meanwhile; afterwards time is zero again.

    Args:
        model: a world with that box.
        data: its state, as new.
        config: the box.
        seed: of where the balls fall.
    """
    if config.kind == "none":
        return
    control = np.array([model.actuator(name).id for name in JOINT_NAMES])
    slots = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
    data.qpos[slots] = data.ctrl[control] = CANONICAL_POSE_RAD
    dt_s = model.opt.timestep
    palm = model.body("palm").id
    if config.kind == "balls":
        others = np.ones(model.nq, dtype=bool)
        others[slots] = False
        jitter = np.random.default_rng(seed).uniform(-_JITTER_M, _JITTER_M, model.nq)
        data.qpos[others] += jitter[others]
        place = model.body_pos[palm].copy()
        raised = np.array([0.0, 0.0, _RAISED_M])
        model.body_pos[palm] = place + raised
        for _ in range(round(_SETTLE_S / dt_s)):
            mujoco.mj_step(model, data)
        for share in np.linspace(1.0, 0.0, round(_LOWER_S / dt_s)):
            model.body_pos[palm] = place + share * raised
            mujoco.mj_step(model, data)
    for _ in range(round(_SETTLE_S / dt_s)):
        mujoco.mj_step(model, data)
    data.time = 0.0


class BallView:
    """Where the balls are.

    Args:
        model: a world.
        data: its state.

    Attributes:
        geoms: their geoms in the model, shape (count,).
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        names = [model.body(k).name for k in range(model.nbody)]
        self._ids = np.array([k for k, n in enumerate(names) if n.startswith("ball_")], dtype=int)
        self.geoms: NDArray[np.intp] = model.body_geomadr[self._ids]
        self._data = data
        mujoco.mj_kinematics(model, data)
        palm = data.body("palm")
        self._palm_m = palm.xpos.copy()
        self._palm_axes = palm.xmat.reshape(3, 3).copy()

    def __len__(self) -> int:
        return len(self._ids)

    def world_m(self) -> Vector:
        """Centres in the world, a copy, shape (count, 3)."""
        centres: Vector = self._data.xpos[self._ids]
        return centres

    def in_palm(self, world_m: Vector) -> Vector:
        """Centres in the palm frame, shape (count, 3)."""
        return (world_m - self._palm_m) @ self._palm_axes
