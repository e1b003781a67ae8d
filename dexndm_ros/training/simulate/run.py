# SPDX-License-Identifier: Apache-2.0
"""The order of work: blocks to parts, parts to data files, all of it into the dataset in one step.

Whatever ends it in the middle, the dataset is as it was, and the next run finds the blocks that are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dexndm_ros import __version__
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.data_file import DataFileSummary
from dexndm_ros.datasets.dataset_plan import DatasetPlan, write_file_job
from dexndm_ros.datasets.engine import Engine, open_engine
from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.progress import Progress, duration
from dexndm_ros.datasets.provenance import Existing
from dexndm_ros.datasets.store import Building
from dexndm_ros.policy.spec import refusal
from dexndm_ros.replay.library import STEPS, open_source
from dexndm_ros.sim.env import EnvConfig
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.controllers import is_oracle, refused_residual
from dexndm_ros.training.progress import commit_id
from dexndm_ros.training.simulate.blocks import Block, replay_blocks, rollout_block
from dexndm_ros.training.simulate.config import (
    ReplayConfig,
    RolloutConfig,
    SimulateError,
    on_any_machine,
)
from dexndm_ros.training.simulate.tasks import Task
from dexndm_ros.training.simulate.work import BlockTask, block_done, block_job

__all__ = ["simulate"]


def simulate(
    config: RolloutConfig | ReplayConfig, progress: Progress, say: Callable[[str], None]
) -> int:
    """Make or extend a dataset.

    Args:
        config: what is asked for.
        progress: shows how far it is.
        say: takes the lines of the summary.

    Returns:
        Episodes that were added.

    Raises:
        SimulateError: settings that do not fit the world, or a policy that holds hardly anything.
        WorldError: no such world. LibraryError: no such trajectories. PathError, PolicySpecError: no such policy.
        ControllerError: a residual beside an oracle, or noise beside a policy file.
        EngineError: the engine cannot be had.
        DatasetError: something else is where the dataset is to be.
        DatasetWriteError: the disk refuses; what is done is kept.
        LockedError: another process adds to this dataset.
    """
    config = on_any_machine(config)
    world = World.load(config.world)
    begin_s = time.monotonic()
    known: dict[str, int] = {}
    tasks = _tasks(config, world, known, say)
    with Building(config.out, ConvertConfig()) as building:
        known.update(_known(building.existing))
        building.parts.mkdir(exist_ok=True)
        made_by = f"dexndm_ros {__version__}, commit {commit_id()}"
        with open_engine(config.engine, config.processes) as engine:
            for task in tasks:
                _simulate(task, engine, building.parts, made_by, progress)
            parts = [path for task in tasks for path in task.parts(building.parts, made_by)]
            plan = building.plan(parts)
            files = _write_files(plan, engine, progress)
        passed_s = time.monotonic() - begin_s
        wanted = config.report
        done = building.commit(plan, files, _reporter(building.dataset.name, progress, wanted))
        for task in tasks:
            _tell(task, say)
        if not done.changed:
            say(f"nothing new; {building.dataset} is as it was, with {done.episodes} episodes")
            return 0
        rate = f"{plan.rows / passed_s:,.0f} transitions/s"
        say(
            f"{plan.episodes} episodes, {plan.rows:,} transitions in {duration(passed_s)} ({rate}); "
            f"{building.dataset} has {done.episodes} episodes now"
        )
        return plan.episodes


def _known(existing: Existing) -> dict[str, int]:
    """Blocks that the dataset has, with their episodes of use: also those that it had from a shorter one before."""
    return {
        str(bag["sha256"]): int(bag["provenance"]["of_use"])
        for bag in existing.bags
        if "of_use" in bag["provenance"]
    }


def _tasks(
    config: RolloutConfig | ReplayConfig,
    world: World,
    known: dict[str, int],
    say: Callable[[str], None],
) -> list[Task]:
    """What is to be done, all of it looked at before the first step."""
    if isinstance(config, ReplayConfig):
        source = open_source(config.library, config.seed, config.noise)
        return [
            Task.of_blocks(
                f"replays, {wrist or world.wrist}", replay_blocks(config, world, wrist, source), known
            )
            for wrist in config.wrists
        ]  # fmt: skip
    if world.object.kind == "none":
        raise SimulateError(f"world {world.name!r} has no object to turn; use one with an object")
    # Opened here once, so that a wrong one is told now and in its own words.
    if refused := refused_residual(config.policy, config.residual):
        say(refusal(refused))
    if config.noise_std and not is_oracle(config.policy):
        raise SimulateError(
            f"noise_std: only an oracle says what it would have done without noise, and {config.policy} is a policy "
            "file; give the run folder of an oracle, or leave noise_std out"
        )
    if config.draw_tasks:
        return [_rollouts(config, world, "", "", known)]
    return [
        _rollouts(config, world, wrist, axis, known)
        for wrist in config.wrists
        for axis in config.axes
    ]


def _rollouts(
    config: RolloutConfig, world: World, wrist: str, axis: str, known: dict[str, int]
) -> Task:
    def make(number: int) -> Block:
        return rollout_block(config, world, wrist, axis, number)

    words = "rollouts" if config.draw_tasks else f"rollouts, {wrist or world.wrist} {axis}"
    return Task(words, make, config.block, config.episodes, config.survivors_only, known)


def _simulate(
    task: Task, engine: Engine, folder: Path, made_by: str, progress: Progress
) -> None:  # fmt: skip
    """Every block of a task that is needed and not there."""
    while blocks := task.missing():
        todo = []
        for block in blocks:
            before = block_done(folder, block.sha256)
            if before is None:
                todo.append(block)
            else:
                task.note(block, before)
        if before_count := len(blocks) - len(todo):
            progress.say(f"{task.words}: {before_count} of {len(blocks)} blocks were done before")
        steps = [_steps(block) for block in todo]
        progress.begin(task.words, len(todo), sum(steps), "steps")
        jobs = (BlockTask(block, folder, made_by) for block in todo)
        for done in engine.run(block_job, jobs):
            if done.error is not None:
                raise done.error
            if done.died:
                raise SimulateError(
                    f"{task.words}: a worker died of block {todo[done.number].number} again and again: out of "
                    "memory? use fewer jobs or a smaller block; what is done is kept"
                )
            task.note(todo[done.number], done.value)
            progress.step(steps[done.number])
        progress.end()


def _steps(block: Block) -> int:
    if isinstance(block.config, RolloutConfig):
        return block.config.block * EnvConfig.episode_steps
    return len(block.entries) * STEPS


def _write_files(plan: DatasetPlan, engine: Engine, progress: Progress) -> list[DataFileSummary]:
    """The new data files, in their order."""
    tasks = plan.tasks_to_do
    progress.begin("data files", len(tasks), plan.rows, "rows")
    files: dict[int, DataFileSummary] = {}
    for done in engine.run(write_file_job, tasks):
        if done.error is not None:
            raise done.error
        if done.died:
            raise DatasetWriteError(
                "a worker died while it wrote a data file: out of memory? What is done is kept: run the same command "
                "again with fewer jobs"
            )
        files[done.number] = done.value
        progress.step(tasks[done.number].rows)
    progress.end()
    return [files[number] for number in range(len(tasks))]


def _reporter(name: str, progress: Progress, wanted: bool) -> Callable[[Path], object] | None:
    if not wanted:
        return None

    def write(folder: Path) -> None:
        from dexndm_ros.datasets.report import write_report  # matplotlib

        progress.begin("report", 1, 1000, "")
        shown = 0

        def show(share: float) -> None:
            nonlocal shown
            progress.work(int(share * 1000) - shown)
            shown = int(share * 1000)

        try:
            write_report(folder, name, show)
        except DatasetWriteError:
            raise
        except (DatasetError, ImportError, ValueError) as error:
            progress.say(
                f"the quality report is missing ({error}); `dexndm convert --out {name}` writes it later"
            )
        finally:
            progress.end()

    return write


def _tell(task: Task, say: Callable[[str], None]) -> None:
    episodes, fell, bad = task.outcome()
    if episodes:
        lost = f", {fell} lost the object" if fell else ""
        gone = f", {bad} are no use (the simulation ran away, or they are too short)" if bad else ""
        say(f"{task.words}: {episodes} simulated{lost}{gone}; {task.wanted} wanted")
