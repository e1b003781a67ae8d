# SPDX-License-Identifier: Apache-2.0
"""Environment control steps a second, against bare ``mujoco.rollout`` of the same models and targets."""

from __future__ import annotations

import time

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from bench.result import Check, Options, Result
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.env import EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World

_STEPS = 40
_ROUNDS = 3


def run(options: Options) -> Result:
    """Both do the same control steps from the same starts; they take turns."""
    steps = 4 if options.quick else _STEPS
    rounds = 1 if options.quick else _ROUNDS
    rows = []
    checks = []
    for physics in ("fast", "ref"):
        base = World.load(options.world)
        base = World.from_dict({"physics": physics}) if base == World() else base
        worlds = draw_worlds(base, options.hands, Randomisation(), options.seed)
        batch = HandBatch(worlds, options.threads)
        cache = make_grasps(worlds, options.hands, options.seed, batch=batch)
        config = EnvConfig(auto_reset=False)
        env = RotationEnv(
            worlds, cache, parse_axis(options.axis), config, options.seed, options.threads
        )
        env_s, bare_s = 0.0, 0.0
        for _ in range(rounds):
            env.reset()
            start, target = _state(env.batch), env.target.copy()
            env_s += _environment(env, steps)
            bare_s += _bare(env.batch, start, target, steps, options.threads)
        count = rounds * steps * options.hands
        rows.append([physics, count / env_s, count / bare_s, bare_s / env_s])
        checks.append(
            Check(f"{physics}: environment over bare rollout", bare_s / env_s, 0.7, at_most=False)
        )
    return Result(
        f"Control steps (50 ms) a second, {options.hands} hands, {options.threads} threads",
        ["physics", "environment", "bare rollout", "ratio"],
        rows,
        checks,
        [
            "environment: targets, observation history, reward, fall, proprioceptive observation",
            f"bare: one call of mujoco.rollout for {steps} control steps, targets held",
        ],
        {"steps": steps, "rounds": rounds},
    )


def _state(batch: HandBatch) -> NDArray[np.float64]:
    return batch._state.copy()


def _environment(env: RotationEnv, steps: int) -> float:
    nothing = np.zeros((env.count, 16))
    begin = time.perf_counter()
    for _ in range(steps):
        env.step(nothing)
        env.proprioceptive()
    return time.perf_counter() - begin


def _bare(
    batch: HandBatch,
    start: NDArray[np.float64],
    target: NDArray[np.float64],
    steps: int,
    threads: int,
) -> float:
    substeps = steps * batch.worlds[0].preset.substeps
    control = np.ascontiguousarray(
        np.broadcast_to(target[:, None, :], (batch.count, substeps, target.shape[1]))
    )
    data = [mujoco.MjData(batch.models[0]) for _ in range(threads)]
    states = np.empty((batch.count, substeps, start.shape[1]))
    sensors = np.empty((batch.count, substeps, batch.models[0].nsensordata))
    with rollout.Rollout(nthread=threads) as bare:
        begin = time.perf_counter()
        bare.rollout(
            batch.models, data, start, control, nstep=substeps, state=states, sensordata=sensors
        )
        return time.perf_counter() - begin
