# SPDX-License-Identifier: Apache-2.0
"""``dexndm close-the-gap``: eight stages from a base policy to corrections of it and what they are worth in a world."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.datasets.split import is_held_out
from dexndm_ros.loop.errors import LoopError, StepFailedError
from dexndm_ros.loop.page import write_page
from dexndm_ros.loop.records import Records, claim
from dexndm_ros.loop.results import read_results, refusal, table
from dexndm_ros.loop.running import run_steps
from dexndm_ros.loop.settings import SIZES, Settings, halves
from dexndm_ros.loop.stages import LIBRARY, WRISTS, Step, plan
from dexndm_ros.paths import PathError, library_path, world_path
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.lock import FileLock, LockedError
from dexndm_ros.replay.plan import select
from dexndm_ros.sim.worlds import World, WorldError

__all__ = ["main"]

_FAILED, _REFUSED, _INTERRUPTED = 1, 2, 130
_FOLDER = Path("runs") / "close_the_gap"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the loop, or go on with one.

    Returns:
        0 done, also where the base is to run alone: that is a result; 1 a step failed; 2 refused before anything
        began; 130 ended by Ctrl-C.
    """
    arguments = _parser().parse_args(sys.argv[1:] if argv is None else list(argv))
    try:
        settings = _settings(arguments)
        steps = plan(settings)
        records = Records(settings.out / "done")
        _check_ros(steps, records)
        _check_seed(settings)
        claim(settings)
        with FileLock(settings.out / "loop.lock", f"the folder {settings.out}", "close-the-gap"):
            _loop(settings, steps, records)
    except (LoopError, LockedError, PathError, WorldError) as error:
        print(f"dexndm close-the-gap: {error}", file=sys.stderr)
        return _REFUSED
    except StepFailedError as error:
        print(f"dexndm close-the-gap: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _loop(settings: Settings, steps: Sequence[Step], records: Records) -> None:
    def senseless(step: Step) -> bool:
        return step.with_residual and bool(refusal(settings.out))

    run_steps(steps, records, settings.out / "logs", _say, senseless)
    results = read_results(settings, steps, records)
    print(table(results))
    print(f"page: {write_page(settings.out, results)}")


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    d = Settings(Path())
    parser = argparse.ArgumentParser(
        prog="dexndm close-the-gap",
        description="Rollouts, a virtual Chaos Box through ROS, a dataset, an identification and its inverse, dynamics "
        "and a residual, their files, which of them is to run, and what each is worth in a world. The same command "
        "goes on where it was cut off.",
        epilog="exit status: 0 done, 1 a stage failed, 2 refused, 130 Ctrl-C. docs/close_the_gap.md has the stages.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--world", default=d.world,
        help="world that stands for the hand, a name or a YAML file with an object (default: %(default)s)")  # fmt: skip
    add("--out", type=Path, metavar="DIR",
        help=f"folder of everything (default: {_FOLDER}/WORLD_SIZE)")  # fmt: skip
    add("--size", choices=tuple(SIZES), default=d.size,
        help="how much of everything; tiny only shows that it runs (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=d.seed, help="of data and training (default: %(default)s)")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    """What was asked for, with a world that can be used and full paths.

    Raises:
        LoopError: the world has no object, or the seed is none.
        PathError, WorldError: no such world, or none that can be read.
    """
    world = World.load(arguments.world)
    if world.object.kind == "none":
        raise LoopError(f"world {world.name} has no object to turn; use one with an object")
    if arguments.seed < 0:
        raise LoopError(f"seed is {arguments.seed}; it must be 0 or more")
    file = world_path(arguments.world)
    name = str(file) if Path(arguments.world).is_file() else arguments.world
    out = arguments.out or _FOLDER / f"{file.stem}_{arguments.size}"
    return Settings(out.expanduser().absolute(), name, arguments.size, arguments.seed)


def _check_ros(steps: Sequence[Step], records: Records) -> None:
    """Say now what stage 2 would say in some minutes.

    Raises:
        LoopError: there is something to collect, and no ROS.
    """
    collects = [step for step in steps if step.commands[0][0] == "collect"]
    if importlib.util.find_spec("rclpy") is None and not all(map(records.is_done, collects)):
        raise LoopError(
            "stage 2 collects through ROS, and this Python has no rclpy: in a checkout, `make close-the-gap` sets it "
            "up (or `make setup-dev` and `. scripts/env.sh`); with a ROS of your own, source its setup.bash"
        )


def _check_seed(settings: Settings) -> None:
    """A small campaign may have no trajectory to validate with; stage 5 would find out.

    Raises:
        LoopError: so it is.
    """
    count = SIZES[settings.size].night
    with TrajectoryLibrary.open(library_path(LIBRARY)) as library:
        chosen = [
            each
            for half in halves(settings)
            for wrist in WRISTS
            for each in select(library.ids(wrist), count, half.seed)
        ]
    if not any(is_held_out(int(each)) for each in chosen):
        raise LoopError(
            f"with seed {settings.seed} none of the {len(chosen)} trajectories would be there to validate the dynamics "
            "with; give another --seed"
        )
