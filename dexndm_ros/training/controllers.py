# SPDX-License-Identifier: Apache-2.0
"""What turns objects in a training environment: a policy file as the node runs it, a trained oracle, or a witness.

Witnesses say what a policy's score is worth: ``planner`` searches in the true world, ``replay:POLICY`` repeats what
the policy did in another episode, open loop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dexndm_ros.hand.guard import GuardConfig, slewed
from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import OnnxPolicy, load_policy
from dexndm_ros.policy.spec import Seat
from dexndm_ros.sim.env import RotationEnv, StepResult
from dexndm_ros.training.progress import OpenBar

__all__ = ["STEP_LIMIT_RAD", "Controller", "ControllerError", "open_controller", "refused_residual"]


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


def _oracle_controller(folder: Path) -> Controller:
    """A trained oracle, deterministic."""
    import torch

    from dexndm_ros.training.oracle import load_oracle

    actor = load_oracle(folder)

    def control(env: RotationEnv, first: bool) -> StepResult:
        with torch.inference_mode():
            action = actor(torch.from_numpy(env.privileged())).numpy().astype(np.float64)
        return env.step(action)

    return control


def open_controller(
    policy: str, residual: str, count: int, open_bar: OpenBar | None = None
) -> Controller:
    """What advances ``count`` environments by a policy and its residual.

    Args:
        policy: run folder with ``oracle.pt``, policy file or shipped name; ``planner`` or ``planner:SAMPLES``;
            or ``replay:POLICY``.
        residual: residual policy file, or empty.
        count: hands.
        open_bar: shows the episodes that a replay records first; None = shows nothing.

    Raises:
        ControllerError: a residual beside an oracle or a planner, or a witness that is not told what it needs.
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
    return _oracle_controller(Path(policy)) if opened is None else _onnx_controller(opened)


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
    if (Path(policy) / "oracle.pt").is_file():
        _refuse_residual(residual, "an oracle")
        return None
    seat = Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist())
    return load_policy(policy_path(policy), seat, Path(residual) if residual else None, count)
