# SPDX-License-Identifier: Apache-2.0
"""`dexndm virtual-hand`: the virtual hand alone, without ROS, for any Dynamixel program."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import numpy as np

from dexndm_ros.hand.control_table import BAUD_CODES
from dexndm_ros.paths import WORLD_OF_LOAD, PathError
from dexndm_ros.policy.wrist import AxisError, parse_axis
from dexndm_ros.sim.faults import FAULTS, Fault, FaultError
from dexndm_ros.sim.pty_port import PortLinkError
from dexndm_ros.sim.rig import SPEEDS, RigConfig
from dexndm_ros.sim.virtual_hand import VirtualHand
from dexndm_ros.sim.worlds import World, WorldError

__all__ = ["main"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EPILOG = """\
Opens like a U2D2 with sixteen XC330 (or XL330) at IDs 0..15, Protocol 2.0, at any baud rate a program
asks for; answers take the time they need on a 4 Mbps wire (--baud). Example:

  dexndm virtual-hand --link /tmp/leap_hand &
  python -c "from dynamixel_sdk import *; p = PortHandler('/tmp/leap_hand'); p.openPort(); \\
    print(PacketHandler(2.0).broadcastPing(p))"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP.

    Args:
        argv: words after `dexndm virtual-hand`.

    Returns:
        0 after a signal, 1 when it cannot start (reason on stderr), 2 for wrong use.
    """
    arguments = _parser().parse_args(argv)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        _serve(arguments, stop)
    except (WorldError, PathError, PortLinkError) as error:
        print(f"dexndm virtual-hand: {error}", file=sys.stderr)
        return 1
    except (AxisError, FaultError) as error:
        print(f"dexndm virtual-hand: {error}", file=sys.stderr)
        return 2
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _serve(arguments: argparse.Namespace, stop: threading.Event) -> None:
    """Build the hand and serve it until stopped."""
    axis = parse_axis(arguments.axis)
    faults = [Fault(*_fault(words)) for words in arguments.fault]
    world = World.load(arguments.world).with_wrist(arguments.wrist).with_load(arguments.load)
    config = RigConfig(
        model_number=world.servo.motor_model.model_number,
        baud=arguments.baud,
        return_delay_us=arguments.return_delay_us,
        fault_seed=arguments.seed,
        speed=arguments.speed,
    )
    with VirtualHand(world, arguments.link, arguments.seed, config) as hand:
        hand.set_axis(axis)
        print(f"virtual hand: port {hand.port}, world {world.name}; Ctrl-C stops it", flush=True)
        for fault in faults:
            print(hand.rig.faults.inject(fault), flush=True)
        _show(hand, stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm virtual-hand",
        description="A LEAP hand in MuJoCo behind a serial port.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--link", metavar="PATH", help="put the port here (default: print /dev/pts/N)"
    )
    parser.add_argument("--world", default="nominal", metavar="FILE", help="world file or name")
    parser.add_argument(
        "--wrist", default="", metavar="NAME", help="palm orientation (default: the world's)"
    )
    parser.add_argument(
        "--load", default="", choices=list(WORLD_OF_LOAD),
        help="balls, a tied ball or nothing in place of the world's object",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the object's or the balls' places")
    parser.add_argument("--axis", default="+z", help="axis whose rotation is shown (default +z)")
    parser.add_argument(
        "--baud",
        type=int,
        default=4_000_000,
        choices=sorted(BAUD_CODES.values()),
        help="of the wire",
    )
    parser.add_argument(
        "--return-delay-us", type=int, default=0, choices=range(0, 509, 2), metavar="0..508",
        help="the motors' Return Delay Time as delivered (factory: 500)",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="FACTOR",
        help="simulated seconds in a real one (default 1); the wire keeps real time",
    )  # fmt: skip
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND[:MOTOR[:PROBABILITY[:SECONDS]]]",
        help=f"inject a fault at start: {', '.join(FAULTS[:-1])}",
    )  # fmt: skip
    return parser


def _speed(word: str) -> float:
    low, high = SPEEDS
    if not low <= (speed := float(word)) <= high:
        raise argparse.ArgumentTypeError(f"{word} is not in {low:g}..{high:g}")
    return speed


def _fault(words: str) -> tuple[str, int, float, float]:
    """`lost_reply:-1:0.01` as the arguments of a `Fault`."""
    kind, *rest = words.split(":")
    try:
        motor, probability, duration_s = (*map(float, rest), *(-1.0, 1.0, 0.0)[len(rest) :])
    except ValueError:
        raise FaultError(
            f"fault {words!r}: give KIND, or KIND:MOTOR:PROBABILITY:SECONDS with numbers"
        ) from None
    return kind, int(motor), probability, duration_s


def _show(hand: VirtualHand, stop: threading.Event) -> None:
    """Keep a live line on a terminal until stopped."""
    live = sys.stdout.isatty()
    packets = hand.rig.bus.packets
    while not stop.wait(0.5):
        if not live:
            continue
        view = hand.snapshot()
        rate = 2 * (hand.rig.bus.packets - packets)
        packets += rate // 2
        phase = "no object" if view.phase is None else f"object {view.phase.value}"
        turned = np.rad2deg(view.progress.angle_rad)
        line = f"{rate:5d} packets/s  torque on {view.torque_on.sum():2d}/16  {phase}  {turned:7.1f} deg"
        print(f"\r{line:<100}", end="", flush=True)
    if live:
        print()


if __name__ == "__main__":
    sys.exit(main())
