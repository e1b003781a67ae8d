# SPDX-License-Identifier: Apache-2.0
"""Reward terms of paper section A.1, each a named function of arrays with a leading axis of environments.

Where the paper's text and the public code it builds on (hora) differ, both readings have a name. The default weights
and readings are those of the probe that learned; ``PAPER`` has the paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAPER", "RewardWeights", "StepQuantities", "off_axis_weight", "reward_terms"]

Array = NDArray[np.float64]
_LINEAR = ("l1", "squared")
_WORK = ("abs", "signed", "squared")
_POSE = ("canonical", "start")


@dataclass(frozen=True)
class RewardWeights:
    """Weights of the terms; penalties are given as positive numbers.

    Attributes:
        rotation: weight of the rotation term.
        rotation_clip_rad_s: c of it; nothing is paid above it.
        off_axis: final weight of off-axis rotation; rises linearly between the two counts.
        off_axis_start_steps: environment steps (all environments together) where the rise begins.
        off_axis_end_steps: where it ends.
        off_axis_resets: count the resets of one environment instead, (10, 100) in the paper; (0, 0) = steps.
        linear: speed of the object.
        linear_reading: "l1" norm capped at 2 m/s (hora), or "squared" L2 norm (paper's text).
        pose: squared deviation from the pose.
        pose_reading: deviation from the "canonical" pose, or from that at the "start" of the episode.
        torque: squared servo torque.
        work: mechanical power.
        work_reading: sum of each joint's power as "abs", "signed" (paper's text), or the sum "squared" (hora).
        fingertip: bonus for each fingertip that touches (ours).
        fall: once, when the object is lost (ours).
        goal: weight of the goal guidance.
        goal_gain: g of it.
        goal_soften_rad: epsilon of it.
        goal_cap: c of it; it pays no more than this.
        goal_bonus: paid within the threshold.
        goal_threshold_rad: where the bonus is paid and the goal moves on.
    """

    rotation: float = 1.0
    rotation_clip_rad_s: float = 0.5
    off_axis: float = 0.1
    off_axis_start_steps: float = 2e5
    off_axis_end_steps: float = 1.5e6
    off_axis_resets: tuple[float, float] = (0.0, 0.0)
    linear: float = 0.3
    linear_reading: str = "l1"
    pose: float = 0.15
    pose_reading: str = "canonical"
    torque: float = 0.3
    work: float = 0.1
    work_reading: str = "abs"
    fingertip: float = 0.03
    fall: float = 5.0
    goal: float = 0.0
    goal_gain: float = 0.1
    goal_soften_rad: float = 0.1
    goal_cap: float = 1.0
    goal_bonus: float = 1.0
    goal_threshold_rad: float = math.radians(15.0)

    def __post_init__(self) -> None:
        """Refuse readings that nobody has."""
        for name, known in (
            ("linear_reading", _LINEAR),
            ("work_reading", _WORK),
            ("pose_reading", _POSE),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"reward {name} is {getattr(self, name)!r}; allowed: {', '.join(known)}"
                )


PAPER = RewardWeights(
    off_axis_resets=(10.0, 100.0), linear_reading="squared", pose=0.3, pose_reading="start",
    torque=0.1, work=2.0, work_reading="signed", fingertip=0.0, fall=0.0, goal=1.0,
)  # fmt: skip
"""Section A.1 to the letter; what it does not give (g, epsilon, c and the bonus) is ours."""


@dataclass(frozen=True)
class StepQuantities:
    """What a control step did, N environments, palm frame.

    Attributes:
        axis: unit rotation axis k, (N, 3).
        angular_velocity: of the object, finite difference over the control step, (N, 3) rad/s.
        velocity: of the object, finite difference, (N, 3) m/s.
        pose_error: joint angles minus the pose that is asked for, (N, 16) rad.
        torque: servo torques, (N, 16) N·m.
        joint_velocity: (N, 16) rad/s.
        fingertips: number touching, (N,).
        fallen: object lost in this step, (N,).
        goal_error: angle between the object and its goal, (N,) rad.
    """

    axis: Array
    angular_velocity: Array
    velocity: Array
    pose_error: Array
    torque: Array
    joint_velocity: Array
    fingertips: Array
    fallen: NDArray[np.bool_]
    goal_error: Array


def off_axis_weight(weights: RewardWeights, steps: int, resets: float = 0.0) -> float:
    """The off-axis weight now.

    Args:
        weights: where its rise begins and ends.
        steps: environment steps so far, all environments together.
        resets: of one environment so far, in the mean.
    """
    begin, end, now = weights.off_axis_start_steps, weights.off_axis_end_steps, float(steps)
    if weights.off_axis_resets[1] > 0.0:
        (begin, end), now = weights.off_axis_resets, resets
    return weights.off_axis * float(np.clip((now - begin) / (end - begin), 0.0, 1.0))


def rotation(s: StepQuantities, clip_rad_s: float) -> Array:
    """clip(w . k, -c, c)."""
    along = (s.angular_velocity * s.axis).sum(axis=1)
    return np.asarray(np.clip(along, -clip_rad_s, clip_rad_s))


def off_axis(s: StepQuantities) -> Array:
    """|w x k|_1, capped at 5 rad/s."""
    return np.minimum(np.abs(np.cross(s.angular_velocity, s.axis)).sum(axis=1), 5.0)


def linear(s: StepQuantities, reading: str) -> Array:
    """The object's speed, see ``RewardWeights.linear_reading``."""
    if reading == "squared":
        return np.asarray((s.velocity**2).sum(axis=1))
    return np.minimum(np.abs(s.velocity).sum(axis=1), 2.0)


def pose(s: StepQuantities) -> Array:
    """|q - q_init|^2."""
    return np.asarray((s.pose_error**2).sum(axis=1))


def torque(s: StepQuantities) -> Array:
    """|tau|^2."""
    return np.asarray((s.torque**2).sum(axis=1))


def work(s: StepQuantities, reading: str) -> Array:
    """Mechanical power, see ``RewardWeights.work_reading``."""
    power = s.torque * s.joint_velocity
    if reading == "abs":
        return np.asarray(np.abs(power).sum(axis=1))
    total = power.sum(axis=1)
    return np.asarray(total**2 if reading == "squared" else total)


def goal(s: StepQuantities, weights: RewardWeights) -> Array:
    """clip(g / (angle to the goal + epsilon), 0, c), and the bonus near it."""
    near = weights.goal_gain / (s.goal_error + weights.goal_soften_rad)
    reached = s.goal_error < weights.goal_threshold_rad
    return np.clip(near, 0.0, weights.goal_cap) + weights.goal_bonus * reached


def reward_terms(
    s: StepQuantities, weights: RewardWeights, steps: int, resets: float = 0.0
) -> dict[str, Array]:
    """All weighted terms by name, each (N,); their sum is the reward.

    Args:
        s: the step.
        weights: of the terms.
        steps: environment steps so far, all environments together.
        resets: of one environment so far, in the mean.
    """
    return {
        "rotation": weights.rotation * rotation(s, weights.rotation_clip_rad_s),
        "off_axis": -off_axis_weight(weights, steps, resets) * off_axis(s),
        "linear": -weights.linear * linear(s, weights.linear_reading),
        "pose": -weights.pose * pose(s),
        "torque": -weights.torque * torque(s),
        "work": -weights.work * work(s, weights.work_reading),
        "fingertips": weights.fingertip * s.fingertips,
        "fall": -weights.fall * s.fallen.astype(np.float64),
        "goal": weights.goal * goal(s, weights),
    }
