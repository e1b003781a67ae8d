# SPDX-License-Identifier: Apache-2.0
"""``dexndm bag info|check|plot|salvage``: what is in a bag, is it whole, what did the joints do, what can be saved."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dexndm_ros.bags.names import readable
from dexndm_ros.bags.types import BagError
from dexndm_ros.datasets.bag_plot import ENDINGS
from dexndm_ros.datasets.config import ConfigError, ConvertConfig, limits_of_hand
from dexndm_ros.datasets.convert_bag import BagRefusedError
from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.datasets.mapping import MappingError, TopicMapping
from dexndm_ros.datasets.plan import PlanError, find_bags
from dexndm_ros.datasets.progress import size
from dexndm_ros.hand.profile import PROFILES
from dexndm_ros.paths import PathError, library_path
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.trajectory import LibraryError

__all__ = ["main"]

_WARNINGS, _REFUSED, _INTERRUPTED = 1, 2, 130
_REFUSALS = (
    BagError, BagRefusedError, ConfigError, DatasetWriteError, LibraryError, MappingError, PathError, PlanError,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the jobs.

    Returns:
        0 whole and sound; 1 something is damaged, flagged or would be dropped; 2 refused: no bag, or one that nothing
        can be made of; 130 ended by Ctrl-C.
    """
    options = _parser().parse_args(sys.argv[1:] if argv is None else list(argv))
    try:
        return int(options.job(options))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED
    except _REFUSALS as error:
        print(f"dexndm bag {options.name}: {error}", file=sys.stderr)
        return _REFUSED
    except OSError as error:
        if error.filename is None:
            raise
        print(f"dexndm bag {options.name}: {error.filename}: {error.strerror}", file=sys.stderr)
        return _REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm bag",
        description="Look into bags: rosbag2 folders, .mcap or .db3 files, whole or torn.",
        epilog="exit status: 0 whole and sound, 1 damaged or with warnings, 2 refused; see docs/datasets.md",
    )
    jobs = parser.add_subparsers(dest="name", required=True)

    info = jobs.add_parser("info", help="topics, rates, sizes, custom data, damage")
    info.add_argument("bags", nargs="+", metavar="BAG")
    info.set_defaults(job=_info)

    check = jobs.add_parser("check", help="is it whole, and what would a conversion find in it")
    check.add_argument("bags", nargs="+", metavar="BAG", help="bags, or folders of them")
    check.add_argument(
        "--mapping", type=Path, metavar="FILE", help="what the topics of another driver's bags mean"
    )
    check.add_argument(
        "--library", metavar="FILE", help="trajectory library to check the clean targets against"
    )
    check.add_argument(
        "--hand", choices=tuple(PROFILES), default="full", help="which one was recorded"
    )
    check.add_argument("--quiet", action="store_true", help="only bags with warnings, and the sum")
    check.set_defaults(job=_check)

    plot = jobs.add_parser(
        "plot", help="a figure of the joints: measured, target, current, temperature, faults"
    )
    plot.add_argument("bag", type=Path, metavar="BAG")
    plot.add_argument(
        "--out", type=_figure, metavar="FILE.png", help="default: the bag's name, here"
    )
    plot.add_argument(
        "--joints",
        nargs="+",
        default=[],
        metavar="JOINT",
        help="names, their beginnings (thumb), or motor IDs",
    )
    plot.add_argument(
        "--topic", default="", help="of type HandState or JointState (default: hand/state)"
    )
    plot.add_argument(
        "--target",
        default="",
        metavar="TOPIC",
        help="JointState topic of the targets, where states do not tell",
    )
    plot.add_argument("--start", type=_seconds, default=0.0, metavar="S", help="from here on")
    plot.add_argument("--duration", type=_seconds, default=math.inf, metavar="S", help="so long")
    plot.set_defaults(job=_plot)

    salvage = jobs.add_parser("salvage", help="write all that is whole into a new, good bag")
    salvage.add_argument("bag", type=Path, metavar="BAG")
    salvage.add_argument(
        "--out", type=Path, required=True, metavar="NEW", help="folder of the new bag"
    )
    salvage.set_defaults(job=_salvage)

    for each in (info, check, plot, salvage):
        each.add_argument(
            "--json", action="store_true", help="for programs: one JSON document on stdout"
        )
    return parser  # fmt: skip


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give seconds, 0 or more")
    return value


def _figure(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix not in ENDINGS:
        raise argparse.ArgumentTypeError(f"{text!r} must end in {', '.join(ENDINGS)}")
    return path


def _say(value: Any) -> None:
    """JSON on stdout; NaN is null."""
    print(json.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


# --- the jobs ---------------------------------------------------------------------------------------------


def _info(options: argparse.Namespace) -> int:
    from dexndm_ros.datasets.bag_info import info_lines, inspect_bag

    found = []
    for word in options.bags:
        with tqdm(
            unit="B", unit_scale=True, desc="read", leave=False, delay=1.0, disable=None
        ) as bar:
            info = inspect_bag(Path(word).expanduser(), bar.update)
        found.append(info)
        if not options.json:
            print("\n".join([*([""] if len(found) > 1 else []), *info_lines(info)]))
    if options.json:
        _say([info.to_dict() for info in found])
    return _WARNINGS if any(info.damage for info in found) else 0


def _check(options: argparse.Namespace) -> int:
    from dexndm_ros.datasets.bag_check import check_bag, check_lines

    config = ConvertConfig(
        mapping=TopicMapping.load(options.mapping) if options.mapping else None,
        limits=limits_of_hand(options.hand),
    )
    if options.library:
        path = library_path(options.library).resolve()
        config = dataclasses.replace(
            config, library=path, library_sha256=TrajectoryLibrary(path).sha256
        )
    plan = find_bags(options.bags, salvage=True)
    # Bags of two nights have the same names.
    above = os.path.commonpath([each.path.parent for each in plan.bags]) if plan.bags else "/"
    outcomes: Counter[str] = Counter()
    documents = []
    with tqdm(
        total=len(plan.bags), unit="bag", desc="checked", leave=False, delay=1.0, disable=None
    ) as bar:
        for bag in plan.bags:
            checked = check_bag(bag.path, config)
            outcomes[checked.outcome] += 1
            bar.update()
            if options.json:
                documents.append({"path": bag.path, **checked.to_dict()})
            elif not options.quiet or checked.outcome != "sound":
                lines = check_lines(checked, str(bag.path.relative_to(above)))
                tqdm.write(readable("\n".join(lines)), file=sys.stdout)
    for left in plan.left_out:
        outcomes["refused"] += 1
        if options.json:
            documents.append({"path": left.path, "outcome": "refused", "refused": left.reason})
        else:
            print(readable(f"{left.path.name}: refused: {left.reason}"))
    if options.json:
        _say(documents)
    elif sum(outcomes.values()) > 1:
        total = sum(outcomes.values())
        print(
            f"{total} bags: {outcomes['sound']} sound, {outcomes['warnings']} with warnings, "
            f"{outcomes['refused']} refused"
        )
    return _REFUSED if outcomes["refused"] else _WARNINGS if outcomes["warnings"] else 0


def _plot(options: argparse.Namespace) -> int:
    from dexndm_ros.bags.open import open_bag
    from dexndm_ros.datasets.bag_marks import SERIOUS
    from dexndm_ros.datasets.bag_plot import plot_traces
    from dexndm_ros.datasets.bag_traces import read_traces, select_joints

    bag = open_bag(options.bag.expanduser())
    traces = read_traces(bag, options.topic, options.target, options.start, options.duration)
    joints = select_joints(options.joints, traces.names)
    out = options.out or Path(f"{bag.name}.png")
    plot_traces(traces, joints, f"{bag.name}  {traces.topic}", out)
    serious = [m for m in traces.marks if m.kind in SERIOUS]
    if options.json:
        _say({"out": out, **traces.to_dict()})
    else:
        thinned = f", every {traces.stride}th is drawn" if traces.stride > 1 else ""
        print(f"{out}: {len(joints)} joints, {traces.states:,} states{thinned}")
        for mark in serious[:20]:
            at = "" if math.isnan(mark.begin_s) else f"{mark.begin_s:.3f} s: "
            print(f"  ! {at}{mark.text}")
        if len(serious) > 20:
            print(f"  ! and {len(serious) - 20} more; --json tells all")
    return _WARNINGS if serious else 0


def _salvage(options: argparse.Namespace) -> int:
    from dexndm_ros.bags.open import open_bag
    from dexndm_ros.bags.rewrite import salvage

    bag = open_bag(options.bag.expanduser())
    report = salvage(bag, options.out.expanduser())
    messages, missing = sum(report.messages.values()), sum(report.missing.values())
    if options.json:
        _say(dataclasses.asdict(report))
    else:
        print(
            f"{report.bag}: {messages:,} messages of {len(report.messages)} topics, {report.duration_s:.2f} s, "
            f"{size(report.bytes)}; read again and compared"
        )
        if missing:
            print(f"  ! {missing:,} messages that {bag.name} says it had are not in it")
        for damage in report.damage:
            print(f"  ! {damage}")
        if not report.damage:
            print(f"{bag.name} was whole already")
    return _WARNINGS if report.damage or missing else 0
