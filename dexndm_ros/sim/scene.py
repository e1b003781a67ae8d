# SPDX-License-Identifier: Apache-2.0
"""From a world to a MuJoCo model: hand, object or box, sensors and, for pictures, a floor and a light."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS, TIP_OFFSETS_M
from dexndm_ros.sim.arm_model import add_arm
from dexndm_ros.sim.box import add_box
from dexndm_ros.sim.hand_model import add_hand
from dexndm_ros.sim.shapes.families import shape_named
from dexndm_ros.sim.shapes.pieces import Piece, Shape
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, ObjectConfig, World
from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.pose import Pose

__all__ = [
    "OBJECT_BODY",
    "OBJECT_JOINT",
    "add_pieces",
    "build_model",
    "object_shape",
    "pieces_of",
]

OBJECT_BODY = "object"
OBJECT_JOINT = "object_free"
_PALM_HEIGHT_M = 0.35


_GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}


def object_shape(config: ObjectConfig) -> Shape:
    """The object as a shape, in metres."""
    if config.kind == "shape":
        return shape_named(config.shape).sized(config.size_m)
    kind, size = {
        "cylinder": ("cylinder", (config.radius_m, config.half_height_m, 0.0)),
        "cuboid": ("box", config.half_size_m),
        "sphere": ("sphere", (config.radius_m, 0.0, 0.0)),
    }[config.kind]
    return Shape(config.kind, (Piece(kind, size),))


def _add_object(
    spec: mujoco.MjSpec, config: ObjectConfig, position_m: NDArray[np.float64], pieces: int
) -> None:
    """The object, with at least so many geoms: models that are stepped together must have the same number."""
    body = spec.worldbody.add_body(name=OBJECT_BODY, pos=position_m)
    joint = body.add_freejoint(name=OBJECT_JOINT)
    joint.damping = [0.0, 0.0, 0.0]
    shape = object_shape(config)
    geoms = add_pieces(body, shape)
    for number, (geom, mass_kg) in enumerate(zip(geoms, shape.masses(config.mass_kg), strict=True)):
        geom.name = "object" if number == 0 else f"object_{number}"
        geom.mass = mass_kg
        geom.contype = geom.conaffinity = geom.priority = 1
        geom.condim = 4
        geom.friction = [config.friction, config.torsional_friction_m, 1e-4]
        geom.rgba = [0.93, 0.45, 0.13, 1.0]
    if any(config.centre_of_mass_m):
        _shift_mass(body, config)
    for _ in range(pieces - len(shape.pieces)):
        body.add_geom(type=_GEOMS["sphere"], size=[1e-4, 0, 0], mass=0, contype=0, conaffinity=0)


def add_pieces(body: mujoco.MjsBody, shape: Shape) -> list[mujoco.MjsGeom]:
    """The pieces of a shape as geoms of a body."""
    return [
        body.add_geom(
            type=_GEOMS[piece.kind],
            size=list(piece.size),
            pos=list(piece.position),
            quat=np.roll(piece.rotation_xyzw, 1),
        )
        for piece in shape.pieces
    ]


def _shift_mass(body: mujoco.MjsBody, config: ObjectConfig) -> None:
    """Put the centre of mass beside where even pieces have it; the inertia about it stays."""
    even = dataclasses.replace(config, centre_of_mass_m=(0.0, 0.0, 0.0))
    alone = mujoco.MjSpec()
    _add_object(alone, even, np.zeros(3), 0)
    compiled = alone.compile().body(OBJECT_BODY)
    body.explicitinertial = True
    body.mass = config.mass_kg
    body.ipos = compiled.ipos + config.centre_of_mass_m
    body.iquat = compiled.iquat
    body.inertia = compiled.inertia


def pieces_of(world: World) -> int:
    """Geoms of a world's object."""
    return len(object_shape(world.object).pieces) if world.object.kind != "none" else 0


def build_model(
    world: World,
    visual: bool = False,
    arm_q_rad: NDArray[np.float64] | None = None,
    pieces: int = 1,
) -> mujoco.MjModel:
    """Compile a world.

    Args:
        world: the world.
        visual: also a floor, a light, the box's walls and a stripe on the object, for pictures (no effect on
            the physics).
        arm_q_rad: joint angles of an arm that carries the hand, shape (7,): object and box are where the palm is
            then, and the wrist is not the world's. None = the palm is fixed in the world.
        pieces: geoms of the object, at least, see ``pieces_of``.

    Returns:
        A model whose actuators stand in motor order; joints, bodies and sensors are found by name.
    """
    spec = mujoco.MjSpec()
    spec.modelname = world.name
    spec.compiler.degree = False
    preset = world.preset
    spec.option.timestep = preset.time_step_s
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.iterations = preset.iterations
    spec.option.ls_iterations = preset.line_search_iterations
    spec.option.impratio = preset.impratio
    if preset.conjugate_gradients:
        spec.option.solver = mujoco.mjtSolver.mjSOL_CG
        spec.option.tolerance = 1e-6
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)
    if not preset.multi_contact:
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MULTICCD)
    gains = world.servo.gains()
    if arm_q_rad is None:
        palm = Pose(np.array([0.0, 0.0, _PALM_HEIGHT_M]), Rotation.from_quat(world.wrist_xyzw()))
        mount, flange = palm, None
    else:
        palm, mount = ArmChain(PALM_ON_FLANGE).pose(arm_q_rad), PALM_ON_FLANGE
        flange = add_arm(spec)
    add_hand(spec, tuple(mount.position_m), mount.xyzw, gains, world.hand, world.gap, flange)
    if world.object.kind != "none":
        centre = palm.position_m + palm.rotation.apply(GRASP_CENTRE_M)
        _add_object(spec, world.object, centre, pieces)
        _add_object_sensors(spec)
    table_m = add_box(spec, world.box, palm.position_m, palm.xyzw, visual)
    if visual:
        _add_scenery(spec, world.object, table_m)
    return spec.compile()


def _add_object_sensors(spec: mujoco.MjSpec) -> None:
    """Net contact force of each fingertip link on the object, and the fingertip positions."""
    for finger in FINGERS:
        sensor = spec.add_sensor(
            name=f"{finger}_tip_force",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname=TIP_OFFSETS_M[finger][0],
            reftype=mujoco.mjtObj.mjOBJ_BODY,
            refname=OBJECT_BODY,
        )
        # (data = force, reduction = net force in the world frame, one slot)
        sensor.intprm[:3] = [2, 3, 1]
    for finger in FINGERS:
        spec.add_sensor(
            name=f"{finger}_tip_position",
            type=mujoco.mjtSensor.mjSENS_FRAMEPOS,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname=f"{finger}_tip",
        )


def _add_scenery(spec: mujoco.MjSpec, config: ObjectConfig, floor_m: float) -> None:
    spec.worldbody.add_light(pos=[0.2, -0.3, 1.4], dir=[-0.15, 0.2, -1.0])
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.78, 0.83, 0.88], rgb2=[0.42, 0.46, 0.50], width=128, height=768,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.30, 0.33, 0.36], rgb2=[0.25, 0.28, 0.31], width=256, height=256,
    )  # fmt: skip
    floor = spec.add_material(name="floor", texrepeat=[16, 16], reflectance=0.05)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[2, 2, 0.1],
        pos=[0, 0, floor_m],
        material="floor",
        contype=0,
        conaffinity=0,
    )
    if config.kind == "cylinder":
        # A stripe, so that the eye sees the cylinder turn.
        spec.body(OBJECT_BODY).add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, contype=0, conaffinity=0, mass=0,
            size=[config.radius_m * 0.98, 0.004, config.half_height_m + 0.0006],
            rgba=[0.98, 0.95, 0.90, 1],
        )  # fmt: skip
