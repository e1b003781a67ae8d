# SPDX-License-Identifier: Apache-2.0
"""One emulated X330 servo: its control table, access rules, hardware errors, watchdog and reboot.

The servo knows registers, not physics: `MotorBank` turns the table into torque and the motion into the
live block (addresses 120..147) that reads return. Where the manual is silent the choice is stated here:

- A tripped bus watchdog stops the motor by making the present position the goal (or the goal velocity,
  current or PWM zero); the motor keeps holding until the watchdog is cleared and a new goal is written.
- Torque Enable written while a shutdown is latched answers "result fail" with the alert bit.
- Secondary ID, Protocol 1.0 and Startup Configuration are stored and have no effect.
"""

from __future__ import annotations

from collections.abc import Callable

from dexndm_ros.hand.control_table import (
    BAUD_CODES,
    MODEL_DEFAULTS,
    REGISTERS,
    TABLE_SIZE,
    Register,
)
from dexndm_ros.sim.protocol2 import ALERT, StatusError
from dexndm_ros.sim.register_file import RegisterFile

__all__ = [
    "MODE_CURRENT",
    "MODE_CURRENT_POSITION",
    "MODE_EXTENDED_POSITION",
    "MODE_POSITION",
    "MODE_PWM",
    "MODE_VELOCITY",
    "Servo",
]

MODE_CURRENT = 0
MODE_VELOCITY = 1
MODE_POSITION = 3
MODE_EXTENDED_POSITION = 4
MODE_CURRENT_POSITION = 5
MODE_PWM = 16
_MODES = (0, 1, 3, 4, 5, 16)

_TICKS_PER_TURN = 4096
_HOMING_LIMIT_IN_POSITION_MODE = 1024
_WATCHDOG_UNIT_S = 0.020
_WATCHDOG_TRIPPED = -1
_EEPROM_END = 64
_GOALS = frozenset({"goal_pwm", "goal_current", "goal_velocity", "goal_position"})
_MODE_DEFAULTS = (
    "position_d_gain", "position_i_gain", "position_p_gain", "velocity_i_gain", "velocity_p_gain",
    "feedforward_2nd_gain", "feedforward_1st_gain", "profile_acceleration", "profile_velocity",
)  # fmt: skip
_LIMITED_BY = {
    "goal_pwm": "pwm_limit",
    "goal_current": "current_limit",
    "goal_velocity": "velocity_limit",
}
_GOAL_POSITION = REGISTERS["goal_position"]
_ERROR_STATUS = REGISTERS["hardware_error_status"].address


class Servo(RegisterFile):
    """One servo's control table and what the firmware does with it.

    Args:
        motor_id: ID on the bus.
        model_number: 1240 (XC330-M288) or 1200 (XL330-M288).
        baud: bits per second it was configured to.
        boot_s: time a reboot takes; the servo hears nothing meanwhile.
        on_change: called after every change that the motor must know, with the servo and whether nothing
            but the goal position changed.
    """

    def __init__(
        self,
        motor_id: int,
        model_number: int = 1240,
        baud: int = 4_000_000,
        boot_s: float = 0.1,
        on_change: Callable[[Servo, bool], None] | None = None,
    ) -> None:
        self._defaults = {name: r.default for name, r in REGISTERS.items()}
        self._defaults |= MODEL_DEFAULTS[model_number]
        super().__init__()
        self._registered: tuple[int, bytes] | None = None
        self._on_change = on_change or (lambda servo, goal_only: None)
        self._boot_s = boot_s
        self._deaf_until_s = 0.0
        self.turn_offset = 0
        """Whole turns forgotten by reboots and clears, ticks (a multiple of 4096)."""
        self.baud_code = next(code for code, bps in BAUD_CODES.items() if bps == baud)
        self._load_eeprom({"id": motor_id, "baud_rate": self.baud_code})
        self.set_present_position(self._defaults["present_position"])
        self._load_ram()

    @property
    def motor_id(self) -> int:
        """ID on the bus."""
        return self._table[7]

    @property
    def return_delay_s(self) -> float:
        """Time between a request and this servo's reply (2 us a register step)."""
        return self._table[9] * 2e-6

    @property
    def status_return_level(self) -> int:
        """0 answers pings only, 1 reads too, 2 everything."""
        return self._table[68]

    @property
    def torque_on(self) -> bool:
        """Torque Enable."""
        return self._table[64] == 1

    @property
    def mode(self) -> int:
        """Operating mode."""
        return self._table[11]

    @property
    def reversed(self) -> bool:
        """Drive mode bit 0: the motor counts the other way."""
        return bool(self._table[10] & 0x01)

    @property
    def torque_on_by_goal(self) -> bool:
        """Drive mode bit 3: a goal switches the torque on."""
        return bool(self._table[10] & 0x08)

    @property
    def alert(self) -> int:
        """0x80 while a hardware error is latched."""
        return ALERT if self._table[_ERROR_STATUS] else 0

    @property
    def homing_offset(self) -> int:
        """Homing offset in effect; position mode ignores one beyond a quarter turn."""
        offset = self.get("homing_offset")
        if self.mode == MODE_POSITION and abs(offset) > _HOMING_LIMIT_IN_POSITION_MODE:
            return 0
        return offset

    def hears(self, now_s: float) -> bool:
        """False while it boots."""
        return now_s >= self._deaf_until_s

    def attach(self, on_change: Callable[[Servo, bool], None]) -> None:
        """Name the motor that follows this table (see ``on_change``)."""
        self._on_change = on_change

    def power_on(self, present_position: int) -> None:
        """Start as after plugging in: RAM at its defaults, whole turns forgotten, the goal where it stands."""
        self.set_present_position(present_position)
        self._forget_turns()
        self._load_ram()
        self._on_change(self, False)

    # --- instructions ---

    def write(self, address: int, data: bytes) -> StatusError:
        """WRITE: all registers the data covers, or none when one of them refuses."""
        writes = self._checked(address, data)
        if isinstance(writes, StatusError):
            return writes
        for register, value in writes:
            self._apply(register, value)
        self._on_change(
            self, len(writes) == 1 and writes[0][0] is _GOAL_POSITION and not self.torque_on_by_goal
        )
        return StatusError.NONE

    def register_write(self, address: int, data: bytes) -> StatusError:
        """REG WRITE: checked now, carried out by ACTION."""
        writes = self._checked(address, data)
        if isinstance(writes, StatusError):
            return writes
        self._registered = (address, data)
        self.set("registered_instruction", 1)
        return StatusError.NONE

    def action(self) -> StatusError:
        """ACTION: carry out the registered write."""
        if self._registered is None:
            return StatusError.INSTRUCTION
        address, data = self._registered
        self._registered = None
        self.set("registered_instruction", 0)
        return self.write(address, data)

    def clear(self, parameters: bytes) -> StatusError:
        """CLEAR: with the fixed key of multi-turn reset, forget whole turns; only while standing still."""
        if parameters != b"\x01DXL\x22":
            return StatusError.DATA_RANGE
        if self.get("moving"):
            return StatusError.RESULT_FAIL
        self._forget_turns()
        self._on_change(self, False)
        return StatusError.NONE

    def factory_reset(self, option: int, now_s: float) -> StatusError:
        """FACTORY RESET: 0xFF all, 1 all but the ID, 2 all but ID and baud rate; then boots."""
        if option not in (0xFF, 1, 2):
            return StatusError.DATA_RANGE
        kept = {} if option == 0xFF else {"id": self.motor_id}
        if option == 2:
            kept["baud_rate"] = self.get("baud_rate")
        self._forget_turns()
        self._load_eeprom(kept)
        self.reboot(now_s)
        return StatusError.NONE

    def reboot(self, now_s: float) -> None:
        """REBOOT or power cycle: RAM, latched errors and turns are lost; torque is off."""
        self._deaf_until_s = now_s + self._boot_s
        self._registered = None
        self._forget_turns()
        self._load_ram()
        self._on_change(self, False)

    # --- protection ---

    def raise_hardware_error(self, bits: int) -> None:
        """Latch hardware error bits; those that Shutdown (63) names switch the torque off."""
        status = self._table[_ERROR_STATUS]
        if status | bits == status and not (self.torque_on and self._shut_down):
            return
        self._table[_ERROR_STATUS] = status | bits
        if self._shut_down:
            self.set("torque_enable", 0)
        self._on_change(self, False)

    @property
    def watchdog_s(self) -> float:
        """Bus watchdog's time-out; 0 while it is off, tripped, or torque is off."""
        value = self.get("bus_watchdog")
        return value * _WATCHDOG_UNIT_S if self.torque_on and value > 0 else 0.0

    def trip_watchdog(self) -> None:
        """Stop the motor and lock the goal registers."""
        self.set("bus_watchdog", _WATCHDOG_TRIPPED)
        self._rest_goals()
        self._on_change(self, False)

    @property
    def watchdog_tripped(self) -> bool:
        """The goal registers are locked until the watchdog is set to 0."""
        return self.get("bus_watchdog") == _WATCHDOG_TRIPPED

    # --- inside ---

    @property
    def _shut_down(self) -> bool:
        return bool(self._table[_ERROR_STATUS] & self.get("shutdown"))

    def _checked(self, address: int, data: bytes) -> list[tuple[Register, int]] | StatusError:
        """Registers and values of a write, all allowed, or the first error."""
        writes = self.parse_write(address, data)
        if isinstance(writes, StatusError):
            return writes
        for register, value in writes:
            error = self._check(register, value)
            if error:
                return error
        return writes

    def _check(self, register: Register, value: int) -> StatusError:
        name = register.name
        if not register.writable:
            return StatusError.ACCESS
        if register.area == "EEPROM" and self.torque_on:
            return StatusError.ACCESS
        if not register.minimum <= value <= register.maximum:
            return StatusError.DATA_RANGE
        if name == "operating_mode" and value not in _MODES:
            return StatusError.DATA_RANGE
        if name == "torque_enable" and value and self._shut_down:
            return StatusError.RESULT_FAIL
        if name in _GOALS:
            if self.watchdog_tripped:
                return StatusError.DATA_RANGE
            return self._check_goal(name, value)
        return StatusError.NONE

    def _check_goal(self, name: str, value: int) -> StatusError:
        if name == "goal_position":
            low, high = self.get("min_position_limit"), self.get("max_position_limit")
            beyond = self.mode == MODE_POSITION and not low <= value <= high
        else:
            beyond = abs(value) > self.get(_LIMITED_BY[name])
        return StatusError.DATA_LIMIT if beyond else StatusError.NONE

    def _apply(self, register: Register, value: int) -> None:
        if register.area == "EEPROM":
            self._apply_eeprom(register.name, value)
            return
        self.set(register.name, value)
        if self.torque_on_by_goal and register.name in _GOALS and not self._shut_down:
            self.set("torque_enable", 1)

    def _apply_eeprom(self, name: str, value: int) -> None:
        mode, reverse, homing = self.mode, self.reversed, self.homing_offset
        self.set(name, value)
        # What the encoder reads means another position now; the next physics step would say the same.
        angle = self.get("present_position") - self.turn_offset - homing
        angle = _TICKS_PER_TURN - angle if self.reversed != reverse else angle
        self.set_present_position(angle + self.turn_offset + self.homing_offset)
        if self.mode != mode:
            self._enter_mode()

    def _load_eeprom(self, kept: dict[str, int]) -> None:
        for name, register in REGISTERS.items():
            if register.area == "EEPROM":
                self.set(name, kept.get(name, self._defaults[name]))

    def _load_ram(self) -> None:
        self._table[_EEPROM_END:] = bytes(TABLE_SIZE - _EEPROM_END)
        for name, register in REGISTERS.items():
            if register.area == "RAM":
                self.set(name, self._defaults[name])
        self._enter_mode()

    def _enter_mode(self) -> None:
        """A mode starts with its default gains, no profile, its limits as goals, and nowhere to go."""
        for name in _MODE_DEFAULTS:
            self.set(name, self._defaults[name])
        for goal, limit in _LIMITED_BY.items():
            self.set(goal, self.get(limit))
        self._rest_goals()

    def _rest_goals(self) -> None:
        self.set("goal_position", self.get("present_position"))
        resting = {
            MODE_CURRENT: "goal_current",
            MODE_VELOCITY: "goal_velocity",
            MODE_PWM: "goal_pwm",
        }
        if self.mode in resting:
            self.set(resting[self.mode], 0)

    def _forget_turns(self) -> None:
        homing = self.homing_offset
        actual = self.get("present_position") - homing
        self.turn_offset -= actual // _TICKS_PER_TURN * _TICKS_PER_TURN
        self.set_present_position(actual % _TICKS_PER_TURN + homing)
        self.set("goal_position", self.get("present_position"))
