# SPDX-License-Identifier: Apache-2.0
"""What goes into and comes out of `DriverCore`."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.bus import BusReading
from dexndm_ros.hand.cycle_times import CycleSummary
from dexndm_ros.hand.guard import GuardConfig, Mode
from dexndm_ros.hand.health import HealthLimits

__all__ = ["Cycle", "DriverConfig", "DriverReport", "Request"]

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class DriverConfig:
    """How the driver runs.

    Attributes:
        guard: what commands may do.
        limits: what of the motors' state is a fault.
        health_poll_hz: motors polled for temperature, voltage and errors, a second. A motor that
            raises its alert bit is polled at once.
    """

    guard: GuardConfig = field(default_factory=GuardConfig)
    limits: HealthLimits = field(default_factory=HealthLimits)
    health_poll_hz: float = 32.0

    def __post_init__(self) -> None:
        """Refuse a rate at which nothing would be noticed."""
        if not self.health_poll_hz >= 1.0:
            raise ValueError(f"health_poll_hz is {self.health_poll_hz!r}; it must be at least 1 Hz")


class Cycle(NamedTuple):
    """One complete, verified read of the hand and what was in force at that moment.

    Attributes:
        seq: count of bus cycles; a gap is a cycle without a complete read.
        reading: what the motors said.
        mode: the guard's state at that moment.
        command: target that the motors had when they were read, rad; the measured pose while relaxed.
        command_seq: seq of the command that this target followed; 0 while ``command_source`` is empty.
        command_source: its source; empty while there was none.
        decided_s: monotonic time at which the guard decided on the target; 0 = nothing decided yet.
        arrived_s: monotonic time at which that command arrived; 0 while ``command_source`` is empty.
    """

    seq: int
    reading: BusReading
    mode: Mode
    command: Vector
    command_seq: int
    command_source: str
    decided_s: float = 0.0
    arrived_s: float = 0.0


class Request:
    """Something the bus thread is asked to do between two cycles: enable, relax or recover."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.made_s = time.monotonic()
        self.ok = False
        self.text = ""
        self._done = threading.Event()

    def finish(self, ok: bool, text: str) -> None:
        """Called by the bus thread."""
        self.ok, self.text = ok, text
        self._done.set()

    def wait(self, timeout_s: float) -> bool:
        """True when it has been dealt with."""
        return self._done.wait(timeout_s)


@dataclass(frozen=True)
class DriverReport:
    """The slow view of the hand, for health and diagnostics; vectors in motor order.

    Attributes:
        polled_ns: monotonic time of the last poll of a motor's slow state; 0 = none yet.
        mode: the guard's state.
        reason: why the hand holds, is in FAULT or relaxed by itself; empty while all is well.
        temperature_c: NaN = not read yet.
        voltage_v: NaN = not read yet.
        hardware_error: bits of register 70.
        responding: answered in the last cycle that asked.
        lost_reads: cycles without a sound reply since activation.
        cycles: rate and durations since the last report.
        rejected: commands refused since activation.
        limited: commands clipped since activation.
        last_rejection: why; empty = none.
        command_age_s: since the last command arrived; infinite = none yet.
        command_source: who sent it.
        warnings: what is not a fault yet, with the cure where there is one.
    """

    polled_ns: int
    mode: Mode
    reason: str
    temperature_c: Vector
    voltage_v: Vector
    hardware_error: NDArray[np.uint8]
    responding: NDArray[np.bool_]
    lost_reads: NDArray[np.int64]
    cycles: CycleSummary
    rejected: int
    limited: int
    last_rejection: str
    command_age_s: float
    command_source: str
    warnings: tuple[str, ...]
