# SPDX-License-Identifier: Apache-2.0
"""Which bags are meant: folders, files, globs and whole campaigns become a list of bags, and of what is left out."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.bags.files import find
from dexndm_ros.bags.names import ENDINGS, group_name, group_of, splits
from dexndm_ros.bags.sqlite_beside import beside
from dexndm_ros.bags.types import BagError
from dexndm_ros.datasets.plan_ledger import read_ledger
from dexndm_ros.recording.metadata import FILE_NAME
from dexndm_ros.recording.partial import PART, PARTIAL, reason_of
from dexndm_ros.replay.ledger import Attempt, LedgerError
from dexndm_ros.replay.ledger_rows import parse_episode
from dexndm_ros.replay.lock import CampaignLock, LockedError
from dexndm_ros.replay.prepare import BAGS, LEDGER_FILE

__all__ = ["LeftOut", "Plan", "PlanError", "PlannedBag", "find_bags", "natural"]

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
        campaign: whose ledger it was found by; "" = none.
    """

    path: Path
    bytes: int
    key: str
    put_aside: bool = False
    campaign: str = ""

    @property
    def name(self) -> str:
        """Folder or file name; of several files the part that they share."""
        return group_name(self.path) or self.path.name


@dataclass(frozen=True)
class LeftOut:
    """A bag that is not converted.

    Attributes:
        path: its folder or file.
        reason: why, in words.
        campaign: that it is of; "" = none, or not known.
    """

    path: Path
    reason: str
    campaign: str = ""

    @property
    def name(self) -> str:
        """As ``PlannedBag.name``."""
        return group_name(self.path) or self.path.name


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
        words: bag folders, storage files (one of several splits stands for all of them), folders of bags (any depth),
            campaign folders (of these, the bags of the rows that are done), or globs of all of them.
        salvage: take also what was put aside or left unfinished.

    Raises:
        PlanError: a word that leads to no bag.
        OSError: a folder that cannot be read.
    """
    found = _Found(salvage)
    for word in words:
        for path in _expand(str(word)):
            before = found.seen
            found.word(path)
            if found.seen == before:
                raise PlanError(_no_bag(path))
    bags = sorted(found.bags.values(), key=lambda bag: [natural(p) for p in bag.path.parts])
    return Plan(tuple(bags), tuple(found.left_out.values()))


def _expand(word: str) -> list[Path]:
    if not word:
        raise PlanError(
            "an empty word names no bag (a variable of the shell that is not set?); for the folder you are in give ."
        )
    path = Path(word).expanduser()
    if path.exists():
        return [path]
    if matches := _matches(path):
        return sorted(matches, key=lambda match: natural(str(match)))
    raise PlanError(
        f"{word}: there is nothing of that name; give bag folders, .mcap or .db3 files, or the folder of a campaign"
    )


def _matches(path: Path) -> list[Path]:
    if "**" not in path.parts:
        return [Path(match) for match in glob.glob(str(path))]  # noqa: PTH207 - absolute too
    # glob's own ** follows links round and round.
    hidden = {part for part in path.parts if part.startswith(".")}
    return [
        match
        for match in Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        if not any(part.startswith(".") and part not in hidden for part in match.parts)
    ]


def _no_bag(path: Path) -> str:
    if path.is_dir():
        return f"{path} holds no bag: neither a {FILE_NAME} nor .mcap or .db3 files are in it or below it"
    return f"{path} is no bag: a bag is a folder with {FILE_NAME}, or a file ending in {', '.join(ENDINGS)}"


class _Found:
    """What was found so far."""

    def __init__(self, salvage: bool) -> None:
        self._salvage = salvage
        self.bags: dict[Path, PlannedBag] = {}
        self.left_out: dict[Path, LeftOut] = {}
        self.seen = 0
        self._visited: set[Path] = set()
        self._in = ""  # campaign

    def word(self, path: Path) -> None:
        """All that a word of the command line leads to."""
        self._visited.clear()
        if path.is_dir():
            self._folder(path)
        elif path.name == FILE_NAME:
            self._folder(path.parent)
        elif path.name.endswith(ENDINGS):
            self._file(path)

    def _file(self, path: Path) -> None:
        """A storage file: of a bag's folder, one of the splits of a recording, or a bag by itself."""
        folder = path.parent
        if folder.suffix in (PART, PARTIAL) or _is_named(path):
            self._bag(folder, _storage_files(folder))
        else:
            place, files = _groups([path])[0]
            self._take(place, files)

    def _folder(self, path: Path) -> None:
        """A folder and all that is below it, each real folder once: links may lead round in circles."""
        place = path.resolve()
        if place in self._visited:
            return
        self._visited.add(place)
        if (path / LEDGER_FILE).is_file():
            self._campaign(path)
            self._below(path, but=BAGS)
        elif path.name == BAGS and (path.parent / LEDGER_FILE).is_file():
            self._campaign(path.parent)
        else:
            self._loose(path)
            self._below(path)

    def _below(self, path: Path, but: str = "") -> None:
        for each in _sorted(path):
            if each.name != but and not each.name.startswith(".") and each.is_dir():
                self._folder(each)

    def _loose(self, path: Path) -> None:
        """The storage files right in a folder: it is a bag, or they are."""
        files = _storage_files(path)
        described = (path / FILE_NAME).is_file()
        if not files:
            if described:
                self._leave(path, f"there is a {FILE_NAME} and no .mcap or .db3 file beside it")
            return
        groups = _groups(files)
        alone = len(groups) == 1 and not any(each.is_dir() for each in path.iterdir())
        if alone or (described and any(map(_is_named, files))):
            self._bag(path, files)
        else:
            if described:
                self._leave(
                    path, f"its {FILE_NAME} names none of the .mcap and .db3 files beside it"
                )
            for place, several in groups:
                self._take(place, several)

    def _campaign(self, folder: Path) -> None:
        """Of a campaign only what its ledger calls done; the rest is told with the ledger's words."""
        try:
            name, attempts = read_ledger(folder / LEDGER_FILE)
        except (LedgerError, OSError) as error:
            raise PlanError(
                f"{error}; to take its bags all the same, give {folder / BAGS}/*"
            ) from error
        self._in = name
        for bag in _sorted(folder / BAGS):
            if not bag.is_dir():
                if bag.name.endswith(ENDINGS):
                    self._leave(bag, f"a file among the campaign's bags; give {bag} to take it")
                continue
            files = _storage_files(bag)
            if not files:
                self._below(bag)
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
        self._in = ""

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
        digest = hashlib.sha256(os.fsencode(place))
        size = 0
        content = [each for file in files for each in (file, *beside(file))]
        information = path / FILE_NAME
        for file in [*content, *([information] if information.is_file() else [])]:
            stat = file.stat()
            size += stat.st_size if file in content else 0
            digest.update(b"\0%b\0%d\0%d" % (os.fsencode(file.name), stat.st_size, stat.st_mtime_ns))  # fmt: skip
        self.bags[place] = PlannedBag(place, size, digest.hexdigest(), put_aside, self._in)

    def _leave(self, path: Path, reason: str) -> None:
        self.seen += 1
        self.left_out[path.resolve()] = LeftOut(path.resolve(), reason, self._in)


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
    return [p for p in _sorted(folder) if p.name.endswith(ENDINGS) and p.is_file()]


def _is_named(file: Path) -> bool:
    """Whether a ``metadata.yaml`` beside a storage file is of its bag."""
    if not (file.parent / FILE_NAME).is_file():
        return False
    try:
        return find(file, lambda _: None).information.version > 0
    except BagError:
        return True  # one that is not understood: who opens the bag says why


def _groups(files: Sequence[Path]) -> list[tuple[Path, list[Path]]]:
    """Bags of loose files: the splits of one recording are one, every other file is one by itself."""
    groups: dict[Path, list[Path]] = {}
    for file in files:
        place = group_of(file)
        together = splits(place) if place else []
        if place is not None and len(together) > 1:
            groups[place] = together
        else:
            groups[file] = [file]
    return list(groups.items())
