# SPDX-License-Identifier: Apache-2.0
"""The canonical pose opened or closed: where the fingertips stand around an object of another width.

The canonical grasp pose (paper, section C) fits objects some 68 mm wide. For others the fingertips are moved towards
the axis through the grasp centre, or away from it, in their own planes, and the joints follow by least squares.
"""

from __future__ import annotations

from functools import cache

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.sim.scene import build_model
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, ObjectConfig, World

__all__ = ["CANONICAL_RADIUS_M", "aperture_pose"]

Vector = NDArray[np.float64]
CANONICAL_RADIUS_M = 0.034
"""Half the width that the canonical pose fits (probe: a cylinder of 34 mm was held best)."""
_TIP_M = 0.010
"""From a fingertip's middle to its skin, roughly."""
_STAY = 0.004
"""Metres of fingertip that a radian away from the canonical pose is worth."""
_RADII_M = np.linspace(0.010, 0.050, 21)


def aperture_pose(radius_m: NDArray[np.float64] | float) -> Vector:
    """Joint targets around objects of these radii, (..., 16) rad, motor order."""
    radii = np.clip(np.asarray(radius_m, dtype=np.float64), _RADII_M[0], _RADII_M[-1])
    return np.stack([np.interp(radii, _RADII_M, column) for column in _table().T], axis=-1)


@cache
def _table() -> Vector:
    """Poses at ``_RADII_M``, each found from its neighbour, (21, 16)."""
    model = build_model(World(wrist="palm_down", object=ObjectConfig(kind="none")))
    data = mujoco.MjData(model)
    slots = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
    sites = [model.site(f"{finger}_tip").id for finger in FINGERS]
    palm = model.body("palm").pos

    def tips(q: Vector) -> Vector:
        data.qpos[slots] = q
        mujoco.mj_kinematics(model, data)
        return np.asarray(data.site_xpos[sites] - palm)

    canonical = np.array(CANONICAL_POSE_RAD)
    out = tips(canonical) - GRASP_CENTRE_M

    def solve(radius_m: float, begin: Vector) -> Vector:
        share = (radius_m + _TIP_M) / (CANONICAL_RADIUS_M + _TIP_M)
        wanted = GRASP_CENTRE_M + out * [share, share, 1.0]

        def miss(q: Vector) -> Vector:
            return np.concatenate([(tips(q) - wanted).ravel(), _STAY * (q - canonical)])

        return np.asarray(least_squares(miss, begin, bounds=(LOWER_RAD, UPPER_RAD)).x)

    poses, middle = {}, int(np.argmin(np.abs(_RADII_M - CANONICAL_RADIUS_M)))
    for order in (range(middle, -1, -1), range(middle, len(_RADII_M))):
        q = canonical
        for number in order:
            poses[number] = q = solve(_RADII_M[number], q)
    return np.array([poses[number] for number in range(len(_RADII_M))])
