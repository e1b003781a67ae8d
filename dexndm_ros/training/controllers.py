# SPDX-License-Identifier: Apache-2.0
"""What turns objects in a training environment: a policy file as the node runs it, a trained oracle, or a witness.

Witnesses say what a policy's score is worth: ``planner`` searches in the true world, ``replay:POLICY`` repeats what
the policy did in another episode, open loop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import GuardConfig, slewed
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import OnnxPolicy, load_policy
from dexndm_ros.policy.spec import Seat
from dexndm_ros.sim.env import RotationEnv, StepResult
from dexndm_ros.training.progress import OpenBar

__all__ = [
    "STEP_LIMIT_RAD",
    "ActionNoise",
    "Controller",
    "ControllerError",
    "OracleController",
    "is_oracle",
    "open_controller",
    "refused_residual",
]

Array = NDArray[np.float64]


class ControllerError(ValueError):
    """A policy that cannot run as it was asked to; the message says what to do."""


STEP_LIMIT_RAD = GuardConfig.max_step_rad
"""A control step is the guard's command period: all of the limit is there again in each."""

Controller = Callable[[RotationEnv, bool], StepResult]
"""Advances the environment by one control step; told whether it is the first of the episode."""


def _onnx_controller(policy: OnnxPolicy) -> Controller:
    """The policy file as the node runs it, and its targets as the driver's guard lets them pass.

    The guard's default step limit is counted from the targets that were executed last. A base policy alone never meets
    it. Joint limits are the policy's own, and they lie within the guard's.
    """

    def control(env: RotationEnv, first: bool) -> StepResult:
        q = env.measured
        if first:
            policy.reset(q, env.target)
        before = env.target if first else env.executed
        action = policy.step(q, env.wrists, env.axes)
        return env.step_target(action.base, slewed(before, action.target, STEP_LIMIT_RAD))

    return control


class ActionNoise:
    """Gaussian noise on a driver's actions; each episode has its own share of it, so that some are clean.

    Noise makes the driver visit, and the labels correct, the neighbourhood.

    Args:
        count: episodes side by side, N.
        std: largest standard deviation, in units of an action.
        rng: of shares and noise.
    """

    def __init__(self, count: int, std: float, rng: np.random.Generator) -> None:
        self._rng = rng
        self._share = rng.uniform(0.0, 1.0, (count, 1)) * std

    def draw(self) -> Array:
        """The noise of a step, (N, 16)."""
        return self._rng.normal(size=(len(self._share), JOINT_COUNT)) * self._share


class OracleController:
    """A trained oracle, deterministic but for the noise on what it does.

    Args:
        folder: its run folder.
        noise: on its actions, or None.

    Attributes:
        wanted: its own actions in the last step, in [-1, 1], (N, 16).
        driven: the same with the noise.
    """

    def __init__(self, folder: Path, noise: ActionNoise | None = None) -> None:
        from dexndm_ros.training.oracle import load_oracle

        self._actor, self._noise = load_oracle(folder), noise
        self.wanted = self.driven = np.zeros((0, JOINT_COUNT))

    def __call__(self, env: RotationEnv, first: bool) -> StepResult:
        """See ``Controller``."""
        import torch

        with torch.inference_mode():
            action = self._actor(torch.from_numpy(env.privileged())).numpy().astype(np.float64)
        self.wanted = self.driven = np.clip(action, -1.0, 1.0)
        if self._noise is not None:
            self.driven = np.clip(self.wanted + self._noise.draw(), -1.0, 1.0)
        return env.step(self.driven)


def is_oracle(policy: str) -> bool:
    """Whether it is the run folder of an oracle."""
    return (Path(policy) / "oracle.pt").is_file()


def open_controller(
    policy: str,
    residual: str,
    count: int,
    open_bar: OpenBar | None = None,
    noise: ActionNoise | None = None,
) -> Controller:
    """What advances ``count`` environments by a policy and its residual.

    Args:
        policy: run folder with ``oracle.pt``, policy file or shipped name; ``planner`` or ``planner:SAMPLES``;
            or ``replay:POLICY``.
        residual: residual policy file, or empty.
        count: hands.
        open_bar: shows the episodes that a replay records first; None = shows nothing.
        noise: on an oracle's actions.

    Raises:
        ControllerError: a residual beside an oracle or a planner, noise beside a policy file, or a witness that is not
            told what it needs.
        PathError, PolicySpecError: no such policy, or none for this hand.
    """
    kind, _, rest = policy.partition(":")
    if kind == "planner":
        _refuse_residual(residual, "a planner")
        return _open_planner(rest)
    if kind == "replay":
        from dexndm_ros.training.action_replay import ActionReplay

        return ActionReplay(open_controller(_replayed(policy), residual, count), open_bar)
    opened = _open_policy(policy, residual, count)
    if opened is None:
        return OracleController(Path(policy), noise)
    if noise is not None:
        raise ControllerError(
            f"noise on the actions of {policy}: only an oracle says what it would have done without; give the run "
            "folder of one, or leave the noise out"
        )
    return _onnx_controller(opened)


def refused_residual(policy: str, residual: str) -> str:
    """Open both, so that what is wrong with them is told before anything is simulated.

    Args:
        policy: as of ``open_controller``.
        residual: likewise.

    Returns:
        Why the residual will not run; empty where it will, or where there is none.

    Raises:
        ControllerError, PathError, PolicySpecError: as of ``open_controller``.
    """
    kind = policy.partition(":")[0]
    if kind == "planner":
        open_controller(policy, residual, 1)
        return ""
    if kind == "replay":
        return refused_residual(_replayed(policy), residual)
    opened = _open_policy(policy, residual, 1)
    return "" if opened is None else opened.refused


def _open_planner(samples: str) -> Controller:
    from dexndm_ros.training.planner import Planner, PlannerConfig

    try:
        return Planner(PlannerConfig(samples=int(samples)) if samples else PlannerConfig())
    except ValueError as error:
        raise ControllerError(
            f"planner:{samples}: give the number of samples, at least 2, as in planner:32"
        ) from error


def _replayed(policy: str) -> str:
    """What ``replay:POLICY`` repeats."""
    name = policy.partition(":")[2]
    if not name:
        raise ControllerError(f"{policy!r} does not say what to replay; as in replay:cylinder_z")
    return name


def _refuse_residual(residual: str, policy: str) -> None:
    if residual:
        raise ControllerError(
            f"residual {residual}: {policy} takes none; give a policy file, or leave the residual out"
        )


def _open_policy(policy: str, residual: str, count: int) -> OnnxPolicy | None:
    """The opened files, or None for an oracle."""
    if is_oracle(policy):
        _refuse_residual(residual, "an oracle")
        return None
    seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist())
    return load_policy(policy_path(policy), seat, Path(residual) if residual else None, count)
