# SPDX-License-Identifier: Apache-2.0
"""Closed-loop episodes of a block: a policy in drawn worlds, from grasps of their own, until the object is lost."""

from __future__ import annotations

import dataclasses

import numpy as np

from dexndm_ros.datasets.episode import Episode, Finding
from dexndm_ros.datasets.quality import finding
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.randomise import OBJECTS_ONLY, Randomisation
from dexndm_ros.sim.worlds import ObjectConfig
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.simulate.blocks import Block, policy_name
from dexndm_ros.training.simulate.config import RolloutConfig
from dexndm_ros.training.simulate.rows import PERIOD_S, About, Rows

__all__ = ["roll_out"]

_DRAW: dict[str, Randomisation | None] = {
    "objects": OBJECTS_ONLY,
    "all": Randomisation(),
    "none": None,
}


def roll_out(block: Block, steps: int = EnvConfig.episode_steps) -> list[Episode]:
    """All episodes of a block, those that lost their object too.

    Args:
        block: of a ``RolloutConfig``.
        steps: length of an episode whose object stays.
    """
    config = block.config
    assert isinstance(config, RolloutConfig)
    axis = parse_axis(block.axis)
    env = unseen_env(
        block.world, axis, config.block, block.seed, _DRAW[config.draw],
        config=EnvConfig(episode_steps=steps), threads=1,
    )  # fmt: skip
    control = open_controller(config.policy, config.residual, env.count)
    rows = Rows(env.count, steps, block.world.servo.motor_model)
    length = np.zeros(env.count, dtype=np.int64)
    turned = np.zeros(env.count)
    held = np.ones(env.count, dtype=bool)
    command = env.target.copy()
    for step in range(steps):
        rows.see(step, env.measured, env.batch.qd, env.batch.torque(command), command)
        result = control(env, step == 0)
        command = env.executed.copy()
        rows.tell(step, command, env.target, residual=command - env.target)
        length += held
        held &= ~result.terminated
        turned += np.where(held, result.turned_rad, 0.0)
    worlds = env.batch.worlds
    return [
        rows.episode(
            n,
            int(length[n]),
            _about(block, config, n, worlds[n].object, bool(held[n]), float(turned[n])),
            () if held[n] else (_fell(int(length[n]), config.survivors_only),),
        )
        for n in range(env.count)
    ]


def _fell(length: int, drop: bool) -> Finding:
    text = f"the object left the hand after {length * PERIOD_S:.1f} s"
    return finding("fell", 1, "dropped" if drop else "flagged", text)


def _about(
    block: Block,
    config: RolloutConfig,
    row: int,
    thing: ObjectConfig,
    survived: bool,
    turned_rad: float,
) -> About:
    index = block.number * config.block + row
    drawn = {
        f"object_{key}": value
        for key, value in dataclasses.asdict(thing).items()
        if key in ("kind", "radius_m", "half_height_m", "mass_kg", "friction")
    }
    policy = policy_name(config.policy)
    return About(
        identity=f"rollout/{block.task_id}/{index}",
        kind="rollout",
        task=f"rotate the object about {block.axis}, {block.wrist}",
        world=block.world.name,
        orientation=block.wrist,
        wrist_xyzw=block.world.wrist_xyzw(),
        axis=parse_axis(block.axis).tolist(),
        axis_name=block.axis,
        index=index,
        seed=-1,
        trajectory=-1,
        load=block.world.object.kind,
        facts={"policy": policy, "survived": survived, "turned_rad": turned_rad} | drawn,
    )
