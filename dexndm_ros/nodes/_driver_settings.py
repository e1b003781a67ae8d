# SPDX-License-Identifier: Apache-2.0
"""The parameters of ``leap_hand_driver``, and what becomes of them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from dexndm_ros.hand.bus import BusConfig
from dexndm_ros.hand.driver_types import DriverConfig
from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.hand.profile import HandProfile, profile_by_name
from dexndm_ros.policy.realtime import RealtimeConfig

__all__ = ["PARAMETERS", "DriverSettings", "declare_parameters", "read_settings", "report_period_s"]

_MIN_RATE_HZ = 20.0
_MAX_RATE_HZ = 500.0
_BUS = BusConfig(port="unused")
_GUARD = GuardConfig()
_LIMITS = HealthLimits()
_CORE = DriverConfig()
_HEALTH_HZ = (0.1, 20.0)

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("port", "/dev/ttyUSB0", "serial port of the U2D2 or of the virtual hand"),
    ("baud", _BUS.baud, "bits per second; LEAP hands use 4000000"),
    ("rate_hz", 100.0, "bus cycles and hand/state messages a second, 20..500"),
    ("joint_states_hz", 50.0, "joint_states messages a second; 0 = none"),
    ("profile", "full", "full = XC330-M288, 500 mA; lite = XL330-M288, 300 mA"),
    ("current_limit_ma", 0, "most a motor may draw, mA; 0 = the profile's"),
    ("bus_watchdog_s", 0.5, "silence on the bus after which the motors stop by themselves, s"),
    ("stale_s", _GUARD.stale_s, "a command older than this is not followed, s"),
    ("max_step_rad", _GUARD.max_step_rad, "most a target moves in a command period, rad"),
    (
        "command_period_s",
        _GUARD.command_period_s,
        "the period that max_step_rad is counted over, s",
    ),
    ("ramp_speed_rad_s", _GUARD.ramp_speed_rad_s, "speed of the first approach, rad/s"),
    (
        "relax_after_s",
        _GUARD.relax_after_s,
        "a hand that held for so long without a command relaxes, s; 0 = never",
    ),
    ("warm_c", _LIMITS.warm_c, "motor temperature worth a warning, degrees Celsius"),
    ("hot_c", _LIMITS.hot_c, "motor temperature that is a fault, degrees Celsius"),
    ("low_v", _LIMITS.low_v, "supply voltage worth a warning, V"),
    ("lost_s", _LIMITS.lost_s, "a motor silent for this long is a fault, s"),
    ("health_poll_hz", _CORE.health_poll_hz, "motors asked for temperature and errors a second"),
    ("health_hz", 1.0, "hand/health and diagnostics messages a second, 0.1..20"),
    ("robot_description", True, "publish the URDF on robot_description, latched"),
    ("autostart", True, "configure and activate without a lifecycle manager"),
    ("enable_on_activate", False, "torque on, holding the measured pose, upon activation"),
    ("port_wait_s", 0.0, "autostart waits this long for a hand to answer on the port, s"),
    ("realtime.fifo_priority", 0, "SCHED_FIFO priority of the bus thread; 0 = off"),
    ("realtime.other_priority", 50, "SCHED_FIFO priority of the other threads"),
    ("realtime.cpus", "", "cores to run on, such as '1' or '0,1'; empty = all"),
    ("realtime.lock_memory", False, "keep all memory in RAM (mlockall)"),
)


@dataclass(frozen=True)
class DriverSettings:
    """The parameters, checked.

    Attributes:
        bus: port and speed.
        profile: how the motors are set up.
        core: guard and limits.
        rate_hz: bus cycles a second.
        joint_states_every: cycles between joint_states messages; 0 = none.
        enable_on_activate: torque on upon activation.
        port_wait_s: patience of the autostart.
        realtime: scheduling asked for.
    """

    bus: BusConfig
    profile: HandProfile
    core: DriverConfig
    rate_hz: float
    joint_states_every: int
    enable_on_activate: bool
    port_wait_s: float
    realtime: RealtimeConfig


def declare_parameters(node: Node) -> None:
    """Declare all of them, with their meaning for ``ros2 param describe``."""
    for name, default, text in PARAMETERS:
        # realtime.cpus: YAML reads a lone core number as a number.
        descriptor = ParameterDescriptor(description=text, dynamic_typing=name == "realtime.cpus")
        node.declare_parameter(name, default, descriptor)


def report_period_s(node: Node) -> float:
    """Time between ``hand/health`` messages; ``read_settings`` refuses a rate that is not allowed."""
    low, high = _HEALTH_HZ
    return 1.0 / min(max(float(node.get_parameter("health_hz").value), low), high)


def read_settings(node: Node) -> DriverSettings:
    """The parameters as they are now.

    Raises:
        ValueError: a value that is not allowed; the message names the parameter.
    """
    value = {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
    rate_hz = float(value["rate_hz"])
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        raise ValueError(
            f"parameter rate_hz is {rate_hz:g}; allowed: {_MIN_RATE_HZ:g} to {_MAX_RATE_HZ:g} Hz"
        )
    joint_states_hz = float(value["joint_states_hz"])
    if not 0.0 <= joint_states_hz <= rate_hz:
        raise ValueError(
            f"parameter joint_states_hz is {joint_states_hz:g}; allowed: 0 to rate_hz ({rate_hz:g})"
        )
    low, high = _HEALTH_HZ
    if not low <= value["health_hz"] <= high:
        raise ValueError(
            f"parameter health_hz is {value['health_hz']:g}; allowed: {low:g} to {high:g} Hz"
        )
    return DriverSettings(
        bus=BusConfig(port=value["port"], baud=value["baud"]),
        profile=_profile(value),
        core=DriverConfig(
            guard=GuardConfig(
                stale_s=value["stale_s"],
                max_step_rad=value["max_step_rad"],
                command_period_s=value["command_period_s"],
                ramp_speed_rad_s=value["ramp_speed_rad_s"],
                relax_after_s=value["relax_after_s"],
            ),
            limits=HealthLimits(
                warm_c=value["warm_c"],
                hot_c=value["hot_c"],
                low_v=value["low_v"],
                lost_s=value["lost_s"],
            ),
            health_poll_hz=value["health_poll_hz"],
        ),
        rate_hz=rate_hz,
        joint_states_every=round(rate_hz / joint_states_hz) if joint_states_hz else 0,
        enable_on_activate=value["enable_on_activate"],
        port_wait_s=value["port_wait_s"],
        realtime=RealtimeConfig(
            fifo_priority=value["realtime.fifo_priority"],
            other_priority=value["realtime.other_priority"],
            cpus=_cpus(value["realtime.cpus"]),
            lock_memory=value["realtime.lock_memory"],
        ),
    )


def _profile(value: dict[str, Any]) -> HandProfile:
    profile = profile_by_name(value["profile"])
    return dataclasses.replace(
        profile,
        current_limit_ma=value["current_limit_ma"] or profile.current_limit_ma,
        bus_watchdog_s=value["bus_watchdog_s"],
    )


def _cpus(value: Any) -> tuple[int, ...]:
    words = re.split(r"[\s,]+", str(value).strip("[] "))
    if words == [""]:
        return ()
    if not all(word.isdigit() for word in words):
        raise ValueError(f"parameter realtime.cpus is {value!r}; give core numbers such as '0,1'")
    return tuple(int(word) for word in words)
