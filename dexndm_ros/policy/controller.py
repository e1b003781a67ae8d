# SPDX-License-Identifier: Apache-2.0
"""From observation to joint target: the seat every policy fits, and the ONNX policy in it.

Nothing outside this package may assume how a target is made. What a policy reads beyond angles,
wrist and axis (an operator's fingers, tracked points) it takes in by methods of its own before
``step``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.policy.observation import JOINT_COUNT, OBSERVATION_SIZE, ObservationHistory
from dexndm_ros.policy.onnx_file import PolicyModel, fingerprint, open_model
from dexndm_ros.policy.spec import PolicySpec, PolicySpecError, Seat, check_spec

__all__ = ["OnnxPolicy", "Policy", "PolicyAction", "PolicyLoader", "PolicyStepError", "load_policy"]

Vector = NDArray[np.float64]


class PolicyStepError(RuntimeError):
    """A step that gave no usable target; the hand must hold what it has."""


@dataclass(frozen=True)
class PolicyAction:
    """What one step decided, each (16,) rad, or (batch, 16).

    Attributes:
        base: the target before any correction; the policy integrates and remembers this one.
        residual: the correction; zeros without one.
        target: what the hand shall follow, within the policy's limits.
    """

    base: Vector
    residual: Vector
    target: Vector


class Policy(Protocol):
    """The seat: a controller of one hand at a fixed rate."""

    @property
    def spec(self) -> PolicySpec:
        """What it was made for."""

    @property
    def refused(self) -> str:
        """Why a part of it (a residual) does not run; empty = all of it does."""

    def reset(self, q: ArrayLike, target: ArrayLike) -> None:
        """Begin, or begin again after a stop, at angles ``q`` with ``target`` in force, (16,)."""

    def step(self, q: ArrayLike, wrist_xyzw: ArrayLike, axis: ArrayLike) -> PolicyAction:
        """One tick.

        Args:
            q: measured angles, (16,) rad.
            wrist_xyzw: orientation of the palm frame in the world, unit, (4,).
            axis: rotation axis in the palm frame, unit, (3,).

        Raises:
            PolicyStepError: no usable target.
        """


PolicyLoader = Callable[[str | Path, Seat, "str | Path | None"], Policy]
"""(policy file, seat, residual file or None) to a policy; raises PolicySpecError."""


class OnnxPolicy:
    """Base network plus optional residual network, for one hand or for ``batch`` side by side.

    The base network gives a delta in [-1, 1]; a_t = clip(a_{t-1} + delta * scale, limits). The
    residual network sees the observation and a_t and gives a bounded correction. The history keeps
    a_t, the base action: that is what the base network was trained on. A residual whose spec says
    that it is refused does not run: the target is the base action.

    Args:
        base: opened file of kind ``base``.
        residual: opened file of kind ``residual``, or None.
        batch: number of hands, None for one without the leading axis.
    """

    def __init__(
        self, base: PolicyModel, residual: PolicyModel | None = None, batch: int | None = None
    ) -> None:
        for model, kind in ((base, "base"), (residual, "residual")):
            if model is not None and model.spec.kind != kind:
                raise PolicySpecError(
                    "kind", f"got {model.spec.kind!r} where a {kind} policy belongs", model.path
                )
        self._base = base
        self._refused = "" if residual is None else residual.spec.refused
        self._residual = None if self._refused else residual
        self._lower = np.array(base.spec.lower_rad)
        self._upper = np.array(base.spec.upper_rad)
        lead = () if batch is None else (batch,)
        self._action = np.zeros((*lead, JOINT_COUNT))
        self._history = ObservationHistory(batch)

    @property
    def spec(self) -> PolicySpec:
        """The base policy's spec."""
        return self._base.spec

    @property
    def refused(self) -> str:
        """Why the residual does not run, as its spec says; empty = it runs, or there is none."""
        return self._refused

    def reset(self, q: ArrayLike, target: ArrayLike) -> None:
        """Fill the history with (q, target); the next action integrates from ``target``."""
        self._history.reset(q, target)
        self._action[...] = target

    def reset_rows(self, mask: ArrayLike, q: ArrayLike, target: ArrayLike) -> None:
        """The same for the masked rows of a batch; see ``ObservationHistory.reset_rows``."""
        rows = np.asarray(mask, dtype=bool)
        self._history.reset_rows(rows, q, target)
        self._action[rows] = np.broadcast_to(np.asarray(target), self._action.shape)[rows]

    def resume(self, q: ArrayLike, targets: ArrayLike, target: ArrayLike) -> None:
        """Go on in the middle of a run that was recorded.

        Args:
            q: measured angles of the last ten ticks, oldest first, (10, 16) rad.
            targets: base targets in force in those ticks, that is each time the one of the tick before, (10, 16).
            target: base target of the last tick; the next action integrates from it, (16,).
        """
        self._history.resume(q, targets)
        self._action[...] = target

    def step(self, q: ArrayLike, wrist_xyzw: ArrayLike, axis: ArrayLike) -> PolicyAction:
        """One tick; see ``Policy.step``. With a batch every argument may have a leading axis."""
        # A network may swallow NaN (a rectifier does), so the input is looked at too.
        if not np.isfinite(q).all():
            raise PolicyStepError("the measured joint angles are not all finite numbers")
        self._history.push(q, self._action)
        observation = self._history.observation(wrist_xyzw, axis)
        delta = self._run(self._base, observation)
        step = np.clip(delta, -1.0, 1.0) * self.spec.action_scale_rad
        base = np.clip(self._action + step, self._lower, self._upper)
        if self._residual is None:
            residual, target = np.zeros_like(base), base
        else:
            joined = np.concatenate([observation, base], axis=-1, dtype=np.float32)
            bound = self._residual.spec.residual_bound_rad
            residual = np.clip(self._run(self._residual, joined), -bound, bound)
            target = np.clip(base + residual, self._lower, self._upper)
        self._action[...] = base
        return PolicyAction(base, residual, target)

    def _run(self, model: PolicyModel, inputs: NDArray[np.float32]) -> Vector:
        rows = inputs.reshape(-1, inputs.shape[-1])
        answer = model.run(rows).astype(np.float64).reshape(*inputs.shape[:-1], JOINT_COUNT)
        if not np.isfinite(answer).all():
            raise PolicyStepError(
                f"{model.path} gave values that are not finite; the file is damaged, or the "
                f"{OBSERVATION_SIZE} numbers of its observation are far from what it was trained on"
            )
        return answer


def load_policy(
    path: str | Path,
    seat: Seat,
    residual: str | Path | None = None,
    batch: int | None = None,
) -> OnnxPolicy:
    """Open a policy file and its optional residual, both checked against the seat.

    A residual that its spec refuses is checked like any other, and then the base policy runs alone;
    ``OnnxPolicy.refused`` says why. One that names its base policy goes with no other.

    Args:
        path: file of kind ``base``.
        seat: joint table and rate it shall sit in.
        residual: file of kind ``residual``, or None.
        batch: number of hands, None for one.

    Raises:
        PolicySpecError: naming the field that does not fit; ``base_sha256`` for another base policy.
    """
    models = [None if file is None else open_model(file) for file in (path, residual)]
    for model in models:
        if model is not None:
            check_spec(model.spec, seat, model.path)
    base, correction = models
    assert base is not None
    if correction is not None:
        _check_base(correction, base)
    return OnnxPolicy(base, correction, batch)


def _check_base(residual: PolicyModel, base: PolicyModel) -> None:
    """Whether a residual was made for this very file."""
    wanted, got = residual.spec.base_sha256, fingerprint(base.path)
    if wanted and wanted != got:
        raise PolicySpecError(
            "base_sha256",
            f"this residual was trained for the base policy file with SHA-256 {wanted[:12]}..., and {base.path} has "
            f"{got[:12]}...; give the base policy that it was trained for, or train a residual for this one",
            residual.path,
        )
