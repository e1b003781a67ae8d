# SPDX-License-Identifier: Apache-2.0
"""Draws a world off screen: ``python -m dexndm_ros.demo.world_picture WORLD FILE [--wrist NAME]``.

The hand is in the canonical pose; in a box the balls have settled around it, and those in front of it are glassy.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES

__all__ = ["Image", "draw", "main", "off_screen", "rendered", "save_picture"]

Image = NDArray[np.uint8]
_ANTIALIAS = 2
_BEHIND_M = 0.01
_GLASSY = 0.13


def draw(
    world: str | Path, wrist: str = "", width_px: int = 960, height_px: int = 720, seed: int = 0
) -> Image:
    """A picture of a world, (height, width, 3).

    Args:
        world: a name in config/worlds or a YAML file.
        wrist: palm orientation; "" = the world's.
        width_px: of the picture.
        height_px: likewise.
        seed: of where balls fall.

    Raises:
        DemoError: nothing can be drawn here.
        WorldError: the world cannot be used.
        PathError: there is no such world.
    """
    mujoco = off_screen()
    from dexndm_ros.sim.box import BallView, prepare
    from dexndm_ros.sim.scene import build_model
    from dexndm_ros.sim.worlds import World

    loaded = World.load(world).with_wrist(wrist)
    model = build_model(loaded, visual=True)
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in JOINT_NAMES]] = CANONICAL_POSE_RAD
    prepare(model, data, loaded.box, seed)
    mujoco.mj_forward(model, data)
    balls = BallView(model, data)
    camera = _camera(mujoco, data, balls.world_m())
    _see_through(model, balls, camera)
    return rendered(model, data, camera, width_px, height_px)


def off_screen() -> Any:
    """MuJoCo, imported so that it draws without a display.

    Raises:
        DemoError: it cannot.
    """
    # Without a display EGL is what draws; it is asked before MuJoCo is imported.
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except Exception as error:  # MuJoCo refuses a backend that it does not know
        raise _cannot_draw(error) from error
    return mujoco


def rendered(model: Any, data: Any, camera: Any, width_px: int, height_px: int) -> Image:
    """A picture of a state, smoothed, (height, width, 3).

    Raises:
        DemoError: nothing can be drawn here.
    """
    mujoco = off_screen()
    view = model.vis
    view.global_.offwidth, view.global_.offheight = _ANTIALIAS * width_px, _ANTIALIAS * height_px
    view.headlight.ambient = np.full(3, 0.35)
    view.headlight.diffuse = np.full(3, 0.35)
    view.quality.shadowsize = 4096
    try:
        with mujoco.Renderer(model, _ANTIALIAS * height_px, _ANTIALIAS * width_px) as renderer:
            renderer.update_scene(data, camera)
            image: Image = renderer.render()
    except Exception as error:  # whatever a graphics driver may raise
        raise _cannot_draw(error) from error
    blocks = image.reshape(height_px, _ANTIALIAS, width_px, _ANTIALIAS, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _cannot_draw(error: Exception) -> DemoError:
    first = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return DemoError(
        f"no picture: MuJoCo cannot draw off screen here ({first[0]}); "
        "install libegl1 and libgl1-mesa-dri, or set MUJOCO_GL to a backend that works"
    )


def _camera(mujoco: Any, data: Any, balls_m: NDArray[np.float64]) -> Any:
    from dexndm_ros.sim.worlds import GRASP_CENTRE_M

    palm = data.body("palm")
    camera = mujoco.MjvCamera()
    camera.lookat = palm.xpos + palm.xmat.reshape(3, 3) @ (0.5 * GRASP_CENTRE_M)
    camera.distance, camera.azimuth, camera.elevation = 0.40, 140.0, -20.0
    if len(balls_m) > 1:
        camera.lookat = (camera.lookat + balls_m.mean(axis=0)) / 2.0
        camera.distance, camera.elevation = 0.66, -24.0
    return camera


def _see_through(model: Any, balls: Any, camera: Any) -> None:
    """Make the balls in front of the hand glassy, so that it is seen in a full box."""
    azimuth, elevation = np.deg2rad([camera.azimuth, camera.elevation])
    forward = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    in_front = (balls.world_m() - camera.lookat) @ forward < _BEHIND_M
    if len(balls) > 1:
        model.geom_rgba[balls.geoms[in_front], 3] = _GLASSY


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, or say in one sentence why not."""
    parser = argparse.ArgumentParser(
        prog="python -m dexndm_ros.demo.world_picture", description=__doc__
    )
    parser.add_argument("world", help="a name in config/worlds or a YAML file")
    parser.add_argument("file", type=Path, help="PNG to write")
    parser.add_argument("--wrist", default="", help="palm orientation (default: the world's)")
    parser.add_argument("--seed", type=int, default=0, help="of where balls fall")
    arguments = parser.parse_args(argv)
    return save_picture(
        arguments.file, lambda: draw(arguments.world, arguments.wrist, seed=arguments.seed)
    )


def save_picture(file: Path, drawn: Callable[[], Image]) -> int:
    """Draw into a file; 1 and a sentence where that cannot be, else 0."""
    from PIL import Image as Pillow

    try:
        Pillow.fromarray(drawn()).save(file, optimize=True)
    except (DemoError, ValueError, OSError) as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
