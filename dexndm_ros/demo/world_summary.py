# SPDX-License-Identifier: Apache-2.0
"""What a picture needs to know of a world. Reading one takes MuJoCo, so the demo asks a process.

``python -m dexndm_ros.demo.world_summary WORLD`` prints the world's object and wrist as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dexndm_ros.demo.errors import DemoError

__all__ = ["WorldSummary", "summarise", "with_wrist"]

_LIMIT_S = 60.0


@dataclass(frozen=True)
class WorldSummary:
    """The object in the hand, and where the palm faces.

    Attributes:
        kind: cylinder, cuboid, sphere or none.
        radius_m: of a cylinder or sphere.
        half_height_m: of a cylinder.
        half_size_m: of a cuboid, (3,).
        wrist_xyzw: palm in the world, (4,).
        grasp_centre_m: where the object is held, palm frame, (3,).
    """

    kind: str = "none"
    radius_m: float = 0.0
    half_height_m: float = 0.0
    half_size_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    wrist_xyzw: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    grasp_centre_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


def summarise(world: str) -> WorldSummary:
    """Read a world in a process of its own.

    Args:
        world: its file.

    Returns:
        the summary; an empty one when the world cannot be read (the virtual hand says why).
    """
    command = [sys.executable, "-m", "dexndm_ros.demo.world_summary", world]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=True)
        data: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, subprocess.SubprocessError):
        return WorldSummary()
    values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return WorldSummary(**values)


def with_wrist(world: Path, wrist: str, folder: Path) -> Path:
    """A copy of a world file in which the palm is turned another way.

    Args:
        world: the world's file.
        wrist: a name or x,y,z,w.
        folder: where the copy goes.

    Raises:
        DemoError: the file cannot be read or is no mapping.
    """
    try:
        data = yaml.safe_load(world.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise DemoError(f"the world file {world} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise DemoError(f"the world file {world} holds no mapping of keys to values")
    data["wrist"] = wrist
    copy = folder / world.name
    copy.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return copy


def _main(world: str) -> int:
    from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World

    loaded = World.load(world)
    thing = loaded.object
    summary = {
        "kind": thing.kind,
        "radius_m": thing.radius_m,
        "half_height_m": thing.half_height_m,
        "half_size_m": thing.half_size_m,
        "wrist_xyzw": loaded.wrist_xyzw().tolist(),
        "grasp_centre_m": GRASP_CENTRE_M.tolist(),
    }
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
