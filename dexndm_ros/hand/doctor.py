# SPDX-License-Identifier: Apache-2.0
"""What `dexndm doctor` finds out about this machine: packages, ROS, the port. It reads and changes nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from dexndm_ros.hand.ports import (
    adapters,
    holders,
    is_pseudo_terminal,
    is_terminal,
    latency_timer_ms,
    latency_timer_path,
)

__all__ = ["Finding", "Level", "check_packages", "check_port", "check_ros", "choose_port"]

_UDEV = (
    "sudo cp config/udev/99-leap-hand.rules /etc/udev/rules.d/ && sudo udevadm control "
    "--reload-rules && sudo udevadm trigger --action=add --subsystem-match=usb-serial "
    "--subsystem-match=tty"
)


class Level(StrEnum):
    """How bad a finding is; errors make the command fail."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        level: how bad it is.
        what: what was looked at.
        found: what is there.
        expected: what should be there; empty where anything goes.
        cure: the line that mends it; empty where nothing needs mending.
    """

    level: Level
    what: str
    found: str
    expected: str = ""
    cure: str = ""


@dataclass(frozen=True)
class _Package:
    name: str
    minimum: tuple[int, ...]
    level: Level
    why: str


# dynamixel-sdk: before 4.0.5 late replies of a failed read were parsed as the next answer.
_PACKAGES = (
    _Package("numpy", (1, 26), Level.ERROR, "everything"),
    _Package("pyserial", (3, 5), Level.ERROR, "the port"),
    _Package("dynamixel-sdk", (4, 0, 5), Level.ERROR, "the motors"),
    _Package("onnxruntime", (1, 17), Level.WARNING, "running a policy"),
    _Package("mujoco", (3, 2), Level.NOTE, "the virtual hand"),
)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", version)[:3])


def check_packages(version: Callable[[str], str | None] = _version) -> list[Finding]:
    """Python and the packages that a hand needs.

    Args:
        version: gives an installed package's version, None when it is missing.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding(Level.OK, "Python", f"{python} ({sys.executable})")]
    for package in _PACKAGES:
        wanted = f">= {'.'.join(map(str, package.minimum))}, for {package.why}"
        cure = f"{sys.executable} -m pip install -r requirements.txt"
        found = version(package.name)
        if found is None:
            findings.append(Finding(package.level, package.name, "not installed", wanted, cure))
        elif _numbers(found) < package.minimum:
            findings.append(Finding(package.level, package.name, found, wanted, cure))
        else:
            findings.append(Finding(Level.OK, package.name, found))
    return findings


def check_ros() -> list[Finding]:
    """Whether ROS and our messages can be imported here. Nothing is: that would start half of ROS."""
    here = importlib.util.find_spec
    distro = os.environ.get("ROS_DISTRO", "")
    source = ". scripts/env.sh"
    if here("rclpy") is None:
        return [
            Finding(
                Level.WARNING, "ROS 2", "rclpy is not importable", "Jazzy, for the nodes",
                f"source /opt/ros/jazzy/setup.bash, or: make setup && {source}",
            )
        ]  # fmt: skip
    findings = [Finding(Level.OK, "ROS 2", distro or "rclpy from wheels")]
    if distro and distro != "jazzy":
        findings = [Finding(Level.WARNING, "ROS 2", distro, "jazzy", "use Ubuntu 24.04 with Jazzy")]
    if here("dexndm_msgs") is None:
        cure = f"make setup && {source}, or: colcon build --base-paths . msg && source install/setup.bash"
        findings.append(Finding(Level.WARNING, "dexndm_msgs", "not built", "importable", cure))
    else:
        findings.append(Finding(Level.OK, "dexndm_msgs", "importable"))
    return findings


def choose_port(port: str | None) -> tuple[str | None, list[Finding]]:
    """The port to look at: the one named, or the first adapter that is there."""
    if port:
        return port, []
    found = adapters()
    if not found:
        return None, [
            Finding(
                Level.WARNING, "port", "no serial adapter is connected", "a U2D2 (USB 0403:6014)",
                "plug the hand's U2D2 in and power the hand; for a virtual one: "
                "dexndm virtual-hand --link /tmp/leap_hand & dexndm doctor --port /tmp/leap_hand",
            )
        ]  # fmt: skip
    if len(found) > 1:
        note = f"{', '.join(found)}: looking at the first"
        cure = f"dexndm doctor --port {found[1]}"
        return found[0], [Finding(Level.NOTE, "serial adapters", note, "", cure)]
    return found[0], []


def check_port(port: str) -> list[Finding]:
    """Whether the port exists, may be opened and is free, and how fast it hands replies over."""
    path = Path(port)
    if not path.exists():
        there = ", ".join(adapters()) or "none"
        return [
            Finding(
                Level.ERROR, f"port {port}", "does not exist", f"one of: {there}",
                "plug the U2D2 in, then: ls -l /dev/serial/by-id/",
            )
        ]  # fmt: skip
    if not path.is_char_device() or not is_terminal(port):
        return [
            Finding(Level.ERROR, f"port {port}", "not a serial port", "a terminal device",
                    "ls -l /dev/serial/by-id/")
        ]  # fmt: skip
    findings = [Finding(Level.OK, f"port {port}", f"is {path.resolve()}")]
    if not os.access(port, os.R_OK | os.W_OK):
        cure = f"sudo usermod -aG dialout $USER   (then log in again), or: {_UDEV}"
        findings.append(Finding(Level.ERROR, "permission", "denied", "read and write", cure))
    if not is_pseudo_terminal(port):
        findings += _check_real_port(port)
    return findings


def _check_real_port(port: str) -> list[Finding]:
    findings = []
    if users := holders(port):
        pid = re.findall(r"pid (\d+)", users[0])[0]
        cure = f"stop it: close the program, or kill {pid}"
        findings.append(Finding(Level.ERROR, "port users", ", ".join(users), "none", cure))
    latency = latency_timer_ms(port)
    if latency is None:
        findings.append(Finding(Level.NOTE, "USB latency timer", "this adapter has none"))
    elif latency > 1:
        cure = f"{_UDEV}; until the next plugging in: echo 1 | sudo tee {latency_timer_path(port)}"
        found = f"{latency} ms: at most {1000 // latency} reads a second"
        findings.append(Finding(Level.WARNING, "USB latency timer", found, "1 ms", cure))
    else:
        findings.append(Finding(Level.OK, "USB latency timer", f"{latency} ms"))
    return findings
