# SPDX-License-Identifier: Apache-2.0
"""The words after ``dexndm demo``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.policy.wrist import parse_axis, parse_wrist

__all__ = ["DemoOptions", "parse_options", "seconds", "seed", "tcp_port"]

_LONGEST_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for.

    Attributes:
        world: world file or name of the virtual hand.
        policy: policy file or name; empty = the shipped one.
        residual: residual file that corrects its targets; empty = none.
        axis: rotation axis in the palm frame, as text.
        wrist: palm orientation as text; empty = the world's.
        port: serial port of a real hand; empty = the virtual hand.
        rate_hz: bus cycles a second, as text.
        profile: current limit, full or lite.
        realtime: SCHED_FIFO for driver and policy.
        seed: of the object's placement.
        seconds: how long to rotate; None = until Ctrl-C.
        headless: no 3D view.
        view: open the 3D view in a browser.
        view_port: TCP port of the 3D view.
        save: folder for video, GIF and plot.
        report: JSON file.
    """

    world: str = "nominal"
    policy: str = ""
    residual: str = ""
    axis: str = "+z"
    wrist: str = ""
    port: str = ""
    rate_hz: str = "100"
    profile: str = "full"
    realtime: bool = False
    seed: int = 0
    seconds: float | None = None
    headless: bool = False
    view: bool = False
    view_port: int = 8080
    save: Path | None = None
    report: Path | None = None

    @property
    def simulated(self) -> bool:
        """Whether the virtual hand is started."""
        return not self.port

    def arguments(self) -> dict[str, object]:
        """Arguments of the system ``rotation_demo``."""
        return {
            "sim": "true" if self.simulated else "false",
            "world": self.world,
            "port": self.port,
            "policy": self.policy,
            "residual": self.residual,
            "axis": self.axis,
            "wrist": self.wrist,
            "rate": self.rate_hz,
            "profile": self.profile,
            "realtime": "true" if self.realtime else "false",
            "seed": self.seed,
        }


def parse_options(argv: Sequence[str]) -> DemoOptions:
    """Read the command line; ends the process with status 2 and a sentence when it is wrong."""
    parser = _parser()
    values = vars(parser.parse_args(list(argv)))
    options = DemoOptions(**values)
    if options.headless and options.view:
        parser.error("--headless and --view exclude each other")
    if options.headless and options.seconds is None and (options.report or options.save):
        parser.error("--headless with --report or --save needs --seconds N, or it would never end")
    return options


def _parser() -> argparse.ArgumentParser:
    d = DemoOptions()
    parser = argparse.ArgumentParser(
        prog="dexndm demo",
        description="A LEAP hand, virtual unless --port names a real one, rotates an object.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--world", default=d.world, help="world of the virtual hand: a name or a YAML file")
    add("--policy", default=d.policy, help="policy: a name or an ONNX file (default: shipped)")
    add("--residual", default=d.residual, help="residual, an ONNX file, that corrects its targets")
    add("--axis", type=_axis, default=d.axis,
        help="rotation axis, palm frame: +x ... -z, or three numbers (--axis=-z)")  # fmt: skip
    add("--wrist", type=_wrist, default=d.wrist,
        help="palm orientation: palm_up, palm_down, ... or x,y,z,w (default: the world's)")  # fmt: skip
    add("--seconds", type=seconds, metavar="N", help="end after N seconds of rotation")
    add("--headless", action="store_true", help="no 3D view")
    add("--view", action="store_true", help="open the 3D view in a browser")
    add("--view-port", type=tcp_port, default=d.view_port, metavar="PORT", help="of the 3D view")
    add("--save", type=Path, metavar="DIR", help="write a video, a GIF and a plot there")
    add("--report", type=Path, metavar="FILE", help="write what was measured there, JSON")
    add("--port", default=d.port, help="serial port of a real hand, such as /dev/leap_hand")
    add("--rate", dest="rate_hz", default=d.rate_hz, metavar="HZ", help="bus cycles a second")
    add(
        "--profile", choices=("full", "lite"), default=d.profile, help="current limit of the motors"
    )
    add("--realtime", action="store_true", help="SCHED_FIFO for driver and policy")
    add("--seed", type=seed, default=d.seed, help="of the object's placement")
    return parser


def _axis(text: str) -> str:
    try:
        if not parse_axis(text).any():
            raise ValueError("the axis is zero: nothing would turn")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _wrist(text: str) -> str:
    try:
        if text:  # empty = the world's
            parse_wrist(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def seconds(text: str) -> float:
    """A time for argparse, s."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= _LONGEST_S:  # also refuses NaN
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; allowed: above 0 to one week, s")
    return value


def _whole(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give {low} to {high}")
    return int(text)


def seed(text: str) -> int:
    """A seed for argparse."""
    return _whole(text, 0, 2**31 - 1)


def tcp_port(text: str) -> int:
    """A TCP port for argparse."""
    return _whole(text, 1, 65535)
