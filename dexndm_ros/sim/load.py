# SPDX-License-Identifier: Apache-2.0
"""Random load on the joints of a free hand: what a box of balls does to it, at a hundredth of the price.

Now and then, each joint on its own, a new load takes hold: a torque that does not depend on the angle, and sometimes a
one-sided spring, like a ball that a finger runs into. A dynamics model that never saw a joint held back knows little of
a hand with an object in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.sim.batch import JointLoad

__all__ = ["HandLoad", "LoadConfig", "LoadError", "LoadSchedule", "draw_load"]

Array = NDArray[np.float64]


class LoadError(ValueError):
    """A load that cannot be; the message names the key and what is allowed."""


@dataclass(frozen=True)
class LoadConfig:
    """How hard, how often. The defaults are as strong as servos of 0.26 N·m can stand for long.

    Attributes:
        scale: factor on torque and stiffness; 0 is a free hand, 0.5 half load.
        torque_nm: standard deviation of a joint's torque.
        spring_nm_rad: stiffest spring; a spring's stiffness is drawn evenly from 0 to it.
        spring_share: probability that a joint's load has a spring.
        change_s: mean time until a joint gets another load.
        limit_nm: most that a load does to a joint.

    Raises:
        LoadError: a value outside its range.
    """

    scale: float = 1.0
    torque_nm: float = 0.05
    spring_nm_rad: float = 2.0
    spring_share: float = 0.3
    change_s: float = 1.0
    limit_nm: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what would break the hand, or is no load at all."""
        ranges = {
            "scale": (0.0, 10.0),
            "torque_nm": (0.0, 1.0),
            "spring_nm_rad": (0.0, 20.0),
            "spring_share": (0.0, 1.0),
            "change_s": (0.05, 1e6),
            "limit_nm": (0.0, 2.0),
        }
        for key, (least, most) in ranges.items():
            value = getattr(self, key)
            if not least <= value <= most:
                raise LoadError(f"load.{key} must be from {least:g} to {most:g}, got {value}")

    @property
    def none(self) -> bool:
        """Whether nothing ever loads the hand."""
        return not (
            self.scale and self.limit_nm and (self.torque_nm or self.spring_share * self.spring_nm_rad)
        )  # fmt: skip


@dataclass(frozen=True)
class LoadSchedule:
    """The load on one hand over an episode; arrays (steps, 16).

    Attributes:
        torque_nm: torque on the joint.
        wall_rad: where the spring begins.
        stiffness_nm_rad: of the spring; 0 = there is none. Positive holds back motion to larger angles, negative
            motion to smaller ones.
        limit_nm: most that both together do.
    """

    torque_nm: Array
    wall_rad: Array
    stiffness_nm_rad: Array
    limit_nm: float


def draw_load(config: LoadConfig, seed: int, targets_rad: Array, period_s: float) -> LoadSchedule:
    """A schedule that depends on its arguments alone.

    Args:
        config: how hard, how often.
        seed: of the draws, 0 to 2**63 - 1.
        targets_rad: what the hand will be told, (steps, 16); walls stand within its range.
        period_s: length of a step.
    """
    stream = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, 0x10AD])
    shape = targets_rad.shape
    anew = stream.random_sample(shape) < period_s / config.change_s
    anew[0] = True
    torque = stream.standard_normal(shape) * config.torque_nm
    low, high = targets_rad.min(axis=0), targets_rad.max(axis=0)
    wall = low + stream.random_sample(shape) * (high - low)
    stiffness = stream.random_sample(shape) * config.spring_nm_rad
    side = np.where(stream.random_sample(shape) < 0.5, -1.0, 1.0)
    there = stream.random_sample(shape) < config.spring_share
    since = np.maximum.accumulate(np.where(anew, np.arange(shape[0])[:, None], 0), axis=0)

    def held(values: Array) -> Array:
        return np.take_along_axis(values, since, axis=0)

    return LoadSchedule(
        held(config.scale * torque),
        held(wall),
        held(np.where(there, config.scale * side * stiffness, 0.0)),
        config.limit_nm,
    )


class HandLoad:
    """The loads on N hands, for ``HandBatch.step``.

    Args:
        schedules: one a hand, of equal lengths.
    """

    def __init__(self, schedules: Sequence[LoadSchedule]) -> None:
        self._torque = np.stack([each.torque_nm for each in schedules], axis=1)
        self._wall = np.stack([each.wall_rad for each in schedules], axis=1)
        self._stiffness = np.stack([each.stiffness_nm_rad for each in schedules], axis=1)
        self._limit = np.array([each.limit_nm for each in schedules])[:, None]
        assert self._torque.shape[2] == JOINT_COUNT

    def at(self, step: int) -> JointLoad:
        """The load during a step."""
        offset, wall, stiffness = self._torque[step], self._wall[step], self._stiffness[step]

        def torque(q: Array, qd: Array) -> Array:
            depth = np.maximum(np.sign(stiffness) * (q - wall), 0.0)
            return np.clip(offset - stiffness * depth, -self._limit, self._limit)

        return torque
