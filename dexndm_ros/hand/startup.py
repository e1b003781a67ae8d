# SPDX-License-Identifier: Apache-2.0
"""Bringing the motors up, switching their torque on and off, and restarting one that has shut down.

Everything written is read back. Nothing here moves a joint: torque comes on with the measured pose as goal.
Order matters: EEPROM can be written with the torque off only, and a change of operating mode resets gains,
profiles and goal current, so those come after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.bus import DynamixelBus
from dexndm_ros.hand.errors import (
    HandBusError,
    MotorHardwareError,
    MotorMissingError,
    NoReplyError,
    VerifyError,
    WrongModelError,
    ZeroPositionError,
)
from dexndm_ros.hand.joints import JOINTS
from dexndm_ros.hand.profile import HandProfile
from dexndm_ros.hand.units import TICKS_PER_TURN, rad_from_ticks

__all__ = [
    "HandProfile",
    "StartupReport",
    "bring_up",
    "implausible_angles",
    "reboot_and_restore",
    "recover",
    "torque_off",
    "torque_on",
]

_ZERO_TOLERANCE_RAD = 0.35
_QUARTER_RAD = math.pi / 2
_POLL_S = 0.02
_REBOOT_TIMEOUT_S = 3.0
# A joint may sag a little between the read of its position and the torque; a goal further off is an error.
_GOAL_TOLERANCE_TICKS = 20


@dataclass(frozen=True)
class StartupReport:
    """What was found and done.

    Attributes:
        motors: (model number, firmware) by motor ID.
        position_rad: joint angles found, in the bus's order of motors.
        changed: (motor ID, register, value before, value after) of each register that was not as wanted.
        fast_read: whether the firmware knows fast sync read.
        latency_timer_ms: of the USB adapter; None where there is none.
        warnings: what works, but not as well as it should, with the cure.
    """

    motors: dict[int, tuple[int, int]]
    position_rad: NDArray[np.float64]
    changed: tuple[tuple[int, str, int, int], ...]
    fast_read: bool
    latency_timer_ms: int | None
    warnings: tuple[str, ...] = field(default=())


def bring_up(bus: DynamixelBus, profile: HandProfile) -> StartupReport:
    """Find the motors, set every register that matters, and leave the torque off with goal = present.

    Raises:
        MotorMissingError: a motor does not answer.
        WrongModelError: a motor is of another model.
        MotorHardwareError: a motor has shut down.
        ZeroPositionError: a joint stands where it cannot.
        HandBusError: anything else on the bus; in every case the torque is off.
    """
    with bus.patient():
        return _bring_up(bus, profile)


def _bring_up(bus: DynamixelBus, profile: HandProfile) -> StartupReport:
    motors = bus.ping_all()
    ids = bus.config.motor_ids
    if missing := [k for k in ids if k not in motors]:
        _quiet_torque_off(bus)
        raise MotorMissingError(missing, motors, bus.config.port, bus.config.baud)
    number = profile.motor.model_number
    if wrong := {k: model for k, (model, _) in motors.items() if model != number}:
        _quiet_torque_off(bus)
        raise WrongModelError(wrong, number, profile.name)
    changed: list[tuple[int, str, int, int]] = []
    bus.sync_write("torque_enable", 0)
    for motor_id in ids:
        changed += _set_up(bus, profile, motor_id)
    position = _rest_goals(bus, ids)
    if details := implausible_angles(dict(zip(ids, position, strict=True))):
        raise ZeroPositionError(details)
    return StartupReport(
        motors, position, tuple(changed), bus.fast_read, bus.latency_timer_ms, _warnings(bus)
    )


def _warnings(bus: DynamixelBus) -> tuple[str, ...]:
    warnings = []
    latency = bus.latency_timer_ms
    if latency is not None and latency > 1:
        warnings.append(
            f"USB latency timer of {bus.config.port} is {latency} ms, which caps a read at about "
            f"{1000 // latency} Hz; install config/udev/99-leap-hand.rules to set it to 1 ms"
        )
    if not bus.fast_read:
        warnings.append(
            "firmware below 46: plain sync read is used, which takes half as long again"
        )
    return tuple(warnings)


def _set_up(
    bus: DynamixelBus, profile: HandProfile, motor_id: int
) -> list[tuple[int, str, int, int]]:
    """Put one motor's registers right, torque off; returns what had to be changed."""
    # Without an answer on purpose: a motor may be set not to answer writes, or its watchdog has tripped.
    bus.sync_write("status_return_level", {motor_id: 2})
    bus.sync_write("bus_watchdog", {motor_id: 0})
    bus.write_register(motor_id, "torque_enable", 0)
    before = bus.read_table(motor_id)
    if before["hardware_error_status"]:
        raise MotorHardwareError({motor_id: before["hardware_error_status"]})
    ram = profile.ram(motor_id)
    # A motor whose own Current Limit is lower keeps it: someone has set it on purpose.
    ram["goal_current"] = min(ram["goal_current"], before["current_limit"])
    for name, value in profile.eeprom().items():
        if before[name] != value:
            bus.write_register(motor_id, name, value)
    after_eeprom = bus.read_table(motor_id)
    for name, value in ram.items():
        if after_eeprom[name] != value:
            bus.write_register(motor_id, name, value)
    wanted = {**profile.eeprom(), **ram, "torque_enable": 0, "bus_watchdog": 0}
    _verify(motor_id, bus.read_table(motor_id), wanted)
    return [(motor_id, name, before[name], value) for name, value in wanted.items()
            if before[name] != value]  # fmt: skip


def _verify(motor_id: int, found: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    for name, value in wanted.items():
        if found[name] != value:
            raise VerifyError(motor_id, name, found[name], value)


def _rest_goals(bus: DynamixelBus, motor_ids: Sequence[int]) -> NDArray[np.float64]:
    """Make the present position the goal, read back; returns the positions, rad. Torque may be off."""
    ticks = {k: bus.read_register(k, "present_position") for k in motor_ids}
    for motor_id, tick in ticks.items():
        # In this mode positions count turns while powered; a joint of a hand never makes one.
        if not 0 <= tick < TICKS_PER_TURN:
            bus.clear_multi_turn(motor_id)
            ticks[motor_id] = bus.read_register(motor_id, "present_position")
    bus.sync_write("goal_position", ticks)
    for motor_id, tick in ticks.items():
        found = bus.read_register(motor_id, "goal_position")
        if found != tick:
            raise VerifyError(motor_id, "goal_position", found, tick)
    return rad_from_ticks(list(ticks.values()))


def implausible_angles(position_rad: Mapping[int, float]) -> list[str]:
    """Joints that stand far outside their limits, in words; empty = all plausible.

    Args:
        position_rad: joint angle by motor ID, rad; IDs that are no joint of the hand are passed over.
    """
    details = []
    for joint in JOINTS:
        q = position_rad.get(joint.motor_id)
        if q is None or (
            joint.lower_rad - _ZERO_TOLERANCE_RAD <= q <= joint.upper_rad + _ZERO_TOLERANCE_RAD
        ):
            continue
        text = (
            f"{joint.name} (motor {joint.motor_id}) stands at {q:.2f} rad, its range is "
            f"[{joint.lower_rad:.2f}, {joint.upper_rad:.2f}]"
        )
        quarters = round(q / _QUARTER_RAD)
        if quarters and abs(q - quarters * _QUARTER_RAD) < _ZERO_TOLERANCE_RAD:
            text += f" (if the hand lies flat open, its horn is {quarters * 90} deg off)"
        details.append(text)
    return details


def torque_on(
    bus: DynamixelBus, profile: HandProfile, motor_ids: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Switch the torque on, holding the measured pose, and arm the bus watchdog.

    Args:
        bus: brought up before.
        profile: gives the watchdog's time.
        motor_ids: None = all.

    Returns:
        the pose that is held, rad.

    Raises:
        HandBusError: a motor did not do as told; the torque of all these motors is off again.
    """
    ids = bus.config.motor_ids if motor_ids is None else tuple(motor_ids)
    with bus.patient():
        return _torque_on(bus, profile, ids)


def _torque_on(
    bus: DynamixelBus, profile: HandProfile, ids: tuple[int, ...]
) -> NDArray[np.float64]:
    try:
        for motor_id in ids:
            table = bus.read_table(motor_id)
            if table["hardware_error_status"]:
                raise MotorHardwareError({motor_id: table["hardware_error_status"]})
            # A motor that has restarted since bring-up stands at factory gains and full current.
            ram = profile.ram(motor_id)
            ram["goal_current"] = min(ram["goal_current"], table["current_limit"])
            _verify(motor_id, table, {**profile.eeprom(), **ram})
        # A tripped watchdog would keep the goals of before.
        bus.sync_write("bus_watchdog", dict.fromkeys(ids, 0))
        pose = _rest_goals(bus, ids)
        if details := implausible_angles(dict(zip(ids, pose, strict=True))):
            raise ZeroPositionError(details)
        bus.sync_write("torque_enable", dict.fromkeys(ids, 1))
        for motor_id in ids:
            _confirm_torque(bus, motor_id)
            bus.write_register(motor_id, "bus_watchdog", profile.watchdog_units)
            _verify(
                motor_id,
                {"bus_watchdog": bus.read_register(motor_id, "bus_watchdog")},
                {"bus_watchdog": profile.watchdog_units},
            )
    except BaseException:
        _quiet_torque_off(bus, ids)
        raise
    return pose


def _confirm_torque(bus: DynamixelBus, motor_id: int) -> None:
    table = bus.read_table(motor_id)
    if table["hardware_error_status"]:
        raise MotorHardwareError({motor_id: table["hardware_error_status"]})
    _verify(motor_id, table, {"torque_enable": 1})
    if abs(table["goal_position"] - table["present_position"]) > _GOAL_TOLERANCE_TICKS:
        raise VerifyError(
            motor_id, "goal_position", table["goal_position"], table["present_position"]
        )


def torque_off(bus: DynamixelBus, motor_ids: Iterable[int] | None = None) -> tuple[int, ...]:
    """Switch the torque off and the bus watchdog too.

    Returns:
        motors that did not confirm it.

    Raises:
        HandBusError: the port has gone; armed watchdogs then stop the motors by themselves.
    """
    ids = bus.config.motor_ids if motor_ids is None else tuple(motor_ids)
    # Twice, without an answer: a lost packet must not leave fifteen motors limp and one stiff.
    for _ in range(2):
        bus.sync_write("torque_enable", dict.fromkeys(ids, 0))
    unconfirmed = []
    for motor_id in ids:
        try:
            if bus.read_register(motor_id, "torque_enable"):
                bus.write_register(motor_id, "torque_enable", 0)
        except NoReplyError:
            unconfirmed.append(motor_id)
    bus.sync_write("bus_watchdog", dict.fromkeys(ids, 0))
    return tuple(unconfirmed)


def _quiet_torque_off(bus: DynamixelBus, motor_ids: Iterable[int] | None = None) -> None:
    """Torque off on the way out of an error, which is the one to be told."""
    try:
        torque_off(bus, motor_ids)
    except HandBusError:
        return


def reboot_and_restore(
    bus: DynamixelBus,
    profile: HandProfile,
    motor_ids: Sequence[int],
    timeout_s: float = _REBOOT_TIMEOUT_S,
) -> list[tuple[int, str, int, int]]:
    """Restart motors that have shut down and give them their settings back; torque stays off.

    Other motors keep what they do, their watchdogs fed by the traffic. ``torque_on`` arms the watchdog of
    the restarted ones again, together with their torque.

    Args:
        bus: the bus.
        profile: settings to restore.
        motor_ids: whom to restart.
        timeout_s: longest wait for a motor to come back.

    Returns:
        registers set again, as in `StartupReport.changed`.

    Raises:
        NoReplyError: a motor did not come back.
        MotorHardwareError: the error is still there after the restart.
    """
    changed = []
    for motor_id in motor_ids:
        bus.reboot(motor_id)
    for motor_id in motor_ids:
        _wait_for(bus, motor_id, timeout_s)
        changed += _set_up(bus, profile, motor_id)
    _rest_goals(bus, motor_ids)
    return changed


def recover(bus: DynamixelBus, profile: HandProfile) -> StartupReport:
    """Torque off, restart the motors that report a hardware error, and bring the hand up again.

    Raises:
        HandBusError: as `bring_up` and `reboot_and_restore`; the torque is off.
    """
    if not bus.is_open:
        bus.open()
    torque_off(bus)
    ids = bus.config.motor_ids
    found = bus.ping_all()
    if missing := [k for k in ids if k not in found]:
        raise MotorMissingError(missing, found, bus.config.port, bus.config.baud)
    shut_down = [k for k in ids if bus.read_register(k, "hardware_error_status")]
    for motor_id in shut_down:
        bus.reboot(motor_id)
    for motor_id in shut_down:
        _wait_for(bus, motor_id, _REBOOT_TIMEOUT_S)
    return bring_up(bus, profile)


def _wait_for(bus: DynamixelBus, motor_id: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            bus.ping(motor_id)
            return
        except NoReplyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
