# SPDX-License-Identifier: Apache-2.0
"""The arm in the 3D view, below the hand: a frame a joint, written from the joint table, and what stands around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.demo.world_summary import WorldSummary
from dexndm_ros.teleop.bulb import READY_RAD, STAND_AWAY_M, socket_palm
from dexndm_ros.teleop.chain import PALM_ON_FLANGE, ArmChain
from dexndm_ros.teleop.fr3 import ARM_JOINTS, FLANGE_M
from dexndm_ros.teleop.pose import Pose

__all__ = ["ArmView", "arm_paths", "arm_quaternions"]

_WHITE, _GREY, _BLUE = (238, 240, 243), (120, 126, 134), (52, 104, 172)
_RADIUS_M, _COLUMN_M = 0.05, 0.05
_ROLLS = [Rotation.from_rotvec([joint.roll_rad, 0.0, 0.0]) for joint in ARM_JOINTS]


def _wxyz(rotation: Rotation) -> tuple[float, float, float, float]:
    x, y, z, w = rotation.as_quat()
    return (float(w), float(x), float(y), float(z))


def arm_quaternions(q_rad: ArrayLike) -> list[tuple[float, float, float, float]]:
    """Rotation of each joint's frame in the frame before it, wxyz.

    Args:
        q_rad: joint angles, (7,).
    """
    turns = Rotation.from_rotvec(np.outer(np.asarray(q_rad, dtype=np.float64), [0.0, 0.0, 1.0]))
    return [_wxyz(roll * turn) for roll, turn in zip(_ROLLS, turns, strict=True)]


def arm_paths() -> list[str]:
    """Where each joint's frame stands in the scene's tree."""
    paths = ["/arm"]
    for joint in ARM_JOINTS:
        paths.append(f"{paths[-1]}/{joint.name}")
    return paths[1:]


class ArmView:
    """Draws the arm into a scene.

    Args:
        scene: viser's.
        world: the object, for the stand and the socket below it.
    """

    def __init__(self, scene: Any, world: WorldSummary) -> None:
        self._scene = scene
        scene.add_frame("/arm", show_axes=False)
        scene.add_cylinder(
            "/arm/foot", radius=0.09, height=0.14, color=_GREY, position=(0, 0, 0.07)
        )
        self._rod("/arm", np.array(ARM_JOINTS[0].xyz_m))
        paths = arm_paths()
        ends = [*(joint.xyz_m for joint in ARM_JOINTS[1:]), FLANGE_M]
        self._frames = []
        rest = arm_quaternions(READY_RAD)
        for joint, path, end, wxyz in zip(ARM_JOINTS, paths, ends, rest, strict=True):
            self._frames.append(
                scene.add_frame(path, show_axes=False, position=joint.xyz_m, wxyz=wxyz)
            )
            scene.add_icosphere(f"{path}/joint", radius=1.12 * _RADIUS_M, color=_GREY)
            self._rod(path, np.array(end))
        flange = Pose(np.array(FLANGE_M), Rotation.identity())
        mount = flange * PALM_ON_FLANGE
        self._mount = (tuple(mount.position_m.tolist()), _wxyz(mount.rotation))
        self.palm_path = f"{paths[-1]}/palm"
        if world.kind != "none":
            self._furnish(world)

    @property
    def mount(self) -> tuple[Any, Any]:
        """The palm in the last joint's frame: position and wxyz."""
        return self._mount

    def draw(self, q_rad: NDArray[np.float64]) -> None:
        """Turn the joints."""
        for frame, wxyz in zip(self._frames, arm_quaternions(q_rad), strict=True):
            frame.wxyz = wxyz

    def _rod(self, path: str, end_m: NDArray[np.float64]) -> None:
        """What the eye sees between a joint and the next, where they are apart."""
        length_m = float(np.linalg.norm(end_m))
        if length_m < 1e-6:
            return
        along, _ = Rotation.align_vectors([end_m / length_m], [[0.0, 0.0, 1.0]])
        self._scene.add_cylinder(
            f"{path}/rod", radius=_RADIUS_M, height=length_m, color=_WHITE,
            position=tuple((end_m / 2).tolist()), wxyz=_wxyz(along),
        )  # fmt: skip

    def _furnish(self, world: WorldSummary) -> None:
        """The stand that the object is taken from, and the socket where it is turned."""
        ready = ArmChain(PALM_ON_FLANGE).pose(np.array(READY_RAD))
        centre = np.array(world.grasp_centre_m)
        stand = ready.position_m + ready.rotation.apply(centre) + STAND_AWAY_M
        palm = socket_palm(ready)
        socket = palm.position_m + palm.rotation.apply(centre)
        half_m = world.half_height_m or world.radius_m or world.half_size_m[2]
        for name, place, color in (("stand", stand, _GREY), ("socket", socket, _BLUE)):
            top_m = float(place[2]) - half_m - 0.004
            self._scene.add_box(
                f"/{name}", color=color, dimensions=(_COLUMN_M, _COLUMN_M, top_m),
                position=(float(place[0]), float(place[1]), top_m / 2),
            )  # fmt: skip
