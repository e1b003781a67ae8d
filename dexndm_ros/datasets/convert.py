# SPDX-License-Identifier: Apache-2.0
"""The order of work: bags to parts, parts to data files, all of it into the dataset in one step.

Whatever ends it in the middle, the dataset is as it was, and the parts that are done are found by the next run.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dexndm_ros.bags.names import readable
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.data_file import DataFileSummary
from dexndm_ros.datasets.dataset_plan import write_file_job
from dexndm_ros.datasets.engine import Engine, open_engine
from dexndm_ros.datasets.engine import Outcome as Done
from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.datasets.jobs import BagDone, BagTask, bag_job
from dexndm_ros.datasets.missing import Missing, entries
from dexndm_ros.datasets.outcome import Outcome
from dexndm_ros.datasets.parts import Part, PartIndex, in_order
from dexndm_ros.datasets.plan import LeftOut, Plan, PlannedBag, find_bags
from dexndm_ros.datasets.progress import Progress, size
from dexndm_ros.datasets.provenance import read_existing
from dexndm_ros.datasets.store import Building, held

__all__ = ["ConvertOptions", "convert"]

_CLEAN, _WARNED, _REFUSED = 0, 1, 2
_PER_MILLE = 1000


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What was asked for.

    Attributes:
        words: which bags; see ``plan.find_bags``.
        dataset: the dataset's folder.
        config: how bags become episodes.
        export: a file or folder to write the dataset to once more, in another format; None = none.
        format: of the export.
        engine: who does the work.
        jobs: workers; None = all cores.
        salvage: take bags that were put aside or not finished.
        strict: a warning refuses.
        report: write the quality report too.
        dry_run: only say what would be taken.
    """

    words: tuple[str, ...]
    dataset: Path
    config: ConvertConfig
    export: Path | None = None
    format: Literal["lerobot", "hdf5", "zarr"] = "lerobot"
    engine: Literal["local", "ray"] = "local"
    jobs: int | None = None
    salvage: bool = False
    strict: bool = False
    report: bool = True
    dry_run: bool = False


def convert(options: ConvertOptions, progress: Progress, say: Callable[[str], None]) -> int:
    """Make or extend a dataset.

    Args:
        options: what was asked for.
        progress: shows how far it is.
        say: takes the lines of the summary.

    Returns:
        0 all is clean; 1 done, with warnings; 2 refused: the dataset is as it was.

    Raises:
        PlanError: a word that is no bag.
        DatasetError: there is something else where the dataset is to be, or a dataset of another configuration.
        DatasetWriteError: the disk refuses; what is done is kept.
        EngineError: the engine cannot be had.
        LockedError: another process converts into this dataset, or reads all of it.
    """
    if not options.words:
        with held(options.dataset):
            if options.export is not None:
                _export(options, progress, say)
            else:
                report_path = _report(options.dataset, options.dataset.absolute().name, progress)
                say(f"written anew: {report_path}")
        return _CLEAN
    plan = find_bags(options.words, options.salvage)
    if options.dry_run:
        return _dry_run(plan, options, say)
    with Building(options.dataset, options.config) as building:
        status = _Work(options, building, progress, say).run(plan)
        if options.export is not None and status != _REFUSED:
            _export(options, progress, say)
    return status


def _dry_run(plan: Plan, options: ConvertOptions, say: Callable[[str], None]) -> int:
    """What would be taken."""
    existing = read_existing(options.dataset.absolute())
    if existing.config_hash not in ("", options.config.hash):
        say(
            f"refused: {options.dataset} was converted in another way; use the same options, or another --out"
        )
        return _REFUSED
    for line in Outcome(left_out=plan.left_out).lines():
        say(line)
    for bag in plan.bags:
        say(f"{bag.path} ({size(bag.bytes)})")
    say(
        f"{len(plan.bags)} bags, {size(plan.bytes)}, would go into {options.dataset}, which has {existing.episodes} "
        "episodes; those of them that it has already are left out. Nothing was written"
    )
    return _CLEAN if plan.bags else _REFUSED


def _export(options: ConvertOptions, progress: Progress, say: Callable[[str], None]) -> None:
    """The dataset once more, in another format."""
    from dexndm_ros.datasets.export import export_dataset  # h5py, zarr

    assert options.export is not None
    assert options.format != "lerobot"
    with _share_of(progress, str(options.format)) as show:
        done = export_dataset(options.dataset.absolute(), options.export, options.format, show)
    say(f"{options.export}: {done}")


@contextlib.contextmanager
def _share_of(progress: Progress, what: str) -> Iterator[Callable[[float], None]]:
    """Shows a share that grows from 0 to 1."""
    progress.begin(what, 1, _PER_MILLE, "")
    shown = 0

    def show(share: float) -> None:
        nonlocal shown
        now = int(share * _PER_MILLE)
        progress.work(now - shown)
        shown = now

    yield show
    progress.end()


def _report(folder: Path, name: str, progress: Progress) -> Path:
    """Write the quality report into a dataset's folder.

    Args:
        folder: where the dataset is now.
        name: what it is called.
        progress: shows how far it is.
    """
    from dexndm_ros.datasets.report import REPORT_FILE, write_report  # matplotlib

    with _share_of(progress, "report") as show:
        write_report(folder, name, show)
    return folder / REPORT_FILE


def _report_command(dataset: Path) -> str:
    return f"`dexndm convert --out {shlex.quote(str(dataset))}`"


class _Work:
    """One run."""

    def __init__(
        self,
        options: ConvertOptions,
        building: Building,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._building = building
        self._known = {str(bag["sha256"]): int(bag["bytes"]) for bag in building.existing.bags}
        self._index = PartIndex(building.parts)
        self._found: dict[str, Part] = {}
        self._progress = progress
        self._say = say
        self._outcome = Outcome(left_out=())
        self._places: dict[Path, int] = {}

    def run(self, plan: Plan) -> int:
        """From bags to the new dataset; returns the exit status."""
        outcome, building, start_s = self._outcome, self._building, time.monotonic()
        outcome.left_out = plan.left_out
        self._places = {bag.path: place for place, bag in enumerate(plan.bags)}
        with open_engine(self._options.engine, self._options.jobs) as engine:
            self._convert_bags(plan, engine)
            outcome.parts = in_order(self._found.values())
            outcome.plan = building.plan([part.path for part in outcome.parts])
            if reason := self._reason_to_refuse(plan):
                self._tell(f"refused: {reason}")
                if not outcome.parts:
                    building.discard()
                return _REFUSED
            files = self._write_files(engine)
        outcome.seconds = time.monotonic() - start_s
        report = self._report if self._options.report else None
        where = building.dataset
        had_report = (where / "report.html").exists()
        done = building.commit(outcome.plan, files, report, self._missing(plan))
        if done.changed:
            if had_report and report is None:
                outcome.old_report = (
                    "the quality report that was there told nothing of the new bags and is gone; "
                    f"{_report_command(where)} writes it"
                )
            tell = f"{where}: {done.episodes} episodes, {done.rows:,} rows"
            if self._options.report and not outcome.no_report:
                tell += f"; what is in it and what was wrong: {where / 'report.html'}"
            self._tell(tell)
        else:
            self._tell(f"nothing new; {where} is as it was, with {done.episodes} episodes")
        return _WARNED if outcome.warnings else _CLEAN

    def _convert_bags(self, plan: Plan, engine: Engine) -> None:
        """Every bag's part, made now or before."""
        todo: list[PlannedBag] = []
        self._progress.begin("bags", len(plan.bags), plan.bytes, "B")
        for bag in plan.bags:
            if self._part_is_there(bag, self._index.sha256(bag.key)):
                self._progress.step(bag.bytes)
            else:
                todo.append(bag)
        if before := len(plan.bags) - len(todo):
            self._progress.say(f"{before} of {len(plan.bags)} bags were done by an earlier run")
        # A big one at the end would keep one core busy and the others idle.
        todo.sort(key=lambda bag: -bag.bytes)
        by_size: dict[int, list[str]] = {}
        for sha256, count in self._known.items():
            by_size.setdefault(count, []).append(sha256)
        tasks = (
            BagTask(bag.path, self._index.folder, self._options.config, tuple(by_size.get(bag.bytes, ())))
            for bag in todo
        )  # fmt: skip
        for done in engine.run(bag_job, tasks):
            bag = todo[done.number]
            self._bag_done(bag, done)
            self._progress.step(bag.bytes)
        self._progress.end()

    def _bag_done(self, bag: PlannedBag, done: Done) -> None:
        """A worker has come back from a bag."""
        if done.error is not None:
            raise done.error
        if done.died:
            self._failed(
                bag, "a worker died of it, again and again: out of memory? use fewer --jobs"
            )
            return
        if done.again:
            self._outcome.again.append(bag.path)
        result: BagDone = done.value
        if result.failure:
            if result.trace and os.environ.get("DEXNDM_TRACEBACK"):
                self._progress.say(result.trace)
            self._failed(bag, result.failure)
        elif result.known:
            self._outcome.known += 1
        else:
            self._index.add(bag.key, result.sha256)
            if not self._part_is_there(bag, result.sha256):
                self._failed(bag, "its part file cannot be read back; run the same command again")

    def _part_is_there(self, bag: PlannedBag, sha256: str) -> bool:
        """Take the part of a bag, if it can be read."""
        if not sha256:
            return False
        if before := self._found.get(sha256):
            self._outcome.twice.append(bag.path)
            # Whole under one name is whole.
            aside = before.put_aside and bag.put_aside
            self._found[sha256] = replace(before, put_aside=aside)
            return True
        part = self._index.part(sha256, bag.put_aside)
        if part is None:
            return False
        self._found[sha256] = part
        self._outcome.bytes += bag.bytes
        return True

    def _failed(self, bag: PlannedBag, reason: str) -> None:
        where = str(bag.path)  # is told before the reason
        reason = reason.removeprefix(f"{where}: ").replace(where + os.sep, "").replace(where, bag.name)  # fmt: skip
        self._outcome.failed.append(LeftOut(bag.path, reason, bag.campaign))
        if (
            len(self._outcome.failed) == 1
        ):  # so that nobody waits an hour to hear it; the others are in the summary
            self._progress.say(f"{bag.path}: {reason}")

    def _reason_to_refuse(self, plan: Plan) -> str:
        """Why the dataset is to stay as it is; "" = it is not."""
        outcome = self._outcome
        if not plan.bags:
            return f"none of the {len(plan.left_out)} bags is taken"
        if not outcome.parts and not outcome.known:
            return "none of the bags could be converted"
        if outcome.parts and not outcome.plan.episodes and not self._building.existing.episodes:
            return "no episode of the bags can be used, and a dataset without episodes is of no use"
        if self._options.strict and outcome.warnings:
            return f"{outcome.warnings} warnings, and --strict; without it the rest would be taken"
        return ""

    def _write_files(self, engine: Engine) -> list[DataFileSummary]:
        """The new data files, in their order."""
        tasks = self._outcome.plan.tasks_to_do
        if not tasks:
            return []
        self._progress.begin("data files", len(tasks), self._outcome.plan.rows, "rows")
        files: dict[int, DataFileSummary] = {}
        for done in engine.run(write_file_job, tasks):
            if done.error is not None:
                raise done.error
            if done.died:
                raise DatasetWriteError(
                    "a worker died while it wrote a data file: out of memory? What is done is kept: run the same "
                    "command again with fewer --jobs"
                )
            files[done.number] = done.value
            self._progress.step(tasks[done.number].rows)
        self._progress.end()
        return [files[number] for number in range(len(tasks))]

    def _missing(self, plan: Plan) -> Missing:
        """Bags that were not taken, and those that were."""
        failed = {each.path for each in self._outcome.failed}
        taken = [(bag.campaign, readable(bag.name)) for bag in plan.bags if bag.path not in failed]
        return Missing(entries(self._outcome.failed), entries(self._outcome.left_out), tuple(taken))

    def _report(self, folder: Path) -> None:
        dataset = self._building.dataset
        try:
            _report(folder, dataset.name, self._progress)
        except DatasetWriteError:
            raise
        except Exception as error:  # a night's data does not depend on a picture
            self._progress.end()
            self._outcome.no_report = (
                f"the quality report is missing ({type(error).__name__}: {error}); "
                f"{_report_command(dataset)} writes it"
            )

    def _tell(self, end: str) -> None:
        self._outcome.failed.sort(key=lambda each: self._places[each.path])
        for line in self._outcome.lines():
            self._say(line)
        self._say(end)
