# SPDX-License-Identifier: Apache-2.0
"""The hand in MuJoCo: written from the joint table and the link table, no mesh, no file.

Joints, actuators and sensors are named after ``JOINT_NAMES``; actuators stand in motor order. The palm's
frame is the table's (fingers along +x, thumb along +y, grasp side facing -z).
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.description import FINGERS, LINKS, TIP_OFFSETS_M, Link
from dexndm_ros.hand.joints import JOINT_COUNT, JOINTS
from dexndm_ros.hand.units import ServoGains
from dexndm_ros.sim.gap import GapConfig

__all__ = ["FINGERTIP_SENSORS", "TIP_SITES", "HandPhysics", "add_hand", "wxyz", "xyzw"]

TIP_SITES = tuple(f"{finger}_tip" for finger in FINGERS)
FINGERTIP_SENSORS = tuple(f"{finger}_tip_force" for finger in FINGERS)

# Collision classes. A finger never meets itself; palm and knuckles meet only the object and (palm) fingertips.
_OBJECT_BIT = 1
_FINGER_BITS = {"index": 2, "middle": 4, "ring": 8, "thumb": 16}
_DISTAL_BIT = 64
_ALL_FINGERS = sum(_FINGER_BITS.values())
_BASES = {"index_base", "middle_base", "ring_base", "thumb_base", "thumb_axial"}


@dataclass(frozen=True)
class HandPhysics:
    """What of the hand a world may change.

    Attributes:
        joint_damping_nms_rad: passive damping beside the servo's own, one number or 16 in motor order.
        friction_loss_nm: dry friction of a gear train, one number or 16.
        armature_kg_m2: rotor inertia seen at the joint, one number or 16.
        tip_friction: sliding friction of the fingertips.
        link_friction: sliding friction of everything else.
    """

    joint_damping_nms_rad: float | tuple[float, ...] = 0.0
    friction_loss_nm: float | tuple[float, ...] = 0.0
    armature_kg_m2: float | tuple[float, ...] = 0.001
    tip_friction: float = 1.0
    link_friction: float = 0.5


def wxyz(quat_xyzw: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ROS quaternion (x y z w) as MuJoCo wants it."""
    return np.roll(quat_xyzw, 1, axis=-1)


def xyzw(quat_wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """A MuJoCo quaternion (w x y z) as ROS wants it."""
    return np.roll(quat_wxyz, -1, axis=-1)


def _collision_class(link: Link) -> tuple[int, int]:
    """(contype, conaffinity) of a link's geoms."""
    if link.name == "palm":
        return 0, _OBJECT_BIT | _DISTAL_BIT
    if link.name in _BASES:
        return 0, _OBJECT_BIT
    own = _FINGER_BITS[link.name.split("_")[0]]
    bits = own | (_DISTAL_BIT if link.name.endswith("distal") else 0)
    return bits, _OBJECT_BIT | (_ALL_FINGERS & ~own)


def _add_link(
    body: mujoco.MjsBody, link: Link, physics: HandPhysics, mass_scale: float = 1.0
) -> None:
    body.explicitinertial = True
    body.mass = link.mass_kg * mass_scale
    body.ipos = list(link.com_m)
    body.inertia = [value * mass_scale for value in link.inertia_kg_m2]
    body.iquat = list(link.inertia_quat_wxyz)
    contype, conaffinity = _collision_class(link)
    for k, box in enumerate(link.boxes):
        body.add_geom(
            name=f"{link.name}_tip" if box.tip else f"{link.name}_{k}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=list(box.half_m),
            pos=list(box.centre_m),
            quat=wxyz(Rotation.from_euler("xyz", box.rpy_rad).as_quat()),
            contype=contype,
            conaffinity=conaffinity,
            condim=4,
            friction=[physics.tip_friction if box.tip else physics.link_friction, 0.02, 1e-4],
            rgba=[0.13, 0.13, 0.15, 1.0] if box.tip else [0.83, 0.85, 0.88, 1.0],
            mass=0.0,
        )


def add_hand(
    spec: mujoco.MjSpec,
    position_m: tuple[float, float, float],
    wrist_xyzw: NDArray[np.float64],
    gains: ServoGains,
    physics: HandPhysics,
    gap: GapConfig | None = None,
    parent: mujoco.MjsBody | None = None,
) -> None:
    """Add palm, fingers, actuators and fingertip sites to a model.

    Args:
        spec: model under construction.
        position_m: palm frame's origin in the world, or on the parent.
        wrist_xyzw: palm frame's orientation there.
        gains: servo gains, arrays of 16 in motor order.
        physics: friction, damping and armature.
        gap: gives more friction, and other masses.
        parent: what carries the palm; None = it is fixed in the world.
    """
    gap = gap or GapConfig()
    masses = dict(zip(LINKS, gap.link_mass_scale, strict=True))
    damping = np.broadcast_to(physics.joint_damping_nms_rad, JOINT_COUNT)
    armature = np.broadcast_to(physics.armature_kg_m2, JOINT_COUNT)
    friction = np.add(physics.friction_loss_nm, gap.friction_loss_nm)
    friction = np.broadcast_to(friction, JOINT_COUNT)
    carrier = spec.worldbody if parent is None else parent
    palm = carrier.add_body(name="palm", pos=list(position_m), quat=wxyz(wrist_xyzw))
    _add_link(palm, LINKS["palm"], physics, masses["palm"])
    bodies = {"palm": palm}
    remaining = list(JOINTS)
    while remaining:
        joint = next(j for j in remaining if j.parent in bodies)
        remaining.remove(joint)
        body = bodies[joint.parent].add_body(
            name=joint.child, pos=list(joint.xyz_m), quat=list(joint.quat_wxyz)
        )
        bodies[joint.child] = body
        _add_link(body, LINKS[joint.child], physics, masses[joint.child])
        body.add_joint(
            name=joint.name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[0, 0, -1],
            range=[joint.lower_rad, joint.upper_rad],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            damping=[damping[joint.motor_id], 0, 0],
            frictionloss=friction[joint.motor_id],
            armature=armature[joint.motor_id],
        )
    for finger, (link_name, offset) in TIP_OFFSETS_M.items():
        bodies[link_name].add_site(name=f"{finger}_tip", pos=list(offset), size=[0.003] * 3)
    for joint in JOINTS:
        actuator = spec.add_actuator(
            name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        kp, kd = gains.kp_nm_rad[joint.motor_id], gains.kd_nms_rad[joint.motor_id]
        limit = gains.torque_limit_nm[joint.motor_id]
        actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = kp
        actuator.biasprm[1] = -kp
        actuator.biasprm[2] = -kd
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-limit, limit]
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE
