# SPDX-License-Identifier: Apache-2.0
"""Faults that can be injected into the virtual hand, each for a while or until cleared.

=============  ======================================================================================
lost_reply     a status packet vanishes, with the given probability
corrupt_crc    a status packet arrives with one bit flipped, with the given probability
silent_motor   the motor neither hears nor answers (its data line is broken); it keeps its last goal
unplugged      all motors: the data cable to the hand is out, nothing is heard or answered, power stays;
               one motor: its cable is out, data and power: it goes limp, and boots when plugged in again
overload       the overload error is latched at once; while the fault lasts, it returns after each reboot
hot_motor      the motor reads 85 degrees: overheating error, again after each reboot while it lasts
brown_out      the supply sags to 3.2 V: input voltage error (alert; XL330 also switches off), less torque
clear          ends every fault; latched errors stay until the motor is rebooted, as in reality
=============  ======================================================================================

An overload without a duration is one event: the error is latched and a reboot mends it.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ALL_MOTORS", "BROWN_OUT_V", "FAULTS", "HOT_C", "Fault", "FaultBoard", "FaultError"]

ALL_MOTORS = -1
HOT_C = 85.0
BROWN_OUT_V = 3.2
FAULTS = (
    "lost_reply",
    "corrupt_crc",
    "silent_motor",
    "unplugged",
    "overload",
    "hot_motor",
    "brown_out",
    "clear",
)
_RANDOM = ("lost_reply", "corrupt_crc")


class FaultError(ValueError):
    """A fault that cannot be injected; the message says what is allowed."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: one of ``FAULTS``.
        motor: motor index 0..15, or -1 for all (brown_out always concerns all).
        probability: of each reply, for lost_reply and corrupt_crc; 0..1.
        duration_s: seconds it lasts; 0 = until cleared.
    """

    kind: str
    motor: int = ALL_MOTORS
    probability: float = 1.0
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise FaultError(f"unknown fault {self.kind!r}; known: {', '.join(FAULTS)}")
        if not -1 <= self.motor <= 15:
            raise FaultError(f"motor {self.motor} does not exist; allowed 0..15, or -1 for all")
        if not 0.0 <= self.probability <= 1.0:
            raise FaultError(f"probability {self.probability} must lie in 0..1")
        if not (math.isfinite(self.duration_s) and self.duration_s >= 0.0):
            raise FaultError(
                f"duration_s {self.duration_s} must be finite and not negative; 0 = until cleared"
            )
        if self.kind in _RANDOM and self.probability == 0.0:
            raise FaultError(f"{self.kind} with probability 0 never happens; give 0 < p <= 1")

    def concerns(self, motor: int) -> bool:
        """Whether it acts on this motor."""
        return self.motor in (ALL_MOTORS, motor)


class FaultBoard:
    """The faults in force. Any thread may inject; bus and physics threads ask.

    Args:
        clock: monotonic seconds.
        seed: of the draws for lost and corrupted replies.
    """

    def __init__(self, clock: Callable[[], float], seed: int = 0) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._active: tuple[tuple[Fault, float], ...] = ()
        self._events: list[Fault] = []

    def inject(self, fault: Fault) -> str:
        """Put a fault in force (or end all with "clear"); returns a sentence that says what was done."""
        now = self._clock()
        with self._lock:
            if fault.kind == "clear":
                count = len(self._active)
                self._active = ()
                return f"cleared {count} fault(s)"
            ends = now + fault.duration_s if fault.duration_s else math.inf
            same = (fault.kind, fault.motor)
            kept = [(f, end) for f, end in self._active if (f.kind, f.motor) != same]
            if fault.kind == "overload" and not fault.duration_s:
                self._events.append(fault)
            else:
                self._active = (*kept, (fault, ends))
        who = "all motors" if fault.motor == ALL_MOTORS else f"motor {fault.motor}"
        chance = f", probability {fault.probability:g}" if fault.kind in _RANDOM else ""
        span = f"for {fault.duration_s:g} s" if fault.duration_s else "until cleared"
        if fault.kind == "overload" and not fault.duration_s:
            span = "latched until the motor reboots"
        return f"{fault.kind} on {who}{chance}, {span}"

    def active(self, *kinds: str) -> list[Fault]:
        """Faults of these kinds in force now."""
        if not self._active:
            return []
        now = self._clock()
        if any(end <= now for _, end in self._active):
            with self._lock:
                self._active = tuple(pair for pair in self._active if pair[1] > now)
        return [fault for fault, _ in self._active if fault.kind in kinds]

    def take_events(self) -> list[Fault]:
        """Overloads that happen once, each returned once."""
        if not self._events:
            return []
        with self._lock:
            events, self._events = self._events, []
        return events

    def on(self, kind: str, motor: int) -> bool:
        """Whether a fault of this kind acts on this motor now."""
        return bool(self._active) and any(f.concerns(motor) for f in self.active(kind))

    def cut_off(self, motor: int) -> bool:
        """Whether the motor neither hears nor answers."""
        return bool(self._active) and any(
            f.concerns(motor) for f in self.active("silent_motor", "unplugged")
        )

    def draw(self, kind: str, motor: int) -> bool:
        """Whether a status packet of this motor is hit by a lost_reply or corrupt_crc."""
        return bool(self._active) and any(
            fault.concerns(motor) and self._random.random() < fault.probability
            for fault in self.active(kind)
        )

    def draw_exactly(self, kind: str, motor: int) -> bool:
        """As `draw`, by faults on exactly this motor; ``ALL_MOTORS`` is the packet that many motors share."""
        return bool(self._active) and any(
            fault.motor == motor and self._random.random() < fault.probability
            for fault in self.active(kind)
        )

    def flip_bit(self, data: bytes, first: int) -> bytes:
        """`data` with one random bit at or after byte `first` flipped."""
        at = self._random.randrange(first, len(data))
        damaged = bytearray(data)
        damaged[at] ^= 1 << self._random.randrange(8)
        return bytes(damaged)
