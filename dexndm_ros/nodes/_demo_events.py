# SPDX-License-Identifier: Apache-2.0
"""What the demo sees of the graph, as plain values: nothing here needs ROS.

Stamps are system time in ns, as in message headers; vectors of 16 are in motor order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CommandSeen",
    "DemoSink",
    "HandSink",
    "HealthSeen",
    "ObjectSeen",
    "ProgressSeen",
    "StateSeen",
    "StepSeen",
]

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StateSeen:
    """A HandState.

    Attributes:
        stamp_ns: midpoint of the bus read.
        seq: ``HandState.seq``.
        position_rad: joint angles, (16,).
        command_seq: command in force when the joints were read.
        command_source: who sent it; empty = nobody.
        mode: ``HandState.mode``.
    """

    stamp_ns: int
    seq: int
    position_rad: Vector
    command_seq: int
    command_source: str
    mode: int


@dataclass(frozen=True, slots=True)
class CommandSeen:
    """A HandCommand, and when it was in a subscriber's hands.

    Attributes:
        seq: ``HandCommand.seq``.
        received_ns: when the subscription's callback began.
    """

    seq: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class StepSeen:
    """A PolicyStep.

    Attributes:
        stamp_ns: when the target was published.
        seq: tick count, equal to the ``HandCommand.seq`` of this tick.
        observation_seq: ``HandState.seq`` of the newest state in the observation.
        observation_age_ms: its age when the tick began; NaN = there was none.
        inference_ms: from tick begin to target.
        missed_ticks: slots skipped since activation.
        running: the policy ran in this tick (it is not the start sequence, nor a stop).
        wrist_xyzw: palm in the world, (4,).
    """

    stamp_ns: int
    seq: int
    observation_seq: int
    observation_age_ms: float
    inference_ms: float
    missed_ticks: int
    running: bool
    wrist_xyzw: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ProgressSeen:
    """A RotationProgress.

    Attributes:
        stamp_ns: state of the simulation.
        angle_rad: turned about the axis since the episode began.
        off_axis_rad: turned perpendicular to it.
        time_s: simulated time since then.
        fallen: the object left the hand.
        episode: count of episodes; 0 = none yet.
    """

    stamp_ns: int
    angle_rad: float
    off_axis_rad: float
    time_s: float
    fallen: bool
    episode: int


@dataclass(frozen=True, slots=True)
class ObjectSeen:
    """The object's pose in the palm frame.

    Attributes:
        stamp_ns: state of the simulation.
        position_m: (3,).
        xyzw: (4,).
    """

    stamp_ns: int
    position_m: tuple[float, float, float]
    xyzw: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class HealthSeen:
    """What the demo needs of a HandHealth.

    Attributes:
        bus_hz: bus cycles a second.
        lost_reads: over all motors, since activation.
        fault: why the driver is in FAULT; empty = it is not.
    """

    bus_hz: float
    lost_reads: int
    fault: str


class HandSink(Protocol):
    """Whoever wants to know of hand, policy and object; called in the observer's thread."""

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""

    def on_step(self, step: StepSeen) -> None:
        """A policy/step arrived."""

    def on_progress(self, progress: ProgressSeen) -> None:
        """A rotation/progress arrived."""

    def on_object(self, pose: ObjectSeen) -> None:
        """A sim/object arrived."""

    def on_health(self, health: HealthSeen) -> None:
        """A hand/health arrived."""

    def on_complaint(self, source: str, text: str) -> None:
        """A node says on /diagnostics why it does not do its work; empty = it does."""


class DemoSink(HandSink, Protocol):
    """Whoever listens to the demo's observer."""

    def on_command(self, command: CommandSeen) -> None:
        """A hand/command arrived."""
