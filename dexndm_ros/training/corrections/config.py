# SPDX-License-Identifier: Apache-2.0
"""Settings of ``dexndm train uan`` and ``dexndm train asap``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from dexndm_ros.policy.wrist import parse_wrist
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.ppo import PpoConfig

__all__ = ["AsapConfig", "FollowConfig", "RewardConfig", "UanConfig", "check_config", "free_world"]


@dataclass(frozen=True)
class RewardConfig:
    """What following a recorded joint is worth.

    Attributes:
        sharpness_per_rad2: of the exponentials of the squared error.
        weights: of these exponentials.
        error_per_rad: taken off for each radian of error.
        scale: of the whole reward, so that returns are about 1.
    """

    sharpness_per_rad2: tuple[float, ...] = (100.0, 300.0, 1000.0)
    weights: tuple[float, ...] = (4.0, 4.0, 5.0)
    error_per_rad: float = 1.5
    scale: float = 0.01


@dataclass(frozen=True)
class FollowConfig:
    """What both recipes need.

    Attributes:
        out: run folder.
        data: dataset folders with motion of a free hand; one trajectory in ten is held out.
        world: the simulator that is corrected; its object is left out.
        wrist: of the recordings that do not tell it.
        physics: preset; the one that the policy will learn in.
        hands: simulated hands.
        episode_s: length of an episode.
        total_steps: control steps of all hands together.
        seed: of starts and networks.
        threads: physics threads.
        torch_threads: learner threads.
        save_every: control steps of each hand between checkpoints and rows of the log.
        reward: of following.
        ppo: how it is learned.
    """

    out: str = "runs/correction"
    data: tuple[str, ...] = ()
    world: str = "nominal"
    wrist: str = "palm_up"
    physics: Literal["fast", "ref"] = "fast"
    hands: int = 64
    episode_s: float = 1.0
    total_steps: int = 300_000
    seed: int = 0
    threads: int = 1
    torch_threads: int = 1
    save_every: int = 200
    reward: RewardConfig = field(default_factory=RewardConfig)
    ppo: PpoConfig = field(default_factory=PpoConfig)


@dataclass(frozen=True)
class UanConfig(FollowConfig):
    """One network for all actuators; a torque in every physics step.

    Attributes:
        bound_nm: most that it adds to the torque of a servo.
        history: physics steps that it sees.
        smoothness: most that a torque which does not change is worth.
    """

    out: str = "runs/uan"
    hands: int = 32
    total_steps: int = 90_000
    bound_nm: float = 0.2
    history: int = 20
    smoothness: float = 0.5
    ppo: PpoConfig = field(default_factory=lambda: PpoConfig(init_std=0.1, gamma=0.95, epochs=2))


@dataclass(frozen=True)
class AsapConfig(FollowConfig):
    """A change of the targets in every control step.

    Attributes:
        structure: a network for each finger, or one for the whole hand.
        scale_rad: change of a target for an action of 1.
        bound_rad: most that a target is changed.
        penalty: weight of exp(|change|) - 1.
    """

    out: str = "runs/asap"
    structure: Literal["finger", "hand"] = "finger"
    scale_rad: float = 0.02
    bound_rad: float = 0.2
    penalty: float = 0.1
    ppo: PpoConfig = field(default_factory=lambda: PpoConfig(hidden=(128, 64)))


def free_world(config: FollowConfig) -> World:
    """The simulator that is corrected, with nothing in the hand.

    Raises:
        WorldError: no such world.
    """
    world = World.load(config.world).with_load("free")
    return dataclasses.replace(world, physics=config.physics)


def check_config(config: FollowConfig) -> None:
    """Refuse what no run can use.

    Raises:
        ConfigError: names the setting and what is allowed.
    """
    if not config.data:
        raise ConfigError("data is empty; give a folder with motion of a free hand: --data DATASET")
    above = ["hands", "episode_s", "total_steps", "threads", "torch_threads", "save_every"]
    above += ["bound_nm", "history"] if isinstance(config, UanConfig) else []
    above += ["scale_rad", "bound_rad"] if isinstance(config, AsapConfig) else []
    for name in above:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name} is {getattr(config, name)}; it must be above 0")
    if len(config.reward.weights) != len(config.reward.sharpness_per_rad2):
        raise ConfigError("reward.weights and reward.sharpness_per_rad2 must be equally many")
    try:
        parse_wrist(config.wrist)
        world = free_world(config)
    except (ValueError, WorldError) as error:
        raise ConfigError(str(error)) from error
    if world.box.kind != "none":
        raise ConfigError(f"world {config.world} has a box; a free hand is needed, such as nominal")
