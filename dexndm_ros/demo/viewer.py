# SPDX-License-Identifier: Apache-2.0
"""The hand and its object in a browser: viser on the loopback interface.

The scene is a tree of frames, one a link, written from the joint table; a new pose only turns frames,
and the browser does the forward kinematics.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.demo.arm_view import ArmView
from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.run import Picture
from dexndm_ros.demo.world_summary import WorldSummary
from dexndm_ros.hand.description import LINKS, Link
from dexndm_ros.hand.joints import JOINTS

__all__ = ["Viewer", "joint_quaternions", "link_paths"]

Vector = NDArray[np.float64]

_HOST = "127.0.0.1"
_PERIOD_S = 1.0 / 30.0
_GREY, _DARK, _ORANGE, _CREAM = (212, 217, 224), (33, 33, 38), (237, 115, 33), (250, 242, 230)
_STRIPE_M = 0.004

_REST_WXYZ = np.array([joint.quat_wxyz for joint in JOINTS])


def _product(a: Vector, b: Vector) -> Vector:
    """Quaternion products, (..., 4) wxyz."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    parts = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return np.stack(parts, axis=-1)


def joint_quaternions(position_rad: ArrayLike) -> Vector:
    """Rotation of each joint's child link in its parent link.

    Args:
        position_rad: joint angles, (16,), motor order.

    Returns:
        (16, 4) wxyz. A joint turns about -z of its child link.
    """
    half = 0.5 * np.asarray(position_rad, dtype=np.float64)
    zero = np.zeros_like(half)
    return _product(_REST_WXYZ, np.stack([np.cos(half), zero, zero, -np.sin(half)], axis=-1))


def link_paths(palm: str = "/palm") -> dict[str, str]:
    """Where each link stands in the scene's tree: the path of its frame, below that of the palm."""
    paths = {"palm": palm}
    while len(paths) < len(LINKS):
        for joint in JOINTS:
            if joint.parent in paths:
                paths[joint.child] = f"{paths[joint.parent]}/{joint.child}"
    return paths


def _wxyz_from_rpy(rpy_rad: tuple[float, float, float]) -> Vector:
    """Fixed axes x, y, z, as in a URDF."""
    quaternion = np.array([1.0, 0.0, 0.0, 0.0])
    for axis, angle in enumerate(rpy_rad):
        turn = np.array([math.cos(angle / 2), 0.0, 0.0, 0.0])
        turn[1 + axis] = math.sin(angle / 2)
        quaternion = _product(turn, quaternion)
    return quaternion


class Viewer:
    """A web server with the scene. Use as a context manager.

    Args:
        source: called 30 times a second while somebody watches.
        world: the object to draw.
        port: TCP port; the next free one is taken.
        arm: an arm carries the hand.

    Raises:
        DemoError: viser is not installed, or no port is free.
    """

    def __init__(
        self,
        source: Callable[[], Picture],
        world: WorldSummary,
        port: int = 8080,
        arm: bool = False,
    ) -> None:
        try:
            import viser
        except ImportError as error:
            raise DemoError("the 3D view needs viser: pip install viser") from error
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints a panel of its own
                self._server: Any = viser.ViserServer(host=_HOST, port=port, verbose=False)
        except OSError as error:
            raise DemoError(f"the 3D view finds no free port from {port} on: {error}") from error
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="viewer", daemon=True)
        self._arm = ArmView(self._server.scene, world) if arm else None
        self._build(world)

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{_HOST}:{self._server.get_port()}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(5.0)
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    # --- scene ----------------------------------------------------------------------------------

    def _build(self, world: WorldSummary) -> None:
        server, scene = self._server, self._server.scene
        server.gui.configure_theme(show_share_button=False, show_logo=False)
        self._text = server.gui.add_markdown("the hand starts")
        if self._arm is None:
            palm, place, floor_m = "/palm", (0.0, 0.0, 0.0), -0.25
            x, y, z, w = world.wrist_xyzw
            turn: Any = (w, x, y, z)
            server.initial_camera.position = (0.33, -0.42, 0.35)
            server.initial_camera.look_at = (0.0, 0.0, 0.0)
        else:
            palm, (place, turn), floor_m = self._arm.palm_path, self._arm.mount, 0.0
            server.initial_camera.position = (1.35, -0.75, 0.95)
            server.initial_camera.look_at = (0.35, 0.05, 0.35)
        scene.add_grid("/floor", width=2.0, height=2.0, cell_size=0.05, position=(0, 0, floor_m))
        paths = link_paths(palm)
        self._palm = scene.add_frame(palm, show_axes=False, position=place, wxyz=turn)
        self._draw_link(palm, LINKS["palm"])
        self._frames = [
            scene.add_frame(
                paths[j.child], show_axes=False, position=j.xyz_m, wxyz=j.quat_wxyz
            )
            for j in JOINTS
        ]  # fmt: skip
        for joint in JOINTS:
            self._draw_link(paths[joint.child], LINKS[joint.child])
        self._object = scene.add_frame(f"{palm}/object", show_axes=False, visible=False)
        self._draw_object(world, f"{palm}/object")

    def _draw_link(self, path: str, link: Link) -> None:
        for number, box in enumerate(link.boxes):
            self._server.scene.add_box(
                f"{path}/box_{number}",
                color=_DARK if box.tip else _GREY,
                dimensions=tuple(2.0 * half for half in box.half_m),
                position=box.centre_m,
                wxyz=_wxyz_from_rpy(box.rpy_rad),
            )

    def _draw_object(self, world: WorldSummary, path: str) -> None:
        scene, at = self._server.scene, f"{path}/shape"
        if world.kind == "cylinder":
            scene.add_cylinder(at, world.radius_m, 2 * world.half_height_m, color=_ORANGE)
            # A stripe, so that the eye sees the cylinder turn.
            size = (1.96 * world.radius_m, 2 * _STRIPE_M, 2 * world.half_height_m + 0.0012)
            scene.add_box(f"{path}/stripe", color=_CREAM, dimensions=size)
        elif world.kind == "cuboid":
            size = (2 * world.half_size_m[0], 2 * world.half_size_m[1], 2 * world.half_size_m[2])
            scene.add_box(at, color=_ORANGE, dimensions=size)
        elif world.kind == "sphere":
            scene.add_icosphere(at, radius=world.radius_m, color=_ORANGE)
            size = (2.02 * world.radius_m, 2 * _STRIPE_M, 2 * _STRIPE_M)
            scene.add_box(f"{path}/stripe", color=_CREAM, dimensions=size)

    def _follow(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            if self._server.get_clients():
                self._draw(self._source())

    def _draw(self, now: Picture) -> None:
        with self._server.atomic():
            if now.q is not None:
                for frame, wxyz in zip(self._frames, joint_quaternions(now.q), strict=True):
                    frame.wxyz = wxyz
            if self._arm is not None and now.arm_q_rad is not None:
                self._arm.draw(now.arm_q_rad)
            if self._arm is None and now.wrist_xyzw is not None:
                x, y, z, w = now.wrist_xyzw
                self._palm.wxyz = (w, x, y, z)
            if now.pose is not None:
                x, y, z, w = now.pose.xyzw
                self._object.position = now.pose.position_m
                self._object.wxyz = (w, x, y, z)
                self._object.visible = True
        if now.text and now.text != self._text.content:
            self._text.content = now.text
