# SPDX-License-Identifier: Apache-2.0
"""How a hand's motors are to be set up: gains, current, watchdog, by the motors it is built with."""

from __future__ import annotations

from dataclasses import dataclass

from dexndm_ros.hand.joints import SIDE_JOINTS
from dexndm_ros.hand.units import SIDE_GAIN_SCALE, XC330_M288, XL330_M288, MotorModel

__all__ = ["PROFILES", "HandProfile", "profile_by_name"]

CURRENT_BASED_POSITION = 5
_WATCHDOG_UNIT_S = 0.020


@dataclass(frozen=True)
class HandProfile:
    """Settings of a hand.

    Attributes:
        name: what users call it.
        motor: the only motor model it drives.
        current_limit_ma: Goal Current (102), the most a motor may draw.
        p_gain: Position P Gain (84).
        i_gain: Position I Gain (82).
        d_gain: Position D Gain (80); P and D of the side joints are scaled by 0.75.
        bus_watchdog_s: silence on the bus after which the motors stop by themselves; 0.02..2.54.
    """

    name: str
    motor: MotorModel
    current_limit_ma: int
    p_gain: int = 800
    i_gain: int = 0
    d_gain: int = 200
    bus_watchdog_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that the motors would refuse."""
        if not 0 < self.current_limit_ma <= self.motor.current_limit_ma:
            raise ValueError(
                f"current_limit_ma must be in 1..{self.motor.current_limit_ma} for "
                f"{self.motor.name}, got {self.current_limit_ma}"
            )
        for name in ("p_gain", "i_gain", "d_gain"):
            if not 0 <= getattr(self, name) <= 16383:
                raise ValueError(f"{name} must be in 0..16383, got {getattr(self, name)}")
        if not 1 <= self.watchdog_units <= 127:
            raise ValueError(
                f"bus_watchdog_s must be in 0.02..2.54 s (20 ms steps), got {self.bus_watchdog_s}"
            )

    @property
    def watchdog_units(self) -> int:
        """Value of Bus Watchdog (98)."""
        return round(self.bus_watchdog_s / _WATCHDOG_UNIT_S)

    def eeprom(self) -> dict[str, int]:
        """Registers that survive a power cycle, as they must be; the same for every motor."""
        return {
            "operating_mode": CURRENT_BASED_POSITION,
            "return_delay_time": 0,
            # Bit 0 would turn a joint's direction round, bit 3 would switch torque on with any goal.
            "drive_mode": 0,
            "homing_offset": 0,
            # No torque by itself at power-on.
            "startup_configuration": 0,
        }

    def ram(self, motor_id: int) -> dict[str, int]:
        """Registers lost at a reboot or a change of mode, as they must be before torque on."""
        scale = SIDE_GAIN_SCALE if motor_id in SIDE_JOINTS else 1.0
        return {
            "status_return_level": 2,
            "position_p_gain": round(self.p_gain * scale),
            "position_i_gain": self.i_gain,
            "position_d_gain": round(self.d_gain * scale),
            "feedforward_2nd_gain": 0,
            "feedforward_1st_gain": 0,
            "profile_acceleration": 0,
            "profile_velocity": 0,
            "goal_current": self.current_limit_ma,
        }


PROFILES: dict[str, HandProfile] = {
    "full": HandProfile("full", XC330_M288, current_limit_ma=500),
    "lite": HandProfile("lite", XL330_M288, current_limit_ma=300),
}
"""The two hands that exist: full (XC330-M288) and lite (XL330-M288)."""


def profile_by_name(name: str) -> HandProfile:
    """The profile of this name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown hand profile {name!r}; known profiles: {', '.join(PROFILES)}")
    return PROFILES[name]
