# SPDX-License-Identifier: Apache-2.0
"""Rollouts of oracles as training data: what the hand felt, and what the oracle would have done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dexndm_ros.sim.env import RotationEnv
from dexndm_ros.training.controllers import ActionNoise

__all__ = ["RolloutBatch", "Task", "collect", "label_by_task"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One wrist and axis with the oracle that masters it.

    Attributes:
        wrist: wrist orientation by name.
        axis: rotation axis, as ``parse_axis`` reads it.
        oracle: run folder.
    """

    wrist: str
    axis: str
    oracle: str


@dataclass(frozen=True)
class RolloutBatch:
    """Steps of many episodes, flat.

    Attributes:
        observation: proprioceptive observations, (M, 327) float32.
        action: the oracle's deterministic action there, in [-1, 1], (M, 16) float32.
        survived: share of the episodes that lasted to the end.
        turned_rad: mean angle turned by the episodes.
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    survived: float
    turned_rad: float


def label_by_task(
    actors: Sequence[torch.nn.Module], rows: Sequence[slice]
) -> Callable[[RotationEnv], Array]:
    """The oracles' actions for an environment whose hands are grouped by task."""

    def label(env: RotationEnv) -> Array:
        obs = torch.from_numpy(env.privileged())
        out = np.empty((env.count, 16))
        with torch.inference_mode():
            for actor, group in zip(actors, rows, strict=True):
                part = obs[group]
                out[group] = actor(part).numpy()
        return np.clip(out, -1.0, 1.0)

    return label


def collect(
    env: RotationEnv,
    label: Callable[[RotationEnv], Array],
    act: Callable[[RotationEnv], Array] | None,
    noise_std: float,
    rng: np.random.Generator,
    keep_all: bool = False,
) -> RolloutBatch:
    """One episode in every environment (built without automatic reset).

    Args:
        env: freshly reset environment.
        label: the oracle's action, (N, 16).
        act: who drives: None for the oracle itself, or the student's action (N, 16).
        noise_std: noise on the driver's action, see ``ActionNoise``.
        rng: of the noise.
        keep_all: also keep episodes that ended in a fall, up to the fall. Otherwise survivors only.
    """
    env.reset()
    steps = env.config.episode_steps
    observations = np.empty((steps, env.count, 327), dtype=np.float32)
    actions = np.empty((steps, env.count, 16), dtype=np.float32)
    alive = np.ones((steps, env.count), dtype=bool)
    noise = ActionNoise(env.count, noise_std, rng)
    turned = np.zeros(env.count)
    living = np.ones(env.count, dtype=bool)
    for step in range(steps):
        observations[step] = env.proprioceptive()
        wanted = label(env)
        actions[step] = wanted
        alive[step] = living
        driven = wanted if act is None else act(env)
        result = env.step(driven + noise.draw())
        living &= ~result.terminated
        turned += np.where(living, result.turned_rad, 0.0)
    keep = alive if keep_all else alive & living
    return RolloutBatch(
        observations[keep], actions[keep], float(living.mean()), float(turned.mean())
    )
