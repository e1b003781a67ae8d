# SPDX-License-Identifier: Apache-2.0
"""Which episodes go into which new data file, and the pure function that writes one of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dexndm_ros.datasets.data_file import (
    EPISODES_A_FILE,
    ROWS_A_FILE,
    DataFileSummary,
    rows_path,
    write_data_file,
)
from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.files import new_file
from dexndm_ros.datasets.part import PartHead, episode_rows, part_head
from dexndm_ros.datasets.provenance import CONVERTER, Existing, bag_entry, rejected_entry
from dexndm_ros.datasets.quality import finding

__all__ = ["DatasetPlan", "FileTask", "plan_files", "write_file_job"]


@dataclass(frozen=True)
class PartOf:
    """Some episodes of a bag.

    Attributes:
        part: its part file.
        bag: its name.
        sha256: of the bag.
        places: of the episodes in ``BagResult.episodes``.
    """

    part: Path
    bag: str
    sha256: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class FileTask:
    """A data file to write; its name tells what is in it, so that it is known again when work is resumed.

    Attributes:
        target: where.
        sources: of its episodes, in order.
        first_episode: index of its first episode in the dataset.
        first_row: index of its first row in the dataset.
        tasks: index of each task in it.
        rate_hz: control ticks a second.
        rows: in it.
        episodes: in it.
    """

    target: Path
    sources: tuple[PartOf, ...]
    first_episode: int
    first_row: int
    tasks: Mapping[str, int]
    rate_hz: int
    rows: int
    episodes: int


@dataclass(frozen=True)
class DatasetPlan:
    """What is added to a dataset.

    Attributes:
        tasks_to_do: data files, in order; a pool may do them in any.
        bags: an entry for each new bag, as ``provenance`` has it.
        rejected: an entry for each episode of them that is left out.
        tasks: words of all tasks, those of the dataset first.
        lengths: rows of each new episode, by identity.
    """

    tasks_to_do: tuple[FileTask, ...] = ()
    bags: tuple[Mapping[str, Any], ...] = ()
    rejected: tuple[Mapping[str, Any], ...] = ()
    tasks: tuple[str, ...] = ()
    lengths: Mapping[str, int] = field(default_factory=dict)

    @property
    def episodes(self) -> int:
        """New ones."""
        return sum(each.episodes for each in self.tasks_to_do)

    @property
    def rows(self) -> int:
        """New ones."""
        return sum(each.rows for each in self.tasks_to_do)


def plan_files(
    parts: Sequence[Path], existing: Existing, folder: Path, rate_hz: int
) -> DatasetPlan:
    """Give every new episode its place.

    The order is that of the parts, and of the episodes in them. Bags that are there already, and those that come
    twice, are left out; of an episode that comes twice the longer recording is taken, else the first, and the other
    is told as rejected. What the dataset has stays.

    Args:
        parts: files, in the order of their bags.
        existing: what the dataset has.
        folder: for the data files.
        rate_hz: control ticks a second.

    Raises:
        DatasetError: a part cannot be read.
    """
    bags, rejected = [], []
    known = set(existing.sha256)
    owners = _Owners(existing)
    files = _Files(existing, folder, rate_hz)
    for path in parts:
        owners.look(part_head(path))
    for path in parts:
        head = part_head(path)
        result = head.result
        if result.sha256 in known:
            continue
        known.add(result.sha256)
        places = []
        for at, episode in enumerate(result.episodes):
            reasons = _reasons(head, at, owners)
            if reasons:
                rejected.append(rejected_entry(result, episode, reasons))
            else:
                places.append(at)
                owners.take(episode.identity, head.rows[at], result.name)
        files.add(path, head, places)
        flagged = sum(result.episodes[at].verdict == "flag" for at in places)
        bags.append(bag_entry(result, len(places), flagged))
    return DatasetPlan(
        tasks_to_do=files.finish(),
        bags=tuple(bags),
        rejected=tuple(rejected),
        tasks=tuple(files.tasks),
        lengths=owners.taken,
    )


class _Owners:
    """Who has which episode: the dataset, else the longest of its recordings, else the first one."""

    def __init__(self, existing: Existing) -> None:
        self._there = existing.lengths
        self._longest: dict[str, int] = {}
        self._owner: dict[str, str] = {}
        self.taken: dict[str, int] = {}
        """Rows of the new episodes, by identity."""

    def look(self, head: PartHead) -> None:
        """See how long the episodes of a part are."""
        for episode, rows in zip(head.result.episodes, head.rows, strict=True):
            if episode.verdict != "drop":
                self._longest[episode.identity] = max(rows, self._longest.get(episode.identity, 0))

    def take(self, identity: str, rows: int, bag: str) -> None:
        """A new episode is in."""
        self.taken[identity] = rows
        self._owner[identity] = bag

    def why_not(self, identity: str, rows: int) -> Finding | None:
        """Why an episode is not wanted; None = it is."""
        there = self._there.get(identity)
        if there is not None and rows > there:
            text = (
                f"{identity} is in the dataset with {there} rows, and this recording of it has {rows}: to have them, "
                "convert all bags into a new dataset"
            )
            return finding("longer", 1, "dropped", text)
        if there is not None:
            return finding("repeated", 1, "dropped", f"{identity} is in the dataset already")
        if (bag := self._owner.get(identity)) is not None:
            return finding("repeated", 1, "dropped", f"{identity} is in bag {bag} already")
        if rows < self._longest.get(identity, 0):
            text = f"another bag has {self._longest[identity]} rows of {identity}, this one {rows}"
            return finding("repeated", 1, "dropped", text)
        return None


def _reasons(head: PartHead, at: int, owners: _Owners) -> tuple[Finding, ...] | None:
    """Findings of an episode that is left out; None = it is taken."""
    episode = head.result.episodes[at]
    if episode.verdict == "drop" or not head.rows[at]:
        return episode.findings or (finding("short", 1, "dropped", "it has no rows"),)
    repeated = owners.why_not(episode.identity, head.rows[at])
    return None if repeated is None else (*episode.findings, repeated)


class _Files:
    """Fills data files one after the other."""

    def __init__(self, existing: Existing, folder: Path, rate_hz: int) -> None:
        self.tasks = {task: index for index, task in enumerate(existing.tasks)}
        self._folder, self._rate_hz = folder, rate_hz
        self._episode, self._row = existing.episodes, existing.rows
        self._done: list[FileTask] = []
        self._sources: list[PartOf] = []
        self._identity: list[Any] = []
        self._used: dict[str, int] = {}
        self._episodes = self._rows = 0

    def add(self, path: Path, head: PartHead, places: Sequence[int]) -> None:
        result = head.result
        for at in places:
            rows = head.rows[at]
            if self._episodes and (
                self._episodes == EPISODES_A_FILE or self._rows + rows > ROWS_A_FILE
            ):
                self._close()
            task = result.episodes[at].task
            self._used[task] = self.tasks.setdefault(task, len(self.tasks))
            self._note(path, result, at)
            self._episodes += 1
            self._rows += rows

    def finish(self) -> tuple[FileTask, ...]:
        if self._episodes:
            self._close()
        return tuple(self._done)

    def _note(self, path: Path, result: BagResult, at: int) -> None:
        if self._sources and self._sources[-1].sha256 == result.sha256:
            self._sources[-1] = replace(self._sources[-1], places=(*self._sources[-1].places, at))
        else:
            self._sources.append(PartOf(path, result.name, result.sha256, (at,)))

    def _close(self) -> None:
        content = [
            CONVERTER,
            self._episode,
            self._row,
            sorted(self._used.items()),
            self._rate_hz,
            [(each.sha256, each.bag, each.places) for each in self._sources],
        ]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        task = FileTask(
            target=self._folder / f"{key}.parquet",
            sources=tuple(self._sources),
            first_episode=self._episode,
            first_row=self._row,
            tasks=self._used,
            rate_hz=self._rate_hz,
            rows=self._rows,
            episodes=self._episodes,
        )
        self._done.append(task)
        self._episode += self._episodes
        self._row += self._rows
        self._sources, self._used = [], {}
        self._episodes = self._rows = 0


def write_file_job(task: FileTask) -> DataFileSummary:
    """Write a data file, unless an earlier run has written it.

    Raises:
        DatasetWriteError: the disk refuses.
        DatasetError: a part cannot be read.
    """
    note = task.target.with_suffix(".json")
    if note.exists() and task.target.exists() and rows_path(task.target).exists():
        found = json.loads(note.read_text(encoding="utf-8"))
        return DataFileSummary(**found | {"row_groups": tuple(found["row_groups"])})
    summary = write_data_file(
        task.target,
        _episodes(task.sources),
        task.first_episode,
        task.first_row,
        task.tasks,
        task.rate_hz,
    )
    with new_file(note) as file:  # last: with it the other two are whole
        file.write(json.dumps(summary.to_dict()).encode())
    return summary


def _episodes(sources: Sequence[PartOf]) -> Iterator[Episode]:
    for source in sources:
        for episode in episode_rows(source.part, source.places):
            facts = {**episode.facts, "bag": source.bag, "bag_sha256": source.sha256}
            yield replace(episode, facts=facts)
