# SPDX-License-Identifier: Apache-2.0
"""``dexndm choose``: which correction of a policy is to run, by rollouts on grasps that no test uses.

The inverse of an identification, a learned residual, or the base policy alone: each has worlds in which it turns
farthest, and nobody knows beforehand which kind a hand is.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dexndm_ros.paths import PathError
from dexndm_ros.policy.spec import PolicySpecError, read_spec, write_spec
from dexndm_ros.policy.wrist import AxisError, WristError, parse_axis, parse_wrist
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.choose_card import MARK, choice_card, choice_words, record_of
from dexndm_ros.training.controllers import ControllerError, refused_residual
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.residual.config import SelectConfig
from dexndm_ros.training.residual.select import NO_RESIDUAL, select

__all__ = ["ChooseError", "choose", "main"]

USAGE_ERROR = 2
_APART = 300_000
"""Added to the seed: other objects than those on which a residual was chosen among its losses, where it was lucky."""


class ChooseError(ValueError):
    """What cannot be chosen between as asked; the message says what to do."""


def choose(
    config: SelectConfig, base: str, residuals: Sequence[Path], seed: int, threads: int, out: Path
) -> dict[str, Any]:
    """Roll out the base policy alone and with each residual; write the best one, a card, and the numbers.

    Where the base alone does as well, the file says inside that it must not run: whatever loads it runs the base alone.

    Args:
        config: where and how often.
        base: policy file or shipped name.
        residuals: residual files; one that is refused takes no part.
        seed: of objects and grasps.
        threads: physics threads.
        out: policy file to write; the numbers and ``README.md`` come to lie beside it.

    Returns:
        What stands in the record: ``chosen`` (stem of a file, or "none"), ``rows``, ``left_out`` and more.

    Raises:
        ChooseError: two files of one name, or a ``README.md`` that is not ours.
        ControllerError, PathError, PolicySpecError, WorldError: files that cannot be used.
    """
    files = _named(residuals)
    left_out = {
        name: reason
        for name, file in files.items()
        if (reason := refused_residual(base, str(file)))
    }
    candidates = {name: file for name, file in files.items() if name not in left_out}
    card = out.parent / "README.md"
    mark = MARK.format(name=out.name)
    if card.is_file() and mark not in card.read_text(encoding="utf-8"):
        raise ChooseError(
            f"{card} is there already and of something else; give --out a folder of its own"
        )
    if candidates:
        found = select(config, base, candidates, seed + _APART, threads)
    else:
        found = {
            "chosen": NO_RESIDUAL,
            "best": next(iter(files)),
            "world": config.world,
            "rows": {},
        }
    record = {
        "base": base,
        "file": out.name,
        "left_out": left_out,
        "axis": config.axis,
        "seed": seed,
        "commit": commit_id(),
        **found,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    _deploy(files[found["best"]], out, record)
    _write(record_of(out), json.dumps(record, indent=1) + "\n")
    _write(card, choice_card(record))
    return record


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Files by stem."""
    named = {file.stem: file for file in files}
    if len(named) < len(files) or NO_RESIDUAL in named:
        raise ChooseError(
            f"files are told apart by their names: each needs another one, and none may be {NO_RESIDUAL}.onnx"
        )
    return named


def _deploy(best: Path, out: Path, record: Mapping[str, Any]) -> None:
    """The very file that was chosen, or one that runs the base alone and says why."""
    partial = out.with_name(out.name + ".new")
    shutil.copyfile(best, partial)
    if record["chosen"] == NO_RESIDUAL and not record["left_out"].get(best.stem):
        write_spec(partial, dataclasses.replace(read_spec(best), refused=choice_words(record)))
    partial.replace(out)


def _write(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _parser() -> argparse.ArgumentParser:
    d = SelectConfig()
    parser = argparse.ArgumentParser(
        prog="dexndm choose",
        description="Roll a policy out alone and with each residual file, and write the one that is to run.",
        epilog="exit status: 0 chosen, also where the base policy is to run alone; 2 files that cannot be used.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--residuals", nargs="+", type=Path, required=True, metavar="FILE",
        help="residual policy files: the inverse of an identification, learned residuals")  # fmt: skip
    add("--world", required=True, help="world that stands for the hand: file or name")
    add("--out", type=Path, required=True, help="policy file to write")
    add("--policy", default="cylinder_z", help="base policy: file or name (%(default)s)")
    add("--wrist", default=d.wrist, help="wrists, comma separated (%(default)s)")
    add("--axis", default=d.axis, help="axes, comma separated (%(default)s)")
    add("--episodes", type=int, default=d.episodes,
        help="objects a wrist and axis, the same for all (%(default)s)")  # fmt: skip
    add("--least-gain", type=float, default=d.least_gain,
        help="a residual must turn so many times as far as the base alone (%(default)s)")  # fmt: skip
    add("--physics", default=d.physics, choices=("fast", "ref"))
    add("--seed", type=int, default=0, help="of objects and grasps; no test shares them")
    add("--threads", type=int, default=os.cpu_count() or 1)
    return parser


def _config(arguments: argparse.Namespace) -> SelectConfig:
    if arguments.episodes < 1 or arguments.threads < 1 or arguments.seed < 0:
        raise ChooseError("episodes and threads must be 1 or more, the seed 0 or more")
    for wrist in arguments.wrist.split(","):
        parse_wrist(wrist)
    for axis in arguments.axis.split(","):
        parse_axis(axis)
    world = World.load(arguments.world)
    if world.object.kind == "none":
        raise ChooseError(f"world {world.name} has no object to turn; use one with an object")
    return SelectConfig(
        world=arguments.world, wrist=arguments.wrist, axis=arguments.axis,
        episodes=arguments.episodes, physics=arguments.physics, least_gain=arguments.least_gain,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm choose``; 2 on files that cannot be used."""
    a = _parser().parse_args(sys.argv[1:] if argv is None else list(argv))
    try:
        record = choose(_config(a), a.policy, a.residuals, a.seed, a.threads, a.out)
    except (
        ChooseError, ControllerError, PathError, PolicySpecError, WorldError, AxisError, WristError,
    ) as error:  # fmt: skip
        print(f"dexndm choose: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(f"{a.out}: {choice_words(record)}; its card is {a.out.parent / 'README.md'}")
    return 0
