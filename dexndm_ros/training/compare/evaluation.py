# SPDX-License-Identifier: Apache-2.0
"""The test of one method, wrist and pipeline: every episode's numbers, kept.

python -m dexndm_ros.training.compare.evaluation --world twin --wrist palm_up --seed 0 --out episodes.npz
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.randomise import OBJECTS_ONLY
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import Episodes, run_episodes, unseen_env
from dexndm_ros.training.progress import Progress

__all__ = ["TEST_SEEDS", "Outcomes", "load_episodes", "main"]

TEST_SEEDS = 500
"""The evaluation seed of pipeline 0; those of the others follow. Everyday evaluations begin with 0, 1, 2."""
EPISODE_S = 20.0


@dataclass(frozen=True)
class Outcomes:
    """One row an episode, the same objects and grasps in every method's.

    Attributes:
        rotation_rad: RotR: angle about the axis until the object was lost or the time was up, (N,).
        held_s: TTF: how long it was held, (N,).
        off_axis_rad_s: RotP: mean rotation rate about other axes while it was held, (N,).
    """

    rotation_rad: NDArray[np.float64]
    held_s: NDArray[np.float64]
    off_axis_rad_s: NDArray[np.float64]

    @property
    def survived(self) -> NDArray[np.float64]:
        """1 where the object was held to the end, else 0, (N,)."""
        return (self.held_s >= EPISODE_S - 1e-9).astype(np.float64)


def load_episodes(path: Path) -> Outcomes:
    """Read what ``main`` wrote."""
    with np.load(path) as file:
        return Outcomes(**{field.name: file[field.name] for field in dataclasses.fields(Outcomes)})


def _test(arguments: argparse.Namespace) -> Episodes:
    base = World.load(arguments.world)
    world = dataclasses.replace(base, wrist=arguments.wrist, physics=arguments.physics)
    env = unseen_env(
        world, parse_axis(arguments.axis), arguments.episodes, TEST_SEEDS + arguments.seed, OBJECTS_ONLY,
        threads=arguments.threads,
    )  # fmt: skip
    control = open_controller(arguments.policy, arguments.residual, arguments.episodes)
    bar = Progress(EnvConfig.episode_steps, f"test {world.name} {world.wrist}")
    try:
        return run_episodes(env, control, lambda step: bar.update(step))
    finally:
        bar.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the episodes of one test and write them."""
    parser = argparse.ArgumentParser(prog="python -m dexndm_ros.training.compare.evaluation")
    for name in ("out", "world", "wrist"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--axis", default="+z")
    parser.add_argument("--policy", default="cylinder_z")
    parser.add_argument("--residual", default="")
    parser.add_argument("--physics", default="ref")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args(argv)
    episodes = _test(arguments)
    out = Path(arguments.out)
    partial = out.with_name(f"part.{out.name}")
    np.savez(
        partial,
        rotation_rad=episodes.turned_rad,
        held_s=episodes.held * EPISODE_S,
        off_axis_rad_s=episodes.off_axis_rad_s,
    )
    partial.replace(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
