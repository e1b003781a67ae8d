# SPDX-License-Identifier: Apache-2.0
"""Evaluation job: roll a policy out in drawn worlds, from grasps no training has seen, and report.

    dexndm evaluate --policy cylinder_z --wrist palm_up --axis=+z --episodes 256 --seeds 0,1,2
    dexndm evaluate --policy cylinder_z --objects test --axis=+z,goal
    dexndm evaluate --policy planner:32,replay:cylinder_z,cylinder_z --episodes 8 --seeds 0    # with its witnesses

What is measured: ``training.episodes``. Deterministic for a seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.paths import PathError
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.spec import PolicySpecError, refusal
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.fall import FallLimits
from dexndm_ros.sim.grasp_cache import object_size_m
from dexndm_ros.sim.grasps import EVERY_WRIST, GraspConfig
from dexndm_ros.sim.randomise import OBJECTS_ONLY, TABLE_14, Randomisation, family_of, keep_hand
from dexndm_ros.sim.shapes.families import object_label, parse_families
from dexndm_ros.sim.shapes.pieces import ShapeError
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.controllers import (
    Controller,
    ControllerError,
    open_controller,
    refused_residual,
)
from dexndm_ros.training.episodes import run_episodes, run_goals, unseen_env
from dexndm_ros.training.evaluate_report import plot, table
from dexndm_ros.training.progress import Progress, commit_id, open_bar

__all__ = ["GOAL", "TABLE_14_TRIAL", "Trial", "evaluate", "main"]

GOAL = "goal"
"""In place of an axis: goal-oriented episodes."""
_STEPS = EnvConfig.episode_steps


@dataclass(frozen=True)
class Trial:
    """What a policy is put through.

    Attributes:
        ranges: of what is drawn; None = the world as it is.
        grasps: how start grasps are sampled; None = for one wrist.
        push_m_s2: pushes on the object, see ``EnvConfig``.
    """

    ranges: Randomisation | None = None
    grasps: GraspConfig | None = None
    push_m_s2: float = 0.0


TABLE_14_TRIAL = Trial(TABLE_14, EVERY_WRIST, push_m_s2=2.0)
"""The paper's test (Table 14); families of objects are added to its ranges."""


def evaluate(
    policy: str,
    world: World,
    axis: str,
    episodes: int = 256,
    seeds: Sequence[int] = (0, 1, 2),
    trial: Trial | None = None,
    residual: str = "",
    threads: int = 2,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run every seed.

    Args:
        policy: as of ``open_controller``.
        world: base world; its physics and wrist are used.
        axis: rotation axis, as ``parse_axis`` reads it, or ``GOAL``.
        episodes: episodes a seed.
        seeds: evaluation seeds.
        trial: what is drawn; None = nothing but grasps.
        residual: residual policy file, or empty.
        threads: physics threads.
        quiet: no progress bar.

    Returns:
        Settings, a summary a seed, mean and standard deviation over the seeds, and means of each family and each object
        over all seeds. ``residual_refused`` says why the residual did not run; empty = it did, or there was none.

    Raises:
        ControllerError, PathError, PolicySpecError: as of ``open_controller``.
    """
    trial = trial or Trial()
    refused = refused_residual(policy, residual)
    bar = None if quiet else Progress(_STEPS * len(seeds), f"{policy} {world.wrist} {axis}")
    start = time.monotonic()
    rows: list[dict[str, Any]] = []
    groups = {name: _Groups() for name in ("family", "object")}
    for number, seed in enumerate(seeds):
        control = open_controller(policy, residual, episodes, None if quiet else open_bar)

        def show(step: int, done: int = _STEPS * number) -> None:
            if bar is not None:
                bar.update(done + step)

        env = _build(world, axis, episodes, seed, trial, threads)
        row, each = _run(env, control, axis, seed, show)
        worlds = env.batch.worlds
        by_third = survival_by_third(worlds, each["survived"]) if trial.ranges else {}
        rows.append(row | {"seed": seed, "survived_by_third": by_third})
        groups["object"].add((object_label(w.object) for w in worlds), each)
        if trial.ranges and trial.ranges.families:
            groups["family"].add((family_of(trial.ranges, k) for k in range(episodes)), each)
    if bar is not None:
        bar.close()
    mean, std = {}, {}
    for key in [key for key, value in rows[0].items() if isinstance(value, float)]:
        values = np.array([row[key] for row in rows])
        mean[key], std[key] = float(values.mean()), float(values.std())
    return {
        "policy": str(policy),
        "residual": residual,
        "residual_refused": refused,
        "residual_sha256": fingerprint(residual or None),
        "world": dataclasses.asdict(world),
        "axis": axis,
        "episodes": episodes,
        "randomisation": dataclasses.asdict(trial.ranges) if trial.ranges else None,
        "push_m_s2": trial.push_m_s2,
        "seeds": rows,
        "mean": mean,
        "std": std,
        **{f"by_{name}": each.means() for name, each in groups.items()},
        "wall_s": round(time.monotonic() - start, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": commit_id(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _build(
    world: World, axis: str, episodes: int, seed: int, trial: Trial, threads: int
) -> RotationEnv:
    config = EnvConfig(push_m_s2=trial.push_m_s2)
    towards = np.array([0.0, 0.0, 1.0])
    if axis == GOAL:  # an object on its way to a goal may lie in any way
        config = dataclasses.replace(config, fall=FallLimits(max_tilt_rad=np.pi))
    else:
        towards = parse_axis(axis)
    return unseen_env(world, towards, episodes, seed, trial.ranges, trial.grasps, config, threads)


Each = dict[str, NDArray[np.float64]]


def _run(
    env: RotationEnv, control: Controller, axis: str, seed: int, show: Callable[[int], None]
) -> tuple[dict[str, float], Each]:
    """Means over the episodes, and what each of them gave, (N,)."""
    if axis == GOAL:
        reached = run_goals(env, control, seed, show).astype(np.float64)
        return {"goal_success": float(reached.mean())}, {
            "survived": reached,
            "goal_success": reached,
        }
    found = run_episodes(env, control, show)
    survived = (found.held >= 1.0).astype(np.float64)
    each = {"rotation_rad": found.turned_rad, "held": found.held, "survived": survived}
    return found.summary(), each


class _Groups:
    """Episodes by a label."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, labels: Iterable[str], each: Mapping[str, NDArray[np.float64]]) -> None:
        """Episodes of one seed."""
        for row, label in enumerate(labels):
            for key, values in each.items():
                self._found[label][key].append(float(values[row]))

    def means(self) -> dict[str, dict[str, float]]:
        """Of each label: number of episodes and means."""
        return {
            label: {"episodes": len(next(iter(found.values())))}
            | {key: float(np.mean(values)) for key, values in found.items()}
            for label, found in sorted(self._found.items())
        }


def survival_by_third(
    worlds: Sequence[World], survived: NDArray[np.float64]
) -> dict[str, list[float]]:
    """Share of survivors in the lowest, middle and highest third of each drawn quantity: where it fails."""
    drawn = {
        "size_m": [object_size_m(w) for w in worlds],
        "mass_kg": [w.object.mass_kg for w in worlds],
        "friction": [w.object.friction for w in worlds],
        "kp_scale": [float(np.mean(w.servo.kp_scale)) for w in worlds],
        "kd_scale": [float(np.mean(w.servo.kd_scale)) for w in worlds],
    }
    return {
        name: [
            round(float(survived[third].mean()), 3)
            for third in np.array_split(np.argsort(values), 3)
        ]
        for name, values in drawn.items()
        if len(worlds) >= 3 and np.ptp(values) > 0
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm evaluate",
        description="Roll a policy out and report rotation and survival.",
        epilog="dexndm evaluate --compare --help: every way to close a world's gap beside each other.",
    )
    parser.add_argument(
        "--policy",
        default="cylinder_z",
        help="policy file, name, or oracle folder; planner or planner:SAMPLES; replay:POLICY; "
        "several, comma separated, for one table",
    )
    parser.add_argument("--residual", default="", help="residual policy file")
    parser.add_argument("--world", default="nominal", help="world file or name")
    parser.add_argument(
        "--wrist", default="", help="wrists, comma separated (default: the world's)"
    )
    parser.add_argument(
        "--axis",
        default="+z",
        help=f"axes in the palm frame, comma separated words; {GOAL!r} = turn objects to random goals",
    )
    parser.add_argument(
        "--objects",
        default="",
        help="train, test, or names of families, comma separated, drawn and pushed as in the paper's Table 14 "
        "(default: cylinders about the world's)",
    )
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--physics", default="ref", choices=["fast", "ref"])
    drawn = parser.add_mutually_exclusive_group()
    drawn.add_argument("--no-randomise", action="store_true", help="the world file as it is")
    drawn.add_argument(
        "--keep-hand", action="store_true", help="draw objects only; the hand is the world file's"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, help="JSON file to write")
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """``dexndm evaluate``."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--compare" in words:
        from dexndm_ros.training.compare.cli import main as compare

        return compare(words)
    arguments = _parser().parse_args(words)
    if arguments.episodes < 1:
        print("--episodes must be at least 1", file=sys.stderr)
        return 2
    try:
        base = World.load(arguments.world)
        if base.object.kind == "none":
            raise WorldError(f"world {base.name!r} has no object to turn; use one with an object")
        trial = _trial(arguments)
        policies = arguments.policy.split(",")
        refused = {refused_residual(policy, arguments.residual) for policy in policies} - {""}
    except (ControllerError, PathError, PolicySpecError, ShapeError, WorldError) as error:
        print(f"dexndm evaluate: {error}", file=sys.stderr)
        return 2
    for reason in refused:
        print(refusal(reason))
    results = []
    for wrist in (arguments.wrist or base.wrist).split(","):
        for axis, policy in itertools.product(arguments.axis.split(","), policies):
            world = dataclasses.replace(base, wrist=wrist, physics=arguments.physics)
            results.append(
                evaluate(
                    policy,
                    world,
                    axis,
                    arguments.episodes,
                    [int(seed) for seed in arguments.seeds.split(",")],
                    trial,
                    arguments.residual,
                    threads=arguments.threads,
                )
            )
    print(table(results))
    if arguments.report:
        arguments.report.write_text(json.dumps(results, indent=2), encoding="utf-8")
    if arguments.plot:
        plot(results, arguments.plot)
    return 0


def _trial(arguments: argparse.Namespace) -> Trial:
    """What the words ask for.

    Raises:
        ShapeError: unknown objects.
    """
    if arguments.no_randomise:
        return Trial()
    if not arguments.objects:
        return Trial(OBJECTS_ONLY if arguments.keep_hand else Randomisation())
    ranges = dataclasses.replace(TABLE_14, families=parse_families(arguments.objects))
    return dataclasses.replace(
        TABLE_14_TRIAL, ranges=keep_hand(ranges) if arguments.keep_hand else ranges
    )
