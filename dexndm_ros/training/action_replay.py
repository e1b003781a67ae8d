# SPDX-License-Identifier: Apache-2.0
"""Open-loop replay: the joint targets of one episode, repeated in another. What it loses is what feedback is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import slewed
from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.sim.env import RotationEnv, StepResult
from dexndm_ros.sim.grasp_cache import object_kind
from dexndm_ros.training.controllers import STEP_LIMIT_RAD, Controller, ControllerError
from dexndm_ros.training.progress import OpenBar

__all__ = ["ActionReplay", "Recording", "matched", "record", "replay"]

Array = NDArray[np.float64]
RECORDING_SEED = 7_000_003
"""Of the starts and the noise of episodes that are recorded here."""


@dataclass(frozen=True)
class Recording:
    """What hands were told in one episode each.

    Attributes:
        start: targets in force at its beginning, (N, 16) rad.
        executed: targets that the motors got, (steps, N, 16) rad.
        held: control steps until the object was lost, (N,).
    """

    start: Array
    executed: Array
    held: NDArray[np.int64]


def record(
    env: RotationEnv, control: Controller, on_step: Callable[[int], None] | None = None
) -> Recording:
    """One episode in every environment (freshly reset, built without automatic reset)."""
    steps = env.config.episode_steps
    start = env.target.copy()
    executed = np.empty((steps, env.count, JOINT_COUNT))
    held, alive = np.zeros(env.count, dtype=np.int64), np.ones(env.count, dtype=bool)
    for step in range(steps):
        result = control(env, step == 0)
        executed[step] = env.executed
        alive &= ~result.terminated
        held += alive
        if on_step is not None:
            on_step(step + 1)
    return Recording(start, executed, held)


def replay(recording: Recording, of: NDArray[np.intp]) -> Controller:
    """Repeat recorded targets, whatever the hands feel.

    A target that is farther away than the driver's guard lets a command be is reached at the guard's step limit; that
    is so at the beginning, where another grasp begins elsewhere. Where the recording lost its object, its last target
    before is held.

    Args:
        recording: of M hands.
        of: which of them each environment repeats, (N,).
    """
    last = np.maximum(recording.held[of] - 1, 0)
    step = 0

    def control(env: RotationEnv, first: bool) -> StepResult:
        nonlocal step
        step = 0 if first else step + 1
        before = env.target if first else env.executed
        wanted = recording.executed[np.minimum(step, last), of]
        sent = slewed(before, wanted, STEP_LIMIT_RAD)
        return env.step_target(sent, sent)

    return control


def matched(env: RotationEnv, other: RotationEnv, recording: Recording) -> NDArray[np.intp]:
    """For each environment, which recording to repeat: of the same task, from another start, held the longest.

    Those that were held equally long are shared out in turn, beginning behind the environment's own number, so that an
    environment gets its own object only where there is no other.

    Args:
        env: the environments, N, freshly reset.
        other: where the recording was made, M.
        recording: of it.

    Raises:
        ControllerError: there is none.
    """
    kinds = np.array([object_kind(world) for world in env.batch.worlds])
    other_kinds = np.array([object_kind(world) for world in other.batch.worlds])
    of = np.empty(env.count, dtype=np.intp)
    for row in range(env.count):
        fits = (
            (other_kinds == kinds[row])
            & (np.abs(other.axes - env.axes[row]).max(axis=1) < 1e-9)
            & (np.abs(other.wrists - env.wrists[row]).max(axis=1) < 1e-9)
            & (recording.start != env.target[row]).any(axis=1)
        )
        if not fits.any():
            raise ControllerError("there is no other episode to replay: ask for more episodes")
        longest = np.flatnonzero(fits & (recording.held == recording.held[fits].max()))
        of[row] = longest[np.searchsorted(longest, row, side="right") % len(longest)]
    return of


class ActionReplay:
    """A `Controller` that lets a policy act in other episodes first, and repeats what it did there.

    The other episodes have the same hands, objects and tasks, and begin from other draws of the same grasps.

    Args:
        policy: what is recorded.
        open_bar: shows the recording; None = shows nothing.
    """

    def __init__(self, policy: Controller, open_bar: OpenBar | None = None) -> None:
        self._policy = policy
        self._open_bar = open_bar

    def __call__(self, env: RotationEnv, first: bool) -> StepResult:
        """Record at the beginning of an episode, and advance the environment by one control step."""
        if first:
            other = env.another(RECORDING_SEED)
            recording = self._record(other)
            self._replay = replay(recording, matched(env, other, recording))
        return self._replay(env, first)

    def _record(self, env: RotationEnv) -> Recording:
        if self._open_bar is None:
            return record(env, self._policy)
        bar = self._open_bar(env.config.episode_steps, "record what is replayed", 0)
        try:
            return record(env, self._policy, lambda step: bar.update(step))
        finally:
            bar.close()
