# SPDX-License-Identifier: Apache-2.0
"""The words after ``dexndm collect``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.replay.campaign import LOADS

__all__ = ["CollectOptions", "parse_options"]


@dataclass(frozen=True)
class CollectOptions:
    """What was asked for; None or empty = what the campaign says.

    Attributes:
        campaign: file or shipped name; empty = the one already in ``out``, else the demo.
        out: folder of bags and ledger; None = a new one, named by date and time.
        trajectories: how many.
        orientation: palm orientation the hand is mounted in.
        load: what the hand works against.
        seed: of the selection and the noise.
        world: world of the virtual hand, whose object gives way to the load; empty = the one that fits the load.
        port: serial port of a real hand; empty = the virtual hand.
        speed: how much faster than real time the virtual hand lives, as text.
        rate_hz: bus cycles a second, as text.
        profile: current limit, full or lite.
        realtime: SCHED_FIFO for driver and replay.
        headless: no dashboard and no bar: plain lines.
        dashboard_port: TCP port of the dashboard, as text.
        yes: a real hand moves without being asked for once more.
    """

    campaign: str = ""
    out: Path | None = None
    trajectories: int | None = None
    orientation: str = ""
    load: str = ""
    seed: int | None = None
    world: str = ""
    port: str = ""
    speed: str = "1.0"
    rate_hz: str = "100"
    profile: str = "full"
    realtime: bool = False
    headless: bool = False
    dashboard_port: str = "8765"
    yes: bool = False

    def arguments(self, campaign: Path, out: Path) -> dict[str, object]:
        """Arguments of the system ``chaos_box``.

        Args:
            campaign: file with what was asked for worked in.
            out: folder of bags and ledger.
        """
        return {
            "campaign": campaign,
            "out": out,
            "world": self.world,
            "sim": "false" if self.port else "true",
            "port": self.port,
            "speed": self.speed,
            "rate": self.rate_hz,
            "profile": self.profile,
            "realtime": "true" if self.realtime else "false",
            "seed": 0 if self.seed is None else self.seed % 2**31,
            "dashboard": "false" if self.headless else "true",
            "dashboard_port": self.dashboard_port,
        }

    def again(self, out: Path) -> str:
        """The command that goes on in a folder, with the same hand; what the folder's campaign says is left out."""
        d, words = CollectOptions(), ["dexndm", "collect", "--out", str(out)]
        for flag, given, default in (
            ("--port", self.port, d.port),
            ("--profile", self.profile, d.profile),
            ("--world", self.world, d.world),
            ("--speed", self.speed, d.speed),
            ("--rate", self.rate_hz, d.rate_hz),
            ("--dashboard-port", self.dashboard_port, d.dashboard_port),
        ):
            words += [flag, given] if given != default else []
        words += ["--realtime"] * self.realtime + ["--headless"] * self.headless
        return shlex.join(words)


def parse_options(argv: Sequence[str]) -> CollectOptions:
    """Read the command line; ends the process with status 2 and a sentence when it is wrong."""
    d = CollectOptions()
    parser = argparse.ArgumentParser(
        prog="dexndm collect",
        description="A LEAP hand in a box of balls, virtual unless --port names a real one, replays "
        "trajectories and records them. The same --out goes on where it stopped.",
        epilog="exit status: 0 done, or the schedule is over, 1 stopped by a fault, 2 refused, 130 Ctrl-C",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--campaign", default=d.campaign, metavar="FILE",
        help="a YAML file, or a name in config/campaigns (default: the one in --out, else demo)")  # fmt: skip
    add("--out", type=Path, metavar="DIR",
        help="folder of bags and ledger (default: a new one in ./campaigns)")  # fmt: skip
    add(
        "--trajectories", type=_count, metavar="N", help="how many, instead of the campaign's count"
    )
    add("--orientation", choices=tuple(WRISTS), default=d.orientation,
        help="palm orientation the hand is mounted in, instead of the campaign's")  # fmt: skip
    add("--load", choices=LOADS, default=d.load,
        help="what the hand works against, instead of the campaign's; chooses the virtual world")  # fmt: skip
    add("--seed", type=_seed, metavar="N", help="of selection and noise, instead of the campaign's")
    add(
        "--world",
        default=d.world,
        help="world of the virtual hand, a name or a YAML file; the load takes the place of its object",
    )
    add("--port", default=d.port, help="serial port of a real hand, such as /dev/leap_hand")
    add("--speed", default=d.speed, metavar="X", help="the virtual hand lives X times faster")
    add("--rate", dest="rate_hz", default=d.rate_hz, metavar="HZ", help="bus cycles a second")
    add(
        "--profile", choices=("full", "lite"), default=d.profile, help="current limit of the motors"
    )
    add("--realtime", action="store_true", help="SCHED_FIFO for driver and replay")
    add("--headless", action="store_true", help="no dashboard and no bar: plain lines")
    add(
        "--dashboard-port",
        default=d.dashboard_port,
        metavar="PORT",
        help="TCP port of the dashboard",
    )
    add("--yes", action="store_true", help="do not ask before a real hand moves")
    return CollectOptions(**vars(parser.parse_args(list(argv))))


def _count(text: str) -> int:
    return _whole(text, 1, 1_000_000)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1)


def _whole(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give {low} to {high}")
    return int(text)
