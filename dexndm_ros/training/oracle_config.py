# SPDX-License-Identifier: Apache-2.0
"""What an oracle run may be told, and what rsl_rl is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.grasps import GraspConfig
from dexndm_ros.sim.randomise import Randomisation
from dexndm_ros.training.ppo import PpoConfig, algorithm_settings, network_settings

__all__ = ["HIDDEN", "OracleConfig", "runner_config"]

HIDDEN = (256, 128)
"""Widths of the hidden layers of actor and critic."""


@dataclass(frozen=True)
class OracleConfig:
    """One oracle run.

    Attributes:
        out: run folder.
        wrist: wrist orientation.
        axis: rotation axis, palm frame.
        world: world file or shipped name that everything is drawn around.
        physics: preset to train on.
        engine: cpu (MuJoCo) or warp (mujoco_warp, on ``device``).
        device: of the learner and of warp; torchrun gives each process a GPU of its own.
        nconmax: contacts a world that warp has room for.
        njmax: constraints a world that warp has room for.
        envs: parallel environments, of each process.
        grasps: size of the grasp cache.
        grasps_from: a file of ``dexndm grasps make`` with all objects of the run, in place of making them; or empty.
        total_steps: environment steps in all.
        steps_per_iteration: control steps of each environment between updates.
        seed: of worlds, grasps, starts and networks.
        threads: physics threads.
        torch_threads: learner threads (1 is fastest for nets this small on shared cores).
        init_from: checkpoint to start from, or empty.
        starts_from: run folder of an oracle for the same wrist whose rollouts lend start states, or empty. A gait
            visited backwards in time passes through the same states, so the oracle of one direction shows
            the other what regrasping looks like.
        init_std: initial action noise.
        learning_rate: initial.
        reward_scale: rewards are multiplied by this before PPO sees them (keeps returns near 1).
        save_every: iterations between checkpoints.
        correction: run folder of ``dexndm train uan`` or ``asap`` that corrects the simulator, or empty.
        env: episode settings.
        randomisation: of the worlds.
        grasp: how grasps are sampled; where wrists are drawn, they must hold under every one of them.
    """

    out: str = "runs/oracle"
    wrist: str = "palm_up"
    axis: str = "+z"
    world: str = "nominal"
    physics: str = "fast"
    engine: Literal["cpu", "warp"] = "cpu"
    device: Literal["cpu", "cuda"] = "cpu"
    nconmax: int = 64
    njmax: int = 224
    envs: int = 256
    grasps: int = 3000
    grasps_from: str = ""
    total_steps: int = 5_000_000
    steps_per_iteration: int = 16
    seed: int = 0
    threads: int = 2
    torch_threads: int = 1
    init_from: str = ""
    starts_from: str = ""
    init_std: float = 0.67
    learning_rate: float = 5e-4
    reward_scale: float = 0.05
    save_every: int = 25
    correction: str = ""
    env: EnvConfig = field(default_factory=EnvConfig)
    randomisation: Randomisation = field(default_factory=Randomisation)
    grasp: GraspConfig = field(default_factory=GraspConfig)


def runner_config(config: OracleConfig) -> dict[str, Any]:
    """The nested dict that rsl_rl 5 wants."""
    ppo = PpoConfig(
        hidden=HIDDEN,
        steps=config.steps_per_iteration,
        epochs=4,
        minibatches=max(1, config.envs * config.steps_per_iteration // 1024),
        learning_rate=config.learning_rate,
        desired_kl=0.016,
        entropy=0.0,
        init_std=config.init_std,
    )
    model = {"class_name": "MLPModel"}
    return {
        "num_steps_per_env": ppo.steps,
        "save_interval": config.save_every,
        "obs_groups": {"actor": ["privileged"], "critic": ["privileged"]},
        "algorithm": {"class_name": "PPO"} | algorithm_settings(ppo),
        "actor": model | network_settings(ppo.hidden, ppo.init_std),
        "critic": model | network_settings(ppo.hidden),
    }
