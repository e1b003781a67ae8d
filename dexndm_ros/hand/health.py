# SPDX-License-Identifier: Apache-2.0
"""The motors' slow state, one motor a bus cycle in its spare time, and what of it is a fault.

One read of addresses 64..147 (0.28 ms on the wire) brings torque, hardware error, gains, watchdog, voltage
and temperature of a motor, so that a round of sixteen takes 0.16 s at 100 Hz and the fast cycle is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dexndm_ros.hand.bus import BusReading, DynamixelBus, decode_window
from dexndm_ros.hand.errors import NoReplyError, StatusError, hardware_error_text

__all__ = ["HealthLimits", "HealthMonitor"]

_WINDOW = (64, 84)
_WINDOW_TIME_S = 0.0010
"""Spare time that one motor's poll needs, with a margin over its 0.28 ms on the wire at 4 Mbps."""
_WATCHDOG_TRIPPED = -1
_VOLTAGE_BIT = 0x01


@dataclass(frozen=True)
class HealthLimits:
    """What is a warning and what is a fault.

    Attributes:
        warm_c: temperature that is worth a warning.
        hot_c: temperature that is a fault; the motors' own limit is 70.
        low_v: supply voltage that is worth a warning; 5 V is recommended.
        dead_v: supply voltage that is a fault; X330 need 3.7 V.
        lost_s: a motor silent for this long is a fault.
    """

    warm_c: float = 55.0
    hot_c: float = 65.0
    low_v: float = 4.5
    dead_v: float = 3.7
    lost_s: float = 0.25

    def __post_init__(self) -> None:
        """Refuse limits in the wrong order."""
        if not self.warm_c <= self.hot_c or not self.low_v >= self.dead_v or self.lost_s <= 0:
            raise ValueError(f"need warm_c <= hot_c, low_v >= dead_v and lost_s > 0, got {self}")


class HealthMonitor:
    """Polls the slow state and watches for faults. Vectors are in the bus's order of motors.

    Args:
        bus: where the motors are.
        limits: what is a fault.

    Attributes:
        temperature_c: degrees Celsius; NaN = not read yet.
        voltage_v: supply voltage; NaN = not read yet.
        hardware_error: bits of register 70.
        watchdog: bus watchdog register; -1 = tripped.
        torque: torque enable register, False = not read yet.
        rounds: complete rounds of all motors.
    """

    def __init__(self, bus: DynamixelBus, limits: HealthLimits | None = None) -> None:
        self._bus = bus
        self.limits = limits or HealthLimits()
        self._ids = bus.config.motor_ids
        count = len(self._ids)
        self.temperature_c = np.full(count, np.nan)
        self.voltage_v = np.full(count, np.nan)
        self.hardware_error = np.zeros(count, dtype=np.uint8)
        self.watchdog = np.zeros(count, dtype=np.int64)
        self.torque = np.zeros(count, dtype=bool)
        self.rounds = 0
        self._torque_expected = False
        self._torque_known = np.zeros(count, dtype=bool)
        self._seen_s = np.full(count, -np.inf)
        self._started_s: float | None = None
        self._now_s = 0.0
        self._alert = np.zeros(count, dtype=bool)
        self._next = 0

    def forget(self) -> None:
        """Start afresh, after a recovery: old errors are not held against anyone."""
        self.hardware_error[:] = 0
        self.watchdog[:] = 0
        self.temperature_c[:] = np.nan
        self.voltage_v[:] = np.nan
        self._alert[:] = False
        self._seen_s[:] = -np.inf
        self._started_s = None

    def expect_torque(self, on: bool) -> None:
        """Say so after torque on and before torque off: a motor found without it is then a fault."""
        self._torque_expected = on
        self._torque_known[:] = False

    def observe(self, reading: BusReading, now_s: float) -> None:
        """Note who answered in a cycle, and who raised the alert bit."""
        if self._started_s is None:
            self._started_s = now_s
        self._now_s = now_s
        self._seen_s[reading.valid] = now_s
        self._alert |= reading.alert

    def poll(self, spare_s: float) -> int | None:
        """Read the slow state of one motor, if the time allows.

        Args:
            spare_s: time left in this cycle.

        Returns:
            index of the motor read, or None when nothing was.
        """
        if spare_s < _WINDOW_TIME_S:
            return None
        index = self._whose_turn()
        if index is None:
            return None
        motor_id = self._ids[index]
        try:
            data = self._bus.read_block(motor_id, *_WINDOW, attempts=1)
        except (NoReplyError, StatusError):
            return None
        table = decode_window(*_WINDOW, data)
        self.temperature_c[index] = table["present_temperature"]
        self.voltage_v[index] = 0.1 * table["present_input_voltage"]
        self.hardware_error[index] = table["hardware_error_status"]
        self.watchdog[index] = table["bus_watchdog"]
        self.torque[index] = table["torque_enable"] == 1
        self._torque_known[index] = True
        self._alert[index] = False
        return index

    def _whose_turn(self) -> int | None:
        """A motor that raises the alert bit first, else round robin; silent ones are passed over."""
        silent = self._bus.silent
        alerted = [k for k in np.flatnonzero(self._alert) if self._ids[k] not in silent]
        if alerted:
            return int(alerted[0])
        for _ in self._ids:
            index = self._next
            self._next = (index + 1) % len(self._ids)
            self.rounds += self._next == 0
            if self._ids[index] not in silent:
                return index
        return None

    def fault(self) -> str:
        """Why the torque must go off, and what mends it; empty = no reason."""
        limits = self.limits
        for index, motor_id in enumerate(self._ids):
            error = int(self.hardware_error[index]) & ~_VOLTAGE_BIT
            if error:
                return (
                    f"motor {motor_id} has shut down: {hardware_error_text(error)}; "
                    "let it cool and free it, then call hand/recover"
                )
            if self.temperature_c[index] >= limits.hot_c:
                return (
                    f"motor {motor_id} is at {self.temperature_c[index]:.0f} C "
                    f"(limit {limits.hot_c:.0f} C); let it cool, then call hand/recover"
                )
            if self.voltage_v[index] < limits.dead_v:
                return (
                    f"motor {motor_id} gets {self.voltage_v[index]:.1f} V "
                    f"(needs {limits.dead_v:.1f} V); check the 5 V supply, then call hand/recover"
                )
            if self.watchdog[index] == _WATCHDOG_TRIPPED:
                return (
                    f"the bus watchdog of motor {motor_id} has tripped: the bus was silent too long "
                    "(this process was held up, or the cable was out); call hand/recover"
                )
            if self._torque_expected and self._torque_known[index] and not self.torque[index]:
                return (
                    f"motor {motor_id} has lost its torque: it restarted, probably a power dip; "
                    "check the 5 V supply and the cable, then call hand/recover"
                )
        return self._lost_fault()

    def _lost_fault(self) -> str:
        if self._started_s is None:
            return ""
        silent_s = self._now_s - np.maximum(self._seen_s, self._started_s)
        lost = [self._ids[k] for k in np.flatnonzero(silent_s > self.limits.lost_s)]
        if not lost:
            return ""
        who = "all motors are" if len(lost) == len(self._ids) else f"motors {lost} are"
        return (
            f"{who} silent for {silent_s.max():.2f} s: check power and the cable "
            f"before motor {min(lost)}, then call hand/recover"
        )

    def warnings(self) -> list[str]:
        """What is not a fault yet, in words."""
        found = []
        for index, motor_id in enumerate(self._ids):
            if self.temperature_c[index] >= self.limits.warm_c:
                found.append(f"motor {motor_id} is warm: {self.temperature_c[index]:.0f} C")
            low = self.voltage_v[index] < self.limits.low_v
            if low or self.hardware_error[index] & _VOLTAGE_BIT:
                found.append(f"motor {motor_id}: low supply, {self.voltage_v[index]:.1f} V")
        return found
