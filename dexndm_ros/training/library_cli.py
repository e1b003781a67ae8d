# SPDX-License-Identifier: Apache-2.0
"""``dexndm library inspect|build``: what is in a trajectory library, and how one is made."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexndm_ros.paths import PathError
from dexndm_ros.policy.spec import PolicySpecError, refusal
from dexndm_ros.replay.coverage import coverage, plot_coverage, table
from dexndm_ros.replay.library import TrajectoryLibrary, TrajectorySource, open_source
from dexndm_ros.replay.noise import NoiseConfig

if TYPE_CHECKING:
    from dexndm_ros.training.library import BuildConfig

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm library", description="Trajectory libraries for the Chaos Box."
    )
    jobs = parser.add_subparsers(dest="job", required=True)

    look = jobs.add_parser("inspect", help="check a library and show what it covers")
    look.add_argument(
        "library",
        help="Parquet file, shipped name (cylinder_z), or waves:sine:2000,square:1000,noise:1000",
    )
    look.add_argument("--plot", type=Path, help="PNG file to write: targets of each joint")
    look.add_argument(
        "--noise", type=float, default=0.01, help="sigma that steps must leave room for, rad"
    )
    look.add_argument("--seed", type=int, default=0, help="of waves")

    build = jobs.add_parser("build", help="roll policies out and keep what lasted")
    build.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    build.add_argument("--replace", action="store_true", help="overwrite FILE")
    build.add_argument("--policy", default="cylinder_z", help="file, name, or oracle's run folder")
    build.add_argument("--wrist", default="palm_up", help="wrists, comma separated")
    build.add_argument("--axis", default="+z", help="axes, comma separated words: --axis=+z,-z")
    build.add_argument(
        "--tasks",
        default="",
        help="instead of policy, wrist and axis: WRIST:AXIS:POLICY,... (all oracles into one file)",
    )
    build.add_argument("--count", type=int, default=64, help="trajectories of each wrist and axis")
    build.add_argument("--seed", type=int, default=0, help="of worlds and grasps")
    build.add_argument("--world", default="nominal", help="world file or name")
    build.add_argument("--physics", default="ref", choices=["fast", "ref"])
    build.add_argument("--no-randomise", action="store_true", help="the world file as it is")
    build.add_argument("--residual", default="", help="residual policy file")
    build.add_argument("--envs", type=int, default=256, help="most hands at once")
    build.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser


def _inspect(arguments: argparse.Namespace) -> int:
    source = open_source(arguments.library, arguments.seed, NoiseConfig(sigma_rad=arguments.noise))
    if isinstance(source, TrajectoryLibrary):
        rows = iter(source)
        print(f"{source.path}, {len(source)} trajectories, sha256 {source.sha256}")
        for key, value in source.header.provenance.items():
            print(f"  {key}: {value}")
    else:
        rows = (source.trajectory(int(k)) for k in source.ids(source.wrists[0]))
        print(f"{arguments.library}, seed {arguments.seed}, sha256 {source.sha256}")
    groups = coverage(rows)
    print("checked: lengths, finite numbers, joint limits, steps, ids, wrists, axes\n")
    print(table(groups))
    if arguments.plot:
        plot_coverage(groups, arguments.plot, _title(arguments.library, source))
    return 0


def _title(text: str, source: TrajectorySource) -> str:
    return f"{Path(text).stem}, sha256 {source.sha256[:12]}"


def _build(arguments: argparse.Namespace) -> int:
    from dexndm_ros.training.controllers import ControllerError, refused_residual
    from dexndm_ros.training.library import build_library

    config = _build_config(arguments)
    if config.out.exists() and not arguments.replace:
        print(f"{config.out} is there already; --replace overwrites it", file=sys.stderr)
        return 2
    try:
        refused = {refused_residual(task.policy, config.residual) for task in config.tasks}
    except (ControllerError, PathError, PolicySpecError) as error:
        print(f"dexndm library build: {error}", file=sys.stderr)
        return 2
    for reason in filter(None, refused):
        print(refusal(reason))
    # Terminated like interrupted: the unfinished file goes away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for report in build_library(config):
        print(
            f"{report.task.wrist} {report.task.axis}: held to the end in {report.survived} of "
            f"{report.episodes} episodes, kept {config.count}"
        )
    print(f"{config.out}: {config.out.stat().st_size / 1e6:.2f} MB")
    return 0


def _build_config(arguments: argparse.Namespace) -> BuildConfig:
    from dexndm_ros.sim.randomise import Randomisation
    from dexndm_ros.training.library import BuildConfig, BuildError, BuildTask

    if arguments.tasks:
        words = [task.split(":", 2) for task in arguments.tasks.split(",")]
        if any(len(word) != 3 for word in words):
            raise BuildError(f"--tasks {arguments.tasks!r}: write WRIST:AXIS:POLICY,...")
        tasks = [BuildTask(*word) for word in words]
    else:
        tasks = [
            BuildTask(wrist, axis, arguments.policy)
            for wrist in arguments.wrist.split(",")
            for axis in arguments.axis.split(",")
        ]
    return BuildConfig(
        out=arguments.out,
        tasks=tuple(tasks),
        count=arguments.count,
        world=arguments.world,
        physics=arguments.physics,
        randomisation=None if arguments.no_randomise else Randomisation(),
        residual=arguments.residual,
        seed=arguments.seed,
        envs=arguments.envs,
        threads=arguments.threads,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm library``."""
    arguments = _parser().parse_args(argv)
    return _inspect(arguments) if arguments.job == "inspect" else _build(arguments)
