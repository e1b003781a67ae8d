# SPDX-License-Identifier: Apache-2.0
"""What the dashboard hears, as plain values: the node makes them from messages, tests make them by hand.

Vectors hold 16 numbers in motor order; a number that is not known is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "DiagnosticSeen",
    "EpisodeSeen",
    "HandMode",
    "HandSeen",
    "HealthSeen",
    "Input",
    "RecorderSeen",
    "ReplayState",
    "StatusSeen",
    "StepSeen",
]

Vector = tuple[float, ...]


class ReplayState(IntEnum):
    """The STATE_ constants of ReplayStatus."""

    IDLE = 0
    RUNNING = 1
    PAUSED = 2
    COOLING = 3
    FAULT = 4
    DONE = 5


class HandMode(IntEnum):
    """The MODE_ constants of HandState."""

    RELAXED = 0
    RAMPING = 1
    ACTIVE = 2
    HOLDING = 3
    FAULT = 4


@dataclass(frozen=True)
class StatusSeen:
    """A ReplayStatus; the attributes are its fields."""

    campaign: str = ""
    state: int = 0
    done: int = 0
    rejected: int = 0
    total: int = 0
    trajectory: int = 0
    step: int = 0
    entry: int = 0
    attempt: int = 0
    eta_s: float = math.nan
    duty_cycle: float = math.nan
    reason: str = ""
    faults: int = 0
    warnings: tuple[str, ...] = ()
    directory: str = ""


@dataclass(frozen=True)
class StepSeen:
    """A ReplayStep, and where the joints were when it came.

    Attributes:
        trajectory: id in the library.
        entry: row of the plan.
        attempt: which try of this row.
        step: from 0.
        target_rad: sent to the hand.
        position_rad: newest measured joint angles; NaN = none yet.
    """

    trajectory: int
    entry: int
    attempt: int
    step: int
    target_rad: Vector
    position_rad: Vector


@dataclass(frozen=True)
class HandSeen:
    """A HandState, a few a second.

    Attributes:
        mode: one of ``HandMode``.
        current_a: motor currents.
    """

    mode: int
    current_a: Vector


@dataclass(frozen=True)
class HealthSeen:
    """A HandHealth.

    Attributes:
        temperature_c: of the motors.
        voltage_v: at the motors.
        hardware_error: error bits of the motors.
        responding: which motors answer.
        lost_reads: replies lost since activation, all motors.
        bus_hz: bus cycles a second.
        fault: why the driver is in FAULT and what mends it; empty = it is not.
    """

    temperature_c: Vector
    voltage_v: Vector
    hardware_error: tuple[int, ...]
    responding: tuple[bool, ...]
    lost_reads: int = 0
    bus_hz: float = math.nan
    fault: str = ""


@dataclass(frozen=True)
class RecorderSeen:
    """A RecorderStatus; the attributes are its fields."""

    session: str = ""
    ready: bool = False
    reason: str = ""
    episode: str = ""
    messages: int = 0
    lost: int = 0
    dropped: int = 0
    queue: int = 0
    behind_s: float = 0.0
    bytes: int = 0
    free_bytes: float = math.nan


@dataclass(frozen=True)
class EpisodeSeen:
    """An EpisodeRecorded; the attributes are its fields."""

    episode: str
    complete: bool
    reason: str = ""
    messages: int = 0
    lost: int = 0
    dropped: int = 0
    bytes: int = 0
    duration_s: float = math.nan


@dataclass(frozen=True)
class DiagnosticSeen:
    """One status of ``/diagnostics``.

    Attributes:
        name: who says it.
        level: 0 ok, 1 warning, 2 error, 3 stale.
        message: in words.
    """

    name: str
    level: int
    message: str


Input = StatusSeen | StepSeen | HandSeen | HealthSeen | RecorderSeen | EpisodeSeen | DiagnosticSeen
