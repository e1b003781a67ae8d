# SPDX-License-Identifier: Apache-2.0
"""The control table of the X330 servos: XC330-M288 (LEAP "full") and XL330-M288 (LEAP "lite").

The driver, the doctor and the servo emulator read the same table, so an address is written down once.
Values on the wire are little-endian, two's complement where ``signed``. Source: ROBOTIS e-manual,
XC330-M288-T and XL330-M288-T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = [
    "BAUD_CODES",
    "FAST_STATE",
    "HARDWARE_ERROR_BITS",
    "HEALTH",
    "INDIRECT_DATA_START",
    "INDIRECT_SLOTS",
    "MODEL_DEFAULTS",
    "REGISTERS",
    "STATUS_ERRORS",
    "TABLE_SIZE",
    "TORQUE_AND_ERROR",
    "Register",
    "decode",
    "encode",
]


@dataclass(frozen=True, slots=True)
class Register:
    """One entry of the control table.

    Attributes:
        name: snake_case of the e-manual's name.
        address: first byte's address.
        size: bytes: 1, 2 or 4.
        access: "R" read only, "RW" writable.
        area: "EEPROM" survives a reboot and is writable only with torque off; "RAM" is lost at reboot.
        default: value after a factory reset (EEPROM) or at power-on (RAM), XC330-M288.
        minimum: lowest value a write may carry, in the register's unit.
        maximum: highest value a write may carry; limits held in other registers come on top.
        signed: two's complement.
    """

    name: str
    address: int
    size: Literal[1, 2, 4]
    access: Literal["R", "RW"]
    area: Literal["EEPROM", "RAM"]
    default: int
    minimum: int
    maximum: int
    signed: bool = False

    @property
    def end(self) -> int:
        """Address of the first byte after this register."""
        return self.address + self.size

    @property
    def writable(self) -> bool:
        """Whether an instruction may write it (EEPROM only with the torque off)."""
        return self.access == "RW"


INDIRECT_SLOTS = 20
INDIRECT_DATA_START = 208
"""First indirect data byte up to firmware 52; newer firmware moved it to 224, so the driver uses none."""
TABLE_SIZE = INDIRECT_DATA_START + INDIRECT_SLOTS

# The multi-turn modes accept +-256 turns; position mode narrows it to its own limit registers.
_MULTI_TURN = 1_048_575

_EEPROM = (
    Register("model_number", 0, 2, "R", "EEPROM", 1240, 0, 65535),
    Register("model_information", 2, 4, "R", "EEPROM", 0, 0, 2**32 - 1),
    Register("firmware_version", 6, 1, "R", "EEPROM", 52, 0, 255),
    Register("id", 7, 1, "RW", "EEPROM", 1, 0, 252),
    Register("baud_rate", 8, 1, "RW", "EEPROM", 1, 0, 6),
    Register("return_delay_time", 9, 1, "RW", "EEPROM", 250, 0, 254),
    Register("drive_mode", 10, 1, "RW", "EEPROM", 0, 0, 13),
    Register("operating_mode", 11, 1, "RW", "EEPROM", 3, 0, 16),
    Register("secondary_id", 12, 1, "RW", "EEPROM", 255, 0, 255),
    Register("protocol_type", 13, 1, "RW", "EEPROM", 2, 2, 22),
    Register("homing_offset", 20, 4, "RW", "EEPROM", 0, -1_044_479, 1_044_479, True),
    Register("moving_threshold", 24, 4, "RW", "EEPROM", 10, 0, 1023),
    Register("temperature_limit", 31, 1, "RW", "EEPROM", 70, 0, 100),
    Register("max_voltage_limit", 32, 2, "RW", "EEPROM", 70, 31, 70),
    Register("min_voltage_limit", 34, 2, "RW", "EEPROM", 35, 31, 70),
    Register("pwm_limit", 36, 2, "RW", "EEPROM", 885, 0, 885),
    Register("current_limit", 38, 2, "RW", "EEPROM", 2352, 0, 2352),
    Register("velocity_limit", 44, 4, "RW", "EEPROM", 350, 0, 2047),
    Register("max_position_limit", 48, 4, "RW", "EEPROM", 4095, 0, 4095),
    Register("min_position_limit", 52, 4, "RW", "EEPROM", 0, 0, 4095),
    Register("startup_configuration", 60, 1, "RW", "EEPROM", 0, 0, 3),
    Register("pwm_slope", 62, 1, "RW", "EEPROM", 140, 1, 255),
    Register("shutdown", 63, 1, "RW", "EEPROM", 52, 0, 255),
)

_RAM = (
    Register("torque_enable", 64, 1, "RW", "RAM", 0, 0, 1),
    Register("led", 65, 1, "RW", "RAM", 0, 0, 1),
    Register("status_return_level", 68, 1, "RW", "RAM", 2, 0, 2),
    Register("registered_instruction", 69, 1, "R", "RAM", 0, 0, 1),
    Register("hardware_error_status", 70, 1, "R", "RAM", 0, 0, 255),
    Register("velocity_i_gain", 76, 2, "RW", "RAM", 1600, 0, 16383),
    Register("velocity_p_gain", 78, 2, "RW", "RAM", 50, 0, 16383),
    Register("position_d_gain", 80, 2, "RW", "RAM", 500, 0, 16383),
    Register("position_i_gain", 82, 2, "RW", "RAM", 0, 0, 16383),
    Register("position_p_gain", 84, 2, "RW", "RAM", 1100, 0, 16383),
    Register("feedforward_2nd_gain", 88, 2, "RW", "RAM", 0, 0, 16383),
    Register("feedforward_1st_gain", 90, 2, "RW", "RAM", 0, 0, 16383),
    # 1..127 arms it (20 ms units), 0 clears it; a tripped watchdog reads -1.
    Register("bus_watchdog", 98, 1, "RW", "RAM", 0, 0, 127, True),
    Register("goal_pwm", 100, 2, "RW", "RAM", 885, -885, 885, True),
    Register("goal_current", 102, 2, "RW", "RAM", 2352, -2352, 2352, True),
    Register("goal_velocity", 104, 4, "RW", "RAM", 350, -2047, 2047, True),
    Register("profile_acceleration", 108, 4, "RW", "RAM", 0, 0, 32767),
    Register("profile_velocity", 112, 4, "RW", "RAM", 0, 0, 32767),
    Register("goal_position", 116, 4, "RW", "RAM", 2048, -_MULTI_TURN, _MULTI_TURN, True),
    Register("realtime_tick", 120, 2, "R", "RAM", 0, 0, 32767),
    Register("moving", 122, 1, "R", "RAM", 0, 0, 1),
    Register("moving_status", 123, 1, "R", "RAM", 0, 0, 255),
    Register("present_pwm", 124, 2, "R", "RAM", 0, -32768, 32767, True),
    Register("present_current", 126, 2, "R", "RAM", 0, -32768, 32767, True),
    Register("present_velocity", 128, 4, "R", "RAM", 0, -(2**31), 2**31 - 1, True),
    Register("present_position", 132, 4, "R", "RAM", 2048, -(2**31), 2**31 - 1, True),
    Register("velocity_trajectory", 136, 4, "R", "RAM", 0, -(2**31), 2**31 - 1, True),
    Register("position_trajectory", 140, 4, "R", "RAM", 2048, -(2**31), 2**31 - 1, True),
    Register("present_input_voltage", 144, 2, "R", "RAM", 50, 0, 65535),
    Register("present_temperature", 146, 1, "R", "RAM", 25, 0, 255),
    Register("backup_ready", 147, 1, "R", "RAM", 0, 0, 1),
    *(
        Register(f"indirect_address_{k + 1}", 168 + 2 * k, 2, "RW", "RAM",
                 INDIRECT_DATA_START + k, 64, TABLE_SIZE - 1)
        for k in range(INDIRECT_SLOTS)
    ),
    *(
        Register(f"indirect_data_{k + 1}", INDIRECT_DATA_START + k, 1, "RW", "RAM", 0, 0, 255)
        for k in range(INDIRECT_SLOTS)
    ),
)  # fmt: skip

REGISTERS: Mapping[str, Register] = MappingProxyType({r.name: r for r in (*_EEPROM, *_RAM)})
"""Every register by name, in address order."""

MODEL_DEFAULTS: Mapping[int, Mapping[str, int]] = MappingProxyType(
    {
        1240: MappingProxyType({}),
        1200: MappingProxyType(
            {"model_number": 1200, "current_limit": 1750, "goal_current": 1750,
             "velocity_limit": 445, "goal_velocity": 445, "shutdown": 53,
             "position_p_gain": 400, "position_d_gain": 0}
        ),
    }
)  # fmt: skip
"""What another model's power-on values change of ``Register.default``, by model number."""

FAST_STATE = (126, 10)
"""(address, length) of present current, velocity and position: the state read in every cycle."""
HEALTH = (144, 3)
"""(address, length) of input voltage and temperature."""
TORQUE_AND_ERROR = (64, 7)
"""(address, length) of torque enable up to hardware error status."""

BAUD_CODES: Mapping[int, int] = MappingProxyType(
    {0: 9600, 1: 57600, 2: 115200, 3: 1_000_000, 4: 2_000_000, 5: 3_000_000, 6: 4_000_000}
)
"""Bits per second by value of ``baud_rate``."""

HARDWARE_ERROR_BITS: Mapping[int, str] = MappingProxyType(
    {0: "input voltage", 2: "overheating", 3: "motor encoder", 4: "electrical shock", 5: "overload"}
)
"""Meaning of the bits of ``hardware_error_status`` and ``shutdown``."""

STATUS_ERRORS: Mapping[int, str] = MappingProxyType(
    {
        1: "result fail: the instruction could not be carried out",
        2: "instruction error: unknown instruction, or action without a registered write",
        3: "CRC error: the packet was damaged on its way to the motor",
        4: "data range error: the value is outside the register's range",
        5: "data length error: the data does not match the register's size",
        6: "data limit error: the value exceeds a limit register",
        7: "access error: read only, undefined, or EEPROM with torque on",
    }
)
"""Meaning of the low seven bits of a status packet's error byte; bit 7 (128) is the alert."""


def decode(register: Register, data: bytes) -> int:
    """Value of ``register`` from its bytes on the wire.

    Args:
        register: which register.
        data: exactly ``register.size`` bytes, little-endian.

    Raises:
        ValueError: the data has another length.
    """
    if len(data) != register.size:
        raise ValueError(f"{register.name} has {register.size} bytes, got {len(data)}")
    return int.from_bytes(data, "little", signed=register.signed)


def encode(register: Register, value: int) -> bytes:
    """Bytes on the wire of ``value``; checked against the size only, the servo checks the range.

    Raises:
        ValueError: the value does not fit the register's size.
    """
    try:
        return int(value).to_bytes(register.size, "little", signed=register.signed or value < 0)
    except OverflowError:
        raise ValueError(
            f"{register.name} = {value} does not fit {register.size} byte(s); "
            f"allowed {register.minimum}..{register.maximum}"
        ) from None
