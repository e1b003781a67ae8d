# SPDX-License-Identifier: Apache-2.0
"""Settings of the generalist job."""

from __future__ import annotations

from dataclasses import dataclass, field

from dexndm_ros.sim.randomise import Randomisation
from dexndm_ros.training.cli import ConfigError
from dexndm_ros.training.rollouts import Task

__all__ = ["GeneralistConfig", "check_config"]


@dataclass(frozen=True)
class GeneralistConfig:
    """One generalist run: from datasets, from rounds of rollouts, or rounds after the datasets.

    Attributes:
        out: run folder.
        data: datasets of ``dexndm rollouts policy``; they take the place of the rounds that oracles drive.
        epochs: over all data.
        buffer_rows: most rows of the data that are in memory at a time, and among which samples are shuffled.
        held_out: share of the trajectories that is not learned from.
        validation_rows: of those, so many are looked at whenever the loss on them is told.
        save_every: gradient steps on the data between two checkpoints.
        warm_up_steps: gradient steps on the data in which the learning rate rises; after them it falls to zero.
        tasks: what to clone in rounds.
        world: world everything is drawn around.
        physics: preset the rollouts run on.
        envs: parallel environments, shared by the tasks.
        oracle_rounds: rounds driven by the oracles; none with ``data``.
        student_rounds: rounds driven by the student (DAgger); with ``data``, none without ``tasks``.
        noise_std: largest action noise while the oracles drive.
        student_noise_std: the same while the student drives.
        joint_noise_rad: uniform noise on measured joint angles.
        width: of the network (paper: 1024).
        blocks: of the network (paper: 5).
        batch: samples a gradient step.
        passes: how often a round's worth of samples is drawn from all data, a round.
        final_epochs: epochs over all rounds' data at the end, learning rate falling to zero.
        learning_rate: of Adam.
        survivors_only: of the oracles' episodes keep only those that lasted (paper, section 3.1).
        seed: of worlds, grasps, noise, order and network.
        threads: physics threads.
        torch_threads: learner threads.
        init: run folder of a generalist of the same size to begin from, or empty.
        correction: run folder of ``dexndm train uan`` or ``asap`` that corrects the simulator, or empty.
        randomisation: of the worlds.
    """

    out: str = "runs/generalist"
    data: tuple[str, ...] = ()
    epochs: int = 4
    buffer_rows: int = 262_144
    held_out: float = 0.02
    validation_rows: int = 20_000
    save_every: int = 1000
    warm_up_steps: int = 200
    tasks: tuple[Task, ...] = ()
    world: str = "nominal"
    physics: str = "fast"
    envs: int = 256
    oracle_rounds: int = 4
    student_rounds: int = 12
    noise_std: float = 0.5
    student_noise_std: float = 0.15
    joint_noise_rad: float = 0.003
    width: int = 256
    blocks: int = 3
    batch: int = 1024
    passes: float = 3.0
    final_epochs: float = 3.0
    learning_rate: float = 6e-4
    survivors_only: bool = True
    seed: int = 7
    threads: int = 2
    torch_threads: int = 2
    init: str = ""
    correction: str = ""
    randomisation: Randomisation = field(default_factory=Randomisation)

    @property
    def rounds(self) -> tuple[int, int]:
        """Rounds driven by the oracles, and by the student."""
        if not self.data:
            return self.oracle_rounds, self.student_rounds
        return 0, self.student_rounds if self.tasks else 0


def check_config(config: GeneralistConfig) -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: names the setting.
    """
    if not config.data and not config.tasks:
        raise ConfigError(
            "there is nothing to clone: give --data DATASET ... (of `dexndm rollouts policy`), or tasks: in a YAML file"
        )
    least = {"epochs": 1, "batch": 2, "validation_rows": 1, "save_every": 1, "warm_up_steps": 0}
    for name, value in least.items():
        if getattr(config, name) < value:
            raise ConfigError(f"{name} must be at least {value}, got {getattr(config, name)}")
    if not 0.0 <= config.held_out <= 0.5:
        raise ConfigError(f"held_out must be from 0 to 0.5, got {config.held_out}")
