# SPDX-License-Identifier: Apache-2.0
"""``dexndm replay``: plays a bag's topics into the ROS graph, or computes again what was decided in it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.bags.types import BagError
from dexndm_ros.paths import share_dir
from dexndm_ros.playback.check_cli import REFUSED, add_arguments, check_from
from dexndm_ros.playback.console import HELP
from dexndm_ros.playback.opening import ReplayOptions, choose
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.playback.timeline import HOLE_PLAYED_S, HOLE_S
from dexndm_ros.process_spec import ParameterValue, ProcessSpec
from dexndm_ros.processes import node_environment

__all__ = ["main", "replay_process"]

_CLOCK_HZ = 100.0
_LOG_FORMAT = "[{severity}] {message}"


def main(argv: Sequence[str] | None = None) -> int:
    """Play a bag, or check it.

    Returns:
        Of playing, what the node ends with: 0 played, 1 it could not go on, 2 refused. Of ``--check``: 0 all equal,
        1 diverged, 2 cannot be checked.
    """
    options = _parser().parse_args(sys.argv[1:] if argv is None else argv)
    if options.check:
        return check_from(options)
    try:
        replay = _options(options)
        choose(replay)  # what is wrong is said here, in one sentence, before ROS is started
    except (PlaybackError, BagError, OSError) as error:
        print(f"dexndm replay: {error}", file=sys.stderr)
        return REFUSED
    spec = replay_process(replay, options.delay)
    environment = node_environment({"RCUTILS_CONSOLE_OUTPUT_FORMAT": _LOG_FORMAT, **os.environ})
    sys.stdout.flush()
    # The node takes this process's place: the terminal, its signals and its exit status are the node's own.
    os.execve(sys.executable, spec.command(sys.executable), environment)


def replay_process(options: ReplayOptions, delay_s: float) -> ProcessSpec:
    """The node that plays, with the terminal's keys."""
    parameters: dict[str, ParameterValue] = {
        **vars(options), "bag": str(Path(options.bag).absolute()), "delay_s": delay_s, "keyboard": True,
    }  # fmt: skip
    return ProcessSpec(
        "bag_replay",
        "dexndm_ros.nodes.bag_replay",
        "bag_replay",
        parameters,
        share_dir() / "config" / "bag_replay.yaml",
    )


def _options(options: argparse.Namespace) -> ReplayOptions:
    return ReplayOptions(
        bag=options.bag,
        topics=" ".join(options.topics),
        remap=" ".join(options.remap),
        rate=options.rate,
        start_s=options.start,
        duration_s=options.duration,
        paused=options.pause or options.step,
        loop=options.loop,
        order=options.order,
        clock_hz=options.clock,
        publish_commands=options.publish_commands,
        allow_listeners=" ".join(options.allow_listener),
        keep_holes=options.keep_holes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm replay",
        description="Play a bag's topics back as they were recorded: bytes, order, pace, quality of service. "
        "With --check nothing is played: what policy, guard and driver decided is computed again and compared.",
        epilog=f"keys while it plays: {HELP}. Commands to motors are never played unless asked for, and then only "
        "to nodes that were allowed by name.",
    )
    parser.add_argument("bag", metavar="BAG", help="a bag's folder, or one of its files")
    group = parser.add_argument_group("playing")
    group.add_argument(
        "--rate", type=float, default=1.0, metavar="R", help="times the recorded pace (default 1)"
    )
    group.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="begin this long after the first message, s"
    )  # fmt: skip
    group.add_argument(
        "--duration", type=float, default=0.0, metavar="S", help="play only this much of it, recorded s"
    )  # fmt: skip
    group.add_argument("--pause", action="store_true", help="wait at the start")
    group.add_argument(
        "--step", action="store_true", help="wait at the start, to go on with n and . message by message"
    )  # fmt: skip
    group.add_argument("--loop", action="store_true", help="begin again at the end, until q")
    group.add_argument(
        "--topics", nargs="+", action="extend", default=[], metavar="T", help="only these (default: all)"
    )  # fmt: skip
    group.add_argument(
        "--remap", nargs="+", action="extend", default=[], metavar="A:=B", help="play topic A as B"
    )  # fmt: skip
    group.add_argument(
        "--clock", type=float, nargs="?", const=_CLOCK_HZ, default=0.0, metavar="HZ",
        help=f"publish the recorded time on /clock, for nodes with use_sim_time ({_CLOCK_HZ:g} Hz)",
    )  # fmt: skip
    group.add_argument(
        "--order", choices=("log", "publish"), default="log",
        help="as messages were received (log, the default) or published",
    )  # fmt: skip
    group.add_argument(
        "--delay", type=float, default=1.0, metavar="S",
        help="time for other nodes to find the topics before the first message (default 1 s)",
    )  # fmt: skip
    group.add_argument(
        "--publish-commands", action="store_true",
        help="also play what makes something move; refused while a node listens to it that is not allowed to",
    )  # fmt: skip
    group.add_argument(
        "--allow-listener", metavar="NODE", action="append", default=[],
        help="full name of a node that may hear recorded commands, and obey them; may be given several times "
        "(default: none may)",
    )  # fmt: skip
    group.add_argument(
        "--keep-holes", action="store_true",
        help=f"stand still for as long as nothing was recorded; default: no more than {HOLE_PLAYED_S:g} s where there "
        f"is no message for more than {HOLE_S:g} s",
    )  # fmt: skip
    add_arguments(parser)
    return parser
