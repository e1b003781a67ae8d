# SPDX-License-Identifier: Apache-2.0
"""A stage of a comparison: one job of ours, what it needs, and the folder its result lies in.

A folder's name ends in the fingerprint of all that its result follows from: the job's words, the contents of its
files, and the fingerprints of the stages it needs. So the same work is found again whoever asks for it, and a
changed setting leads to other folders for what depends on it, and for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.progress import commit_id

__all__ = ["Folder", "Made", "Stage", "Word", "in_order"]

_MARK = "stage.json"


@dataclass(frozen=True)
class Made:
    """A file, or with "" the whole folder, that a stage makes."""

    stage: Stage
    file: str = ""


Word = str | Path | Made
"""Of a command line: as it is, a file whose contents count, or what another stage makes."""


@dataclass(frozen=True)
class Stage:
    """One job.

    Attributes:
        kind: what is done, for times and tables: "replays", "dynamics".
        name: of the folder, readable: world, seed, and what tells it from others like it.
        words: module and arguments behind ``python -m``; "{out}" in a word is where the result goes.
        product: file under {out} that is there when it is done.
        free: further arguments that change nothing in the result; "{threads}" in them is a number of cores.
        cost_s: what it takes, roughly, on one core.
    """

    kind: str
    name: str
    words: tuple[Word, ...]
    product: str = ""
    free: tuple[str, ...] = ()
    cost_s: float = 10.0

    @cached_property
    def needs(self) -> tuple[Stage, ...]:
        """Stages whose results it reads."""
        return tuple(dict.fromkeys(word.stage for word in self.words if isinstance(word, Made)))

    @cached_property
    def fingerprint(self) -> str:
        """Of all that its result follows from.

        Raises:
            CompareError: a file that it reads is not there.
        """
        return _hash([self.kind, self.product, *map(_meaning, self.words)])

    @property
    def folder_name(self) -> str:
        """Of its folder: what two stages share that are one, and only those."""
        return f"{self.name}-{self.fingerprint[:10]}"


def _meaning(word: Word) -> Any:
    if isinstance(word, Made):
        return [word.stage.fingerprint, word.file]
    if isinstance(word, Path):
        try:
            return hashlib.sha256(word.read_bytes()).hexdigest()
        except OSError as error:
            raise CompareError(f"cannot read {word}: {error.strerror}") from error
    return word


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def in_order(wanted: Iterable[Stage]) -> list[Stage]:
    """The stages and all that they need, each once, what is needed first."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.folder_name not in found:
            for need in stage.needs:
                visit(need)
            found[stage.folder_name] = stage

    for stage in wanted:
        visit(stage)
    return list(found.values())


@dataclass(frozen=True)
class Folder:
    """Where a stage lies.

    Attributes:
        stage: whose.
        root: folder of all stages.
    """

    stage: Stage
    root: Path

    @property
    def path(self) -> Path:
        """Of the stage: its mark, its log and what it made."""
        return self.root / self.stage.folder_name

    @property
    def out(self) -> Path:
        """What it made."""
        return (self.path / "made").resolve()

    @property
    def log(self) -> Path:
        """What the job said."""
        return self.path / "job.log"

    def command(self, threads: int) -> list[str]:
        """The job's words with paths in them."""
        words = []
        for word in self.stage.words:
            if isinstance(word, Made):
                words.append(str(Folder(word.stage, self.root).out / word.file))
            else:
                words.append(str(word).replace("{out}", str(self.out)))
        return words + [word.replace("{threads}", str(threads)) for word in self.stage.free]

    def mark(self) -> dict[str, Any]:
        """How it ended: "seconds", "commit", and "failed" with the reason; {} where it has not ended."""
        try:
            found: dict[str, Any] = json.loads((self.path / _MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    @property
    def done(self) -> bool:
        """The result is there, whole."""
        mark = self.mark()
        return bool(mark) and not mark.get("failed") and (self.out / self.stage.product).exists()

    def end(self, seconds: float, failed: str = "") -> None:
        """Write how it ended."""
        mark = {
            "kind": self.stage.kind,
            "fingerprint": self.stage.fingerprint,
            "words": [str(word) for word in self.command(1)],
            "cost_s": self.stage.cost_s,
            "seconds": round(seconds, 1),
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": commit_id(),
            "failed": failed,
        }
        partial = self.path / f"{_MARK}.part"
        partial.write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.path / _MARK)
