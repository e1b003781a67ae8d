# SPDX-License-Identifier: Apache-2.0
"""The vectorised rotation environment: N hands, 20 Hz, delta actions, automatic reset.

One control step: target = clip(target + action / 24), hold it for 50 ms, look. Episodes begin from the
grasp cache and end after 400 steps or when the object has left the hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import (
    CANONICAL_POSE_RAD,
    JOINT_COUNT,
    JOINT_NAMES,
    LOWER_RAD,
    UPPER_RAD,
)
from dexndm_ros.policy.observation import ObservationHistory
from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.correction import Correction, step_corrected
from dexndm_ros.sim.fall import FallLimits
from dexndm_ros.sim.grasp_cache import GraspCache, object_kind, object_size_m
from dexndm_ros.sim.hands import Hands
from dexndm_ros.sim.privileged import object_numbers
from dexndm_ros.sim.rewards import RewardWeights, StepQuantities, reward_terms
from dexndm_ros.sim.tasks import TaskDraw
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World

__all__ = ["ACTION_SCALE_RAD", "EnvConfig", "RotationEnv", "StepResult", "next_target"]

Array = NDArray[np.float64]

ACTION_SCALE_RAD = 1.0 / 24.0
"""Largest change of a target in a control step (paper, section C)."""


def next_target(target: Array, action: Array) -> Array:
    """Joint targets (N, 16) rad after actions (N, 16) in [-1, 1], within the joint limits."""
    return np.asarray(np.clip(target + action * ACTION_SCALE_RAD, LOWER_RAD, UPPER_RAD))


@dataclass(frozen=True)
class EnvConfig:
    """How episodes run.

    Attributes:
        episode_steps: control steps, 400 = 20 s.
        reward: weights.
        fall: when the object counts as lost.
        tasks: axes and wrists that are drawn anew at each reset.
        push_m_s2: a force on the object, as an acceleration: normal with this deviation along each axis (paper, Table
            14: 2; there it is drawn anew in a step with probability 0.25).
        push_probability: of a new one in a step.
        push_fade: what is left of a push after a step (hora: 0.9 in 0.08 s).
        joint_noise_rad: uniform noise on the joint angles of the proprioceptive observation.
        quantise: round those angles to encoder ticks, as the servo does.
        auto_reset: begin a new episode in the step that ended one.
    """

    episode_steps: int = 400
    reward: RewardWeights = field(default_factory=RewardWeights)
    fall: FallLimits = field(default_factory=FallLimits)
    tasks: TaskDraw = field(default_factory=TaskDraw)
    push_m_s2: float = 0.0
    push_probability: float = 0.25
    push_fade: float = 0.936
    joint_noise_rad: float = 0.0
    quantise: bool = True
    auto_reset: bool = True


@dataclass(frozen=True)
class StepResult:
    """What ``RotationEnv.step`` returns; arrays of N.

    Attributes:
        reward: sum of the terms.
        terminated: object lost.
        truncated: time is up.
        turned_rad: rotation about the axis in this step.
        off_axis_rad: rotation perpendicular to it.
        terms: reward terms by name.
        finite: the physics held, see ``Hands.finite``; asked before a new episode may have begun.
        push: force on each object in this step, (N, 3) N, world frame; None = none.
    """

    reward: Array
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    turned_rad: Array
    off_axis_rad: Array
    terms: dict[str, Array]
    finite: NDArray[np.bool_]
    push: Array | None

    @property
    def done(self) -> NDArray[np.bool_]:
        """Episodes that ended."""
        return self.terminated | self.truncated


class RotationEnv:
    """N hands that should turn their objects about given axes.

    Args:
        worlds: one a hand.
        grasps: start states, a cache for all, or one for each wrist name in the worlds.
        axes: rotation axes in the palm frame, (N, 3) or (3,), unit.
        config: episode settings.
        seed: of starts and noise.
        threads: physics threads.
        batch: the compiled worlds, where the caller has them already.
        correction: what the simulator does otherwise with its commands; None = nothing.

    Attributes:
        target: joint targets in force, (N, 16) rad.
        executed: what the motors got in the last step, ``target`` and a residual if there is one, (N, 16) rad.
        measured: joint angles as the servos report them, (N, 16) rad.
        steps: control steps of all environments so far.
    """

    def __init__(
        self,
        worlds: Sequence[World],
        grasps: GraspCache | dict[str, GraspCache],
        axes: Array,
        config: EnvConfig | None = None,
        seed: int = 0,
        threads: int = 2,
        batch: Hands | None = None,
        correction: Correction | None = None,
    ) -> None:
        self.config = config or EnvConfig()
        self._correction = correction
        self.batch: Hands = batch or HandBatch(worlds, threads)
        self.count = self.batch.count
        self.axes = np.broadcast_to(np.asarray(axes, dtype=np.float64), (self.count, 3)).copy()
        self.wrists = np.array([w.wrist_xyzw() for w in worlds])
        names = [w.wrist for w in worlds]
        self._grasps = grasps if isinstance(grasps, dict) else dict.fromkeys(names, grasps)
        self._wrist_rows = {
            name: np.array([n == name for n in names]) for name in dict.fromkeys(names)
        }
        self._sizes = np.array([object_size_m(w) for w in worlds])
        self._kinds = [object_kind(w) for w in worlds]
        self._object_numbers = object_numbers(worlds)
        self._masses = np.array([w.object.mass_kg for w in worlds])
        self.rng = np.random.default_rng(seed)
        self.history = ObservationHistory(batch=self.count)
        self.target = np.zeros((self.count, JOINT_COUNT))
        self.previous_target = np.zeros_like(self.target)
        self.executed = np.zeros_like(self.target)
        self.action = np.zeros_like(self.target)
        self.episode_step = np.zeros(self.count, dtype=np.int64)
        self.steps = 0
        self.resets = 0.0
        self._push = np.zeros((self.count, 3))
        self._goal = Rotation.identity(self.count)
        self._start_pose = np.zeros_like(self.target)
        self._start_position = np.zeros((self.count, 3))
        self._body_axis = self.axes.copy()
        self.velocity = np.zeros((self.count, 3))
        self.angular_velocity = np.zeros((self.count, 3))
        self.measured = np.zeros_like(self.target)
        self.reset()

    def reset(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Begin new episodes (of the masked hands, or of all) from random grasps."""
        mask = np.ones(self.count, dtype=bool) if mask is None else mask
        self.resets += float(mask.mean())
        self._draw_tasks(self.config.tasks, np.flatnonzero(mask))
        for wrist, of_wrist in self._wrist_rows.items():
            rows = np.flatnonzero(mask & of_wrist)
            if not len(rows):
                continue
            cache = self._grasps[wrist]
            pick = cache.pick(self._sizes[rows], [self._kinds[row] for row in rows], self.rng)
            self.batch.set_state(
                rows,
                cache.q[pick],
                cache.position[pick],
                cache.rotation_xyzw[pick],
                cache.target[pick],
            )
            self.target[rows] = cache.target[pick]
            self._start_position[rows] = cache.position[pick]
            start = Rotation.from_quat(cache.rotation_xyzw[pick])
            self._body_axis[rows] = start.inv().apply(self.axes[rows])
        if self._correction is not None:
            self._correction.reset(mask, self.batch.q, self.target)
        self._push[mask] = 0.0
        self._start_pose[mask] = self.batch.q[mask]
        self._set_goal(mask, self.batch.object_rotation)
        self.previous_target[mask] = self.target[mask]
        self.action[mask] = 0.0
        self.velocity[mask] = 0.0
        self.angular_velocity[mask] = 0.0
        self.episode_step[mask] = 0
        self.measured[mask] = self._measure()[mask]
        self.history.reset_rows(mask, self.measured, self.target)

    def _draw_tasks(self, tasks: TaskDraw, rows: NDArray[np.intp]) -> None:
        if tasks.axes:
            axes = tasks.axis_table()
            self.axes[rows] = axes[self.rng.integers(0, len(axes), len(rows))]
        if tasks.wrists:
            wrists = np.array([parse_wrist(name) for name in tasks.wrist_names()])
            self.wrists[rows] = wrists[self.rng.integers(0, len(wrists), len(rows))]
            self.batch.turn(rows, self.wrists[rows])

    def _set_goal(self, mask: NDArray[np.bool_], begin: Rotation) -> None:
        """A quarter turn ahead about the axis (paper, section A.1)."""
        ahead = (Rotation.from_rotvec(0.5 * np.pi * self.axes) * begin).as_quat()
        goal = self._goal.as_quat()
        goal[mask] = ahead[mask]
        self._goal = Rotation.from_quat(goal)

    def _draw_push(self) -> Array | None:
        """Force on each object, (N, 3) N."""
        config = self.config
        if not config.push_m_s2:
            return None
        anew = self.rng.random(self.count) < config.push_probability
        fresh = self.rng.normal(size=(self.count, 3)) * (config.push_m_s2 * self._masses)[:, None]
        self._push = np.where(anew[:, None], fresh, config.push_fade * self._push)
        return self._push

    def step(self, action: Array) -> StepResult:
        """Advance one control period.

        Args:
            action: (N, 16), clipped to [-1, 1].
        """
        action = np.clip(action, -1.0, 1.0)
        target = next_target(self.target, action)
        return self._advance(action, target, target)

    def step_target(self, base_target: Array, executed_target: Array) -> StepResult:
        """Advance one control period with targets of somebody else's making.

        Args:
            base_target: what the base policy remembers, (N, 16) rad.
            executed_target: what the motors get, (N, 16) rad.
        """
        action = np.clip((base_target - self.target) / ACTION_SCALE_RAD, -1.0, 1.0)
        return self._advance(action, base_target, executed_target)

    def _advance(self, action: Array, base_target: Array, executed_target: Array) -> StepResult:
        batch = self.batch
        position, rotation = batch.object_position, batch.object_rotation
        self.action = action
        self.previous_target = self.target
        self.target = base_target
        self.executed = executed_target
        sent = executed_target
        push = self._draw_push()
        if self._correction is None:
            batch.step(sent, push=push)
        else:
            sent = step_corrected(batch, self._correction, executed_target, push)
        did = self.quantities(batch, np.arange(self.count), position, rotation, sent)
        fallen, goal_error = did.fallen, did.goal_error
        self.angular_velocity, self.velocity = did.angular_velocity, did.velocity
        self.steps += self.count
        self.episode_step += 1
        self.measured = self._measure()
        self.history.push(self.measured, self.target)
        terms = reward_terms(did, self.config.reward, self.steps, self.resets)
        reached = goal_error < self.config.reward.goal_threshold_rad
        if reached.any():
            self._set_goal(reached, self._goal)
        truncated = (self.episode_step >= self.config.episode_steps) & ~fallen
        turned = did.angular_velocity * batch.control_period_s
        along = (turned * self.axes).sum(axis=1)
        result = StepResult(
            reward=np.sum(list(terms.values()), axis=0),
            terminated=fallen,
            truncated=truncated,
            turned_rad=along,
            off_axis_rad=np.linalg.norm(turned - along[:, None] * self.axes, axis=1),
            terms=terms,
            finite=batch.finite(),
            push=None if push is None else push.copy(),
        )
        if self.config.auto_reset and result.done.any():
            self.reset(result.done)
        return result

    def quantities(
        self,
        batch: Hands,
        rows: NDArray[np.intp],
        position: Array,
        rotation: Rotation,
        sent: Array,
    ) -> StepQuantities:
        """What a control step did to hands, judged as those of this environment are judged.

        Args:
            batch: the hands, n: this environment's, or others that went on from its states.
            rows: of this environment, one for each hand, (n,): whose axis, start and goal count.
            position: of the objects before the step, (n, 3) m, palm frame.
            rotation: of the objects before the step, n, palm frame.
            sent: targets of the step, (n, 16) rad.
        """
        period = batch.control_period_s
        from_start = self.config.reward.pose_reading == "start"
        return StepQuantities(
            axis=self.axes[rows],
            angular_velocity=(batch.object_rotation * rotation.inv()).as_rotvec() / period,
            velocity=(batch.object_position - position) / period,
            pose_error=batch.q - (self._start_pose[rows] if from_start else CANONICAL_POSE_RAD),
            torque=batch.torque(sent),
            joint_velocity=batch.qd,
            fingertips=(batch.tip_force > 0.01).sum(axis=1).astype(np.float64),
            fallen=self.config.fall.fallen(
                batch.object_position - self._start_position[rows],
                batch.object_rotation.apply(self._body_axis[rows]),
                self.axes[rows],
            ),
            goal_error=(self._goal[rows] * batch.object_rotation.inv()).magnitude(),
        )

    def _measure(self) -> Array:
        """Joint angles as the servos would report them, (N, 16) rad."""
        q = self.batch.q
        if self.config.joint_noise_rad:
            q = q + self.rng.uniform(-1, 1, q.shape) * self.config.joint_noise_rad
        if self.config.quantise:
            tick = 2.0 * np.pi / 4096
            q = np.round(q / tick) * tick
        return q

    def another(self, seed: int) -> RotationEnv:
        """The same hands, objects and tasks in episodes of their own, without correction and automatic reset.

        Args:
            seed: of their starts (from the same grasps) and noise.
        """
        config = dataclasses.replace(self.config, auto_reset=False)
        worlds, threads = self.batch.worlds, self.batch.threads
        return RotationEnv(worlds, self._grasps, self.axes, config, seed, threads)

    def starts(self, mask: NDArray[np.bool_]) -> GraspCache:
        """The present states of the masked hands, as a cache to begin episodes from."""
        batch, names = self.batch, list(dict.fromkeys(self._kinds))
        return GraspCache(
            target=self.target[mask].copy(),
            q=batch.q[mask].copy(),
            position=batch.object_position[mask].copy(),
            rotation_xyzw=batch.object_rotation.as_quat()[mask],
            radius_m=self._sizes[mask],
            kind=np.array(
                [names.index(self._kinds[k]) for k in np.flatnonzero(mask)], dtype=np.intp
            ),
            meta={"joint_names": list(JOINT_NAMES), "from": "rollout", "objects": names},
        )

    def proprioceptive(self) -> NDArray[np.float32]:
        """The generalist's observation, (N, 327); see ``policy.observation``."""
        return self.history.observation(self.wrists, self.axes)

    def privileged(self) -> NDArray[np.float32]:
        """The oracle's observation, (N, 126); entries are only ever added at its end.

        Joint angles, target minus angle, previous target minus angle, joint velocity, last action; object
        position (from the grasp centre of this episode), two object axes, velocities, fingertip-to-object
        vectors, fingertip contact forces; the rotation axis, gravity's direction, and ``object_numbers``.
        """
        b = self.batch
        rotation = b.object_rotation.apply(self._body_axis)
        parts = [
            b.q,
            self.target - b.q,
            self.previous_target - b.q,
            0.2 * b.qd,
            self.action,
            20.0 * (b.object_position - self._start_position),
            20.0 * (self._start_position - GRASP_CENTRE_M),
            rotation,
            2.0 * self.velocity,
            0.3 * self.angular_velocity,
            10.0 * (b.object_position[:, None] - b.tip_position).reshape(self.count, -1),
            np.minimum(b.tip_force, 5.0),
            self.axes,
            b.up,
            self._object_numbers,
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)
