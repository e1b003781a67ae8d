# SPDX-License-Identifier: Apache-2.0
"""What goes into and comes out of the guard, and its state as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD

__all__ = ["Accepted", "Goal", "GuardConfig", "GuardOutput", "GuardState", "Mode", "Rejected"]

Vector = NDArray[np.float64]


class Mode(IntEnum):
    """State of the guard; the values are those of ``HandState.msg``."""

    RELAXED = 0
    RAMPING = 1
    ACTIVE = 2
    HOLDING = 3
    FAULT = 4


@dataclass(frozen=True)
class GuardConfig:
    """What the guard allows.

    Attributes:
        lower_rad: lower joint limits, motor order.
        upper_rad: upper joint limits, motor order.
        limit_tolerance_rad: a command this little beyond a limit is clipped; further is refused.
        max_step_rad: most a joint's target may move in one command period, from its last target.
        command_period_s: the period that ``max_step_rad`` is counted over.
        ramp_speed_rad_s: speed of the first approach after enabling or holding.
        stale_s: a command older than this is not followed any more.
        enable_tolerance_rad: enabling is refused with a joint further beyond its limits than this.
        max_tick_s: a ramp never advances further than this much time in one tick.
        relax_after_s: a hand that has held for so long without a command relaxes; 0 = it holds for ever.
    """

    lower_rad: tuple[float, ...] = tuple(LOWER_RAD.tolist())
    upper_rad: tuple[float, ...] = tuple(UPPER_RAD.tolist())
    limit_tolerance_rad: float = 1e-3
    max_step_rad: float = 0.15
    command_period_s: float = 0.05
    ramp_speed_rad_s: float = 1.0
    stale_s: float = 0.15
    enable_tolerance_rad: float = 0.15
    max_tick_s: float = 0.05
    relax_after_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a configuration under which the guard could not guard."""
        if len(self.lower_rad) != JOINT_COUNT or len(self.upper_rad) != JOINT_COUNT:
            raise ValueError(
                f"guard limits need {JOINT_COUNT} joints, got {len(self.lower_rad)} lower and "
                f"{len(self.upper_rad)} upper limits"
            )
        bounds = zip(self.lower_rad, self.upper_rad, strict=True)
        if not all(math.isfinite(low) and math.isfinite(up) and low < up for low, up in bounds):
            raise ValueError("guard limits need finite numbers with lower < upper for every joint")
        for name in ("limit_tolerance_rad", "enable_tolerance_rad", "relax_after_s"):
            if not getattr(self, name) >= 0 or math.isinf(getattr(self, name)):
                raise ValueError(f"guard {name} must be finite and >= 0, got {getattr(self, name)}")
        for name in (
            "max_step_rad",
            "command_period_s",
            "ramp_speed_rad_s",
            "stale_s",
            "max_tick_s",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"guard {name} must be finite and > 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Accepted:
    """The command will be followed; ``clipped`` where it was a hair beyond a joint limit."""

    clipped: bool = False


@dataclass(frozen=True)
class Rejected:
    """The command was refused and nothing moves for it; ``reason`` is for the publisher's eyes."""

    reason: str


@dataclass(frozen=True)
class GuardOutput:
    """What the driver does now.

    Attributes:
        mode: the guard's state after the tick.
        target: joint targets to write, rad, motor order; None: the torque must be off.
        limited: the step limit or the ramp keeps the target from where the command wants it.
        reason: why the hand holds, is in FAULT or relaxed by itself; empty while all is well.
        command_seq: seq of the command that ``target`` follows (0 while ``source`` is empty).
        source: source of that command; empty while the guard holds a pose of its own.
        decided_s: the tick's monotonic time; 0 before the first.
        arrived_s: when that command arrived, monotonic; 0 while ``source`` is empty.
    """

    mode: Mode
    target: Vector | None
    limited: bool = False
    reason: str = ""
    command_seq: int = 0
    source: str = ""
    decided_s: float = 0.0
    arrived_s: float = 0.0


@dataclass(frozen=True)
class Goal:
    """A command that is followed.

    Attributes:
        position: where it wants the joints, within the limits, rad, motor order.
        seq: the publisher's count of it.
        source: who sent it.
        time_s: when it arrived, monotonic.
        stopped: a refused command followed it: the target stays where it is.
        counted_limited: it was counted as limited already.
    """

    position: Vector
    seq: int
    source: str
    time_s: float
    stopped: bool = False
    counted_limited: bool = False


@dataclass(frozen=True)
class GuardState:
    """A guard between two ticks; ``Guard.resume`` goes on from it.

    Attributes:
        mode: as told by the last tick.
        target: what it told the motors, rad, motor order.
        goal: the command that is followed; None = a pose of its own is held, or the torque is off.
        last_tick_s: monotonic time of the last tick; None = there was none.
        allowance: how far each joint's target may still move before the step limit refills, rad; None = all of it.
        capture: the pose to hold is still to be read.
        held_since_s: first tick of holding; None = not holding, or not known.
        reason: why it holds, is in FAULT or relaxed.
    """

    mode: Mode
    target: Vector = field(default_factory=lambda: np.zeros(JOINT_COUNT))
    goal: Goal | None = None
    last_tick_s: float | None = None
    allowance: Vector | None = None
    capture: bool = False
    held_since_s: float | None = None
    reason: str = ""
