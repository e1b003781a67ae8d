# SPDX-License-Identifier: Apache-2.0
"""A dataset that is being made or added to: beside the one that exists, and changed for it in one step at the end.

``DATASET`` is never written to. Everything new grows in ``.NAME.building`` beside it, on the same filesystem: parts,
data files, and at last a whole new folder in which the old data files are links. That folder and the old one then
exchange their names. Whatever ends the process before, the old dataset is there as it was, and what was done is found
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from dexndm_ros.bags.names import readable
from dexndm_ros.datasets.card import write_card
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.data_file import DataFileSummary, rows_path
from dexndm_ros.datasets.dataset_plan import DatasetPlan, plan_files
from dexndm_ros.datasets.episode_table import (
    FactTypes,
    fact_types,
    finish_rows,
    retype,
    types_of_file,
    unite,
)
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.files import exchange, link, new_file, refused, sync_folder, sync_tree
from dexndm_ros.datasets.layout import (
    data_path,
    dataset_stats,
    episodes_path,
    place,
    write_info,
    write_stats,
    write_tasks,
)
from dexndm_ros.datasets.missing import Missing, still_missing
from dexndm_ros.datasets.provenance import (
    Existing,
    differences,
    read_existing,
    write_provenance,
)
from dexndm_ros.replay.lock import FileLock

__all__ = ["Building", "Committed", "held"]

_REWRITTEN = (
    "meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/provenance.json", "README.md", "report.html",
    "quality.json",
)  # fmt: skip


@dataclass(frozen=True)
class Committed:
    """What a commit did.

    Attributes:
        changed: False = there was nothing new, and not a byte was written.
        episodes: in the dataset now.
        rows: in the dataset now.
    """

    changed: bool
    episodes: int
    rows: int


def _locked(dataset: Path) -> FileLock:
    """The right to change a dataset, and to read it while nobody else changes it."""
    if not dataset.name:
        raise DatasetError(f"{dataset} cannot be the folder of a dataset: give it a name")
    if readable(str(dataset)) != str(dataset):
        raise DatasetError(
            f"{dataset} is not UTF-8, and what reads datasets cannot open such a path: give another folder"
        )
    with refused(dataset):
        dataset.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(dataset.with_name(f".{dataset.name}.lock"), str(dataset), "dexndm convert")


@contextlib.contextmanager
def held(dataset: Path) -> Iterator[None]:
    """Nobody changes a dataset meanwhile: for those who read all of it, or write its report.

    Args:
        dataset: its folder.

    Raises:
        LockedError: another process is about to change it.
        DatasetError: its path is none that a dataset can have.
        DatasetWriteError: the disk refuses the lock's file.
    """
    with _locked(dataset.resolve()):
        yield


class Building:
    """The right to add to a dataset, and the folder in which that is prepared.

    Args:
        dataset: its folder; need not exist.
        config: how bags are converted; a dataset that exists must have been made with the same.

    Raises:
        DatasetError: something else is there, or a dataset of another configuration.
        LockedError: another process adds to it.
        DatasetWriteError: the disk refuses.
    """

    def __init__(self, dataset: Path, config: ConvertConfig) -> None:
        self.dataset = dataset.resolve()  # what a link leads to is exchanged, not the link
        self.config = config
        self._lock = _locked(self.dataset)
        self.folder = self.dataset.with_name(f".{self.dataset.name}.building")
        self._old = self.folder / "old"
        try:
            with refused(self.dataset):
                self._recover()
            self.existing: Existing = read_existing(self.dataset)
            self._check_config()
            with refused(self.folder):
                self._prepare()
        except BaseException:
            self._lock.release()
            raise

    @property
    def parts(self) -> Path:
        """Folder of the part files."""
        return self.folder / "parts"

    def plan(self, parts: Sequence[Path]) -> DatasetPlan:
        """What is to be added.

        Args:
            parts: part files in the order of their bags; those of bags that the dataset has are left out.

        Raises:
            DatasetError: a part cannot be read.
        """
        return plan_files(parts, self.existing, self.folder / "files", self.config.rate_hz)

    def commit(
        self,
        plan: DatasetPlan,
        files: Sequence[DataFileSummary],
        report: Callable[[Path], object] | None = None,
        missing: Missing = Missing(),  # noqa: B008 - frozen
    ) -> Committed:
        """Put the new dataset in the place of the old one, and clear the building folder away.

        Args:
            plan: what is added.
            files: of its tasks, in their order.
            report: writes more files into the folder that it is given, which is whole otherwise.
            missing: bags that were not taken; those that were told before and are added now are forgotten.

        Raises:
            DatasetWriteError: the disk refuses; the old dataset is as it was.
            DatasetError: the parts do not fit together.
        """
        old = self.existing
        if not plan.bags:
            self.discard()
            return Committed(False, old.episodes, old.rows)
        bags = (*old.bags, *plan.bags)
        whole = Existing(
            config=self.config.to_dict(),
            config_hash=self.config.hash,
            bags=bags,
            rejected=(*old.rejected, *plan.rejected),
            files=(*old.files, *files),
            tasks=plan.tasks,
            missing=still_missing(old.missing, missing, bags),
        )
        if not whole.episodes:
            raise DatasetError(
                f"none of the episodes can be used, and {self.dataset} would be a dataset without any: "
                "see why each was left out"
            )
        new = self.folder / "new" / self.dataset.name
        with refused(self.dataset):
            try:
                (new / "meta").mkdir(parents=True)
                self._carry_over(new)
                self._write_episodes(new, plan)
                self._write_meta(new, whole)
                if report is not None:
                    report(new)
                sync_tree(new)
                self._put_in_place(new)
            finally:
                shutil.rmtree(new.parent, ignore_errors=True)
        self.existing = replace(whole, lengths={**old.lengths, **plan.lengths})
        self.discard()
        return Committed(True, whole.episodes, whole.rows)

    def discard(self) -> None:
        """Remove the building folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let others add to the dataset; what was not committed is found again by the next one."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_config(self) -> None:
        known = self.existing.config_hash
        if not known or known == self.config.hash:
            return
        found = differences(self.existing.config, json.loads(json.dumps(self.config.to_dict())))
        raise DatasetError(
            f"{self.dataset} was converted in another way: {'; '.join(found) or 'by another version'}. Rows of two "
            "kinds do not mix: use the same options, or another --out"
        )

    def _prepare(self) -> None:
        """The building folder, empty unless it is of the same configuration."""
        mark = self.folder / "config"
        try:
            same = mark.read_text(encoding="utf-8") == self.config.hash
        except (FileNotFoundError, UnicodeDecodeError):
            same = False
        if not same:
            shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.folder / "new", ignore_errors=True)
        self.parts.mkdir(parents=True, exist_ok=True)
        (self.folder / "files").mkdir(exist_ok=True)
        if not same:
            with new_file(mark) as file:
                file.write(self.config.hash.encode())

    def _carry_over(self, new: Path) -> None:
        """Links to all files of the old dataset that stay, also to those that a person put there."""
        if not self.dataset.is_dir():
            return
        for where, folders, files in os.walk(self.dataset, onerror=_raise):
            inside = Path(where).relative_to(self.dataset)
            (new / inside).mkdir(parents=True, exist_ok=True)
            for name in [each for each in folders if (Path(where) / each).is_symlink()] + files:
                source = Path(where) / name
                if (inside / name).as_posix() in _REWRITTEN:
                    continue
                if source.is_symlink():
                    (new / inside / name).symlink_to(source.readlink())
                else:
                    link(source, new / inside / name)

    def _write_episodes(self, new: Path, plan: DatasetPlan) -> None:
        """``data/`` and ``meta/episodes``: what is added, and what is there where its facts need other types now."""
        first = len(self.existing.files)
        there = [new / episodes_path(number) for number in range(first)]
        schemas = [types_of_file(path) for path in there]
        types: FactTypes = {}
        for each in [*schemas, *(fact_types(rows_path(task.target)) for task in plan.tasks_to_do)]:
            types = unite(types, each)
        for path, known in zip(there, schemas, strict=True):
            if known != types:
                retype(path, path, types)
        for number, task in enumerate(plan.tasks_to_do, first):
            link(task.target, new / data_path(number))
            target = new / episodes_path(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            finish_rows(rows_path(task.target), target, types, *place(number))

    def _write_meta(self, new: Path, whole: Existing) -> None:
        rate_hz = self.config.rate_hz
        features = self.config.features
        write_info(new, whole.episodes, whole.rows, len(whole.tasks), rate_hz, features)
        write_tasks(new, whole.tasks)
        files = [new / episodes_path(number) for number in range(len(whole.files))]
        write_stats(new, dataset_stats(files, features))
        write_provenance(new, whole)
        write_card(new, whole, rate_hz, self.dataset / "README.md", features)

    def _put_in_place(self, new: Path) -> None:
        sync_folder(new.parent)
        if not self.dataset.exists():
            new.rename(self.dataset)
            sync_folder(self.dataset.parent)
            return
        new.chmod(stat.S_IMODE(self.dataset.stat().st_mode))
        if not exchange(new, self.dataset):
            # Between these two there is no dataset of that name; _recover puts that right after a death.
            self.dataset.rename(self._old)
            new.rename(self.dataset)
            shutil.rmtree(self._old, ignore_errors=True)
        sync_folder(self.dataset.parent)

    def _recover(self) -> None:
        """After a death between two renames: the old dataset gets its name back, or goes if the new one has it."""
        if not self._old.is_dir():
            return
        if self.dataset.exists():
            shutil.rmtree(self._old)
        else:
            self._old.rename(self.dataset)


def _raise(error: OSError) -> None:
    """A folder that cannot be read cannot be carried over either."""
    raise error
