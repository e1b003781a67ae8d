# SPDX-License-Identifier: Apache-2.0
"""``dexndm grasps make|show``: caches of start grasps for families of objects, and what is in one."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dexndm_ros.sim.grasp_cache import GraspCache, GraspError
from dexndm_ros.sim.grasps import EVERY_WRIST, make_grasps
from dexndm_ros.sim.randomise import TABLE_14, draw_worlds
from dexndm_ros.sim.shapes.families import parse_families
from dexndm_ros.sim.shapes.pieces import ShapeError
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.progress import open_bar

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm grasps", description="Grasps that episodes begin from, for every wrist."
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    make = jobs.add_parser("make", help="sample grasps, palm down, and keep those that hold")
    make.add_argument("--out", type=Path, required=True, help="npz file to write")
    make.add_argument("--replace", action="store_true", help="overwrite FILE")
    make.add_argument(
        "--objects", default="train", help="train, test, or names of families, comma separated"
    )
    make.add_argument("--count", type=int, default=3000, help="grasps wanted")
    make.add_argument("--worlds", type=int, default=256, help="worlds that they are sampled in")
    make.add_argument("--world", default="nominal", help="world file or name")
    make.add_argument("--physics", default="ref", choices=["fast", "ref"])
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    show = jobs.add_parser("show", help="what is in a cache, and how many passed each condition")
    show.add_argument("file", type=Path)
    show.add_argument("--plot", type=Path, help="PNG file to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Make or show; 2 on what cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.job == "make":
            return _make(arguments)
        cache = GraspCache.load(arguments.file)
    except (GraspError, ShapeError, WorldError) as error:
        print(f"dexndm grasps: {error}", file=sys.stderr)
        return 2
    print(_words(cache))
    if arguments.plot:
        _plot(cache, arguments.plot)
    return 0


def _make(arguments: argparse.Namespace) -> int:
    if arguments.out.exists() and not arguments.replace:
        raise GraspError(f"{arguments.out} exists: give another --out, or --replace")
    base = dataclasses.replace(
        World.load(arguments.world), wrist="palm_down", physics=arguments.physics
    )
    ranges = dataclasses.replace(TABLE_14, families=parse_families(arguments.objects))
    worlds = draw_worlds(base, arguments.worlds, ranges, arguments.seed)
    bar = open_bar(arguments.count, "grasps", 0)
    cache = make_grasps(
        worlds, arguments.count, arguments.seed, EVERY_WRIST, arguments.threads,
        on_grasps=lambda count: bar.update(count),
    )  # fmt: skip
    bar.close()
    cache.save(arguments.out)
    print(_words(cache))
    return 0


def _acceptance(cache: GraspCache) -> dict[str, float]:
    """Share of the tried that passed each condition, and all of them."""
    meta = cache.meta
    shares = {name: count / meta["tried"] for name, count in meta["passed"].items()}
    return shares | {"all": meta["accepted"] / meta["tried"]}


def _words(cache: GraspCache) -> str:
    meta = cache.meta
    lines = [
        f"{len(cache)} grasps of {len(meta['objects'])} kinds of objects, made {meta['wrist']}, seed {meta['seed']}",
        f"half widths {1e3 * cache.radius_m.min():.0f} to {1e3 * cache.radius_m.max():.0f} mm; sha256 {cache.sha256}",
        f"{meta['tried']} tried; passed:",
        *(f"  {name:<12}{share:7.1%}" for name, share in _acceptance(cache).items()),
    ]
    return "\n".join(lines)


def _plot(cache: GraspCache, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shares = _acceptance(cache)
    names = cache.meta["objects"]
    counts = np.bincount(cache.kind, minlength=len(names))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    left.barh(list(shares), [100 * share for share in shares.values()])
    left.invert_yaxis()
    left.set_xlabel("passed, % of the tried")
    right.bar(range(len(names)), np.sort(counts)[::-1])
    right.set_xlabel(f"kinds of objects, {len(names)}")
    right.set_ylabel("grasps of each")
    figure.savefig(path, dpi=110)
    plt.close(figure)
