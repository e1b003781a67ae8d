# SPDX-License-Identifier: Apache-2.0
"""The guard every joint target passes on its way to the motors.

Pure: no clock, no bus, no ROS. The driver hands in commands (``accept``), the measured pose and the
time (``tick``), and writes what comes out. A target of ``None`` means that the torque must be off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.errors import GuardRefusedError
from dexndm_ros.hand.guard_types import (
    Accepted,
    Goal,
    GuardConfig,
    GuardOutput,
    GuardState,
    Mode,
    Rejected,
)
from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.hand.streams import StreamWatch

__all__ = [
    "Accepted",
    "Guard",
    "GuardConfig",
    "GuardOutput",
    "GuardState",
    "Mode",
    "Rejected",
    "slewed",
]

Vector = NDArray[np.float64]


def slewed(target: Vector, goal: Vector, limit_rad: Vector | float) -> Vector:
    """A target moved towards a goal, each joint by at most the limit.

    Args:
        target: where it is, (..., 16) rad.
        goal: where it shall be, likewise.
        limit_rad: largest move, one number or each joint's.
    """
    delta = goal - target
    # Adding the whole difference can miss the goal by a rounding error: take the goal itself.
    moved = target + np.clip(delta, -limit_rad, limit_rad)
    return np.where(np.abs(delta) <= limit_rad, goal, moved)


@dataclass
class Guard:
    """State machine RELAXED, HOLDING, RAMPING, ACTIVE, FAULT between commands and motors.

    Attributes:
        config: the limits.
        rejected_commands: commands refused since construction.
        limited_commands: commands clipped by a joint or step limit since construction.
        last_rejection: why the last refused command was refused; empty = none.
    """

    config: GuardConfig = field(default_factory=GuardConfig)
    rejected_commands: int = field(default=0, init=False)
    limited_commands: int = field(default=0, init=False)
    last_rejection: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Start relaxed."""
        self._lower = np.array(self.config.lower_rad)
        self._upper = np.array(self.config.upper_rad)
        self._streams = StreamWatch(self.config.stale_s)
        self._mode = Mode.RELAXED
        self._reason = ""
        self._target: Vector = np.zeros(JOINT_COUNT)
        self._goal: Goal | None = None
        self._capture = False
        self._allowance = np.full(JOINT_COUNT, self.config.max_step_rad)
        self._last_tick_s: float | None = None
        self._held_since_s: float | None = None

    @property
    def mode(self) -> Mode:
        """The present state."""
        return self._mode

    @property
    def state(self) -> GuardState:
        """All of it but the counts and the streams of commands that were seen."""
        return GuardState(
            self._mode,
            self._target.copy(),
            self._goal,
            self._last_tick_s,
            self._allowance.copy(),
            self._capture,
            self._held_since_s,
            self._reason,
        )

    def resume(self, state: GuardState) -> None:
        """Go on from a state, told by ``state`` or put together from what a driver recorded."""
        full = np.full(JOINT_COUNT, self.config.max_step_rad)
        self._mode = state.mode
        self._target = state.target.copy()
        self._goal = state.goal
        self._last_tick_s = state.last_tick_s
        self._allowance = full if state.allowance is None else state.allowance.copy()
        self._capture = state.capture
        self._held_since_s = state.held_since_s
        self._reason = state.reason

    # --- commands ---------------------------------------------------------------------------

    def accept(
        self, position: Sequence[float] | Vector, seq: int, source: str, now_s: float
    ) -> Accepted | Rejected:
        """Take a command, or refuse it with a reason.

        Args:
            position: target joint angles, 16 numbers, rad, motor order.
            seq: the publisher's own count.
            source: the publisher's name.
            now_s: monotonic time.

        A refused command stops the target where it is: what came before it is not carried on.
        """
        source = source or "(unnamed)"
        problem, q = self._check(position)
        conflict = self._streams.seen(source, seq, q.tobytes(), now_s)
        if self._mode is Mode.RELAXED:
            return self._reject("the torque is off: call hand/enable first", stop=False)
        if self._mode is Mode.FAULT:
            return self._reject(f"the hand is in FAULT ({self._reason})", stop=False)
        if conflict:
            self._hold(conflict)
            return self._reject(conflict, stop=False)
        if problem:
            return self._reject(f"{problem} (from {source}, seq {seq})", stop=True)
        clipped = bool(np.any(q < self._lower) or np.any(q > self._upper))
        self.limited_commands += clipped
        followed = np.clip(q, self._lower, self._upper)
        self._goal = Goal(followed, seq, source, now_s, counted_limited=clipped)
        if self._mode is Mode.HOLDING:
            self._mode = Mode.RAMPING
        self._reason = ""
        return Accepted(clipped)

    def _check(self, position: Sequence[float] | Vector) -> tuple[str, Vector]:
        """What is wrong with a command ('' = nothing), and the command as an array."""
        try:
            q = np.array(position, dtype=np.float64)
        except (TypeError, ValueError):
            return "position is not a list of numbers", np.empty(0)
        if q.shape != (JOINT_COUNT,):
            return f"position has shape {q.shape}, it must be ({JOINT_COUNT},)", q
        if not np.isfinite(q).all():
            k = int(np.argmin(np.isfinite(q)))
            return f"{JOINT_NAMES[k]} (motor {k}) is {q[k]}, it must be a finite angle", q
        k, excess_rad = self._worst_excess(q)
        if excess_rad > self.config.limit_tolerance_rad:
            return self._name_excess(k, q[k]), q
        return "", q

    def _worst_excess(self, q: Vector) -> tuple[int, float]:
        """The joint furthest beyond its limits and how far, rad (negative: all are inside)."""
        excess = np.maximum(self._lower - q, q - self._upper)
        k = int(np.argmax(excess))
        return k, float(excess[k])

    def _name_excess(self, k: int, angle_rad: float) -> str:
        return (
            f"{JOINT_NAMES[k]} (motor {k}) is {angle_rad:.4f} rad, outside its limits "
            f"[{self._lower[k]:.3f}, {self._upper[k]:.3f}]"
        )

    def _reject(self, reason: str, *, stop: bool) -> Rejected:
        self.rejected_commands += 1
        self.last_rejection = reason
        if stop and self._goal is not None:
            self._goal = replace(self._goal, stopped=True)
        return Rejected(reason)

    # --- the clock --------------------------------------------------------------------------

    def tick(self, measured: Sequence[float] | Vector | None, now_s: float) -> GuardOutput:
        """Advance to ``now_s`` and say what to write.

        Args:
            measured: joint angles of this cycle's read, rad; None when the read was not complete.
            now_s: monotonic time.
        """
        elapsed_s = 0.0 if self._last_tick_s is None else max(0.0, now_s - self._last_tick_s)
        self._last_tick_s = now_s
        config = self.config
        self._allowance = np.minimum(
            config.max_step_rad,
            self._allowance + elapsed_s * config.max_step_rad / config.command_period_s,
        )
        if self._mode in (Mode.RELAXED, Mode.FAULT):
            return GuardOutput(self._mode, None, reason=self._reason, decided_s=now_s)
        if self._goal is not None and now_s - self._goal.time_s > config.stale_s:
            age_ms = (now_s - self._goal.time_s) * 1e3
            self._hold(f"no command from {self._goal.source} for {age_ms:.0f} ms")
        if self._held_too_long(now_s):
            return GuardOutput(self._mode, None, reason=self._reason, decided_s=now_s)
        if self._capture:
            self._capture_pose(measured)
        limited = False
        if self._goal is not None and not self._goal.stopped and not self._capture:
            limited = self._advance(self._goal, min(elapsed_s, config.max_tick_s))
        goal = self._goal
        return GuardOutput(
            self._mode,
            self._target.copy(),
            limited,
            self._reason,
            goal.seq if goal else 0,
            goal.source if goal else "",
            now_s,
            goal.time_s if goal else 0.0,
        )

    def _held_too_long(self, now_s: float) -> bool:
        """Relax after ``relax_after_s`` of holding, counted from its first tick; True when done."""
        if self._mode is not Mode.HOLDING or self._held_since_s is None:
            self._held_since_s = now_s if self._mode is Mode.HOLDING else None
            return False
        after_s = self.config.relax_after_s
        if not 0.0 < after_s <= now_s - self._held_since_s:
            return False
        self.relax()
        self._reason = (
            f"held {after_s:g} s without a command: the torque is off; call hand/enable to go on"
        )
        return True

    def _advance(self, goal: Goal, elapsed_s: float) -> bool:
        """Move the target towards the goal as far as ramp or step limit allow."""
        delta = goal.position - self._target
        if self._mode is Mode.RAMPING:
            limit: Vector | float = self.config.ramp_speed_rad_s * elapsed_s
        else:
            limit = self._allowance
        limited = bool(np.any(np.abs(delta) > limit))
        self._target = slewed(self._target, goal.position, limit)
        if self._mode is Mode.RAMPING:
            if not limited:
                self._mode = Mode.ACTIVE
            return limited
        self._allowance = self._allowance - np.minimum(np.abs(delta), limit)
        if limited and not goal.counted_limited:
            self._goal = replace(goal, counted_limited=True)
            self.limited_commands += 1
        return limited

    def _hold(self, reason: str) -> None:
        """Drop the command; the pose to hold is captured at the next tick with a whole read."""
        self._reason = reason
        if self._mode in (Mode.RAMPING, Mode.ACTIVE):
            self._mode = Mode.HOLDING
            self._capture = True
            self._held_since_s = None
        self._goal = None

    def _capture_pose(self, measured: Sequence[float] | Vector | None) -> None:
        if measured is None:
            return
        q = np.array(measured, dtype=np.float64)
        if q.shape == (JOINT_COUNT,) and np.isfinite(q).all():
            self._target = self._held(q)
            self._capture = False

    def _held(self, q: Vector) -> Vector:
        """The target that holds a measured pose where it is.

        A joint may lie a little beyond its limit (gravity, backlash): pulling it back at once would be a
        jump, so it is held there, and the next command ramps it in.
        """
        slack = self.config.enable_tolerance_rad
        return np.clip(q, self._lower - slack, self._upper + slack)

    # --- services ---------------------------------------------------------------------------

    def enable(self, measured: Sequence[float] | Vector) -> None:
        """Hold the measured pose and follow commands from now on.

        Raises:
            GuardRefusedError: in FAULT, or the pose is not a pose of a sound hand.
        """
        if self._mode is Mode.FAULT:
            raise GuardRefusedError(f"in FAULT ({self._reason}): call hand/recover first")
        if self._mode is not Mode.RELAXED:
            return
        q = np.array(measured, dtype=np.float64)
        if q.shape != (JOINT_COUNT,) or not np.isfinite(q).all():
            raise GuardRefusedError("no complete measured pose: every motor must answer first")
        k, excess_rad = self._worst_excess(q)
        if excess_rad > self.config.enable_tolerance_rad:
            raise GuardRefusedError(f"{self._name_excess(k, q[k])}: move it into its range by hand")
        self._target = self._held(q)
        self._goal = None
        self._capture = False
        self._reason = "enabled; waiting for a command"
        self._mode = Mode.HOLDING
        self._held_since_s = None

    def relax(self) -> None:
        """Torque off. A fault stays a fault."""
        if self._mode is not Mode.FAULT:
            self._mode = Mode.RELAXED
            self._reason = ""
            self._goal = None

    def fault(self, reason: str) -> None:
        """Torque off until ``recover``; the first reason is kept, later ones follow from it."""
        if self._mode is not Mode.FAULT:
            self._mode = Mode.FAULT
            self._reason = reason
            self._goal = None

    def recover(self) -> None:
        """Leave FAULT, to RELAXED: nothing moves until ``enable`` and a new command."""
        if self._mode is not Mode.FAULT:
            raise GuardRefusedError(f"nothing to recover from: the mode is {self._mode.name}")
        self._mode = Mode.RELAXED
        self._reason = ""
