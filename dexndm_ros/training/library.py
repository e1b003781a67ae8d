# SPDX-License-Identifier: Apache-2.0
"""Library job: roll policies out in drawn worlds and keep the targets of the episodes that lasted.

    dexndm library build --out runs/library.parquet --wrist palm_up,palm_down --axis=+z,-z --count 64

As in the paper (section C) only whole episodes are kept: 400 steps, the object held to the end. Worlds and grasps
are drawn as in ``evaluate``, from seeds of their own. The same settings give the same file.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexndm_ros import __version__
from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, UPPER_RAD
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.wrist import WRISTS, parse_axis
from dexndm_ros.replay.library_format import LibraryWriter
from dexndm_ros.replay.trajectory import STEPS, Trajectory
from dexndm_ros.sim.env import RotationEnv
from dexndm_ros.sim.randomise import Randomisation
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import open_controller
from dexndm_ros.training.episodes import unseen_env
from dexndm_ros.training.progress import Progress, commit_id

__all__ = ["GRID_RAD", "BuildConfig", "BuildError", "BuildTask", "build_library"]

GRID_RAD = 2.0**-14
"""Targets are rounded to this, a 25th of a servo's tick: that makes the file shrink."""
_EXPECTED_SURVIVAL = 0.85
_LEAST_ENVS = 8
_MOST_TRIES = 20  # episodes for each trajectory wanted, before the policy is given up
_LEAST_TRIES = 32


class BuildError(ValueError):
    """A library that cannot be built; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class BuildTask:
    """What to roll out.

    Attributes:
        wrist: wrist orientation by name.
        axis: rotation axis, as ``parse_axis`` reads it.
        policy: policy file, shipped name, or run folder of an oracle.
    """

    wrist: str
    axis: str
    policy: str


@dataclass(frozen=True)
class BuildConfig:
    """One library.

    Attributes:
        out: file to write.
        tasks: what to roll out.
        count: trajectories of each task.
        world: world everything is drawn around.
        physics: preset the rollouts run on.
        randomisation: of the worlds, or None.
        residual: residual policy file, or empty.
        seed: of worlds and grasps.
        envs: most hands at once.
        threads: physics threads.
    """

    out: Path
    tasks: tuple[BuildTask, ...]
    count: int = 64
    world: str = "nominal"
    physics: str = "ref"
    randomisation: Randomisation | None = dataclasses.field(default_factory=Randomisation)
    residual: str = ""
    seed: int = 0
    envs: int = 256
    threads: int = 2

    def __post_init__(self) -> None:
        """Refuse what could not become a library.

        Raises:
            BuildError: naming the value and what is allowed.
            AxisError: an axis that is none.
        """
        if not self.tasks:
            raise BuildError("no task: name at least one wrist, axis and policy")
        for name in ("count", "envs", "threads"):
            if getattr(self, name) < 1:
                raise BuildError(f"{name} must be at least 1, got {getattr(self, name)}")
        pairs = [(task.wrist, task.axis, task.policy) for task in self.tasks]
        if len(set(pairs)) < len(pairs):
            raise BuildError("a task is named twice: its trajectories would be the same ones")
        for task in self.tasks:
            if task.wrist not in WRISTS:
                raise BuildError(f"wrist {task.wrist!r} is none of {', '.join(WRISTS)}")
            if not parse_axis(task.axis).any():
                raise BuildError(
                    f"axis {task.axis!r}: a policy that is to stop gives nothing to replay"
                )


@dataclass(frozen=True)
class TaskReport:
    """How a task went.

    Attributes:
        task: what was rolled out.
        episodes: rolled out.
        survived: of these, held to the end.
    """

    task: BuildTask
    episodes: int
    survived: int


def build_library(config: BuildConfig, quiet: bool = False) -> list[TaskReport]:
    """Roll out and write; the file appears only when it is whole.

    Args:
        config: what to build.
        quiet: no progress bar.

    Raises:
        BuildError: a policy holds nothing for 400 steps, or hardly ever.
        LibraryError: targets that must not be replayed, e.g. steps that are too large.
    """
    bar = None if quiet else Progress(config.count * len(config.tasks) * STEPS, "library")
    reports: list[TaskReport] = []
    with LibraryWriter(config.out, _provenance(config)) as writer:
        for number, task in enumerate(config.tasks):

            def show(steps: int, first: int = number * config.count, t: BuildTask = task) -> None:
                if bar is not None:
                    bar.update(first * STEPS + steps, f"{t.wrist} {t.axis}")

            reports.append(_add_task(writer, config, task, number * config.count, show))
    if bar is not None:
        bar.close()
    return reports


def _add_task(
    writer: LibraryWriter,
    config: BuildConfig,
    task: BuildTask,
    first_id: int,
    show: Callable[[int], None],
) -> TaskReport:
    """Write the trajectories of a task; those of the last round that are too many are left out."""
    episodes = survived = kept = 0
    for targets, tried in _survivors(config, task, show):
        for row in targets[: config.count - kept]:
            writer.add(
                Trajectory(
                    id=first_id + kept,
                    wrist=task.wrist,
                    axis=tuple(parse_axis(task.axis).tolist()),
                    object_set=_world(config, task).object.kind,
                    source=_policy_name(task.policy),
                    targets_rad=row.astype(np.float64),
                )
            )
            kept += 1
        episodes += tried
        survived += len(targets)
    return TaskReport(task, episodes, survived)


def _survivors(
    config: BuildConfig, task: BuildTask, show: Callable[[int], None]
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Rounds of episodes until there are enough: targets of the survivors (n, 400, 16), and episodes run."""
    kept = tried = round_number = 0
    share = _EXPECTED_SURVIVAL
    while kept < config.count:
        if tried >= max(_MOST_TRIES * config.count, _LEAST_TRIES):
            raise BuildError(
                f"{task.policy}, {task.wrist} {task.axis}: the object was held to the end in {kept} of "
                f"{tried} episodes, {config.count} are wanted; take a policy that masters this wrist and axis"
            )
        missing = config.count - kept
        envs = min(max(int(np.ceil(missing / share)), _LEAST_ENVS), config.envs)
        seed = _round_seed(config.seed, task, round_number)
        axis = parse_axis(task.axis)
        ranges, threads = config.randomisation, config.threads
        env = unseen_env(_world(config, task), axis, envs, seed, ranges, threads=threads)

        def on_step(step: int, done: int = kept * STEPS, hope: int = min(missing, envs)) -> None:
            show(done + step * hope)

        targets, alive = _roll_out(env, task.policy, config.residual, on_step)
        yield targets[alive], envs
        kept += int(alive.sum())
        tried += envs
        round_number += 1
        share = max(kept / tried, 1.0 / _MOST_TRIES)
        show(min(kept, config.count) * STEPS)


def _roll_out(
    env: RotationEnv, policy: str, residual: str, on_step: Callable[[int], None]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One episode in every environment: executed targets (N, 400, 16) on the grid, and who held to the end."""
    control = open_controller(policy, residual, env.count)
    targets = np.empty((env.count, STEPS, JOINT_COUNT), dtype=np.float32)
    alive = np.ones(env.count, dtype=bool)
    for step in range(STEPS):
        alive &= ~control(env, step == 0).terminated
        targets[:, step] = np.clip(
            np.round(env.executed / GRID_RAD) * GRID_RAD, LOWER_RAD, UPPER_RAD
        )
        on_step(step + 1)
    return targets, alive & env.batch.finite()


def _round_seed(seed: int, task: BuildTask, round_number: int) -> int:
    """A task draws the same worlds whatever other tasks are in the library."""
    text = f"{seed}/{task.wrist}/{parse_axis(task.axis).tolist()}/{round_number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def _world(config: BuildConfig, task: BuildTask) -> World:
    base = World.load(config.world)
    return dataclasses.replace(base, wrist=task.wrist, physics=config.physics)


def _policy_file(policy: str) -> Path:
    oracle = Path(policy) / "oracle.pt"
    return oracle if oracle.is_file() else policy_path(policy)


def _policy_name(policy: str) -> str:
    """A policy's name without the folders of the machine that it lies on."""
    file = _policy_file(policy)
    return f"{file.parent.name}/{file.stem}"


def _provenance(config: BuildConfig) -> dict[str, Any]:
    files = {_policy_name(task.policy): _policy_file(task.policy) for task in config.tasks}
    if config.residual:
        files["residual"] = Path(config.residual)
    return {
        "made_by": f"dexndm_ros {__version__}, commit {commit_id()}, mujoco {mujoco.__version__}",
        "policy_sha256": {
            name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()
        },
        "seed": config.seed,
        "count": config.count,
        "grid_rad": GRID_RAD,
        "tasks": [
            dataclasses.asdict(task) | {"policy": _policy_name(task.policy)}
            for task in config.tasks
        ],
        "world": dataclasses.asdict(_world(config, config.tasks[0])) | {"wrist": "of the task"},
        "randomisation": dataclasses.asdict(config.randomisation) if config.randomisation else None,
    }
