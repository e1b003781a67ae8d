# SPDX-License-Identifier: Apache-2.0
"""Simulated transitions a second, from nothing to a dataset, for every kind of load; against the bare physics.

One process unless said. The bare physics steps hands of the same world with the same targets and keeps nothing.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.result import Check, Options, Result
from dexndm_ros.datasets.progress import Progress
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.trajectory import STEPS
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.load import LoadConfig
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.simulate.blocks import replay_blocks
from dexndm_ros.training.simulate.config import ReplayConfig, RolloutConfig
from dexndm_ros.training.simulate.run import simulate

_FREE = LoadConfig(scale=0.0)


def run(options: Options) -> Result:
    """Every case once, each into a dataset of its own."""
    count = options.trajectories
    block = max(1, min(32, count // 2))
    few = max(1, count // 16)
    cases: list[tuple[str, RolloutConfig | ReplayConfig]] = [
        ("replay, free hand", _replay(options, count, block, load=_FREE)),
        ("replay, free hand, two processes", _replay(options, count, block, load=_FREE, jobs=2)),
        ("replay, random load", _replay(options, count, block)),
        ("replay, random load, a hand with a gap", _replay(options, count, block, world="twin")),
        ("replay, random load, fast physics", _replay(options, count, block, physics="fast")),
        ("replay, tied ball", _replay(options, few, few, box="tied")),
        ("replay, box of balls", _replay(options, few, few, box="full")),
        ("rollout, ref", _rollout(options, count, block, "ref")),
        ("rollout, fast", _rollout(options, count, block, "fast")),
    ]
    bare = _bare(options, count, block)
    rows: list[list[object]] = [
        ["bare physics, free hand", bare, bare / 20.0, bare * 3600.0 / STEPS]
    ]
    rates = {}
    with tempfile.TemporaryDirectory(prefix="dexndm_simulate_") as folder:
        for number, (name, config) in enumerate(cases):
            rates[name] = _rate(replace(config, out=Path(folder) / str(number)))
            rows.append([name, rates[name], rates[name] / 20.0, rates[name] * 3600.0 / STEPS])
    one, two = rates["replay, free hand"], rates["replay, free hand, two processes"]
    checks = [Check("free replays against bare physics", one / bare, 0.6, at_most=False)]
    if len(os.sched_getaffinity(0)) > 1:
        checks.append(Check("two processes against one", two / one, 1.5, at_most=False))
    return Result(
        f"Simulated transitions a second, {count} episodes ({few} in a box), blocks of {block}",
        ["what", "transitions/s", "times real time", "trajectories/h"],
        rows,
        checks,
        [
            "end to end: start of the processes, plan, grasps, settling of balls, simulation, data files",
            "rollouts: worlds and grasps are drawn anew for every block; falls count as far as they got",
        ],
        {"block": block, "world": options.world},
    )  # fmt: skip


def _replay(options: Options, count: int, block: int, **changes: object) -> ReplayConfig:
    settings = {"world": options.world, "jobs": 1} | changes
    return ReplayConfig(
        out=Path(), episodes=count, block=block, seed=options.seed, report=False, **settings  # type: ignore[arg-type]
    )  # fmt: skip


def _rollout(options: Options, count: int, block: int, physics: str) -> RolloutConfig:
    return RolloutConfig(
        out=Path(), world=options.world, physics=physics, episodes=count, block=block, jobs=1, seed=options.seed,
        policy=options.policy, axis=options.axis, wrist=options.wrist, report=False,
    )  # type: ignore[arg-type]  # fmt: skip


def _rate(config: RolloutConfig | ReplayConfig) -> float:
    told: list[str] = []
    begin = time.perf_counter()
    simulate(config, Progress(io.StringIO()), told.append)
    passed_s = time.perf_counter() - begin
    rows = int(told[-1].split(" episodes, ")[1].split(" transitions")[0].replace(",", ""))
    return rows / passed_s


def _bare(options: Options, count: int, block: int) -> float:
    config = _replay(options, count, block, load=_FREE)
    source = open_source(config.library)
    blocks = replay_blocks(config, World.load(config.world), "", source)
    passed_s = 0.0
    for each in blocks:
        targets = np.stack([source.trajectory(e.trajectory).targets_rad for e in each.entries])
        batch = HandBatch([each.world] * len(targets), threads=1)
        batch.set_state(np.arange(batch.count), targets[:, 0])
        begin = time.perf_counter()
        for step in range(STEPS):
            batch.step(targets[:, step])
        passed_s += time.perf_counter() - begin
    return count * STEPS / passed_s
