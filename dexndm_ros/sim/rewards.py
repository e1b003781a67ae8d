# SPDX-License-Identifier: Apache-2.0
"""Reward terms of paper section A.1, each a function of arrays with a leading axis of environments.

Weights and the readings where paper and public code differ are those of the probe that learned
(linear velocity as an L1 norm capped at 2 m/s, work as the absolute power of each joint).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RewardWeights", "StepQuantities", "off_axis_weight", "reward_terms"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RewardWeights:
    """Weights of the terms; penalties are given as positive numbers.

    Attributes:
        rotation_clip_rad_s: c of the rotation term; nothing is paid above it.
        off_axis: final weight of off-axis rotation; rises linearly between the two step counts.
        off_axis_start_steps: environment steps (all environments together) where the rise begins.
        off_axis_end_steps: where it ends.
        linear: L1 speed of the object.
        pose: squared deviation from the canonical pose.
        torque: squared servo torque.
        work: absolute mechanical power.
        fingertip: bonus for each fingertip that touches.
        fall: once, when the object is lost.
    """

    rotation_clip_rad_s: float = 0.5
    off_axis: float = 0.1
    off_axis_start_steps: float = 2e5
    off_axis_end_steps: float = 1.5e6
    linear: float = 0.3
    pose: float = 0.15
    torque: float = 0.3
    work: float = 0.1
    fingertip: float = 0.03
    fall: float = 5.0


@dataclass(frozen=True)
class StepQuantities:
    """What a control step did, N environments, palm frame.

    Attributes:
        axis: unit rotation axis k, (N, 3).
        angular_velocity: of the object, finite difference over the control step, (N, 3) rad/s.
        velocity: of the object, finite difference, (N, 3) m/s.
        pose_error: joint angles minus canonical pose, (N, 16) rad.
        torque: servo torques, (N, 16) N·m.
        joint_velocity: (N, 16) rad/s.
        fingertips: number touching, (N,).
        fallen: object lost in this step, (N,).
    """

    axis: Array
    angular_velocity: Array
    velocity: Array
    pose_error: Array
    torque: Array
    joint_velocity: Array
    fingertips: Array
    fallen: NDArray[np.bool_]


def off_axis_weight(weights: RewardWeights, steps: int) -> float:
    """The off-axis weight after so many environment steps."""
    span = weights.off_axis_end_steps - weights.off_axis_start_steps
    ramp = (steps - weights.off_axis_start_steps) / span
    return weights.off_axis * float(np.clip(ramp, 0.0, 1.0))


def rotation(s: StepQuantities, clip_rad_s: float) -> Array:
    """clip(w . k, -c, c)."""
    along = (s.angular_velocity * s.axis).sum(axis=1)
    return np.asarray(np.clip(along, -clip_rad_s, clip_rad_s))


def off_axis(s: StepQuantities) -> Array:
    """|w x k|_1, capped at 5 rad/s."""
    return np.minimum(np.abs(np.cross(s.angular_velocity, s.axis)).sum(axis=1), 5.0)


def reward_terms(s: StepQuantities, weights: RewardWeights, steps: int) -> dict[str, Array]:
    """All weighted terms by name, each (N,); their sum is the reward."""
    return {
        "rotation": rotation(s, weights.rotation_clip_rad_s),
        "off_axis": -off_axis_weight(weights, steps) * off_axis(s),
        "linear": -weights.linear * np.minimum(np.abs(s.velocity).sum(axis=1), 2.0),
        "pose": -weights.pose * (s.pose_error**2).sum(axis=1),
        "torque": -weights.torque * (s.torque**2).sum(axis=1),
        "work": -weights.work * np.abs(s.torque * s.joint_velocity).sum(axis=1),
        "fingertips": weights.fingertip * s.fingertips,
        "fall": -weights.fall * s.fallen.astype(np.float64),
    }
