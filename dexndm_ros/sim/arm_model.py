# SPDX-License-Identifier: Apache-2.0
"""The arm in MuJoCo: the FR3's joints and masses, written from its joint table; no mesh, no file.

Masses, centres and inertias are franka_description's identified ones for ``fr3``, rotor inertias those of MuJoCo
Menagerie's; there is no friction, for the robot's torque control takes it away. Geoms are for the eye alone: the
arm touches nothing.
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.hand_model import wxyz
from dexndm_ros.teleop.fr3 import ARM_JOINTS, FLANGE_M

__all__ = ["ARM_ACTUATORS", "FLANGE_BODY", "GAINS", "add_arm"]

FLANGE_BODY = "fr3_link8"
ARM_ACTUATORS = tuple(f"{joint.name}_motor" for joint in ARM_JOINTS)
GAINS = ((600.0, 30.0),) * 4 + ((250.0, 10.0), (150.0, 10.0), (50.0, 5.0))
"""Stiffness N·m/rad and damping N·m·s/rad of each joint: those of franka_ros2's ``fr3_arm_controller``."""

# Link: mass kg, centre of mass m, inertia about it kg·m² (xx yy zz xy xz yz), in the frame of its joint.
_INERTIALS = (
    (2.9274653454, (4.128e-7, -0.0181251324, -0.0386035970),
     (0.023927316, 0.022482161, 0.006350098, 1.33179e-5, -1.140477e-4, -1.995032e-3)),
    (2.9355370338, (0.0031828864, -0.0743221644, 0.0088146084),
     (0.041938946, 0.025145149, 0.061702145, 2.025733e-4, 4.077784e-3, -4.225216e-3)),
    (2.2449013699, (0.0407015686, -0.0048200565, -0.0289730823),
     (0.024101425, 0.019740533, 0.019044494, 2.404695e-3, -2.856269e-3, -2.104213e-3)),
    (2.6155955791, (-0.0459100965, 0.0630492960, -0.0085187868),
     (0.034529983, 0.028881622, 0.041254712, 0.013225523, 0.010151430, -9.762833e-4)),
    (2.3271207594, (-0.0016039605, 0.0292536262, -0.0972965990),
     (0.051610278, 0.047877297, 0.016423626, -5.715173e-3, -3.567317e-3, 0.010673985)),
    (1.8170376524, (0.0597131221, -0.0410294666, -0.0101692726),
     (0.005412334, 0.014058330, 0.016080818, 6.193456e-3, 1.421929e-3, -1.314075e-3)),
    (0.6271432862, (0.0045225817, 0.0086261921, -0.0161633251),
     (2.109239e-4, 1.771857e-4, 5.993191e-5, -2.433299e-5, 4.564480e-5, 8.744070e-5)),
)  # fmt: skip
_ROTOR_KG_M2 = (0.195, 0.195, 0.195, 0.195, 0.074, 0.074, 0.074)
_WHITE, _RADIUS_M = [0.93, 0.94, 0.95, 1.0], 0.055


def _add_capsule(body: mujoco.MjsBody, end_m: tuple[float, float, float]) -> None:
    """What the eye sees between a joint and the next, where they are apart."""
    if np.any(end_m):
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[0.0, 0.0, 0.0, *end_m],
            size=[_RADIUS_M, 0.0, 0.0],
            rgba=_WHITE,
            mass=0.0,
            contype=0,
            conaffinity=0,
        )


def add_arm(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Add the arm with its base at the world's origin, and one motor a joint, with ``GAINS``.

    Args:
        spec: model under construction.

    Returns:
        The flange, for what the arm carries.
    """
    body = spec.worldbody
    for k, (joint, (mass, centre, inertia)) in enumerate(zip(ARM_JOINTS, _INERTIALS, strict=True)):
        _add_capsule(body, joint.xyz_m)
        turn = Rotation.from_rotvec([joint.roll_rad, 0.0, 0.0])
        body = body.add_body(
            name=f"fr3_link{k + 1}", pos=list(joint.xyz_m), quat=wxyz(turn.as_quat())
        )
        body.explicitinertial = True
        body.mass, body.ipos, body.fullinertia = mass, list(centre), list(inertia)
        body.add_joint(
            name=joint.name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[0, 0, 1],
            range=[joint.lower_rad, joint.upper_rad],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            armature=_ROTOR_KG_M2[k],
        )
    _add_capsule(body, FLANGE_M)
    for joint, name, (kp, kd) in zip(ARM_JOINTS, ARM_ACTUATORS, GAINS, strict=True):
        actuator = spec.add_actuator(
            name=name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0], actuator.biasprm[1], actuator.biasprm[2] = kp, -kp, -kd
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.forcerange = [-joint.torque_nm, joint.torque_nm]
    return body.add_body(name=FLANGE_BODY, pos=list(FLANGE_M))
