# SPDX-License-Identifier: Apache-2.0
"""`dexndm doctor`: look at installation, hand and teleoperation, and say what mends what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dexndm_ros.hand.doctor import (
    Finding,
    Level,
    check_packages,
    check_port,
    check_ros,
    choose_port,
)
from dexndm_ros.middleware import settle

if TYPE_CHECKING:
    from dexndm_ros.teleop.doctor import PageSettings

__all__ = ["main"]

_MARKS = {Level.OK: " ok ", Level.NOTE: "note", Level.WARNING: "warn", Level.ERROR: "FAIL"}
_COLOURS = {Level.OK: "32", Level.NOTE: "36", Level.WARNING: "33", Level.ERROR: "31"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks.

    Returns:
        0; 1 when there is an error among the findings.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    installed = [*check_packages(), *check_ros()]
    findings = [*installed, *_teleoperation(arguments)]
    port, about = choose_port(arguments.port)
    findings += about
    registers: dict[int, dict[str, int]] = {}
    if port is not None:
        at_port = check_port(port)
        findings += at_port
        if not any(f.level is Level.ERROR for f in (*installed[:4], *at_port)):
            try:
                motors, registers = _examine(port, arguments)
            except ValueError as error:  # an unknown profile, an impossible speed
                parser.error(str(error))
            findings += motors
    _print(findings, sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    if arguments.json is not None:
        _write_json(arguments.json, findings, registers)
    return 1 if any(f.level is Level.ERROR for f in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm doctor",
        description="Check installation, port, motors and registers, and what teleoperation needs: adb, the page's "
        "certificate and port, the arm's controller. Reads, and changes nothing.",
    )
    parser.add_argument("--port", help="serial port; default: the first adapter that is there")
    parser.add_argument("--baud", type=int, default=4_000_000, help="bits per second (4000000)")
    parser.add_argument(
        "--profile",
        help="what the hand should be, full or lite; default: by its motors",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write findings and registers"
    )
    group = parser.add_argument_group("teleoperation")
    group.add_argument(
        "--arm", default="", metavar="PROFILE",
        help="controller that the running arm is compared with; default: what the running arm_bridge has",
    )  # fmt: skip
    group.add_argument(
        "--page-directory", default="", metavar="DIR",
        help="folder of the page's token and certificate; default: what the running quest_bridge has",
    )  # fmt: skip
    group.add_argument("--page-port", type=int, help="port of the page (8766), likewise")
    return parser


def _teleoperation(arguments: argparse.Namespace) -> list[Finding]:
    """adb, page and arm. Where a library is missing, one line says so."""
    try:
        from dexndm_ros.teleop import doctor
    except ImportError as error:
        cure = f"{sys.executable} -m pip install -r requirements.txt"
        return [Finding(Level.WARNING, "teleoperation", str(error), "", cure)]
    page, arm = _graph(arguments.arm)
    page = page or doctor.PageSettings(tls=bool(arguments.page_directory))
    if arguments.page_directory:
        page = replace(page, directory=arguments.page_directory)
    if arguments.page_port is not None:
        page = replace(page, port=arguments.page_port)
    return [
        *doctor.check_adb(page),
        *doctor.check_secrets(page),
        doctor.check_page_port(page),
        *(arm if arm is not None else doctor.check_profiles(arguments.arm)),
    ]


def _graph(arm: str) -> tuple[PageSettings | None, list[Finding] | None]:
    """Where the running page is served and how the running arm stands; None where nothing can be asked."""
    if any(f.level is not Level.OK for f in check_ros()):
        return None, None
    settle(os.environ)
    from dexndm_ros.nodes._teleop_doctor import examine_graph

    return examine_graph(arm)


def _examine(
    port: str, arguments: argparse.Namespace
) -> tuple[list[Finding], dict[int, dict[str, int]]]:
    # Only now: a machine without numpy or the SDK is to get a line that mends it, not an ImportError.
    from dexndm_ros.hand.bus_types import BusConfig
    from dexndm_ros.hand.doctor_motors import examine
    from dexndm_ros.hand.profile import profile_by_name

    profile = profile_by_name(arguments.profile) if arguments.profile else None
    report = examine(BusConfig(port, arguments.baud), profile)
    return report.findings, report.registers


def _print(findings: Sequence[Finding], colour: bool) -> None:
    for finding in findings:
        mark = _MARKS[finding.level]
        if colour:
            mark = f"\033[{_COLOURS[finding.level]}m{mark}\033[0m"
        text = f"[{mark}] {finding.what}: {finding.found}"
        if finding.expected and finding.level is not Level.OK:
            text += f"; should be: {finding.expected}"
        print(text)
        if finding.cure:
            print(f"       -> {finding.cure}")
    errors = sum(f.level is Level.ERROR for f in findings)
    warnings = sum(f.level is Level.WARNING for f in findings)
    print(f"{errors} error(s), {warnings} warning(s)")


def _write_json(
    path: Path, findings: Sequence[Finding], registers: dict[int, dict[str, int]]
) -> None:
    content = {"findings": [asdict(f) for f in findings], "registers": registers}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
