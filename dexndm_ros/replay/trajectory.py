# SPDX-License-Identifier: Apache-2.0
"""A trajectory of joint targets, what every source of them offers, and what makes one fit to be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.noise import NoiseConfig, clean_step_limit_rad

__all__ = [
    "ANY_WRIST",
    "CLEAN_STEP_LIMIT_RAD",
    "MAX_ID",
    "RATE_HZ",
    "STEPS",
    "LibraryError",
    "Trajectory",
    "TrajectorySource",
    "check_targets",
    "known_wrists",
]

STEPS = 400
"""Steps of a trajectory: 20 s (paper, section C)."""
RATE_HZ = 20.0
"""Steps a second."""
MAX_ID = 2**32 - 1
"""Largest trajectory id: ``ReplayStep.trajectory`` is a uint32."""
ANY_WRIST = "any"
"""Wrist of a trajectory that was made for none in particular."""
CLEAN_STEP_LIMIT_RAD = clean_step_limit_rad(NoiseConfig())
"""Largest step under the usual noise; see ``noise.clean_step_limit_rad``."""
_ROUNDING_RAD = 1e-6  # targets are kept in float32, which is off by 2e-7 rad at most


class LibraryError(ValueError):
    """Trajectories that must not be replayed; the message names the file, the row and the joint."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One action sequence to replay.

    Attributes:
        id: unique in its source.
        wrist: wrist orientation it was made for, by name, or ``any``.
        axis: rotation axis in the palm frame; zero for none.
        object_set: objects that the hand held, e.g. ``cylinder``.
        source: what made it, e.g. a policy's name.
        targets_rad: joint targets, (400, 16), motor order.
    """

    id: int
    wrist: str
    axis: tuple[float, float, float]
    object_set: str
    source: str
    targets_rad: NDArray[np.float64]


class TrajectorySource(Protocol):
    """Where a campaign takes its trajectories from."""

    @property
    def sha256(self) -> str:
        """Fingerprint, hexadecimal: equal fingerprints mean equal targets for every id."""

    @property
    def wrists(self) -> tuple[str, ...]:
        """Wrist orientations that there are trajectories for."""

    def ids(self, wrist: str) -> NDArray[np.int64]:
        """Ids of the trajectories for a wrist, ascending.

        Raises:
            LibraryError: there are none; the message lists the wrists that there are.
        """

    def trajectory(self, trajectory_id: int) -> Trajectory:
        """One trajectory.

        Raises:
            LibraryError: no such id.
        """


def check_targets(
    targets_rad: NDArray[np.floating],
    names: Sequence[str],
    step_limit_rad: float = CLEAN_STEP_LIMIT_RAD,
    limit_tolerance_rad: float = GuardConfig.limit_tolerance_rad,
) -> None:
    """Refuse targets that are not finite, beyond a joint limit, or further apart than a step may be.

    Args:
        targets_rad: (N, 400, 16), motor order.
        names: what to call each of the N in a message, e.g. ``library.parquet: row 7 (id 7)``.
        step_limit_rad: most that a joint may move from one step to the next.
        limit_tolerance_rad: how far beyond a joint limit the guard would still clip.

    Raises:
        LibraryError: naming the first trajectory that is wrong, the joint and the step.
    """
    values = np.asarray(targets_rad)
    if values.shape[1:] != (STEPS, JOINT_COUNT):
        raise LibraryError(
            f"{names[0] if names else 'trajectory'}: {values.shape[1:]} numbers, a trajectory has "
            f"{STEPS} steps of {JOINT_COUNT} joints"
        )
    finite = np.isfinite(values)
    excess = np.maximum(LOWER_RAD.astype(values.dtype) - values, values - UPPER_RAD)
    steps = np.abs(np.diff(values, axis=1))
    wrong = (
        ~finite.all(axis=(1, 2))
        | (excess > limit_tolerance_rad).any(axis=(1, 2))
        | (steps > step_limit_rad + _ROUNDING_RAD).any(axis=(1, 2))
    )
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    raise LibraryError(
        f"{names[row]}: {_complaint(values[row], step_limit_rad, limit_tolerance_rad)}"
    )


def _complaint(targets: NDArray[np.floating], step_limit_rad: float, tolerance_rad: float) -> str:
    """What is wrong with a trajectory (400, 16) of which something is wrong."""
    if not np.isfinite(targets).all():
        step, joint = _first(~np.isfinite(targets))
        return f"{_joint(joint)} is {targets[step, joint]} at step {step}, it must be finite"
    beyond = np.maximum(LOWER_RAD - targets, targets - UPPER_RAD) > tolerance_rad
    if beyond.any():
        step, joint = _first(beyond)
        return (
            f"{_joint(joint)} is {targets[step, joint]:.4f} rad at step {step}, outside its limits "
            f"[{LOWER_RAD[joint]:.3f}, {UPPER_RAD[joint]:.3f}]"
        )
    steps = np.abs(np.diff(targets, axis=0))
    step, joint = _first(steps > step_limit_rad)
    return (
        f"{_joint(joint)} moves {steps[step, joint]:.4f} rad from step {step} to {step + 1}, "
        f"more than the {step_limit_rad:.4f} rad that leave room for noise below the guard's "
        f"{GuardConfig.max_step_rad:g} rad"
    )


def _first(wrong: NDArray[np.bool_]) -> tuple[int, int]:
    step, joint = np.argwhere(wrong)[0]
    return int(step), int(joint)


def _joint(joint: int) -> str:
    return f"{JOINT_NAMES[joint]} (motor {joint})"


def known_wrists(names: set[str]) -> tuple[str, ...]:
    """Wrist names in the order of the table of wrists."""
    return tuple(name for name in WRISTS if name in names)
