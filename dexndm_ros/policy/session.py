# SPDX-License-Identifier: Apache-2.0
"""One hand's rotation, tick by tick: start sequence, running, holding, and when to do nothing.

Pure: the caller hands in the newest state and the time. Rules: nothing moves while the axis is
zero or refused, or the state is stale or not sound; a hand that was relaxed, faulted or lost in
mid-run is left alone until ``restart`` is called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.policy.controller import Policy, PolicyAction, PolicyStepError

__all__ = [
    "HandMode",
    "HandSample",
    "Phase",
    "RotationSession",
    "SessionConfig",
    "SessionTick",
    "open_pose",
]

Vector = NDArray[np.float64]

_FLEXION = ("_mcp_forward", "_pip", "_dip", "thumb_cmc")


class HandMode(IntEnum):
    """``HandState.mode``."""

    RELAXED = 0
    RAMPING = 1
    ACTIVE = 2
    HOLDING = 3
    FAULT = 4


class Phase(Enum):
    """Where a session stands."""

    WAITING = "waiting"  # for a hand that is enabled
    OPENING = "opening"
    PLACING = "placing"
    CLOSING = "closing"
    SETTLING = "settling"
    RUNNING = "running"
    HALTED = "halted"  # until restart


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """Times and angles of a session.

    Attributes:
        rate_hz: ticks a second.
        stale_s: a state older than this stops the motion.
        lost_s: a state older than this ends the run.
        open_s: time of the slide from the pose at hand to the open pose.
        place_s: time the open hand waits for the object to take its place.
        close_s: time of the slide to the policy's default pose.
        settle_s: time the default pose is held before the policy runs.
        open_rad: how far flexion joints and the thumb's base open from the default pose.
    """

    rate_hz: float = 20.0
    stale_s: float = 0.15
    lost_s: float = 1.0
    open_s: float = 1.5
    place_s: float = 0.5
    close_s: float = 1.5
    settle_s: float = 1.5
    open_rad: float = 0.5

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            may_be_zero = item.name in ("place_s", "settle_s", "open_rad")
            if not (math.isfinite(value) and (value > 0.0 or (may_be_zero and value == 0.0))):
                allowed = "0 or more" if may_be_zero else "more than 0"
                raise ValueError(f"{item.name} is {value!r}; it must be {allowed}")
        if self.lost_s < self.stale_s:
            raise ValueError(f"lost_s is {self.lost_s}, below stale_s {self.stale_s}")


@dataclass(frozen=True)
class HandSample:
    """The newest state of the hand.

    Attributes:
        seq: ``HandState.seq``.
        position: measured angles, (16,) rad, motor order.
        mode: ``HandState.mode``.
        received_ns: when it arrived, monotonic.
        stamp_ns: when the joints were read, system time.
    """

    seq: int
    position: Vector
    mode: int
    received_ns: int
    stamp_ns: int = 0


@dataclass(frozen=True)
class SessionTick:
    """What one tick decided.

    Attributes:
        command: target to send, (16,) rad; None = send nothing.
        action: the policy's action; None when the policy did not run in this tick.
        stopped: no motion is asked: nothing is sent, or the last target again.
        phase: where the session stands after the tick.
        reason: why it is stopped; empty = it is not.
    """

    command: Vector | None
    action: PolicyAction | None
    stopped: bool
    phase: Phase
    reason: str = ""


def open_pose(default_rad: ArrayLike, joint_names: Sequence[str], open_rad: float) -> Vector:
    """The default pose with its flexion joints and the thumb's base opened, never past flat.

    Args:
        default_rad: default pose, (16,).
        joint_names: names in the same order.
        open_rad: how far to open.
    """
    pose = np.array(default_rad, dtype=np.float64)
    opened = np.maximum(pose - open_rad, np.minimum(pose, 0.0))
    return np.where([name.endswith(_FLEXION) for name in joint_names], opened, pose)


class RotationSession:
    """Start sequence, policy and stops of one hand."""

    def __init__(self, policy: Policy, config: SessionConfig) -> None:
        self.config = config
        self.phase = Phase.WAITING
        self._policy = policy
        self._default = np.array(policy.spec.default_pose_rad, dtype=np.float64)
        self._open = open_pose(self._default, policy.spec.joint_names, config.open_rad)
        self._start = self._default
        self._lower = np.array(policy.spec.lower_rad, dtype=np.float64)
        self._upper = np.array(policy.spec.upper_rad, dtype=np.float64)
        self._ticks_in_phase = 0
        self._base = self._default  # what the policy integrates from
        self._target: Vector | None = None  # what was last sent; None = the hand is not ours
        self._reset_due = True
        self._reason = ""
        self._last_seq: int | None = None

    def restart(self) -> None:
        """Begin the start sequence at the next tick that finds the hand enabled and an axis."""
        self.phase = Phase.WAITING
        self._last_seq = None
        self._reason = ""

    def tick(
        self,
        now_ns: int,
        sample: HandSample | None,
        wrist_xyzw: Vector,
        axis: Vector,
        refusal: str = "",
    ) -> SessionTick:
        """One control period.

        Args:
            now_ns: monotonic time.
            sample: the newest state, None before the first.
            wrist_xyzw: orientation of the palm frame in the world, unit, (4,).
            axis: rotation axis in the palm frame, unit, or zero = stop, (3,).
            refusal: why an input was refused by the caller; empty = none was.
        """
        self._give_up_if_lost(now_ns, sample)
        if self.phase is Phase.HALTED:
            return self._hold(self._reason)
        reason = refusal or self._why_not(now_ns, sample, axis)
        if reason or sample is None:
            self._reset_due = True
            return self._hold(reason)
        if self.phase is Phase.WAITING:
            follows = sample.mode in (HandMode.RAMPING, HandMode.ACTIVE)
            start = self._target if follows and self._target is not None else sample.position
            # A measured angle may lie a little beyond the limits, which the driver would refuse.
            self._start = np.clip(start, self._lower, self._upper)
            self._enter(Phase.OPENING)
        elif sample.mode == HandMode.HOLDING:
            self._reset_due = True
            return self._hold("the driver holds the hand; see hand/health")
        if self.phase is not Phase.RUNNING:
            self._target = self._start_target()
            self._next_phase_when_due()
            return SessionTick(self._target, None, False, self.phase)
        if sample.mode != HandMode.ACTIVE:
            self._reset_due = True
            return self._hold("the hand is on its way to the last target")
        return self._run(sample, wrist_xyzw, axis)

    def _why_not(self, now_ns: int, sample: HandSample | None, axis: Vector) -> str:
        """Why nothing may move now; empty = it may."""
        if sample is None:
            return "no hand/state yet: is leap_hand_driver running and active?"
        age_s = (now_ns - sample.received_ns) / 1e9
        if age_s > self.config.stale_s:
            return f"hand/state is stale: the newest is over {self.config.stale_s * 1e3:.0f} ms old"
        if not np.isfinite(sample.position).all():
            bad = [k for k, value in enumerate(sample.position) if not math.isfinite(value)]
            return f"hand/state has angles that are not finite (motors {bad})"
        if sample.mode in (HandMode.RELAXED, HandMode.FAULT):
            return "the hand is not enabled: call hand/enable"
        if not np.any(axis):
            return "the rotation axis is zero"
        return ""

    def _give_up_if_lost(self, now_ns: int, sample: HandSample | None) -> None:
        """Leave a hand alone that was taken away in mid-run: it may hold nothing, or a finger."""
        if sample is None:
            return
        began = self.phase not in (Phase.WAITING, Phase.HALTED)
        restarted = self._last_seq is not None and sample.seq < self._last_seq
        self._last_seq = sample.seq
        what = ""
        if sample.mode == HandMode.FAULT:
            what = "the hand went to FAULT: call hand/recover and hand/enable"
        elif sample.mode == HandMode.RELAXED:
            what = "the hand was relaxed: call hand/enable"
        elif now_ns - sample.received_ns > self.config.lost_s * 1e9:
            what = "hand/state stopped coming: start the driver again"
        elif restarted:
            what = "the driver was restarted"
        if not what:
            return
        self._target = None
        if began:
            self._halt(f"{what}, then call policy/restart")

    def _halt(self, reason: str) -> None:
        self.phase = Phase.HALTED
        self._reason = reason

    def _hold(self, reason: str) -> SessionTick:
        return SessionTick(self._target, None, True, self.phase, reason)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._ticks_in_phase = 0

    def _start_target(self) -> Vector:
        """This tick's target of the start sequence."""
        self._ticks_in_phase += 1
        if self.phase is Phase.PLACING:
            return self._open
        if self.phase is Phase.SETTLING:
            return self._default
        begin, end, time_s = (
            (self._start, self._open, self.config.open_s)
            if self.phase is Phase.OPENING
            else (self._open, self._default, self.config.close_s)
        )
        part = min(1.0, self._ticks_in_phase / (time_s * self.config.rate_hz))
        return begin + part * (end - begin)

    def _next_phase_when_due(self) -> None:
        phases = {
            Phase.OPENING: (self.config.open_s, Phase.PLACING),
            Phase.PLACING: (self.config.place_s, Phase.CLOSING),
            Phase.CLOSING: (self.config.close_s, Phase.SETTLING),
            Phase.SETTLING: (self.config.settle_s, Phase.RUNNING),
        }
        time_s, following = phases[self.phase]
        if self._ticks_in_phase >= time_s * self.config.rate_hz - 1e-6:
            self._enter(following)
            if following is Phase.RUNNING:
                self._base, self._reset_due = self._default, True

    def _run(self, sample: HandSample, wrist_xyzw: Vector, axis: Vector) -> SessionTick:
        try:
            if self._reset_due:
                self._policy.reset(sample.position, self._base)
                self._reset_due = False
            action = self._policy.step(sample.position, wrist_xyzw, axis)
        except PolicyStepError as error:
            self._halt(f"{error}; then call policy/restart")
            return self._hold(self._reason)
        self._base, self._target = action.base, action.target
        return SessionTick(action.target, action, False, self.phase)
