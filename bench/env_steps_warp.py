# SPDX-License-Identifier: Apache-2.0
"""Environment control steps a second on a GPU against the number of worlds, beside the CPU lane of the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from bench.result import Options, Result, SkippedError
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import GraspCache, make_grasps
from dexndm_ros.sim.hands import Hands
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World

_COUNTS = (1024, 4096, 16384)
_STEPS = 40
_DISTINCT = 256
"""Worlds that are drawn; more hands share them, for compiling them is not what is measured."""


def run(options: Options) -> Result:
    """Measure, where there is a GPU."""
    try:
        import warp
    except ModuleNotFoundError as error:
        raise SkippedError("warp is not installed (requirements-gpu.txt)") from error
    if not warp.is_cuda_available():
        raise SkippedError("there is no CUDA device here")
    return measure(options, (8, 16) if options.quick else _COUNTS, "cuda")


def measure(options: Options, counts: Sequence[int], device: str) -> Result:
    """The table, on any device of warp."""
    from dexndm_ros.sim.warp_batch import WarpHandBatch

    steps = 4 if options.quick else _STEPS
    base = World.from_dict({"physics": "fast"})
    drawn = draw_worlds(base, min(_DISTINCT, min(counts)), Randomisation(), options.seed)
    cpu = HandBatch(drawn, options.threads)
    cache = make_grasps(drawn, len(drawn), options.seed, batch=cpu)
    rates = [_rates(cpu, cache, options, steps)]
    names = [f"mujoco.rollout, {cpu.count} hands, {options.threads} threads"]
    for count in counts:
        hands = WarpHandBatch([drawn[k % len(drawn)] for k in range(count)], device=device)
        rates.append(_rates(hands, cache, options, steps))
        names.append(f"mujoco_warp, {count} hands, {hands.device.name}")
    return Result(
        "Control steps (50 ms, physics preset fast) a second by lane and number of hands",
        ["lane", "environment", "physics", "environment / CPU lane", "physics / CPU lane"],
        [[name, *rate, *np.divide(rate, rates[0])] for name, rate in zip(names, rates, strict=True)],
        notes=[
            "environment: targets, reward, fall, observations, in numpy on the CPU for both lanes",
            "physics: commands in, positions, velocities and sensors back in numpy",
        ],
        settings={"steps": steps, "distinct_worlds": len(drawn)},
    )  # fmt: skip


def _rates(hands: Hands, cache: GraspCache, options: Options, steps: int) -> list[float]:
    config = EnvConfig(auto_reset=False)
    axis = parse_axis(options.axis)
    env = RotationEnv(hands.worlds, cache, axis, config, options.seed, batch=hands)
    nothing = np.zeros((env.count, 16))

    def whole() -> None:
        env.step(nothing)
        env.privileged()

    def bare() -> None:
        hands.step(env.target)

    whole()  # compiles, and on a GPU captures, what both do
    return [_rate(one, steps, env.count) for one in (whole, bare)]


def _rate(one: Callable[[], None], steps: int, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(steps):
        one()
    return steps * count / (time.perf_counter() - begin)
