# SPDX-License-Identifier: Apache-2.0
"""Which bags are meant: folders, files, globs and whole campaigns become a list of bags, and of what is left out."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.recording.metadata import FILE_NAME
from dexndm_ros.recording.partial import PART, PARTIAL, reason_of
from dexndm_ros.replay.ledger import Attempt, Ledger, LedgerError
from dexndm_ros.replay.ledger_rows import parse_episode
from dexndm_ros.replay.lock import CampaignLock, LockedError
from dexndm_ros.replay.prepare import BAGS, LEDGER_FILE

__all__ = ["STORAGE", "LeftOut", "Plan", "PlanError", "PlannedBag", "find_bags", "natural"]

STORAGE = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
"""How the files of a bag end."""
_SPLIT = re.compile(r"_[0-9]+$")
_NUMBER = re.compile(r"([0-9]+)")


class PlanError(ValueError):
    """A word that names no bag; the message says what it is and what is allowed."""


@dataclass(frozen=True)
class PlannedBag:
    """A bag to convert.

    Attributes:
        path: its folder or file, absolute.
        bytes: size of its files.
        key: changes when path, names, sizes or times of its files do: tells cheaply that it is the same as before.
        put_aside: it was not finished by its recorder.
    """

    path: Path
    bytes: int
    key: str
    put_aside: bool = False

    @property
    def name(self) -> str:
        """Folder or file name."""
        return self.path.name


@dataclass(frozen=True)
class LeftOut:
    """A bag that is not converted.

    Attributes:
        path: its folder or file.
        reason: why, in words.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Plan:
    """What the words on the command line mean.

    Attributes:
        bags: in the order of folders and names, none twice.
        left_out: with reasons.
    """

    bags: tuple[PlannedBag, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all bags."""
        return sum(bag.bytes for bag in self.bags)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names as people do: bag_2 before bag_10."""
    parts = _NUMBER.split(name)
    return [(1, int(p), "") if k % 2 else (0, 0, p) for k, p in enumerate(parts)]


def find_bags(words: Iterable[Path | str], salvage: bool = False) -> Plan:
    """Find the bags.

    Args:
        words: bag folders, storage files, folders of bags (any depth), campaign folders (of these, the bags of the
            rows that are done), or globs of all of them.
        salvage: take also what was put aside or left unfinished.

    Raises:
        PlanError: a word that leads to no bag.
        OSError: a folder that cannot be read.
    """
    found = _Found(salvage)
    for word in words:
        for path in _expand(str(word)):
            before = found.seen
            found.add(path)
            if found.seen == before:
                raise PlanError(_no_bag(path))
    bags = sorted(found.bags.values(), key=lambda bag: [natural(p) for p in bag.path.parts])
    return Plan(tuple(bags), tuple(found.left_out.values()))


def _expand(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.exists():
        return [path]
    matches = sorted(glob.glob(str(path), recursive=True), key=natural)  # noqa: PTH207 - absolute too
    if matches:
        return [Path(match) for match in matches]
    raise PlanError(
        f"{word}: there is nothing of that name; give bag folders, .mcap or .db3 files, or the folder of a campaign"
    )


def _no_bag(path: Path) -> str:
    if path.is_dir():
        return f"{path} holds no bag: neither a {FILE_NAME} nor .mcap or .db3 files are in it or below it"
    return f"{path} is no bag: a bag is a folder with {FILE_NAME}, or a file ending in {', '.join(STORAGE)}"


class _Found:
    """What was found so far."""

    def __init__(self, salvage: bool) -> None:
        self._salvage = salvage
        self.bags: dict[Path, PlannedBag] = {}
        self.left_out: dict[Path, LeftOut] = {}
        self.seen = 0

    def add(self, path: Path) -> None:
        if path.is_file():
            if path.name.endswith(STORAGE):
                self._take(path, [path])
            return
        if (path / LEDGER_FILE).is_file():
            self._campaign(path)
        elif path.name == BAGS and (path.parent / LEDGER_FILE).is_file():
            self._campaign(path.parent)
        elif files := _storage_files(path):
            if (path / FILE_NAME).is_file() or _one_bag(path, files):
                self._bag(path, files)
            else:
                for file in files:
                    self._take(file, [file])
        elif (path / FILE_NAME).is_file():
            self._leave(path, f"there is a {FILE_NAME} and no .mcap or .db3 file beside it")
        else:
            for each in _sorted(path):
                if each.is_dir() and not each.name.startswith("."):
                    self.add(each)

    def _campaign(self, folder: Path) -> None:
        """Of a campaign only what its ledger calls done; the rest is told with the ledger's words."""
        try:
            with Ledger.read_only(folder / LEDGER_FILE) as ledger:
                attempts = {a.claim.episode: a for a in ledger.attempts()}
        except LedgerError as error:
            raise PlanError(
                f"{error}; to take its bags all the same, give {folder / BAGS}/*"
            ) from error
        for bag in _sorted(folder / BAGS):
            files = _storage_files(bag) if bag.is_dir() else []
            if not files:
                continue
            attempt = _attempt(bag, attempts)
            if bag.suffix in (PART, PARTIAL) or parse_episode(bag.name) is None:
                self._bag(bag, files, attempt)
            elif attempt is not None and attempt.state == "done":
                self._take(bag, files)
            elif self._salvage:
                self._take(bag, files, put_aside=True)
            else:
                self._leave(bag, _why(attempt))
        for attempt in attempts.values():
            if attempt.state == "done" and not (folder / BAGS / attempt.bag).is_dir():
                self._leave(folder / BAGS / attempt.bag, "done, and its bag is gone")

    def _bag(self, path: Path, files: Sequence[Path], attempt: Attempt | None = None) -> None:
        aside = path.suffix in (PART, PARTIAL)
        if aside and attempt is not None and attempt.state == "claimed" and _running(path):
            self._leave(path, "it is being recorded")
        elif aside and not self._salvage:
            reason = reason_of(path) or (attempt.reason if attempt else "")
            state = "put aside" if path.suffix == PARTIAL else "not finished"
            self._leave(path, state + (f": {reason}" if reason else "") + "; --salvage takes it")
        else:
            self._take(path, files, put_aside=aside)

    def _take(self, path: Path, files: Sequence[Path], put_aside: bool = False) -> None:
        self.seen += 1
        place = path.resolve()
        digest = hashlib.sha256(str(place).encode())
        size = 0
        beside = [
            file.with_name(file.name + "-wal") for file in files
        ]  # of a database that was not closed
        for file in [*files, *(each for each in [path / FILE_NAME, *beside] if each.is_file())]:
            stat = file.stat()
            size += stat.st_size if file in files else 0
            digest.update(f"\0{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
        self.bags[place] = PlannedBag(place, size, digest.hexdigest(), put_aside)

    def _leave(self, path: Path, reason: str) -> None:
        self.seen += 1
        self.left_out[path.resolve()] = LeftOut(path.resolve(), reason)


def _running(bag: Path) -> bool:
    """Whether the campaign that this bag belongs to is under way."""
    try:
        CampaignLock(bag.parent.parent).release()
    except LockedError:
        return True
    except OSError:
        pass  # a disk that cannot be written is written by nobody
    return False


def _attempt(bag: Path, attempts: dict[str, Attempt]) -> Attempt | None:
    name = bag.name
    for ending in (PART, PARTIAL):
        name = name.removesuffix(ending)
    return attempts.get(name)


def _why(attempt: Attempt | None) -> str:
    if attempt is None:
        return "no attempt of the campaign's ledger owns it; --salvage takes it"
    if attempt.state == "claimed":
        return "the campaign's ledger does not call it done yet; --salvage takes it"
    return f"{attempt.state} by the campaign: {attempt.reason}; --salvage takes it"


def _sorted(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return iter(())
    return iter(sorted(folder.iterdir(), key=lambda each: natural(each.name)))


def _storage_files(folder: Path) -> list[Path]:
    return [p for p in _sorted(folder) if p.name.endswith(STORAGE) and p.is_file()]


def _one_bag(folder: Path, files: Sequence[Path]) -> bool:
    """Whether files without metadata.yaml are the splits of one bag: alone, or name_0, name_1 and so on."""
    if len(files) == 1:
        return True
    stems = [_stem(file.name) for file in files]
    return all(_SPLIT.search(s) for s in stems) and len({_SPLIT.sub("", s) for s in stems}) == 1


def _stem(name: str) -> str:
    return next(name.removesuffix(ending) for ending in reversed(STORAGE) if name.endswith(ending))
