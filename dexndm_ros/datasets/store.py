# SPDX-License-Identifier: Apache-2.0
"""A dataset that is being made or added to: beside the one that exists, and changed for it in one step at the end.

``DATASET`` is never written to. Everything new grows in ``.NAME.building`` beside it, on the same filesystem: parts,
data files, and at last a whole new folder in which the old data files are links. That folder and the old one then
exchange their names. Whatever ends the process before, the old dataset is there as it was, and what was done is found
again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dexndm_ros.datasets.card import write_card
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.data_file import DataFileSummary, rows_path
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
from dexndm_ros.datasets.provenance import (
    Existing,
    bag_entry,
    differences,
    read_existing,
    rejected_entries,
    write_provenance,
)
from dexndm_ros.datasets.take import TakenBag
from dexndm_ros.replay.lock import FileLock

__all__ = ["Committed", "DatasetStore"]

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


class DatasetStore:
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
        self.dataset = dataset.absolute()
        self.config = config
        beside = self.dataset.parent
        name = self.dataset.name
        if not name:
            raise DatasetError(f"{dataset} cannot be the folder of a dataset: give it a name")
        self.folder = beside / f".{name}.building"
        self._old = beside / f".{name}.old"
        with refused(self.folder):
            beside.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(beside / f".{name}.lock", str(self.dataset), "dexndm convert")
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

    @property
    def bags(self) -> Mapping[str, int]:
        """SHA-256 of the dataset's bags, and their sizes in bytes."""
        return {each["sha256"]: each["bytes"] for each in self.existing.bags}

    @property
    def identities(self) -> Mapping[str, str]:
        """Of the dataset's episodes, and the bag each is from."""
        return self.existing.identities

    @property
    def episodes(self) -> int:
        """In the dataset."""
        return self.existing.episodes

    @property
    def rows(self) -> int:
        """In the dataset."""
        return self.existing.rows

    @property
    def tasks(self) -> Mapping[str, int]:
        """Of the dataset, and their indices."""
        return {task: index for index, task in enumerate(self.existing.tasks)}

    def data_file(self, number: int) -> Path:
        """Where to write the new data file of this number, counted from 0."""
        return self.folder / "files" / f"file-{number:06d}.parquet"

    def commit(
        self,
        bags: Sequence[TakenBag],
        files: Sequence[DataFileSummary],
        tasks: Mapping[str, int],
        report: Callable[[Path], object] | None = None,
    ) -> Committed:
        """Put the new dataset in the place of the old one, and clear the building folder away.

        Args:
            bags: that are new. Without any, nothing is done: not a byte of the dataset changes.
            files: of their episodes, written where :meth:`data_file` says.
            tasks: index of each task in the dataset, those that it had included.
            report: writes more files into the folder that it is given, which is whole otherwise.

        Raises:
            DatasetWriteError: the disk refuses; the old dataset is as it was.
            DatasetError: the files do not follow those that are there.
        """
        old = self.existing
        if not bags:
            self.discard()
            return Committed(False, old.episodes, old.rows)
        whole = Existing(
            config=self.config.to_dict(),
            config_hash=self.config.hash,
            bags=(*old.bags, *(bag_entry(each.result) for each in bags)),
            rejected=(*old.rejected, *(e for bag in bags for e in rejected_entries(bag.result))),
            files=(*old.files, *files),
            tasks=tuple(sorted(tasks, key=lambda name: tasks[name])),
        )
        _check_order(whole, bags)
        new = self.folder / "new" / self.dataset.name
        with refused(self.dataset):
            shutil.rmtree(new.parent, ignore_errors=True)
            (new / "meta").mkdir(parents=True)
            self._carry_over(new)
            self._write_episodes(new, len(files))
            self._write_meta(new, whole)
            if report is not None:
                report(new)
            sync_tree(new)
            self._put_in_place(new)
        self.existing = read_existing(self.dataset)
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
        self.parts.mkdir(parents=True, exist_ok=True)
        (self.folder / "files").mkdir(exist_ok=True)
        if not same:
            with new_file(mark) as file:
                file.write(self.config.hash.encode())

    def _carry_over(self, new: Path) -> None:
        """Links to all files of the old dataset that stay, also to those that a person put there."""
        if not self.dataset.is_dir():
            return
        for where, folders, files in os.walk(self.dataset):
            inside = Path(where).relative_to(self.dataset)
            for name in [each for each in folders if (Path(where) / each).is_symlink()] + files:
                source = Path(where) / name
                if (inside / name).as_posix() in _REWRITTEN:
                    continue
                if source.is_symlink():
                    (new / inside).mkdir(parents=True, exist_ok=True)
                    (new / inside / name).symlink_to(source.readlink())
                else:
                    link(source, new / inside / name)

    def _write_episodes(self, new: Path, files: int) -> None:
        """``data/`` and ``meta/episodes``: what is added, and what is there where its facts need other types now."""
        first = len(self.existing.files)
        there = [new / episodes_path(number) for number in range(first)]
        schemas = [types_of_file(path) for path in there]
        types: FactTypes = {}
        sources = [self.data_file(number) for number in range(files)]
        for each in [*schemas, *(fact_types(rows_path(path)) for path in sources)]:
            types = unite(types, each)
        for path, known in zip(there, schemas, strict=True):
            if known != types:
                retype(path, path, types)
        for number, source in enumerate(sources, first):
            link(source, new / data_path(number))
            target = new / episodes_path(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            finish_rows(rows_path(source), target, types, *place(number))

    def _write_meta(self, new: Path, whole: Existing) -> None:
        rate_hz = self.config.rate_hz
        write_info(new, whole.episodes, whole.rows, len(whole.tasks), rate_hz)
        write_tasks(new, whole.tasks)
        write_stats(new, dataset_stats([new / episodes_path(n) for n in range(len(whole.files))]))
        write_provenance(new, whole)
        write_card(new, whole, rate_hz, self.dataset / "README.md")

    def _put_in_place(self, new: Path) -> None:
        sync_folder(new.parent)
        if not self.dataset.exists():
            new.rename(self.dataset)
        elif not exchange(new, self.dataset):
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


def _check_order(whole: Existing, bags: Sequence[TakenBag]) -> None:
    """Counters that ran ahead of the data would mis-map every later episode: better nothing than that."""
    episode = row = 0
    for each in whole.files:
        if (each.first_episode, each.first_row) != (episode, row):
            raise DatasetError(
                f"a data file begins with episode {each.first_episode} and row {each.first_row}; {episode} and {row} "
                "are next: convert the bags into a new dataset"
            )
        episode, row = episode + each.episodes, row + each.rows
    wanted = sum(each["episodes"] for each in whole.bags)
    if wanted != episode:
        raise DatasetError(
            f"{wanted} episodes of {len(whole.bags)} bags should be in the data files and {episode} are "
            f"({len(bags)} of the bags are new): convert them into a new dataset"
        )
