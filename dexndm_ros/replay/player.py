# SPDX-License-Identifier: Apache-2.0
"""What the hand is told, tick by tick: a ramp to the first pose of a trajectory, then its 400 targets.

Pure and open loop: the targets do not depend on what the hand does with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.campaign import MotionConfig
from dexndm_ros.replay.ledger import Claim
from dexndm_ros.replay.noise import NoiseConfig, executed, noise

__all__ = ["Loaded", "Player", "PlayerTick", "load"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Loaded:
    """A trajectory, ready to be replayed.

    Attributes:
        claim: its row in the ledger.
        clean_rad: targets from the library, (steps, 16), motor order.
        noise_rad: what is added to them, (steps, 16).
        target_rad: what is sent, (steps, 16): their sum within the joint limits.
        axis: rotation axis that the trajectory was made for, palm frame; zero for none.
    """

    claim: Claim
    clean_rad: Vector
    noise_rad: Vector
    target_rad: Vector
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def episode(self) -> str:
        """Name of its recording."""
        return self.claim.episode

    @property
    def steps(self) -> int:
        """Length in ticks."""
        return len(self.target_rad)


def load(
    claim: Claim,
    clean_rad: Vector,
    config: NoiseConfig,
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Loaded:
    """Draw the noise of a claimed row and add it to the clean targets, (steps, 16)."""
    added = noise(config, claim.seed, len(clean_rad))
    return Loaded(claim, clean_rad, added, executed(clean_rad, added), axis)


class PlayerTick(NamedTuple):
    """One tick.

    Attributes:
        target: joint targets to send, (16,) rad.
        step: step of the trajectory; None while ramping or waiting at its first pose.
    """

    target: Vector
    step: int | None


class Player:
    """Plays one trajectory.

    Args:
        loaded: the trajectory.
        start_rad: last target sent, or the measured pose, (16,).
        speed_rad_s: of the fastest joint during the ramp.
        period_s: time between ticks.
    """

    def __init__(
        self, loaded: Loaded, start_rad: Vector, speed_rad_s: float, period_s: float
    ) -> None:
        self.loaded = loaded
        first = loaded.target_rad[0]
        distance_rad = float(np.abs(first - start_rad).max())
        count = max(1, math.ceil(distance_rad / (speed_rad_s * period_s) - 1e-9))
        # The last pose of the ramp is the first target itself, sent as step 0.
        share = np.arange(1, count)[:, None] / count
        self._ramp = start_rad + share * (first - start_rad)
        self._at = 0
        self._step = 0

    @property
    def step(self) -> int:
        """The step that comes next; ``loaded.steps`` when all have been sent."""
        return self._step

    @property
    def ramped(self) -> bool:
        """Whether the next tick may be the first step."""
        return self._at == len(self._ramp)

    @property
    def done(self) -> bool:
        """All targets have been sent."""
        return self._step == self.loaded.steps

    def tick(self, may_step: bool) -> PlayerTick:
        """The next target.

        Args:
            may_step: False waits at the end of the ramp, before the first step.
        """
        if not self.ramped:
            self._at += 1
            return PlayerTick(self._ramp[self._at - 1], None)
        if self._step == 0 and not may_step:
            return PlayerTick(self.loaded.target_rad[0], None)
        step = min(self._step, self.loaded.steps - 1)
        if self.done:
            return PlayerTick(self.loaded.target_rad[step], None)
        self._step += 1
        return PlayerTick(self.loaded.target_rad[step], step)


def ramp_speed(motion: MotionConfig, fresh: bool) -> float:
    """Speed of the ramp, rad/s: slow from a pose that somebody or something else left the hand in."""
    return motion.approach_rad_s if fresh else motion.transition_rad_s
