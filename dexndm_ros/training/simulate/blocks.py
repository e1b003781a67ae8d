# SPDX-License-Identifier: Apache-2.0
"""Units of work: so many episodes that follow from a recipe alone, whoever simulates them, and when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dexndm_ros import __version__
from dexndm_ros.datasets.part import plain
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_rows import PlanEntry
from dexndm_ros.replay.plan import make_plan
from dexndm_ros.replay.trajectory import TrajectorySource
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.training.controllers import is_oracle
from dexndm_ros.training.simulate.config import (
    ReplayConfig,
    RolloutConfig,
    SimulateConfig,
    SimulateError,
)

__all__ = ["Block", "replay_blocks", "replay_world", "rollout_block"]

_FORMAT = 1
"""Raised when the same recipe gives other rows than before."""
_ORACLE_FORMAT = 2
"""The same for rollouts of oracles."""
_GRASP_WRIST = "palm_down"
"""Grasps that serve every wrist are made so (paper, section C)."""


@dataclass(frozen=True)
class Block:
    """Some episodes.

    Attributes:
        config: of the job.
        world: of all of them, before anything is drawn.
        wrist: name of the palm's orientation.
        axis: rotation axis as a word; "" for replays.
        number: of the block in its task (a wrist, and an axis).
        recipe: all that its rows follow from, as JSON can hold it.
        entries: rows of the plan, of replays.
        wrists: that its episodes draw from; none = all have ``wrist``.
    """

    config: RolloutConfig | ReplayConfig
    world: World
    wrist: str
    axis: str
    number: int
    recipe: Mapping[str, Any]
    entries: tuple[PlanEntry, ...] = ()
    wrists: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Fingerprint of the recipe: there is no file whose bytes could have one."""
        return _hash(dict(self.recipe))

    def trimmed_sha256(self, keep: int) -> str:
        """Fingerprint of the block's first ``keep`` episodes that are of use."""
        return _hash({**self.recipe, "keep": keep})

    @property
    def task_id(self) -> str:
        """Short fingerprint of all blocks of the task."""
        return _hash({k: v for k, v in self.recipe.items() if k not in ("number", "entries")})[:12]

    @property
    def name(self) -> str:
        """Of what would be a bag, were it recorded."""
        kind = "rollout" if isinstance(self.config, RolloutConfig) else "sim_replay"
        axis = f"_{self.axis}" if self.axis else ""
        return f"{kind}_{self.world.name}_{self.wrist}{axis}_{self.task_id}_{self.number:05d}"

    @property
    def seed(self) -> int:
        """Of what the block draws, 48 bit."""
        return int(_hash({"task": self.task_id, "number": self.number})[:12], 16)


def rollout_block(config: RolloutConfig, base: World, wrist: str, axis: str, number: int) -> Block:
    """A block of closed-loop episodes.

    Args:
        config: of the job.
        base: world that everything is drawn around.
        wrist: of all episodes, "" = the world's; of no meaning where each draws its own.
        axis: likewise.
        number: of the block in its task.

    Raises:
        PathError: no such policy.
    """
    drawn = tuple(each or base.wrist for each in config.wrists) if config.draw_tasks else ()
    world = _turned(config, base, _GRASP_WRIST if drawn else wrist)
    recipe = _recipe(config, world) | {
        "policy": policy_name(config.policy),
        "policy_sha256": fingerprint(_policy_file(config.policy)),
        "residual_sha256": fingerprint(config.residual or None),
        "axis": axis,
        "draw": config.draw,
        "survivors_only": config.survivors_only,
        "block": config.block,
        "number": number,
    }
    # What is not asked for is not named: recipes from before there was such a thing stay as they are.
    if is_oracle(config.policy):
        recipe["format"] = _ORACLE_FORMAT
    if config.noise_std:
        recipe["noise_std"] = config.noise_std
    if config.objects:
        recipe["families"] = config.family_names
    if not drawn:
        return Block(config, world, world.wrist, axis, number, recipe)
    recipe |= {"axis": "", "tasks": {"wrists": drawn, "axes": config.axes}}
    return Block(config, world, "drawn", "", number, recipe, wrists=drawn)


def replay_blocks(
    config: ReplayConfig, base: World, wrist: str, source: TrajectorySource
) -> list[Block]:
    """All blocks of open-loop episodes of a wrist: the plan that a campaign of this seed and size would follow.

    Raises:
        LibraryError: no trajectories for the wrist.
        SimulateError: settings that do not fit the world.
        CampaignError: a library's wrist that is none.
    """
    world = replay_world(_turned(config, base.with_load(config.box), wrist))
    if config.box and world.box.kind == "none":
        raise SimulateError(
            f"box {config.box!r}: world {base.name!r} has no object that it could take the place of; use a world with "
            "an object, or one with a box"
        )
    if config.vary_gains and world.box.kind != "none":
        raise SimulateError(
            f"vary_gains: world {world.name!r} has a box, which one hand is in for many trajectories; make a world "
            "file of each hand instead"
        )
    campaign = Campaign(
        name="simulated",
        orientation=world.wrist,
        library=config.library,
        count=config.episodes,
        seed=config.seed,
        selection_orientation=config.library_wrist,
        noise=config.noise,
    )
    entries = make_plan(campaign, source)
    recipe = _recipe(config, world) | {
        "library_sha256": source.sha256,
        "noise": asdict(config.noise),
        "vary_gains": config.vary_gains,
    }
    if world.box.kind == "none":
        recipe["load"] = asdict(config.load)
    else:  # the balls of a block lie as those before have left them
        recipe["block"] = config.block
    blocks = []
    for number, at in enumerate(range(0, len(entries), config.block)):
        some = tuple(entries[at : at + config.block])
        listed = [[each.entry, each.trajectory, each.seed] for each in some]
        own = {"number": number, "entries": listed}
        blocks.append(Block(config, world, world.wrist, "", number, recipe | own, some))
    return blocks


def replay_world(world: World) -> World:
    """The world of a replay: nothing in the hand but what the world's box has."""
    return replace(world, object=ObjectConfig(kind="none"))


def policy_name(policy: str) -> str:
    """A policy's name without the folders of the machine that it lies on."""
    file = _policy_file(policy)
    return f"{file.parent.name}/{file.stem}"


def _policy_file(policy: str) -> Path:
    return Path(policy) / "oracle.pt" if is_oracle(policy) else policy_path(policy)


def _turned(config: SimulateConfig, base: World, wrist: str) -> World:
    world = base.with_wrist(wrist)
    if not config.physics or config.physics == world.physics:
        return world
    if (config.physics == "balls") != (world.box.kind == "balls"):
        raise SimulateError(
            f"physics {config.physics!r} does not fit world {world.name!r}: balls is for the box of balls, and "
            "nothing else is for it"
        )
    return replace(world, physics=config.physics)


def _recipe(config: SimulateConfig, world: World) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "software": f"dexndm_ros {__version__}, mujoco {version('mujoco')}",
        "world": asdict(world),
        "seed": config.seed,
    }


def _hash(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(text.encode()).hexdigest()
