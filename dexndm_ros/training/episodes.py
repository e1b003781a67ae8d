# SPDX-License-Identifier: Apache-2.0
"""Episodes of a test: what a policy did with objects and grasps that no training has seen.

Metrics of paper, section 4: RotR, the angle turned about the axis until the object is lost or the time is up; TTF, how
long it was held; RotP, the mean rotation rate about other axes; goal-oriented success; and the survival angle, quarter
turns until then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import GraspConfig, make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import Controller

__all__ = ["GOAL_THRESHOLD_RAD", "TEST_SEED", "Episodes", "run_episodes", "run_goals", "unseen_env"]

Array = NDArray[np.float64]
TEST_SEED = 1_000_003
"""Added to an evaluation seed, so that no evaluation shares worlds or grasps with a training seed."""
GOAL_THRESHOLD_RAD = 0.1 * math.pi
"""How near counts as a goal that is reached (paper, section 4)."""


@dataclass(frozen=True)
class Episodes:
    """One row an episode.

    Attributes:
        turned_rad: angle about the axis until the end, (N,).
        held: share of the episode the object was held, (N,).
        off_axis_rad_s: mean off-axis rate while held, (N,).
    """

    turned_rad: Array
    held: Array
    off_axis_rad_s: Array

    def summary(self, rows: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Means over the episodes (or those of the masked rows), and the share that survived to the end."""
        rows = np.ones(len(self.held), dtype=bool) if rows is None else rows
        turned, held = self.turned_rad[rows], self.held[rows]
        return {
            "rotation_rad": float(turned.mean()),
            "rotation_median_rad": float(np.median(turned)),
            "quarter_turns": float(np.floor(np.maximum(turned, 0.0) / (0.5 * np.pi)).mean()),
            "held": float(held.mean()),
            "survived": float((held >= 1.0).mean()),
            "off_axis_rad_s": float(self.off_axis_rad_s[rows].mean()),
        }


def run_episodes(
    env: RotationEnv, control: Controller, on_step: Callable[[int], None] | None = None
) -> Episodes:
    """One episode in every environment (built without automatic reset)."""
    steps = env.config.episode_steps
    alive = np.ones(env.count, dtype=bool)
    turned, held, off_axis = np.zeros(env.count), np.zeros(env.count), np.zeros(env.count)
    for step in range(steps):
        result = control(env, step == 0)
        alive &= ~result.terminated
        turned += np.where(alive, result.turned_rad, 0.0)
        off_axis += np.where(alive, result.off_axis_rad, 0.0)
        held += alive
        if on_step is not None:
            on_step(step + 1)
    seconds = np.maximum(held, 1) * env.batch.control_period_s
    return Episodes(turned, held / steps, off_axis / seconds)


def run_goals(
    env: RotationEnv, control: Controller, seed: int, on_step: Callable[[int], None] | None = None
) -> NDArray[np.bool_]:
    """Goal-oriented episodes: turn each object until it lies like a goal that is drawn at random.

    The rotation axis is that from the object to its goal, anew in each control step.

    Args:
        env: built without automatic reset, and with no limit on the tilt of objects.
        control: what turns them.
        seed: of the goals.
        on_step: told how many steps are done.

    Returns:
        Which objects came within ``GOAL_THRESHOLD_RAD`` of their goal before they were lost and before the time was
        up, (N,).
    """
    goal = Rotation.random(env.count, rng=np.random.default_rng(seed))
    alive, reached = np.ones(env.count, dtype=bool), np.zeros(env.count, dtype=bool)
    for step in range(env.config.episode_steps):
        env.axes = _towards(goal, env.batch.object_rotation, env.axes)
        alive &= ~control(env, step == 0).terminated
        near = (goal * env.batch.object_rotation.inv()).magnitude() < GOAL_THRESHOLD_RAD
        reached |= alive & near
        if on_step is not None:
            on_step(step + 1)
    return reached


def _towards(goal: Rotation, now: Rotation, before: Array) -> Array:
    """Unit axes of the shortest rotations, (N, 3); as before where there is none left to make."""
    turn = (goal * now.inv()).as_rotvec()
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    return np.where(angle > 1e-6, turn / np.maximum(angle, 1e-6), before)


def unseen_env(
    base: World,
    axis: Array,
    episodes: int,
    seed: int,
    ranges: Randomisation | None,
    grasps: GraspConfig | None = None,
    config: EnvConfig | None = None,
    threads: int = 2,
    first: int = 0,
) -> RotationEnv:
    """Worlds and grasps of an evaluation seed, without automatic reset; ``first`` as of ``draw_worlds``.

    Grasps that must hold under every wrist are made palm down, so every wrist has the same ones.
    """
    worlds = draw_worlds(base, episodes, ranges, seed + TEST_SEED, first)
    batch = HandBatch(worlds, threads)
    count, grasp_seed = max(2 * episodes, 64), seed + TEST_SEED
    if grasps is not None and grasps.tilt_steps:
        down = [dataclasses.replace(world, wrist="palm_down") for world in worlds]
        cache = make_grasps(down, count, grasp_seed, grasps, threads)
    else:
        cache = make_grasps(worlds, count, grasp_seed, grasps, batch=batch)
    settings = dataclasses.replace(config or EnvConfig(), auto_reset=False)
    return RotationEnv(worlds, cache, axis, settings, seed + TEST_SEED, threads, batch)
