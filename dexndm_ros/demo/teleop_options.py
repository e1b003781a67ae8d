# SPDX-License-Identifier: Apache-2.0
"""The words after ``dexndm teleop``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.demo.options import seconds, seed, tcp_port

__all__ = ["TeleopOptions", "parse_options"]


@dataclass(frozen=True)
class TeleopOptions:
    """What was asked for.

    Attributes:
        source: recording, webxr or oculus_reader.
        recording: session that is played, a name or a file; empty = the shipped one.
        record: file that a live operator's samples are written to; None = none.
        world: world of the virtual hand.
        policy: policy file or name; empty = the shipped one.
        seed: of the object's placement.
        axis_from: buttons or orientation.
        scale: metres of the arm for a metre of the hand, as text.
        seconds: how long from the operator's beginning; None = until Ctrl-C, headless once through the recording.
        headless: no 3D view.
        view: open the 3D view in a browser.
        view_port: TCP port of the 3D view.
        report: JSON file.
    """

    source: str = "recording"
    recording: str = ""
    record: Path | None = None
    world: str = "nominal"
    policy: str = ""
    seed: int = 0
    axis_from: str = "buttons"
    scale: str = "1.0"
    seconds: float | None = None
    headless: bool = False
    view: bool = False
    view_port: int = 8080
    report: Path | None = None

    @property
    def recorded(self) -> bool:
        """A recording plays; else somebody wears a headset."""
        return self.source == "recording"

    def arguments(self) -> dict[str, object]:
        """Arguments of the system ``teleop``."""
        return {
            "arm": "virtual",
            "source": self.source,
            "recording": self.recording,
            "wait": "true" if self.recorded else "false",
            "record": self.record or "",
            "world": self.world,
            "policy": self.policy,
            "seed": self.seed,
            "axis_from": self.axis_from,
            "scale": self.scale,
        }


def parse_options(argv: Sequence[str]) -> TeleopOptions:
    """Read the command line; ends the process with status 2 and a sentence when it is wrong."""
    parser = _parser()
    options = TeleopOptions(**vars(parser.parse_args(list(argv))))
    if options.headless and options.view:
        parser.error("--headless and --view exclude each other")
    if options.headless and options.seconds is None and not options.recorded:
        parser.error("--headless with a live operator needs --seconds N, or it would never end")
    return options


def _parser() -> argparse.ArgumentParser:
    d = TeleopOptions()
    parser = argparse.ArgumentParser(
        prog="dexndm teleop",
        description="An operator, recorded unless --source names a headset, moves a virtual arm with a virtual hand "
        "on it that takes a cylinder and turns it. A real arm: ros2 launch dexndm_ros teleop.launch.py",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--source", choices=("recording", "webxr", "oculus_reader"), default=d.source,
        help="the operator: a recording, a page in a headset's browser, or its app")  # fmt: skip
    add(
        "--recording",
        default=d.recording,
        metavar="FILE",
        help="session to play (default: shipped)",
    )
    add("--record", type=Path, metavar="FILE", help="write the operator's samples there")
    add("--axis-from", choices=("buttons", "orientation"), default=d.axis_from,
        help="how the left hand chooses the axis")  # fmt: skip
    add("--scale", default=d.scale, metavar="S", help="metres of the arm for a metre of the hand")
    add("--world", default=d.world, help="world of the virtual hand: a name or a YAML file")
    add("--policy", default=d.policy, help="policy: a name or an ONNX file (default: shipped)")
    add("--seed", type=seed, default=d.seed, help="of the object's placement")
    add("--seconds", type=seconds, metavar="N", help="end N seconds after the operator began")
    add("--headless", action="store_true", help="no 3D view; ends with the recording")
    add("--view", action="store_true", help="open the 3D view in a browser")
    add("--view-port", type=tcp_port, default=d.view_port, metavar="PORT", help="of the 3D view")
    add("--report", type=Path, metavar="FILE", help="write what was measured there, JSON")
    return parser
