# SPDX-License-Identifier: Apache-2.0
"""``/diagnostics`` and ``hand/health`` of the driver; each WARN and ERROR says what mends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from dexndm_msgs.msg import HandHealth
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from dexndm_ros.hand.driver_types import DriverReport
from dexndm_ros.hand.errors import hardware_error_text
from dexndm_ros.hand.guard import GuardConfig, Mode
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.nodes._command_watch import CommandWatch
from dexndm_ros.nodes._time import fill_stamp

__all__ = ["LoopView", "fill_health", "statuses"]

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_SLOW = 0.95
"""A bus below this share of its rate is worth a warning."""


@dataclass(frozen=True)
class LoopView:
    """The bus thread, as diagnostics show it.

    Attributes:
        rate_hz: cycles a second asked for.
        missed: slots skipped since activation.
        lateness_ms_p99: start of a cycle after its deadline.
        scheduling: what the realtime block got, in words.
        degraded: it got less than was asked for.
        warnings: of the start-up.
        late_states: states that missed the deadline that hand/state offers.
        guard: what it allows; told in full, so that a recording can be checked against it.
    """

    rate_hz: float
    missed: int
    lateness_ms_p99: float
    scheduling: str
    degraded: bool
    warnings: tuple[str, ...]
    late_states: int
    guard: GuardConfig = field(default_factory=GuardConfig)


def fill_health(health: HandHealth, report: DriverReport, missed: int, polled_ns: int) -> None:
    """Put a report into the message; ``polled_ns`` is the stamp."""
    fill_stamp(health.header.stamp, polled_ns)
    health.temperature[:] = report.temperature_c
    health.voltage[:] = report.voltage_v
    health.hardware_error[:] = report.hardware_error
    health.responding = report.responding.tolist()
    health.lost_reads[:] = report.lost_reads
    health.bus_hz = report.cycles.hz
    health.cycle_ms_p50 = report.cycles.p50_ms
    health.cycle_ms_max = report.cycles.max_ms
    health.missed_cycles = missed
    health.rejected_commands = report.rejected
    health.limited_commands = report.limited
    health.last_rejection = report.last_rejection
    health.fault = report.reason if report.mode is Mode.FAULT else ""


def statuses(
    now: DriverReport,
    before: DriverReport | None,
    loop: LoopView,
    watch: CommandWatch,
    limits: HealthLimits,
) -> list[DiagnosticStatus]:
    """Bus, guard, commands and each motor; ``before`` is the last report, for what is new."""
    return [
        _bus(now, before, loop),
        _guard(now, before, loop.guard),
        _commands(now, watch, loop),
        *(_motor(k, now, before, limits) for k in range(len(JOINT_NAMES))),
    ]


def _status(
    name: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    shown = [
        KeyValue(key=key, value=f"{value:.4g}" if isinstance(value, float) else str(value))
        for key, value in values.items()
    ]
    return DiagnosticStatus(name=name, level=level, message=message, values=shown)


def _bus(now: DriverReport, before: DriverReport | None, loop: LoopView) -> DiagnosticStatus:
    level, message = OK, f"{now.cycles.hz:.0f} Hz"
    if not now.responding.any():
        level, message = ERROR, "no motor answers: check the USB cable and the hand's power"
    elif before is not None and now.cycles.hz < _SLOW * loop.rate_hz:
        level = WARN
        message = (
            f"{now.cycles.hz:.0f} Hz instead of {loop.rate_hz:.0f}: set the adapter's latency "
            "timer to 1 ms (`dexndm doctor`), free the processor, or lower rate_hz"
        )
    elif loop.degraded:
        level, message = WARN, f"scheduling is less than asked for: {loop.scheduling}"
    elif loop.warnings:
        level, message = WARN, loop.warnings[0]
    return _status(
        "bus",
        level,
        message,
        {
            "rate (Hz)": now.cycles.hz,
            "cycle p50 (ms)": now.cycles.p50_ms,
            "cycle max (ms)": now.cycles.max_ms,
            "lateness p99 (ms)": loop.lateness_ms_p99,
            "missed cycles": loop.missed,
            "lost reads": int(now.lost_reads.sum()),
            "scheduling": loop.scheduling,
        },
    )


def _guard(now: DriverReport, before: DriverReport | None, config: GuardConfig) -> DiagnosticStatus:
    refused = now.rejected - (before.rejected if before is not None else 0)
    level, message = OK, now.mode.name
    if now.mode is Mode.FAULT:
        level, message = ERROR, now.reason
    elif refused > 0:
        level, message = WARN, f"{refused} commands refused: {now.last_rejection}"
    elif now.reason and (now.mode is Mode.RELAXED or math.isfinite(now.command_age_s)):
        level, message = WARN, f"{now.mode.name}: {now.reason}"
    return _status(
        "guard",
        level,
        message,
        {
            "mode": now.mode.name,
            "rejected commands": now.rejected,
            "limited commands": now.limited,
            "last rejection": now.last_rejection,
            # Whole numbers, not the short ones: the guard's decisions follow from them to the last bit.
            **{each.name: repr(getattr(config, each.name)) for each in fields(config)},
        },
    )


def _commands(now: DriverReport, watch: CommandWatch, loop: LoopView) -> DiagnosticStatus:
    level = OK
    message = f"from {now.command_source}" if now.command_source else "none yet"
    if watch.deaths and not watch.alive and not watch.unwatched:
        level = WARN
        message = "the publisher of hand/command died or hangs: start it again; the hand holds"
    elif watch.unwatched:
        message += (
            f"; {watch.unwatched} publishers offer no deadline, so only the guard watches them"
        )
    age_ms = now.command_age_s * 1e3
    return _status(
        "commands",
        level,
        message,
        {
            "age (ms)": age_ms if math.isfinite(age_ms) else "none",
            "source": now.command_source,
            "deadline misses": watch.late,
            "live publishers": watch.alive,
            "hand/state deadline misses": loop.late_states,
        },
    )


def _motor(
    k: int, now: DriverReport, before: DriverReport | None, limits: HealthLimits
) -> DiagnosticStatus:
    celsius, volts = float(now.temperature_c[k]), float(now.voltage_v[k])
    lost = int(now.lost_reads[k] - (before.lost_reads[k] if before is not None else 0))
    error = int(now.hardware_error[k])
    level, message = OK, "ok"
    if not now.responding[k]:
        level, message = ERROR, f"silent: check power and the cable before motor {k}"
    elif error & ~1:
        level = ERROR
        message = f"{hardware_error_text(error)}: let it cool and free it, then call hand/recover"
    elif celsius >= limits.hot_c:
        level, message = ERROR, f"{celsius:.0f} C: let it cool, then call hand/recover"
    elif celsius >= limits.warm_c:
        level, message = WARN, f"{celsius:.0f} C: let the hand rest, or lower current_limit_ma"
    elif volts < limits.low_v or error & 1:
        level, message = WARN, f"{volts:.1f} V: use a stronger 5 V supply or a shorter cable"
    elif lost > 0:
        level = WARN
        message = f"{lost} replies lost: check the plugs on both sides of motor {k}"
    return _status(
        f"motor {k} {JOINT_NAMES[k]}",
        level,
        message,
        {
            "temperature (C)": celsius,
            "voltage (V)": volts,
            "hardware error": hardware_error_text(error),
            "lost reads": int(now.lost_reads[k]),
        },
    )
