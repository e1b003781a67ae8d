# SPDX-License-Identifier: Apache-2.0
"""The noise on replayed targets, so drawn that anybody can recompute it from the recorded seed.

With probability 0.5 an action (all 16 joints of one step together) gets Gaussian noise of 0.01 rad
(paper, sections 3.3 and B.4). ``RandomState``'s streams are frozen for good (NEP 19), and the noise is
rounded to float32, so that a logarithm that differs in its last bit gives the same targets.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD

__all__ = [
    "NoiseConfig",
    "NoiseError",
    "clean_step_limit_rad",
    "executed",
    "noise",
    "trajectory_seed",
]

MAX_SIGMA_RAD = 0.05
"""More than this is no noise on a target but a command of its own."""
_ROOM_SIGMAS = 6.0
_LEAST_STEP_RAD = 0.05  # a little more than a policy's largest step, 1/24 rad


class NoiseError(ValueError):
    """A noise setting or a seed that cannot be used; the message names it and what is allowed."""


@dataclass(frozen=True)
class NoiseConfig:
    """How much noise, how often.

    Attributes:
        probability: of an action to get noise, all joints together; 0 to 1.
        sigma_rad: standard deviation of each joint's noise; 0 to 0.05 rad.

    Raises:
        NoiseError: a value outside its range.
    """

    probability: float = 0.5
    sigma_rad: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what is no probability or no noise."""
        for name, most in (("probability", 1.0), ("sigma_rad", MAX_SIGMA_RAD)):
            value = getattr(self, name)
            if not 0.0 <= value <= most:
                raise NoiseError(f"noise {name} must be from 0 to {most:g}, got {value}")

    @property
    def silent(self) -> bool:
        """Whether no action ever gets noise."""
        return self.probability == 0.0 or self.sigma_rad == 0.0


def noise(config: NoiseConfig, seed: int, steps: int = 400) -> NDArray[np.float64]:
    """The noise of one trajectory, (steps, 16) rad, motor order; the same for the same arguments.

    The draws do not depend on the configuration: another sigma scales the same noise.

    Args:
        config: probability and sigma.
        seed: the trajectory's seed, 0 to 2**63 - 1.
        steps: actions of the trajectory.

    Raises:
        NoiseError: a seed outside its range.
    """
    if not 0 <= seed < 2**63:
        raise NoiseError(f"a noise seed must be from 0 to 2**63 - 1, got {seed}")
    stream = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32])
    noisy = stream.random_sample(steps) < config.probability
    drawn = (stream.standard_normal((steps, JOINT_COUNT)) * config.sigma_rad).astype(np.float32)
    return np.where(noisy[:, None], drawn.astype(np.float64), 0.0)


def executed(clean_rad: ArrayLike, noise_rad: ArrayLike) -> NDArray[np.float64]:
    """What is sent to the hand: the sum, clipped to the joint limits after the addition.

    Args:
        clean_rad: targets of the library, (..., 16).
        noise_rad: noise, (..., 16).
    """
    return np.clip(np.add(clean_rad, noise_rad, dtype=np.float64), LOWER_RAD, UPPER_RAD)


def trajectory_seed(campaign_seed: int, entry: int) -> int:
    """The noise seed of a row of a campaign's plan, 63 bit; all attempts at the row share it."""
    digest = hashlib.sha256(f"{campaign_seed}/{entry}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def clean_step_limit_rad(
    config: NoiseConfig, max_step_rad: float = GuardConfig.max_step_rad
) -> float:
    """Largest step of a clean target that leaves room for the noise below the guard's step limit.

    The difference of two noisy targets has a deviation of sqrt(2) sigma, and the room is six of these:
    with the defaults 0.065 rad remain of 0.15, where a policy uses 1/24. The room ends at 0.05 rad, so that
    a policy's rollouts stay usable with a sigma above 0.0118. What passes the guard's limit all the same
    is not lost: the guard gives its allowance at once and the rest as the allowance refills (3 rad/s), that
    is a few milliseconds later in the same tick, and counts the command as limited.

    Args:
        config: the noise that will be added; without any, the whole limit is left.
        max_step_rad: the guard's limit for a command period.
    """
    if config.silent:
        return max_step_rad
    room = _ROOM_SIGMAS * math.sqrt(2.0) * config.sigma_rad
    return max(max_step_rad - room, min(_LEAST_STEP_RAD, max_step_rad))
