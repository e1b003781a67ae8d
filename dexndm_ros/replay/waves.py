# SPDX-License-Identifier: Apache-2.0
"""Base waves: the paper's alternative to replaying rollouts (section C, "Collecting via Base Waves").

One joint moves about the middle of its range while the others stand in the middle of theirs: a sine
sigma sin(2 omega t), a square A sign(sin(2 omega t)), or the square with Gaussian noise of 0.01 rad;
sigma, A ~ U(0.5, 1) rad, omega ~ U(0.2, 0.5) rad/s, 20 s at 20 Hz.

A square wave jumps by up to 2 rad at once, which no guard lets pass. The square is therefore slewed: the target
runs to each level at the step limit, which makes the edges ramps of up to 1.6 s under the usual noise, and of up
to 0.7 s (3 rad/s) in a campaign without noise, where the whole of the guard's limit is free. The noisy square
is slewed after its noise was added, so that a noisy step keeps to the limit too.

Joints that self-collide while the others stand still are not chosen. The paper names "the joint between mcp link
to pip link": in the URDF's names (``mcp_joint`` -> ``pip``) that is the side joint of index, middle and ring, which
drives a finger 20 mm into its neighbour in our model. There index_mcp_forward also meets the thumb (8 mm) and
thumb_mcp the middle finger (6 mm), so these two are left out as well.
"""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, SIDE_JOINTS, UPPER_RAD
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.trajectory import (
    ANY_WRIST,
    CLEAN_STEP_LIMIT_RAD,
    RATE_HZ,
    STEPS,
    LibraryError,
    Trajectory,
)

__all__ = ["KINDS", "WAVE_JOINTS", "BaseWaves"]

KINDS = ("sine", "square", "noise")
"""Kinds of waves; ``noise`` is the square with noise."""
_COLLIDING = (*SIDE_JOINTS, JOINT_NAMES.index("index_mcp_forward"), JOINT_NAMES.index("thumb_mcp"))
WAVE_JOINTS: tuple[int, ...] = tuple(j for j in range(JOINT_COUNT) if j not in _COLLIDING)
"""Motor IDs that waves move."""
MIDDLE_RAD: NDArray[np.float64] = (LOWER_RAD + UPPER_RAD) / 2
"""Where the others stand, (16,), motor order."""
_PAPER = {"sine": 2000, "square": 1000, "noise": 1000}
_NOISE_SIGMA_RAD = 0.01
_MOST = 1_000_000
_VERSION = 1  # of the draws: a change gives other targets for the same seed


class BaseWaves:
    """A ``TrajectorySource`` of waves, the same for every wrist; nothing is stored.

    Ids run through the sines, then the squares, then the noisy squares.

    Args:
        seed: of all draws.
        counts: trajectories of each kind, keys of ``KINDS``; the paper's 2000, 1000, 1000 by default.
        step_limit_rad: most that a joint may move in a step.

    Raises:
        LibraryError: an unknown kind, a negative count, none or more than a million trajectories.
    """

    def __init__(
        self,
        seed: int = 0,
        counts: dict[str, int] | None = None,
        step_limit_rad: float = CLEAN_STEP_LIMIT_RAD,
    ) -> None:
        asked = dict(_PAPER if counts is None else counts)
        for kind, count in asked.items():
            if kind not in KINDS or count < 0:
                raise LibraryError(
                    f"waves: {kind}:{count}; kinds are {', '.join(KINDS)}, counts must not be negative"
                )
        if not 0 < sum(asked.values()) <= _MOST:
            raise LibraryError(
                f"waves: {sum(asked.values())} trajectories are asked for; it must be 1 to {_MOST}"
            )
        if not 0 <= seed < 2**63:
            raise LibraryError(f"waves: the seed must be from 0 to 2**63 - 1, got {seed}")
        self.seed = seed
        self.counts = {kind: asked.get(kind, 0) for kind in KINDS}
        self.step_limit_rad = step_limit_rad

    @classmethod
    def parse(
        cls, text: str, seed: int = 0, step_limit_rad: float = CLEAN_STEP_LIMIT_RAD
    ) -> BaseWaves:
        """Waves from ``waves`` (the paper's counts) or ``waves:sine:2000,square:1000,noise:1000``.

        Raises:
            LibraryError: anything else.
        """
        if text == "waves":
            return cls(seed, None, step_limit_rad)
        parts = re.findall(r"(?:^waves:|,)(\w+):(\d+)", text)
        rebuilt = "waves:" + ",".join(f"{kind}:{count}" for kind, count in parts)
        if not parts or rebuilt != text or len({kind for kind, _ in parts}) != len(parts):
            raise LibraryError(
                f"{text!r} names no base waves; write waves or waves:KIND:COUNT,... with each kind of "
                f"{', '.join(KINDS)} once at most"
            )
        return cls(seed, {kind: int(count) for kind, count in parts}, step_limit_rad)

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def sha256(self) -> str:
        """Fingerprint of everything the targets follow from."""
        text = json.dumps([_VERSION, self.seed, self.counts, self.step_limit_rad])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def wrists(self) -> tuple[str, ...]:
        """All wrists: waves know no up and down."""
        return tuple(WRISTS)

    def ids(self, wrist: str) -> NDArray[np.int64]:
        """All ids, whatever the wrist.

        Raises:
            LibraryError: an unknown wrist.
        """
        if wrist not in (*WRISTS, ANY_WRIST):
            raise LibraryError(f"waves: wrist {wrist!r} is none of {', '.join(WRISTS)}")
        return np.arange(len(self), dtype=np.int64)

    def trajectory(self, trajectory_id: int) -> Trajectory:
        """One wave.

        Raises:
            LibraryError: no such id.
        """
        kind = self._kind(trajectory_id)
        # RandomState's streams are frozen (NEP 19): the same id gives the same wave on every numpy.
        words = [self.seed & 0xFFFFFFFF, self.seed >> 32, trajectory_id, _VERSION]
        stream = np.random.RandomState(words)
        joint = WAVE_JOINTS[stream.randint(len(WAVE_JOINTS))]
        size_rad, omega_rad_s = stream.uniform(0.5, 1.0), stream.uniform(0.2, 0.5)
        wave = np.sin(2.0 * omega_rad_s * np.arange(STEPS) / RATE_HZ)
        if kind != "sine":
            wave = np.sign(wave)
        wanted = MIDDLE_RAD[joint] + size_rad * wave
        if kind == "noise":
            wanted = wanted + stream.standard_normal(STEPS) * _NOISE_SIGMA_RAD
        wanted = np.clip(wanted, LOWER_RAD[joint], UPPER_RAD[joint])
        targets = np.tile(MIDDLE_RAD, (STEPS, 1))
        targets[:, joint] = _slewed(wanted, MIDDLE_RAD[joint], self.step_limit_rad)
        return Trajectory(
            id=int(trajectory_id),
            wrist=ANY_WRIST,
            axis=(0.0, 0.0, 0.0),
            object_set="none",
            source=f"waves/{kind}/{JOINT_NAMES[joint]}",
            # As float32, like a library's: a sine of another libm gives the same targets.
            targets_rad=targets.astype(np.float32).astype(np.float64),
        )

    def _kind(self, trajectory_id: int) -> str:
        end = 0
        for kind, count in self.counts.items():
            end += count
            if 0 <= trajectory_id < end:
                return kind
        raise LibraryError(f"waves: no trajectory {trajectory_id}; ids are 0 to {end - 1}")


def _slewed(
    wanted_rad: NDArray[np.float64], start_rad: float, limit_rad: float
) -> NDArray[np.float64]:
    """A signal (n,) followed from ``start_rad`` by steps of at most ``limit_rad``."""
    followed = np.empty_like(wanted_rad)
    at = start_rad
    for step, goal in enumerate(wanted_rad):
        at += min(max(goal - at, -limit_rad), limit_rad)
        followed[step] = at
    return followed
