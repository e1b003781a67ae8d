# SPDX-License-Identifier: Apache-2.0
"""Closed-loop episodes of a block: a policy in drawn worlds, from grasps of their own, until the object is lost."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.episode import Episode, Finding
from dexndm_ros.datasets.quality import finding
from dexndm_ros.policy.wrist import parse_axis, parse_wrist
from dexndm_ros.sim.env import ACTION_SCALE_RAD, EnvConfig, RotationEnv
from dexndm_ros.sim.grasp_cache import GraspError
from dexndm_ros.sim.grasps import EVERY_WRIST
from dexndm_ros.sim.tasks import TaskDraw
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import ActionNoise, OracleController, open_controller
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.simulate.blocks import Block, policy_name
from dexndm_ros.training.simulate.config import RolloutConfig, SimulateError
from dexndm_ros.training.simulate.rows import PERIOD_S, About, Rows

__all__ = ["roll_out"]

_OF_OBJECT = ("kind", "radius_m", "half_height_m", "mass_kg", "friction")
_OF_FAMILY = ("shape", "size_m", "half_size_m", "centre_of_mass_m")


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is asked of a hand."""

    wrist: str
    axis: str


def roll_out(block: Block, steps: int = EnvConfig.episode_steps) -> list[Episode]:
    """All episodes of a block, those that lost their object too.

    Args:
        block: of a ``RolloutConfig``.
        steps: length of an episode whose object stays.
    """
    config = block.config
    assert isinstance(config, RolloutConfig)
    env = _env(block, config, steps)
    noise = None
    if config.noise_std:
        stream = np.random.default_rng([block.seed, 1])  # the first one is of worlds and grasps
        noise = ActionNoise(env.count, config.noise_std, stream)
    control = open_controller(config.policy, config.residual, env.count, noise=noise)
    rows = Rows(env.count, steps, block.world.servo.motor_model)
    length = np.zeros(env.count, dtype=np.int64)
    turned = np.zeros(env.count)
    held = np.ones(env.count, dtype=bool)
    command = env.target.copy()
    for step in range(steps):
        rows.see(step, env.measured, env.batch.qd, env.batch.torque(command), command)
        before = env.target
        result = control(env, step == 0)
        command = env.executed.copy()
        if isinstance(control, OracleController):
            # Not clipped to the joints' limits: what the oracle wanted can be told from it.
            clean = before + ACTION_SCALE_RAD * control.wanted
            extra = ACTION_SCALE_RAD * (control.driven - control.wanted)
            rows.tell(step, command, clean, noise=extra)
        else:
            rows.tell(step, command, env.target, residual=command - env.target)
        length += held
        held &= ~result.terminated
        turned += np.where(held, result.turned_rad, 0.0)
    tasks = _tasks(block, config, env)
    return [
        rows.episode(
            n,
            int(length[n]),
            _about(block, config, n, tasks[n], env, {"survived": bool(held[n]), "turned_rad": float(turned[n])}),
            () if held[n] else (_fell(int(length[n]), config.survivors_only),),
        )
        for n in range(env.count)
    ]  # fmt: skip


def _env(block: Block, config: RolloutConfig, steps: int) -> RotationEnv:
    """The block's worlds, each with the task that is asked of it."""
    asked = EnvConfig(episode_steps=steps)
    axis = parse_axis(config.axes[0] if config.draw_tasks else block.axis)
    if config.draw_tasks:
        asked = dataclasses.replace(asked, tasks=TaskDraw(config.axes, block.wrists))
    # Objects of other widths, or under other wrists, fall out of grasps that were not made for it.
    grasps = EVERY_WRIST if config.draw_tasks or config.objects else None
    try:
        return unseen_env(
            block.world, axis, config.block, block.seed, config.randomisation, grasps, asked,
            threads=1, first=block.number * config.block,
        )  # fmt: skip
    except GraspError as error:
        raise SimulateError(f"block {block.number}: {error}") from error


def _tasks(block: Block, config: RolloutConfig, env: RotationEnv) -> list[_Task]:
    """Of each hand."""
    if not config.draw_tasks:
        return [_Task(block.wrist, block.axis)] * env.count
    wrist = _nearest(env.wrists, np.array([parse_wrist(name) for name in block.wrists]))
    axis = _nearest(env.axes, np.array([parse_axis(word) for word in config.axes]))
    return [_Task(block.wrists[w], config.axes[a]) for w, a in zip(wrist, axis, strict=True)]


def _nearest(drawn: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of each row the number of the table's row that it was drawn from."""
    return np.asarray(np.argmin(np.linalg.norm(drawn[:, None] - table, axis=2), axis=1))


def _fell(length: int, drop: bool) -> Finding:
    text = f"the object left the hand after {length * PERIOD_S:.1f} s"
    return finding("fell", 1, "dropped" if drop else "flagged", text)


def _about(
    block: Block,
    config: RolloutConfig,
    row: int,
    task: _Task,
    env: RotationEnv,
    outcome: dict[str, Any],
) -> About:
    index = block.number * config.block + row
    world = env.batch.worlds[row]
    return About(
        identity=f"rollout/{block.task_id}/{index}",
        kind="rollout",
        task=f"rotate the object about {task.axis}, {task.wrist}",
        world=block.world.name,
        orientation=task.wrist,
        wrist_xyzw=env.wrists[row],
        axis=env.axes[row].tolist(),
        axis_name=task.axis,
        index=index,
        seed=-1,
        trajectory=-1,
        load=world.object.kind if config.objects else block.world.object.kind,
        facts={"policy": policy_name(config.policy)} | outcome | _object(config, index, world),
    )


def _object(config: RolloutConfig, index: int, world: World) -> dict[str, Any]:
    """What is in the hand."""
    names = _OF_OBJECT + (_OF_FAMILY if config.objects else ())
    thing = dataclasses.asdict(world.object)
    told = {f"object_{name}": thing[name] for name in names}
    if config.objects:
        told["object_family"] = config.family_names[index % len(config.family_names)]
    return told
