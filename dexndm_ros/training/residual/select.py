# SPDX-License-Identifier: Apache-2.0
"""Choice by what counts: the base policy with each residual turns the same objects from the same grasps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspCache
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import OBJECTS_ONLY, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import run_episodes
from dexndm_ros.training.progress import Progress
from dexndm_ros.training.residual.config import SelectConfig

__all__ = ["NO_RESIDUAL", "SELECT_SEED", "select"]

SELECT_SEED = 2_000_003
"""Added to the run's seed, so that nothing is chosen on objects or grasps that a test uses."""
NO_RESIDUAL = "none"
_FINALISTS = 3
_BETWEEN_ROUNDS = 100_000
_TOLD = ("rotation_rad", "held")


@dataclass(frozen=True)
class _Place:
    """Hands, objects and grasps of one wrist and axis."""

    name: str
    axis: np.ndarray
    worlds: list[World]
    batch: HandBatch
    grasps: GraspCache
    seed: int

    def env(self) -> RotationEnv:
        """Fresh episodes, the same ones each time."""
        return RotationEnv(
            self.worlds, self.grasps, self.axis, EnvConfig(auto_reset=False), self.seed, batch=self.batch
        )  # fmt: skip


def select(
    config: SelectConfig, base: str, residuals: Mapping[str, Path], seed: int, threads: int
) -> dict[str, Any]:
    """Roll out the base policy alone and with each residual.

    Args:
        config: where and how often.
        base: policy file or shipped name.
        residuals: residual files by name.
        seed: of the run.
        threads: physics threads.

    Returns:
        ``chosen`` (a name, or "none" where the base alone does as well), ``best`` (the best residual), and in ``rows``
        for each name episodes, mean rotation (rad) and share of the time held, over all places and in each.
    """
    names = {NO_RESIDUAL: ""} | {name: str(path) for name, path in residuals.items()}
    world = dataclasses.replace(World.load(config.world), physics=config.physics)
    first = max(1, config.episodes // 4) if len(residuals) > _FINALISTS else config.episodes
    rows = _roll_out(config, world, base, names, first, SELECT_SEED + seed, threads)
    if first < config.episodes:
        best = sorted(residuals, key=lambda name: -float(rows[name]["rotation_rad"]))[:_FINALISTS]
        names = {name: names[name] for name in (NO_RESIDUAL, *best)}
        # Other objects than in the first round, whose winners were lucky there.
        second = SELECT_SEED + _BETWEEN_ROUNDS + seed
        rows |= _roll_out(config, world, base, names, config.episodes, second, threads)
    finalists = [name for name in names if name != NO_RESIDUAL]
    best_name = max(finalists, key=lambda name: float(rows[name]["rotation_rad"]))
    enough = config.least_gain * rows[NO_RESIDUAL]["rotation_rad"]
    chosen = best_name if rows[best_name]["rotation_rad"] >= enough else NO_RESIDUAL
    return {"chosen": chosen, "best": best_name, "world": config.world, "rows": rows}


def _roll_out(
    config: SelectConfig, world: World, base: str, names: Mapping[str, str], episodes: int, seed: int, threads: int
) -> dict[str, dict[str, Any]]:  # fmt: skip
    places = [
        _place(world, wrist, axis, episodes, seed, threads)
        for wrist in config.wrist.split(",")
        for axis in config.axis.split(",")
    ]
    bar = Progress(len(places) * len(names), f"choosing by rollouts, {episodes} objects")
    rows: dict[str, dict[str, Any]] = {}
    for name, file in names.items():
        of_place: dict[str, dict[str, float]] = {}
        for place in places:
            control = open_controller(base, file, episodes)
            summary = run_episodes(place.env(), control).summary()
            of_place[place.name] = {key: summary[key] for key in _TOLD}
            bar.update(
                len(rows) * len(places) + len(of_place), f"{name} {summary['rotation_rad']:.1f} rad"
            )
        means = {key: float(np.mean([place[key] for place in of_place.values()])) for key in _TOLD}
        rows[name] = {"episodes": episodes, **means, "places": of_place}
    bar.close()
    return rows


def _place(base: World, wrist: str, axis: str, episodes: int, seed: int, threads: int) -> _Place:
    worlds = draw_worlds(dataclasses.replace(base, wrist=wrist), episodes, OBJECTS_ONLY, seed)
    batch = HandBatch(worlds, threads)
    grasps = make_grasps(worlds, max(2 * episodes, 64), seed, batch=batch)
    return _Place(f"{wrist} {axis}", parse_axis(axis), worlds, batch, grasps, seed)
