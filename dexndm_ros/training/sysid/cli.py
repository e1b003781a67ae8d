# SPDX-License-Identifier: Apache-2.0
"""``dexndm sysid probes|fit|inverse``: what a hand shall replay, the world that explains what it did, its inverse."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.paths import PathError
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.sim.worlds import WorldError
from dexndm_ros.training.sysid.config import SysidConfig
from dexndm_ros.training.sysid.errors import SysidError

__all__ = ["main"]

USAGE_ERROR = 2
_LIST = ("parameters",)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm sysid", description="System identification of a free hand."
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    probes = jobs.add_parser("probes", help="write a trajectory library for the hand to replay")
    probes.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    probes.add_argument("--replace", action="store_true", help="overwrite FILE")
    probes.add_argument("--count", type=int, default=10, help="trajectories of 20 s for each wrist")
    probes.add_argument("--wrist", default="palm_down", help="wrists, comma separated")
    probes.add_argument("--seed", type=int, default=0)

    fit = jobs.add_parser(
        "fit", help="identify, and write world.yaml and a report; resumes what was begun in --out"
    )
    fit.add_argument(
        "--config", type=Path, help="YAML file of these settings; the command line wins"
    )
    words = _help()
    for field in dataclasses.fields(SysidConfig):
        kind: Any = {"int": int, "float": float, "Path": Path, "Path | None": Path}.get(
            str(field.type), str
        )
        option = f"--{field.name.replace('_', '-')}"
        default = "" if field.default in (dataclasses.MISSING, None, "") else f" ({field.default})"
        text = (words.get(field.name, "") + default).replace("%", "%%")
        if str(field.type) == "bool":
            fit.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            fit.add_argument(option, type=kind, help=text)

    inverse = jobs.add_parser(
        "inverse", help="write the compensation of an identified world as a residual policy file"
    )
    inverse.add_argument("--world", required=True, help="identified world file, or shipped name")
    inverse.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    inverse.add_argument(
        "--nominal", default="nominal", help="world the base policy was trained in"
    )
    inverse.add_argument(
        "--bound-rad", type=float, default=0.3, help="largest correction (%(default)s)"
    )
    return parser


def _help() -> dict[str, str]:
    """Help of each setting, from the docstring of the settings."""
    words: dict[str, str] = {}
    name = ""
    for line in (SysidConfig.__doc__ or "").split("Attributes:")[1].splitlines():
        text = line.strip()
        if line.startswith(" " * 12) and name:
            words[name] += f" {text}"
        elif ": " in text:
            name, _, first = text.partition(": ")
            words[name] = first
    return words


def _config(arguments: argparse.Namespace) -> SysidConfig:
    import yaml

    values: dict[str, Any] = {}
    known = {field.name for field in dataclasses.fields(SysidConfig)}
    if arguments.config is not None:
        try:
            values = yaml.safe_load(arguments.config.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise SysidError(f"{arguments.config} cannot be read: {error}") from error
        if not isinstance(values, dict) or set(values) - known:
            raise SysidError(f"{arguments.config}: known keys are {', '.join(sorted(known))}")
        values = {key.replace("-", "_"): value for key, value in values.items()}
    values |= {
        key: value for key, value in vars(arguments).items() if key in known and value is not None
    }
    for key in _LIST:
        if key in values:
            given = values[key]
            words = given.split(",") if isinstance(given, str) else [str(word) for word in given]
            values[key] = tuple(word.strip() for word in words)
    for key in ("out", "data"):
        if values.get(key) is not None:
            values[key] = Path(values[key])
    if "out" not in values:
        raise SysidError("--out is missing: a folder for the world file and the report")
    try:
        return SysidConfig(**values)
    except TypeError as error:
        raise SysidError(f"a setting has a value of the wrong kind: {error}") from error


def _probes(arguments: argparse.Namespace) -> int:
    from dexndm_ros.training.sysid.probes import campaign_path, write_probes

    wrists = tuple(arguments.wrist.split(","))
    unknown = [wrist for wrist in wrists if wrist not in WRISTS]
    if unknown or arguments.count < 1 or arguments.seed < 0:
        raise SysidError(
            f"wrist {unknown[0]!r} is none of {', '.join(WRISTS)}"
            if unknown
            else "count must be at least 1, and seed must not be negative"
        )
    if arguments.out.exists() and not arguments.replace:
        raise SysidError(f"{arguments.out} is there already; --replace overwrites it")
    count = write_probes(arguments.out, wrists, arguments.count, arguments.seed)
    print(
        f"{arguments.out}: {count} trajectories, {count * 20 / 60:.1f} minutes of motion. Replay them:"
    )
    for wrist in wrists:
        print(f"  dexndm collect --campaign {campaign_path(arguments.out, wrist)} --out FOLDER")
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from dexndm_ros.training.progress import Progress
    from dexndm_ros.training.runlog import RunLog
    from dexndm_ros.training.sysid.job import identify
    from dexndm_ros.training.sysid.report import summary, write_report

    config = _config(arguments)
    most = config.generations + (config.rounds - 1) * max(1, config.generations // 2)
    log: RunLog | None = None
    bar = Progress(most, "sysid")

    def show(number: int, generation: int, best: Any) -> None:
        nonlocal log
        if log is None:
            (config.out / "log.csv").unlink(missing_ok=True)  # the journal tells all of it again
            log = RunLog(config.out, ("generation", "round", "loss_mrad", "worst_mrad"))
        mean, worst = float(best.mean()) * 1e3, float(best.max()) * 1e3
        log.write(
            {"generation": generation, "round": number, "loss_mrad": mean, "worst_mrad": worst}
        )
        bar.update(generation, f"round {number + 1}, {mean:.2f} mrad, worst {worst:.2f}")

    try:
        found = identify(config, show)
    finally:
        bar.close()
        if log is not None:
            log.close()
    page = write_report(found, config)
    print(summary(found))
    print(f"{found.file}\n{page}")
    return 0


def _inverse(arguments: argparse.Namespace) -> int:
    from dexndm_ros.training.sysid.inverse import write_inverse

    print(write_inverse(arguments.world, arguments.out, arguments.nominal, arguments.bound_rad))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm sysid``; 2 on settings or data that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        return {"probes": _probes, "fit": _fit, "inverse": _inverse}[arguments.job](arguments)
    except (SysidError, DatasetError, WorldError, PathError) as error:
        print(f"dexndm sysid: {error}", file=sys.stderr)
        return USAGE_ERROR
