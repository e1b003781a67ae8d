# SPDX-License-Identifier: Apache-2.0
"""``dexndm convert``: bags become a dataset, or more episodes of one that is there."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.bags.names import readable
from dexndm_ros.datasets.config import ConfigError, ConvertConfig, limits_of_hand
from dexndm_ros.datasets.convert import ConvertOptions, convert
from dexndm_ros.datasets.engine import EngineError
from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.mapping import MappingError, TopicMapping
from dexndm_ros.datasets.plan import PlanError
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.hand.profile import PROFILES
from dexndm_ros.paths import PathError, library_path
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.lock import LockedError
from dexndm_ros.replay.trajectory import LibraryError

__all__ = ["main"]

_REFUSED, _INTERRUPTED = 2, 130
_REFUSALS = (
    ConfigError, DatasetError, DatasetWriteError, EngineError, LibraryError, LockedError, MappingError, PathError,
    PlanError,
)  # fmt: skip
_NEEDS = {"hdf5": "h5py", "zarr": "zarr"}
_ENDINGS = {".hdf5": "hdf5", ".h5": "hdf5", ".zarr": "zarr"}


def main(argv: Sequence[str] | None = None) -> int:
    """Convert bags.

    Returns:
        0 all is clean; 1 converted, with warnings; 2 refused, nothing has changed; 130 ended by Ctrl-C.
    """
    parser = _parser()
    given = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    try:
        options = _options(parser, given)
        return convert(options, Progress(sys.stderr), lambda text: print(readable(text)))
    except KeyboardInterrupt:
        print(
            "\ninterrupted; the dataset is as it was. What is done is kept: the same command goes on from there",
            file=sys.stderr,
        )
        return _INTERRUPTED
    except _REFUSALS as error:
        print(readable(f"dexndm convert: {error}"), file=sys.stderr)
        return _REFUSED
    except OSError as error:
        if error.filename is None:
            raise
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        print(readable(f"dexndm convert: {name}: {error.strerror}"), file=sys.stderr)
        return _REFUSED


def _options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> ConvertOptions:
    out: Path = given.out.expanduser()
    export = None
    ending = _ENDINGS.get(out.suffix)
    if ending is not None and ending != given.format:
        parser.error(
            f"--out {out} ends in {out.suffix} and --format is {given.format}; give --format {ending}, or --out "
            "without the ending"
        )
    if given.format != "lerobot":
        module = _NEEDS[given.format]
        if importlib.util.find_spec(module) is None:  # better told now than after an hour
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        export = out if ending else out.with_name(f"{out.name}.{given.format}")
        out = out.with_suffix("") if ending else out
    if not given.bags and (given.dry_run or not out.is_dir()):
        parser.error(
            "no bags given; give bag folders, .mcap or .db3 files, or the folder of a campaign"
        )
    config = ConvertConfig(
        mapping=TopicMapping.load(given.mapping) if given.mapping else None,
        limits=limits_of_hand(given.hand),
        demonstrations=given.demonstrations,
    )
    if given.library is not None:
        config = _with_library(config, given.library)
    return ConvertOptions(
        words=tuple(given.bags),
        dataset=out,
        config=config,
        format=given.format,
        export=export,
        engine=given.engine,
        jobs=given.jobs,
        salvage=given.salvage,
        strict=given.strict,
        report=not given.no_report,
        dry_run=given.dry_run,
    )


def _with_library(config: ConvertConfig, name: str) -> ConvertConfig:
    path = library_path(name).resolve()
    if readable(str(path)) != str(path):
        raise PathError(f"--library {path}: a path that is not UTF-8 cannot be read; rename it")
    return dataclasses.replace(config, library=path, library_sha256=TrajectoryLibrary(path).sha256)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm convert",
        description="Turn bags into a dataset in LeRobot v3.0 layout, with a quality report (report.html in it). The "
        "same command again goes on where it stopped; bags and episodes that the dataset has are not added twice. "
        "Without bags the report of a dataset that is there is written anew.",
        epilog="exit status: 0 clean, 1 converted with warnings, 2 refused and nothing changed, 130 Ctrl-C. "
        "docs/datasets.md has the rules.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "bags",
        nargs="*",
        metavar="BAG",
        help="bag folders, .mcap or .db3 files, folders of bags, campaign folders",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DATASET",
        help="the dataset's folder; it is made, or added to",
    )
    add("--format", choices=("lerobot", "hdf5", "zarr"), default="lerobot",
        help="hdf5 (robomimic) and zarr (diffusion policy) are written beside the dataset, DATASET.hdf5 or .zarr; "
        "without bags, from the dataset that is there")  # fmt: skip
    add(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="what the topics of another driver's bags mean (YAML)",
    )
    add("--demonstrations", action="store_true",
        help="bags are sessions of teleoperation: rows with the operator's controllers and the arm")  # fmt: skip
    add("--hand", choices=tuple(PROFILES), default="full",
        help="which one was recorded: from which current on a motor is at its limit")  # fmt: skip
    add("--library", metavar="FILE",
        help="trajectory library to check the clean targets against: a file, or one that ships")  # fmt: skip
    add("--salvage", action="store_true", help="take also bags that were put aside or not finished")
    add("--strict", action="store_true", help="any warning refuses: the dataset stays as it was")
    add("--no-report", action="store_true",
        help="no quality report, and away with one that does not tell of the new bags; without bags and without "
        "--format it is written later")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would be taken, and write nothing")
    add("--engine", choices=("local", "ray"), default="local",
        help="ray: the cluster at RAY_ADDRESS; bags and DATASET on storage that all of it sees")  # fmt: skip
    add("--jobs", type=_count, metavar="N", help="workers (default: all cores)")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give 1 to 10000")
    return int(text)
