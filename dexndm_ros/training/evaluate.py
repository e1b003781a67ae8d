# SPDX-License-Identifier: Apache-2.0
"""Evaluation job: roll a policy out in drawn worlds, from grasps no training has seen, and report.

    dexndm evaluate --policy cylinder_z --wrist palm_up --axis=+z --episodes 256 --seeds 0,1,2

Metrics (paper, section 4): RotR, the angle turned about the axis until the object is lost or 20 s are over;
TTF, the time held over 20 s; RotP, the mean off-axis rotation rate. Deterministic for a seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
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
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import GraspConfig, make_grasps
from dexndm_ros.sim.randomise import OBJECTS_ONLY, Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.controllers import (
    Controller,
    ControllerError,
    open_controller,
    refused_residual,
)
from dexndm_ros.training.progress import Progress, commit_id

__all__ = ["Episodes", "evaluate", "main", "open_controller"]

Array = NDArray[np.float64]
TEST_SEED = 1_000_003
"""Added to an evaluation seed, so that no evaluation shares worlds or grasps with a training seed."""


@dataclass(frozen=True)
class Episodes:
    """One row an episode.

    Attributes:
        turned_rad: angle about the axis until the end, (N,).
        held: share of the episode the object was held, (N,).
        off_axis_rad_s: mean off-axis rate while held, (N,).
    """

    turned_rad: Array
    held: Array
    off_axis_rad_s: Array

    def summary(self) -> dict[str, float]:
        """Means over the episodes, and the share that survived to the end."""
        return {
            "rotation_rad": float(self.turned_rad.mean()),
            "rotation_median_rad": float(np.median(self.turned_rad)),
            "held": float(self.held.mean()),
            "survived": float((self.held >= 1.0).mean()),
            "off_axis_rad_s": float(self.off_axis_rad_s.mean()),
        }


def run_episodes(
    env: RotationEnv, control: Controller, on_step: Callable[[int], None] | None = None
) -> Episodes:
    """One episode in every environment (built without automatic reset)."""
    steps = env.config.episode_steps
    alive = np.ones(env.count, dtype=bool)
    turned, held, off_axis = np.zeros(env.count), np.zeros(env.count), np.zeros(env.count)
    for step in range(steps):
        result = control(env, step == 0)
        alive &= ~result.terminated
        turned += np.where(alive, result.turned_rad, 0.0)
        off_axis += np.where(alive, result.off_axis_rad, 0.0)
        held += alive
        if on_step is not None:
            on_step(step + 1)
    seconds = np.maximum(held, 1) * env.batch.control_period_s
    return Episodes(turned, held / steps, off_axis / seconds)


def unseen_env(
    base: World,
    axis: Array,
    episodes: int,
    seed: int,
    ranges: Randomisation | None,
    grasps: GraspConfig | None = None,
    config: EnvConfig | None = None,
    threads: int = 2,
) -> RotationEnv:
    """Worlds and grasps of an evaluation seed, without automatic reset."""
    worlds = draw_worlds(base, episodes, ranges, seed + TEST_SEED)
    batch = HandBatch(worlds, threads)
    cache = make_grasps(worlds, max(2 * episodes, 64), seed + TEST_SEED, grasps, batch=batch)
    settings = dataclasses.replace(config or EnvConfig(), auto_reset=False)
    return RotationEnv(worlds, cache, axis, settings, seed + TEST_SEED, threads, batch)


def evaluate(
    policy: str,
    world: World,
    axis: str,
    episodes: int = 256,
    seeds: Sequence[int] = (0, 1, 2),
    ranges: Randomisation | None = None,
    residual: str = "",
    grasps: GraspConfig | None = None,
    threads: int = 2,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run every seed.

    Args:
        policy: policy file, shipped name, or run folder of an oracle.
        world: base world; its physics and wrist are used.
        axis: rotation axis, as ``parse_axis`` reads it.
        episodes: episodes a seed.
        seeds: evaluation seeds.
        ranges: randomisation, or None.
        residual: residual policy file, or empty.
        grasps: how start grasps are sampled.
        threads: physics threads.
        quiet: no progress bar.

    Returns:
        Settings, a summary a seed, and mean and standard deviation over the seeds. ``residual_refused`` says why the
        residual did not run; empty = it did, or there was none.

    Raises:
        ControllerError, PathError, PolicySpecError: as of ``open_controller``.
    """
    rows = []
    refused = refused_residual(policy, residual)
    bar = None if quiet else Progress(400 * len(seeds), f"evaluate {world.wrist} {axis}")
    start = time.monotonic()
    for number, seed in enumerate(seeds):
        env = unseen_env(world, parse_axis(axis), episodes, seed, ranges, grasps, threads=threads)
        control = open_controller(policy, residual, episodes)

        def show(step: int, done: int = 400 * number) -> None:
            if bar is not None:
                bar.update(done + step)

        episodes_run = run_episodes(env, control, show)
        by_third = survival_by_third(env.batch.worlds, episodes_run) if ranges else {}
        rows.append(episodes_run.summary() | {"seed": seed, "survived_by_third": by_third})
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
        "randomisation": dataclasses.asdict(ranges) if ranges else None,
        "seeds": rows,
        "mean": mean,
        "std": std,
        "wall_s": round(time.monotonic() - start, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": commit_id(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def survival_by_third(worlds: Sequence[World], episodes: Episodes) -> dict[str, list[float]]:
    """Share of survivors in the lowest, middle and highest third of each drawn quantity: where it fails."""
    drawn = {
        "radius_m": [w.object.radius_m for w in worlds],
        "mass_kg": [w.object.mass_kg for w in worlds],
        "friction": [w.object.friction for w in worlds],
        "kp_scale": [float(np.mean(w.servo.kp_scale)) for w in worlds],
        "kd_scale": [float(np.mean(w.servo.kd_scale)) for w in worlds],
    }
    survived = episodes.held >= 1.0
    return {
        name: [
            round(float(survived[third].mean()), 3)
            for third in np.array_split(np.argsort(values), 3)
        ]
        for name, values in drawn.items()
        if len(worlds) >= 3 and np.ptp(values) > 0
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as text."""
    lines = [
        f"{'wrist':<11}{'axis':<6}{'rotation, rad in 20 s':>24}{'time held':>18}{'survived':>18}"
        f"{'off-axis, rad/s':>20}"
    ]
    for result in results:
        mean, std = result["mean"], result["std"]
        cells = [
            f"{mean[key]:.3g} ± {std[key]:.2g}"
            for key in ("rotation_rad", "held", "survived", "off_axis_rad_s")
        ]
        lines.append(
            f"{result['world']['wrist']:<11}{result['axis']:<6}"
            f"{cells[0]:>24}{cells[1]:>18}{cells[2]:>18}{cells[3]:>20}"
        )
    first = results[0]
    world, seeds = first["world"], [row["seed"] for row in first["seeds"]]
    lines.append(
        f"world {world['name']}, {first['episodes']} episodes a seed, seeds {seeds}, "
        f"physics {world['physics']}, {_drawn(first['randomisation'])}, {first['machine']}"
    )
    return "\n".join(lines)


def _drawn(ranges: dict[str, Any] | None) -> str:
    if ranges is None:
        return "not randomised"
    return "objects drawn" if ranges == dataclasses.asdict(OBJECTS_ONLY) else "randomised"


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of rotation and survival, one group a wrist and axis, error bars over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [f"{r['world']['wrist']}\n{r['axis']}" for r in results]
    figure, panels = plt.subplots(1, 2, figsize=(3 + 1.6 * len(names), 3.2))
    for panel, key, label in zip(
        panels, ("rotation_rad", "survived"), ("rad in 20 s", "share surviving 20 s"), strict=True
    ):
        means = [r["mean"][key] for r in results]
        panel.bar(names, means, yerr=[r["std"][key] for r in results], capsize=4)
        panel.set_ylabel(label)
        panel.grid(axis="y", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm evaluate",
        description="Roll a policy out and report rotation and survival.",
        epilog="dexndm evaluate --compare --help: every way to close a world's gap beside each other.",
    )
    parser.add_argument(
        "--policy", default="cylinder_z", help="policy file, name, or oracle folder"
    )
    parser.add_argument("--residual", default="", help="residual policy file")
    parser.add_argument("--world", default="nominal", help="world file or name")
    parser.add_argument(
        "--wrist", default="", help="wrists, comma separated (default: the world's)"
    )
    parser.add_argument(
        "--axis", default="+z", help="axes in the palm frame, comma separated words"
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
        refused = refused_residual(arguments.policy, arguments.residual)
    except (ControllerError, PathError, PolicySpecError, WorldError) as error:
        print(f"dexndm evaluate: {error}", file=sys.stderr)
        return 2
    if refused:
        print(refusal(refused))
    ranges = OBJECTS_ONLY if arguments.keep_hand else Randomisation()
    results = []
    for wrist in (arguments.wrist or base.wrist).split(","):
        for axis in arguments.axis.split(","):
            world = dataclasses.replace(base, wrist=wrist, physics=arguments.physics)
            results.append(
                evaluate(
                    arguments.policy,
                    world,
                    axis,
                    arguments.episodes,
                    [int(seed) for seed in arguments.seeds.split(",")],
                    None if arguments.no_randomise else ranges,
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
