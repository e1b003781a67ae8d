# SPDX-License-Identifier: Apache-2.0
"""Draws families of objects off screen: ``python -m dexndm_ros.demo.objects_picture FILE [--objects train]``.

A row or more for each family, every object at a scale drawn for it, all to one measure. A rule of 50 mm lies below.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.demo.world_picture import Image, off_screen, rendered, save_picture

__all__ = ["draw_families", "main"]

_STEP_M = 0.14
_COLOURS = (
    (0.35, 0.62, 0.80),
    (0.90, 0.60, 0.25),
    (0.45, 0.70, 0.40),
    (0.75, 0.45, 0.65),
    (0.80, 0.75, 0.35),
)
_RULE_M = 0.05


def draw_families(
    families: Sequence[str], most: int = 26, columns: int = 13, width_px: int = 1300, seed: int = 0
) -> Image:
    """A picture of objects, (height, width, 3).

    Args:
        families: by name.
        most: objects of each.
        columns: objects in a row.
        width_px: of the picture.
        seed: of the scales.

    Raises:
        DemoError: nothing can be drawn here.
    """
    mujoco = off_screen()
    from dexndm_ros.sim.scene import add_pieces, object_shape
    from dexndm_ros.sim.shapes.families import FAMILIES, draw_object

    spec = mujoco.MjSpec()
    spec.worldbody.add_light(pos=[0, -1, 3], dir=[0, 0.3, -1], castshadow=False)
    rng = np.random.default_rng(seed)
    row = 0
    for number, name in enumerate(families):
        family = FAMILIES[name]
        count = min(most, len(family.prototypes))
        for k in range(count):
            place = [_STEP_M * (k % columns), 0.0, -_STEP_M * (row + k // columns)]
            body = spec.worldbody.add_body(pos=place, quat=[0.94, 0.16, 0.06, 0.3])
            geoms = add_pieces(body, object_shape(draw_object(family, k, rng)))
            for geom in geoms:
                geom.rgba = [*_COLOURS[number % len(_COLOURS)], 1.0]
        row += -(-count // columns)
    _add_rule(mujoco, spec, [0.0, 0.0, -_STEP_M * row + 0.05])
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    width_m, height_m = _STEP_M * columns, _STEP_M * row + 0.02
    camera = _camera(mujoco, model, width_m, height_m)
    return rendered(model, data, camera, width_px, round(width_px * height_m / width_m))


def _add_rule(mujoco: Any, spec: Any, position: list[float]) -> None:
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[_RULE_M / 2, 0.002, 0.002],
        pos=position,
        rgba=[1, 1, 1, 1],
    )


def _camera(mujoco: Any, model: Any, width_m: float, height_m: float) -> Any:
    """Looks along +y at all of it, from so far that it hardly sees perspective."""
    model.vis.global_.fovy = 6.0
    camera = mujoco.MjvCamera()
    camera.lookat = [0.5 * (width_m - _STEP_M), 0.0, -0.5 * (height_m - _STEP_M)]
    camera.azimuth, camera.elevation = 90.0, 0.0
    camera.distance = 0.5 * height_m / np.tan(np.deg2rad(3.0))
    return camera


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, or say in one sentence why not."""
    parser = argparse.ArgumentParser(
        prog="python -m dexndm_ros.demo.objects_picture", description=__doc__
    )
    parser.add_argument("file", type=Path, help="PNG to write")
    parser.add_argument(
        "--objects", default="train,test,cubes,bricks", help="families, or train, test"
    )
    arguments = parser.parse_args(argv)

    def drawn() -> Image:
        off_screen()
        from dexndm_ros.sim.shapes.families import parse_families

        return draw_families(parse_families(arguments.objects))

    return save_picture(arguments.file, drawn)


if __name__ == "__main__":
    sys.exit(main())
