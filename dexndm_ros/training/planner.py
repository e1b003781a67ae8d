# SPDX-License-Identifier: Apache-2.0
"""Predictive sampling: at every control step try many action sequences in copies of the world, and begin the best.

The planner is a witness of what is possible in a world, and no policy: it is given what no robot has, the true model
and the true state of hand and object. Nothing in it is learned, so it fails for other reasons than a policy does.

Method: Howell et al. 2022, "Predictive Sampling: Real-time Behaviour Synthesis with MuJoCo".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.description import FINGERS
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_COUNT
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import ACTION_SCALE_RAD, RotationEnv, StepResult, next_target
from dexndm_ros.sim.rewards import RewardWeights, StepQuantities, reward_terms

__all__ = ["Planner", "PlannerConfig"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlannerConfig:
    """How actions are searched for.

    Attributes:
        samples: sequences tried for each hand in each control step; the first two are the plan of the step before,
            and to hold still.
        horizon_steps: control steps that a sequence lasts, 12 = 0.6 s.
        knots: noise values of a joint in it, each held for an equal share of the horizon.
        noise: deviation of the noise on the actions.
        joint_share: of the joints that get noise, in the mean, drawn anew for each sequence.
        return_share: of the fingers that a sequence takes back towards the canonical pose instead of along the plan, in
            the mean. Without, fingers end at their limits: what brings one back is too long a way for noise alone.
        physics: preset of the copies; "" = the world's own. Coarser ones are cheaper and plan worse.
        reward: what a step of a sequence is worth; a lost object earns no more.
        seed: of the noise.
    """

    samples: int = 32
    horizon_steps: int = 12
    knots: int = 4
    noise: float = 0.6
    joint_share: float = 0.25
    return_share: float = 0.25
    physics: str = ""
    reward: RewardWeights = field(
        default_factory=lambda: RewardWeights(
            rotation_clip_rad_s=2.5, linear=1.0, pose=0.5, torque=0.0, work=0.0, fall=50.0
        )
    )
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that plan nothing."""
        if self.samples < 2:
            raise ValueError(f"a planner needs at least 2 samples, not {self.samples}")
        if self.horizon_steps < 1 or not 1 <= self.knots <= self.horizon_steps:
            raise ValueError(f"{self.knots} knots do not go into {self.horizon_steps} steps")


class Planner:
    """A `Controller` that plans anew in every control step, for hands that still hold their object.

    The copies know nothing of what will be drawn at random: pushes on the object, noise of the joint sensors. A hand's
    plan depends on no other hand, and the same seed gives the same plans.

    Args:
        config: of the search.
    """

    def __init__(self, config: PlannerConfig | None = None) -> None:
        self.config = config or PlannerConfig()

    def __call__(self, env: RotationEnv, first: bool) -> StepResult:
        """Plan, and advance the environment by one control step."""
        if first:
            self._begin(env)
        fresh = env.episode_step == 0
        self._held |= fresh
        self._plan[fresh] = 0.0
        rows = np.flatnonzero(self._held)
        noise, back = self._draw(env.count)
        action = np.zeros((env.count, JOINT_COUNT))
        if len(rows):
            best = self._search(env, rows, noise[rows], back[rows])
            action[rows] = best[:, 0]
            self._plan[rows] = np.concatenate([best[:, 1:], best[:, -1:]], axis=1)
        result = env.step(action)
        self._held &= ~result.terminated
        return result

    def _begin(self, env: RotationEnv) -> None:
        self._rng = np.random.default_rng(self.config.seed)
        self._held = np.ones(env.count, dtype=bool)
        self._plan = np.zeros((env.count, self.config.horizon_steps, JOINT_COUNT))
        self._rows = np.empty(0, dtype=np.intp)

    def _draw(self, count: int) -> tuple[Array, NDArray[np.bool_]]:
        """For each hand's sequences: noise on the actions, and the joints that go back; none for the first two.

        Returns:
            (N, samples, horizon, 16) and (N, samples, 16).
        """
        config, rng = self.config, self._rng
        shape = (count, config.samples, config.knots, JOINT_COUNT)
        noise = config.noise * rng.normal(size=shape)
        noise *= rng.random((*shape[:2], 1, JOINT_COUNT)) < config.joint_share
        back = rng.random((*shape[:2], len(FINGERS))) < config.return_share
        noise[:, :2], back[:, :2] = 0.0, False
        knot = np.arange(config.horizon_steps) * config.knots // config.horizon_steps
        return noise[:, :, knot], back.repeat(JOINT_COUNT // len(FINGERS), axis=2)

    def _search(
        self, env: RotationEnv, rows: NDArray[np.intp], noise: Array, back: NDArray[np.bool_]
    ) -> Array:
        """The best sequence of each of some hands, (n, horizon, 16)."""
        way = (CANONICAL_POSE_RAD - env.target[rows]) / ACTION_SCALE_RAD / self.config.horizon_steps
        actions = np.where(back[:, :, None], way[:, None, None], self._plan[rows, None])
        actions = np.clip(actions + noise, -1.0, 1.0)
        actions[:, 1] = 0.0
        score = self._try(env, rows, actions.reshape(-1, *actions.shape[2:]))
        best = score.reshape(len(rows), -1).argmax(axis=1)
        return np.asarray(actions[np.arange(len(rows)), best])

    def _try(self, env: RotationEnv, rows: NDArray[np.intp], actions: Array) -> Array:
        """What each sequence earns, (n samples,)."""
        owner = np.repeat(rows, self.config.samples)
        batch, now = self._copies(env, rows, owner), env.batch
        if not isinstance(now, HandBatch):
            raise TypeError("the planner copies worlds of the CPU engine, and these are another's")
        batch.copy_states(np.arange(batch.count), now, owner)
        config = self.config
        target = env.target[owner]
        earned, held = np.zeros(batch.count), np.ones(batch.count, dtype=bool)
        for step in range(config.horizon_steps):
            position, rotation = batch.object_position, batch.object_rotation
            target = next_target(target, actions[:, step])
            batch.step(target)
            did = env.quantities(batch, owner, position, rotation, target)
            earned += np.where(held, _worth(did, config.reward), 0.0)
            held &= ~did.fallen
        return np.nan_to_num(earned, nan=-np.inf)

    def _copies(
        self, env: RotationEnv, rows: NDArray[np.intp], owner: NDArray[np.intp]
    ) -> HandBatch:
        """The worlds of the hands, one for each sequence; compiled anew when there are fewer hands to plan for."""
        if not np.array_equal(rows, self._rows):
            worlds = [env.batch.worlds[row] for row in owner]
            if self.config.physics:
                worlds = [dataclasses.replace(w, physics=self.config.physics) for w in worlds]
            self._batch, self._rows = HandBatch(worlds, env.batch.threads), rows
        return self._batch


def _worth(did: StepQuantities, weights: RewardWeights) -> Array:
    """The reward of a control step, (N,); its off-axis weight is the final one, as of who has learned all."""
    terms = reward_terms(did, weights, round(weights.off_axis_end_steps))
    return np.asarray(np.sum(list(terms.values()), axis=0))
