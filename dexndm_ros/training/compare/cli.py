# SPDX-License-Identifier: Apache-2.0
"""``dexndm evaluate --compare``: every method in a world, resumable; ``--summary`` joins the worlds of a folder."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.paths import PathError
from dexndm_ros.sim.worlds import WorldError
from dexndm_ros.training.compare.ablations import parse_ablations
from dexndm_ros.training.compare.config import BUDGETS, CompareConfig
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.job import Comparison, compare
from dexndm_ros.training.compare.methods import METHODS, parse_methods
from dexndm_ros.training.compare.report import report_folder, write_report
from dexndm_ros.training.compare.results import rows_of
from dexndm_ros.training.compare.summary import summarise
from dexndm_ros.training.compare.tables import HEAD, cells, notes_of, winners

__all__ = ["main"]

_REFUSED, _INTERRUPTED = 2, 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm evaluate --compare",
        description="Every way to close a world's gap, at equal data, on the same test. The same command goes on.",
    )
    parser.add_argument("--compare", action="store_true", required=True)
    parser.add_argument(
        "--world", default="twin", help="world file or name: the hand that the policy meets"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/compare"), help="folder, shared by worlds"
    )
    parser.add_argument("--methods", default="", help=f"of {','.join(METHODS)} (all)")
    parser.add_argument("--wrist", default="palm_up,palm_down", help="wrists, comma separated")
    parser.add_argument("--axis", default="+z", help="rotation axis in the palm frame")
    parser.add_argument(
        "--policy", default="cylinder_z", help="the base: shipped name or policy file"
    )
    parser.add_argument(
        "--episodes", type=int, default=128, help="of each method, wrist and pipeline"
    )
    parser.add_argument("--pipelines", type=int, default=3, help="seeds of data, training and test")
    parser.add_argument(
        "--budget", default="small", choices=list(BUDGETS), help="how much data and training"
    )
    parser.add_argument("--trajectories", type=int, help="of each wrist, in place of the budget's")
    parser.add_argument("--physics", default="ref", choices=["fast", "ref"], help="of the test")
    parser.add_argument(
        "--ablations",
        nargs="?",
        const="all",
        default="",
        help="also those of the joint-wise method: all, or some by name: "
        + ",".join(parse_ablations("all")),
    )
    parser.add_argument("--jobs", type=int, help="stages at once (one a core, at most 4)")
    parser.add_argument(
        "--report", type=Path, help="folder of the report (one for world and data, in --out)"
    )
    parser.add_argument(
        "--summary", action="store_true", help="only print the table of all worlds in --out"
    )
    return parser


def _config(arguments: argparse.Namespace) -> CompareConfig:
    budget = BUDGETS[arguments.budget]
    if arguments.trajectories is not None:
        curve = tuple(n for n in budget.curve if n < arguments.trajectories)
        budget = dataclasses.replace(
            budget, trajectories=arguments.trajectories, curve=(*curve, arguments.trajectories)
        )
    cores = len(os.sched_getaffinity(0))
    jobs = min(cores, 4) if arguments.jobs is None else arguments.jobs
    return CompareConfig(
        world=arguments.world,
        out=arguments.out,
        methods=parse_methods(arguments.methods),
        wrists=tuple(arguments.wrist.split(",")),
        axis=arguments.axis,
        policy=arguments.policy,
        episodes=arguments.episodes,
        pipelines=arguments.pipelines,
        budget=budget,
        physics=arguments.physics,
        ablations=parse_ablations(arguments.ablations),
        jobs=jobs,
        threads=max(1, cores // max(1, jobs)),
    )


def main(argv: Sequence[str]) -> int:
    """Compare; 2 on settings that cannot be used, 130 when interrupted, 1 where anything failed."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.summary:
            print(summarise(arguments.out))
            return 0
        config = _config(arguments)
        folder = report_folder(config, arguments.report)
        found = compare(config, print, lambda known: write_report(known, folder))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from there", file=sys.stderr)
        return _INTERRUPTED
    except (CompareError, WorldError, PathError) as error:
        print(f"dexndm evaluate --compare: {error}", file=sys.stderr)
        return _REFUSED
    print(_text(found))
    return int(found.failed)


def _text(found: Comparison) -> str:
    """The table, for a terminal."""
    rows = rows_of(found.methods, found.config.wrists)
    lines = []
    for wrist, best in winners(found.methods, found.config.wrists).items():
        of_wrist = [row for row in rows if row.wrist == wrist]
        table = [HEAD, *cells(of_wrist, found.methods)]
        widths = [max(len(row[k]) for row in table) for k in range(len(HEAD))]
        lines += ["", f"{found.world.name}, {wrist}: {best.words}"]
        lines += [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table
        ]
    notes = [(name, notes_of(each)) for name, each in found.methods.items()]
    return "\n".join([*lines, "", *(f"{name}: {note}" for name, note in notes if note)])
