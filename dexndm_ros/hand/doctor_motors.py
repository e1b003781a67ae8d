# SPDX-License-Identifier: Apache-2.0
"""What `dexndm doctor` finds out about the motors: who is there, set how, standing where, answering how fast.

Every motor is read, none is written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.hand.control_table import BAUD_CODES, REGISTERS
from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.hand.errors import HandBusError, NoReplyError, hardware_error_text
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.hand.profile import PROFILES, HandProfile
from dexndm_ros.hand.startup import implausible_angles
from dexndm_ros.hand.units import motor_by_model_number, rad_from_ticks

__all__ = ["MotorReport", "examine"]

_RATE_READS = 200
_GOOD_RATE_HZ = 400.0
_PROTECTION = 0x24  # Shutdown (63): overheating and overload must switch a motor off
_OTHER_BAUDS = (1_000_000, 57_600, 2_000_000, 3_000_000, 115_200, 9_600)
_POWER = "check the 5 V supply and the daisy chain before the first missing motor"


@dataclass
class MotorReport:
    """Findings, and every register of every motor found (by ID, then by name)."""

    findings: list[Finding] = field(default_factory=list)
    registers: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, level: Level, what: str, found: str, expected: str = "", cure: str = "") -> None:
        """Append a finding."""
        self.findings.append(Finding(level, what, found, expected, cure))


def _names(motor_ids: Iterable[int]) -> str:
    """Motors in words, runs joined: "motors 0-4, 7"."""
    runs: list[list[int]] = []
    ids = sorted(motor_ids)
    for motor_id in ids:
        if runs and motor_id == runs[-1][-1] + 1:
            runs[-1].append(motor_id)
        else:
            runs.append([motor_id])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"motor{'s' if len(ids) > 1 else ''} {', '.join(words)}"


def examine(config: BusConfig, profile: HandProfile | None = None) -> MotorReport:
    """Look at all motors of a hand.

    Args:
        config: where they are.
        profile: what they should be; None = the profile of the model that most of them are.
    """
    report = MotorReport()
    try:
        with DynamixelBus(config) as bus:
            motors = bus.ping_all()
            _check_presence(report, config, motors)
            if motors:
                profile = profile or _guess_profile(motors)
                _check_models(report, motors, profile)
                report.registers = {k: bus.read_table(k) for k in motors}
        if report.registers and profile is not None:
            _check_registers(report, profile)
            _check_state(report)
            _check_rate(report, replace(config, motor_ids=tuple(motors)))
        else:
            _look_at_other_speeds(report, config)
    except NoReplyError as error:
        report.add(Level.ERROR, "motors", str(error), "an answer to every read", _POWER)
    except HandBusError as error:
        report.add(Level.ERROR, "bus", str(error))
    return report


def _check_presence(
    report: MotorReport, config: BusConfig, motors: Mapping[int, tuple[int, int]]
) -> None:
    ids = config.motor_ids
    missing = [k for k in ids if k not in motors]
    if not missing:
        report.add(Level.OK, "motors", f"all {len(ids)} answer at {config.baud} baud")
        return
    found = _names(motors) if motors else "no motor"
    report.add(
        Level.ERROR,
        "motors",
        f"{found} at {config.baud} baud; {_names(missing)} missing",
        _names(ids),
        f"{_POWER} (motor {missing[0]}); a new motor has ID 1 and 57600 baud: set ID and 4 Mbps "
        "with Dynamixel Wizard 2",
    )


def _look_at_other_speeds(report: MotorReport, config: BusConfig) -> None:
    for baud in _OTHER_BAUDS:
        if baud == config.baud:
            continue
        with DynamixelBus(replace(config, baud=baud, retries=0)) as bus:
            found = bus.ping_all()
        if found:
            code = next(code for code, bps in BAUD_CODES.items() if bps == config.baud)
            report.add(
                Level.ERROR, "baud rate", f"{_names(found)} answer at {baud}", f"{config.baud}",
                f"set Baud Rate (8) = {code} with Dynamixel Wizard 2, or use baud:={baud}",
            )  # fmt: skip
            return


def _guess_profile(motors: Mapping[int, tuple[int, int]]) -> HandProfile:
    model = Counter(model for model, _ in motors.values()).most_common(1)[0][0]
    return next((p for p in PROFILES.values() if p.motor.model_number == model), PROFILES["full"])


def _check_models(
    report: MotorReport, motors: Mapping[int, tuple[int, int]], profile: HandProfile
) -> None:
    wanted = f"{profile.motor.name} ({profile.motor.model_number}), profile {profile.name}"
    wrong = {k: model for k, (model, _) in motors.items() if model != profile.motor.model_number}
    if not wrong:
        report.add(Level.OK, "models", wanted)
    for model in sorted(set(wrong.values())):
        known = motor_by_model_number(model)
        name = f"{known.name} ({model})" if known else f"model {model}"
        who = _names(k for k, number in wrong.items() if number == model)
        cure = "replace it: a hand has motors of one model"
        if known and len(wrong) == len(motors):
            other = next(p.name for p in PROFILES.values() if p.motor is known)
            cure = f"use the other profile: profile:={other}"
        report.add(Level.ERROR, "models", f"{who}: {name}", wanted, cure)
    versions = sorted({firmware for _, firmware in motors.values()})
    found = ", ".join(map(str, versions))
    if versions[0] < 46:
        old = _names(k for k, (_, firmware) in motors.items() if firmware < 46)
        report.add(
            Level.WARNING, "firmware", f"{found} ({old} below 46)", ">= 46, for fast sync read",
            "update it with Dynamixel Wizard 2 (Firmware Recovery/Update)",
        )  # fmt: skip
    else:
        report.add(Level.OK, "firmware", found)


def _check_registers(report: MotorReport, profile: HandProfile) -> None:
    """Registers that the driver sets at start are notes; those it leaves alone are warnings."""
    differing: dict[tuple[str, int, int], list[int]] = {}
    for motor_id, table in report.registers.items():
        for name, value in {**profile.eeprom(), **profile.ram(motor_id)}.items():
            if table[name] != value:
                differing.setdefault((name, table[name], value), []).append(motor_id)
    for (name, found, wanted), ids in differing.items():
        title = f"{name} ({REGISTERS[name].address})"
        cure = "nothing to do: the driver sets it at start"
        report.add(Level.NOTE, title, f"{_names(ids)}: {found}", str(wanted), cure)
    if not differing:
        report.add(Level.OK, "registers", f"as profile {profile.name} wants them")
    _check_limits(report, profile)


def _check_limits(report: MotorReport, profile: HandProfile) -> None:
    tables = report.registers
    weak = [k for k, t in tables.items() if t["current_limit"] < profile.current_limit_ma]
    if weak:
        values = sorted({tables[k]["current_limit"] for k in weak})
        report.add(
            Level.WARNING, "current_limit (38)", f"{_names(weak)}: {values} mA",
            f">= {profile.current_limit_ma} mA", "these motors stay weaker; raise it with "
            "Dynamixel Wizard 2 if that is not intended",
        )  # fmt: skip
    bare = [k for k, t in tables.items() if t["shutdown"] & _PROTECTION != _PROTECTION]
    if bare:
        report.add(
            Level.WARNING, "shutdown (63)", f"{_names(bare)}: protection switched off",
            "overheating and overload set (52)",
            "set Shutdown (63) = 52 with Dynamixel Wizard 2",
        )  # fmt: skip


def _check_state(report: MotorReport) -> None:
    limits = HealthLimits()
    seen: dict[Finding, list[int]] = {}

    def note(motor_id: int, level: Level, found: str, expected: str, cure: str) -> None:
        seen.setdefault(Finding(level, "", found, expected, cure), []).append(motor_id)

    for motor_id, table in report.registers.items():
        if bits := table["hardware_error_status"]:
            cure = "let it cool, free it, check the supply; then hand/recover, or power off and on"
            text = f"hardware error: {hardware_error_text(bits)}"
            note(motor_id, Level.ERROR, text, "none", cure)
        if table["bus_watchdog"] < 0:
            note(motor_id, Level.NOTE, "bus watchdog tripped", "", "the driver clears it at start")
        celsius = table["present_temperature"]
        if celsius >= limits.warm_c:
            level = Level.ERROR if celsius >= limits.hot_c else Level.WARNING
            expected = f"below {limits.warm_c:.0f} C"
            note(motor_id, level, f"{celsius} C", expected, "let the hand cool")
        volts = 0.1 * table["present_input_voltage"]
        if volts < limits.low_v:
            level = Level.ERROR if volts < limits.dead_v else Level.WARNING
            cure = "use a 5 V supply of 20 A or more, with short thick cables"
            note(motor_id, level, f"{volts:.1f} V", "5.0 V", cure)
    report.findings += [replace(finding, what=_names(ids)) for finding, ids in seen.items()]
    _check_zero(report)


def _check_zero(report: MotorReport) -> None:
    angles = {k: float(rad_from_ticks(t["present_position"])) for k, t in report.registers.items()}
    details = implausible_angles(angles)
    for detail in details:
        cure = "move the joint by hand; if the hand lies flat open, remount its horn at tick 2048"
        report.add(Level.ERROR, "zero position", detail, "within the joint's range", cure)
    if not details:
        report.add(Level.OK, "zero position", "every joint stands within its range")
    temperatures = [t["present_temperature"] for t in report.registers.values()]
    volts_all = [0.1 * t["present_input_voltage"] for t in report.registers.values()]
    report.add(
        Level.OK, "temperature and supply",
        f"{min(temperatures)}..{max(temperatures)} C, {min(volts_all):.1f}..{max(volts_all):.1f} V",
    )  # fmt: skip


def _check_rate(report: MotorReport, config: BusConfig) -> None:
    with DynamixelBus(config) as bus:
        bus.ping_all()  # tells whether the firmware knows fast reads
        _time_reads(report, bus)


def _time_reads(report: MotorReport, bus: DynamixelBus) -> None:
    incomplete = retries = 0
    times_s = []
    for _ in range(_RATE_READS):
        start = time.monotonic()
        reading = bus.read_state()
        times_s.append(time.monotonic() - start)
        incomplete += not reading.complete
        retries += reading.retries
    rate_hz = 1.0 / float(np.median(times_s))
    kind = "fast" if bus.fast_read else "plain"
    found = f"{rate_hz:.0f} Hz ({kind} sync read), {retries} retries, {incomplete} incomplete"
    cure = ""
    level = Level.OK
    if rate_hz < _GOOD_RATE_HZ:
        level, cure = Level.WARNING, "see the USB latency timer above; use a USB port of its own"
    if incomplete or retries > _RATE_READS // 50:
        level = Level.WARNING
        worst = [k for k, n in zip(bus.config.motor_ids, bus.lost_reads, strict=True) if n]
        suspects = f" ({_names(worst)})" if worst else ""
        cure = f"reseat the motor cables{suspects}; replace a cable that stays unreliable"
    report.add(level, "bus rate", found, f">= {_GOOD_RATE_HZ:.0f} Hz without a loss", cure)
