# SPDX-License-Identifier: Apache-2.0
"""Free hands in the simulator that are told what a recorded hand was told, and what following it is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.split import split_episodes
from dexndm_ros.sim.batch import HandBatch, JointLoad
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.corrections.config import RewardConfig
from dexndm_ros.training.corrections.errors import CorrectionError
from dexndm_ros.training.stretches import Stretch, stretches_of_dataset

__all__ = ["Follower", "following_reward", "recorded_stretches", "velocities"]

Array = NDArray[np.float64]


def recorded_stretches(
    folders: Sequence[str], wrist: str, side: Literal["train", "val"]
) -> list[Stretch]:
    """Stretches of the trajectories to learn from, or of those held out.

    Args:
        folders: datasets.
        wrist: where a dataset does not know it.
        side: which.

    Raises:
        DatasetError: no dataset.
        CorrectionError: there is nothing on this side.
    """
    found = []
    for folder in folders:
        wanted = set(split_episodes(folder)[0 if side == "train" else 1].tolist())
        found += [s for s in stretches_of_dataset(Path(folder), wrist) if s.episode in wanted]
    if not found:
        which = "to learn from" if side == "train" else "held out (one in ten is)"
        raise CorrectionError(
            f"{', '.join(folders)}: no valid trajectory {which}; give more trajectories"
        )
    return found


def velocities(q: Array, period_s: float) -> Array:
    """Joint velocities by central differences, (M, 16) rad/s from (M, 16) rad."""
    return np.gradient(q, period_s, axis=0)


def following_reward(error: Array, config: RewardConfig) -> Array:
    """sum_k w_k exp(-c_k e^2) - l |e|, the mean over the last axis, not scaled.

    Args:
        error: recorded minus simulated angles, (..., joints) rad.
        config: w, c and l.
    """
    square = error**2
    worth = -config.error_per_rad * np.abs(error)
    for sharpness, weight in zip(config.sharpness_per_rad2, config.weights, strict=True):
        worth = worth + weight * np.exp(-sharpness * square)
    return np.asarray(worth.mean(axis=-1))


class Follower:
    """N hands; each follows a recorded stretch of its wrist for some steps, then another from a random row on.

    Args:
        stretches: what was recorded.
        world: the simulator; each hand gets the wrist of the recordings it follows.
        hands: N.
        steps: control steps of an episode.
        seed: of the starts.
        threads: physics threads.

    Attributes:
        batch: the hands.
        row: where each is in the recording, (N,).
        age: control steps of the running episodes, (N,).

    Raises:
        CorrectionError: no stretch is as long as an episode.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        world: World,
        hands: int,
        steps: int,
        seed: int,
        threads: int,
    ) -> None:
        long = sorted((s for s in stretches if len(s.q) > steps), key=lambda s: s.wrist)
        if not long:
            raise CorrectionError(
                f"no stretch of {steps + 1} valid rows in the data; shorten episode_s"
            )
        self._q = np.concatenate([s.q for s in long])
        self._action = np.concatenate([s.action for s in long])
        self._held = np.concatenate([np.vstack([s.action[:1], s.action[:-1]]) for s in long])
        ends = np.cumsum([len(s.q) for s in long])
        starts = [np.arange(end - len(s.q), end - steps) for s, end in zip(long, ends, strict=True)]
        counts = np.cumsum([len(each) for each in starts])
        # Hands are spread over the starts in the order of wrists: as many of each as there is motion of it.
        of_hand = np.searchsorted(counts, (np.arange(hands) + 0.5) / hands * counts[-1])
        self._wrists = [long[k].wrist for k in of_hand]
        self._starts = {
            wrist: np.concatenate(
                [each for s, each in zip(long, starts, strict=True) if s.wrist == wrist]
            )
            for wrist in dict.fromkeys(self._wrists)
        }
        worlds = [dataclasses.replace(world, wrist=wrist) for wrist in self._wrists]
        self.batch = HandBatch(worlds, threads)
        self.steps = steps
        self._period_s = self.batch.control_period_s
        self._qd = np.concatenate([velocities(s.q, self._period_s) for s in long])
        self._rng = np.random.default_rng(seed)
        self.row = np.zeros(hands, dtype=np.int64)
        self.age = np.zeros(hands, dtype=np.int64)
        self.begin(np.ones(hands, dtype=bool))
        # Not all at once: else every update would see one phase of the episodes only.
        self.age = self._rng.integers(0, steps, hands)

    def begin(self, mask: NDArray[np.bool_]) -> None:
        """New episodes of the masked hands, in the recorded state of a random row."""
        hands = np.flatnonzero(mask)
        for k in hands:
            self.row[k] = self._rng.choice(self._starts[self._wrists[k]])
        rows = self.row[hands]
        self.batch.set_state(hands, self._q[rows], target=self._held[rows], velocity=self._qd[rows])
        self.age[hands] = 0

    @property
    def held(self) -> Array:
        """Targets before the next step, (N, 16) rad."""
        return self._held[self.row]

    @property
    def command(self) -> Array:
        """Targets that the recorded hand was told in the next step, (N, 16) rad."""
        return self._action[self.row]

    @property
    def recorded(self) -> Array:
        """Angles of the recorded hand now, (N, 16) rad."""
        return self._q[self.row]

    def between(self, share: float) -> Array:
        """Recorded angles in the course of the next step, by a cubic through both ends and velocities.

        Args:
            share: of the step, 0 to 1.
        """
        q, after = self._q[self.row], self._q[self.row + 1]
        rise, fall = (self._period_s * self._qd[self.row + k] for k in (0, 1))
        s = share
        return np.asarray(
            (1 + 2 * s) * (1 - s) ** 2 * q + s * (1 - s) ** 2 * rise
            + s**2 * (3 - 2 * s) * after - s**2 * (1 - s) * fall
        )  # fmt: skip

    def step(self, sent: Array, load: JointLoad | None = None) -> NDArray[np.bool_]:
        """Advance one control step; returns which episodes are over, (N,). ``begin`` them before the next."""
        self.batch.step(sent, load)
        self.row += 1
        self.age += 1
        return self.age >= self.steps
