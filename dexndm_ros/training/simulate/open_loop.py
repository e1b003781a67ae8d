# SPDX-License-Identifier: Apache-2.0
"""Open-loop episodes of a block: a library's targets plus noise, on free hands under load, or in a box of balls."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import lru_cache

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.episode import Episode
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.replay.campaign import MotionConfig
from dexndm_ros.replay.ledger_rows import PlanEntry
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.noise import NoiseConfig, executed, noise
from dexndm_ros.replay.trajectory import Trajectory, TrajectorySource
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.box import prepare
from dexndm_ros.sim.load import HandLoad, LoadConfig, draw_load
from dexndm_ros.sim.plant import MujocoPlant
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.scene import build_model
from dexndm_ros.training.simulate.blocks import Block
from dexndm_ros.training.simulate.config import ReplayConfig
from dexndm_ros.training.simulate.rows import PERIOD_S, About, Rows, read_angle

__all__ = ["replay"]

Array = NDArray[np.float64]
_AXES = {
    tuple(parse_axis(f"{sign}{name}").tolist()): f"{sign}{name}" for sign in "+-" for name in "xyz"
}
_SETTLE_STEPS = 20
"""A free hand holds the first target for so long before its first row."""


@dataclasses.dataclass(frozen=True)
class _Told:
    """What the hands of a block are told; arrays (N, steps, 16) rad."""

    trajectories: list[Trajectory]
    clean: Array
    noise: Array
    target: Array


def replay(block: Block) -> list[Episode]:
    """All episodes of a block of a ``ReplayConfig``."""
    config = block.config
    assert isinstance(config, ReplayConfig)
    source = _source(config)
    trajectories = [source.trajectory(entry.trajectory) for entry in block.entries]
    clean = np.stack([each.targets_rad for each in trajectories])
    steps = clean.shape[1]
    added = np.stack([noise(config.noise, entry.seed, steps) for entry in block.entries])
    told = _Told(trajectories, clean, added, executed(clean, added))
    rows = Rows(len(clean), steps, block.world.servo.motor_model)
    if block.world.box.kind == "none":
        load = _in_words(config.load)
        _free(block, config, told, rows)
    else:
        load = f"{block.world.box.kind}, {block.world.box.fill}"
        _in_box(block, told, rows)
    return [
        rows.episode(n, steps, _about(block, entry, told.trajectories[n], load))
        for n, entry in enumerate(block.entries)
    ]


def _source(config: ReplayConfig) -> TrajectorySource:
    return _opened(config.library, config.seed, config.noise)


@lru_cache(maxsize=2)
def _opened(library: str, seed: int, added: NoiseConfig) -> TrajectorySource:
    """Opened once a process; the job has checked it."""
    return open_source(library, seed, added, check=False)


def _free(block: Block, config: ReplayConfig, told: _Told, rows: Rows) -> None:
    """Hands side by side, each from rest at its first target."""
    worlds = [block.world] * len(block.entries)
    if config.vary_gains:
        worlds = [
            draw_worlds(block.world, 1, Randomisation(), entry.seed)[0] for entry in block.entries
        ]
    batch = HandBatch(worlds, threads=1)
    load = None
    if not config.load.none:
        load = HandLoad(
            [
                draw_load(config.load, entry.seed, told.target[n], PERIOD_S)
                for n, entry in enumerate(block.entries)
            ]
        )
    command = told.target[:, 0]
    batch.set_state(np.arange(batch.count), command)
    for _ in range(_SETTLE_STEPS):
        batch.step(command, load.at(0) if load else None)
    for step in range(told.target.shape[1]):
        rows.see(step, read_angle(batch.q), batch.qd, batch.torque(command), command)
        command = told.target[:, step]
        rows.tell(step, command, told.clean[:, step], told.noise[:, step])
        batch.step(command, load.at(step) if load else None)


def _in_box(block: Block, told: _Told, rows: Rows) -> None:
    """One hand in one box, one trajectory after the other, with the ramps of a campaign between them."""
    model = build_model(block.world)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    prepare(model, data, block.world.box, block.seed % 2**32)
    plant = MujocoPlant(model, data, block.world.gap)
    substeps = block.world.preset.substeps
    motion = MotionConfig()
    command = np.array(CANONICAL_POSE_RAD)
    for n, targets in enumerate(told.target):
        speed = motion.transition_rad_s if n else motion.approach_rad_s
        for pose in _ramp(command, targets[0], speed * PERIOD_S):
            _hold(plant, pose, substeps)
            command = pose
        for step, target in enumerate(targets):
            q, qd = read_angle(plant.position_rad), plant.velocity_rad_s
            rows.see(step, q, qd, plant.torque_nm, command, row=n)
            rows.tell(step, target, told.clean[n, step], told.noise[n, step], row=n)
            _hold(plant, target, substeps)
            command = target


def _ramp(start: Array, end: Array, step_rad: float) -> Iterator[Array]:
    """Poses on the way, without both ends, as ``replay.player`` goes it."""
    count = max(1, math.ceil(float(np.abs(end - start).max()) / step_rad - 1e-9))
    for k in range(1, count):
        yield start + k / count * (end - start)


def _hold(plant: MujocoPlant, target: Array, substeps: int) -> None:
    plant.set_goal(target)
    for _ in range(substeps):
        plant.step()


def _in_words(load: LoadConfig) -> str:
    if load.none:
        return "free"
    springs = f", springs to {load.scale * load.spring_nm_rad:g} N·m/rad"
    return f"torques of {load.scale * load.torque_nm:g} N·m{springs if load.spring_share else ''}"


def _about(block: Block, entry: PlanEntry, trajectory: Trajectory, load: str) -> About:
    return About(
        identity=f"sim_replay/{block.task_id}/{entry.entry}/{entry.trajectory}",
        kind="sim_replay",
        task=f"replay a trajectory, {block.wrist}",
        world=block.world.name,
        orientation=block.wrist,
        wrist_xyzw=block.world.wrist_xyzw(),
        axis=trajectory.axis,
        axis_name=_AXES.get(trajectory.axis, ""),
        index=entry.entry,
        seed=entry.seed,
        trajectory=entry.trajectory,
        load=load,
        facts={"policy": trajectory.source},
    )
