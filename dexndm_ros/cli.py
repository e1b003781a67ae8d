# SPDX-License-Identifier: Apache-2.0
"""The `dexndm` command: finds the job that was asked for and hands it the rest of the line.

Only the job's own module is imported, so `dexndm doctor` needs no MuJoCo and `dexndm demo` no torch.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from dexndm_ros import __version__

__all__ = ["COMMANDS", "Command", "main"]

USAGE_ERROR = 2
FAILURE = 1


@dataclass(frozen=True)
class Command:
    """One subcommand: what it does in a line, and where it lives.

    Attributes:
        name: the word after `dexndm`.
        target: "module:function"; the function takes the remaining words and returns an exit status.
        summary: one line for the overview.
        requirements: requirement file that brings what the job may need beyond the nodes; "" for none.
    """

    name: str
    target: str
    summary: str
    requirements: str = ""


COMMANDS: tuple[Command, ...] = (
    Command("demo", "dexndm_ros.demo.cli:main", "show a hand rotating an object"),
    Command(
        "teleop",
        "dexndm_ros.demo.teleop_cli:main",
        "an operator, recorded or with a headset, moves a virtual arm whose hand turns an object",
    ),
    Command(
        "collect",
        "dexndm_ros.collect.cli:main",
        "replay and record trajectories unattended, in a box of balls",
    ),
    Command(
        "campaign",
        "dexndm_ros.collect.campaign_cli:main",
        "check a campaign file; status, verification and report of a campaign's folder",
    ),
    Command(
        "convert",
        "dexndm_ros.datasets.convert_cli:main",
        "make a dataset of bags, checked, with a quality report",
        requirements="requirements-datasets.txt",  # for --format; the LeRobot layout needs none
    ),
    Command(
        "bag",
        "dexndm_ros.datasets.bag_cli:main",
        "what is in a bag, is it whole, what did the joints do (figure); save what is whole",
    ),
    Command(
        "replay",
        "dexndm_ros.playback.cli:main",
        "play a bag back into ROS; or compute again what policy, guard and driver decided in it",
    ),
    Command(
        "virtual-hand",
        "dexndm_ros.sim.virtual_hand_cli:main",
        "run the virtual hand alone, its servo port at a path, without ROS",
    ),
    Command(
        "doctor",
        "dexndm_ros.doctor_cli:main",
        "check installation, port, motors and registers; adb, page and arm for teleoperation",
    ),
    Command(
        "evaluate",
        "dexndm_ros.training.evaluate:main",
        "measure a policy in simulation: rotation, survival, time",
        requirements="requirements-training.txt",  # for checkpoints; a policy file needs none
    ),
    Command(
        "rollouts",
        "dexndm_ros.training.simulate.cli:main",
        "simulate a policy, or replays of a library, in any world, as a dataset",
        requirements="requirements-training.txt",
    ),
    Command(
        "train",
        "dexndm_ros.training.cli:main",
        "train an oracle, a generalist or a model of the hand's dynamics",
        requirements="requirements-training.txt",
    ),
    Command(
        "export",
        "dexndm_ros.training.export:main",
        "write a checkpoint as a policy file (ONNX with its spec)",
        requirements="requirements-training.txt",
    ),
    Command(
        "choose",
        "dexndm_ros.training.choose:main",
        "choose by rollouts which correction of a policy is to run, if any",
    ),
    Command(
        "grasps",
        "dexndm_ros.training.grasps_cli:main",
        "make or look at a cache of start grasps for families of objects",
        requirements="requirements-training.txt",
    ),
    Command(
        "library",
        "dexndm_ros.training.library_cli:main",
        "inspect a trajectory library, or build one from rollouts",
        requirements="requirements-training.txt",  # for checkpoints; a policy file needs none
    ),
    Command(
        "sysid",
        "dexndm_ros.training.sysid.cli:main",
        "identify gains, friction, inertia and delay of a hand from its motion; writes a world file",
        requirements="requirements-training.txt",
    ),
    Command(
        "analyze",
        "dexndm_ros.training.analyze.cli:main",
        "histories, corrections, coupling and smoothness in datasets, as a report",
        requirements="requirements-training.txt",
    ),
    Command(
        "close-the-gap",
        "dexndm_ros.loop.cli:main",
        "the whole loop at small scale: data, identification, residual, choice, evaluation; resumes",
        requirements="requirements-training.txt",
    ),
    Command("urdf", "dexndm_ros.hand.urdf:main", "print the hand's URDF for RViz and Foxglove"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: the words after `dexndm`; None takes them from the command line.

    Returns:
        The exit status: 0 done, 1 failed with a sentence on stderr, 2 wrong use, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        _overview(sys.stdout if words else sys.stderr)
        return 0 if words else USAGE_ERROR
    if words[0] in ("-V", "--version"):
        print(f"dexndm {__version__}")
        return 0
    command = {known.name: known for known in COMMANDS}.get(words[0])
    if command is None:
        return _unknown(words[0])
    return _run(command, words[1:])


def _run(command: Command, rest: list[str]) -> int:
    try:
        module_name, _, function = command.target.partition(":")
        job = getattr(importlib.import_module(module_name), function)
        status = job(rest)
        return 0 if status is None else int(status)
    except ModuleNotFoundError as error:
        return _missing(command, error)
    except KeyboardInterrupt:
        print(f"\ndexndm {command.name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # `dexndm urdf | head`: the reader has gone, and Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if os.environ.get("DEXNDM_TRACEBACK") or not _speaks_for_itself(error):
            raise
        print(f"dexndm {command.name}: {_sentence(error)}", file=sys.stderr)
        return FAILURE


def _speaks_for_itself(error: Exception) -> bool:
    """Whether the message was written for the user: our own errors, and a file that cannot be opened."""
    ours = any(kind.__module__.split(".")[0] == "dexndm_ros" for kind in type(error).__mro__)
    return ours or (isinstance(error, OSError) and error.filename is not None)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _missing(command: Command, error: ModuleNotFoundError) -> int:
    name = (error.name or "").split(".")[0]
    if name == "dexndm_ros" or not name:
        raise error
    if name in ("rclpy", "dexndm_msgs") or name.endswith(("_msgs", "_srvs")):
        cure = "source your workspace's install/setup.bash, or (in a checkout) run `make setup` and `. scripts/env.sh`"
    else:
        files = ["requirements.txt", command.requirements]
        cure = "install what it needs: pip install " + " ".join(
            f"-r {file}" for file in files if file
        )
        if command.requirements:
            cure += " (in a checkout: make setup-dev)"
    print(
        f"dexndm {command.name}: the Python module {name!r} is not installed; {cure}",
        file=sys.stderr,
    )
    return FAILURE


def _unknown(word: str) -> int:
    near = difflib.get_close_matches(word, [command.name for command in COMMANDS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    names = ", ".join(command.name for command in COMMANDS)
    print(f"dexndm: no command {word!r}{hint} Commands: {names}", file=sys.stderr)
    return USAGE_ERROR


def _overview(stream: TextIO) -> None:
    width = max(len(command.name) for command in COMMANDS)
    print("usage: dexndm COMMAND [arguments]\n\ncommands:", file=stream)
    for command in COMMANDS:
        print(f"  {command.name:<{width}}  {command.summary}", file=stream)
    print(
        "\n`dexndm COMMAND --help` explains its arguments. DEXNDM_TRACEBACK=1 shows where an error came from.",
        file=stream,
    )


if __name__ == "__main__":
    sys.exit(main())
