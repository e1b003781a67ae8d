# SPDX-License-Identifier: Apache-2.0
"""Settings of retraining."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from dexndm_ros.policy.wrist import AxisError, parse_axis
from dexndm_ros.sim.randomise import Randomisation
from dexndm_ros.sim.worlds import World, WorldError
from dexndm_ros.training.cli import ConfigError

__all__ = ["RetrainConfig", "completed", "parse_tasks"]


@dataclass(frozen=True)
class RetrainConfig:
    """One run: oracles that go on learning, then a student of theirs that goes on learning.

    Attributes:
        out: run folder.
        world: identified world file, or shipped name; empty = the one that the correction was trained for.
        correction: run folder of ``dexndm train uan`` or ``asap`` that corrects the simulator, or empty.
        tasks: wrist:axis, comma separated.
        base: shipped policy or policy file to begin from, with the runs of oracles and generalist that it came from
            beside it.
        physics: preset to train on.
        oracle_steps: control steps of each oracle.
        oracle_std: action noise that an oracle begins with; it has learned already.
        oracle_learning_rate: at the begin.
        oracle_rounds: rounds of the student that the oracles drive.
        student_rounds: rounds that the student drives.
        passes: how often a round's worth of samples is drawn from all data, a round.
        final_epochs: epochs over all data at the end.
        learning_rate: of the student.
        envs: parallel environments.
        grasps: size of an oracle's grasp cache.
        seed: of worlds, grasps, starts and noise.
        threads: physics threads.
        torch_threads: learner threads.
        randomisation: objects fully, gains narrowly about those of the world.
    """

    out: str = "runs/retrained"
    world: str = ""
    correction: str = ""
    tasks: str = "palm_up:+z,palm_down:+z"
    base: str = "cylinder_z"
    physics: str = "fast"
    oracle_steps: int = 400_000
    oracle_std: float = 0.3
    oracle_learning_rate: float = 2e-4
    oracle_rounds: int = 1
    student_rounds: int = 4
    passes: float = 2.0
    final_epochs: float = 2.0
    learning_rate: float = 3e-4
    envs: int = 256
    grasps: int = 3000
    seed: int = 0
    threads: int = 2
    torch_threads: int = 1
    randomisation: Randomisation = field(
        default_factory=lambda: Randomisation(kp_scale=(0.9, 1.1), kd_scale=(0.9, 1.1))
    )


def parse_tasks(text: str) -> tuple[tuple[str, str], ...]:
    """(wrist, axis) of each task.

    Raises:
        ConfigError: none, or one that is no wrist:axis.
    """
    tasks = []
    for word in text.split(","):
        wrist, _, axis = word.strip().partition(":")
        try:
            World(wrist=wrist)
            parse_axis(axis)
        except (WorldError, AxisError) as error:
            raise ConfigError(
                f"tasks: {word!r} is no wrist:axis such as palm_up:+z: {error}"
            ) from error
        tasks.append((wrist, axis))
    if len(set(tasks)) != len(tasks):
        raise ConfigError(f"tasks: {text!r} names one twice")
    return tuple(tasks)


def completed(config: RetrainConfig) -> RetrainConfig:
    """The same settings with a world, or a refusal of what cannot be done.

    Raises:
        ConfigError: names the setting.
        CorrectionError: the correction cannot be read.
    """
    tasks = parse_tasks(config.tasks)
    least = {"oracle_steps": 1, "oracle_rounds": 1, "student_rounds": 0, "envs": len(tasks)}
    for name, value in least.items():
        if getattr(config, name) < value:
            raise ConfigError(f"{name} must be at least {value}, got {getattr(config, name)}")
    if not config.world and not config.correction:
        raise ConfigError("give --world FILE (an identified world), --correction RUN, or both")
    world = config.world
    if config.correction:
        from dexndm_ros.training.corrections.load import read_checkpoint

        world = world or read_checkpoint(Path(config.correction))["config"]["world"]
    try:
        base = World.load(world)
    except (WorldError, OSError) as error:
        raise ConfigError(f"world: {error}") from error
    if base.object.kind == "none":
        raise ConfigError(f"world: {base.name!r} has no object to turn; add one to the file")
    return replace(config, world=world)
