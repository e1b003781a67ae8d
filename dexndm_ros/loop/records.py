# SPDX-License-Identifier: Apache-2.0
"""What has been done in a loop's folder: one small file a step, and the settings that all of it was done with."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dexndm_ros.loop.errors import LoopError
from dexndm_ros.loop.settings import Settings
from dexndm_ros.loop.stages import Step
from dexndm_ros.paths import world_path

__all__ = ["Record", "Records", "claim"]

_SETTINGS = "settings.json"


@dataclass(frozen=True)
class Record:
    """A step that is done.

    Attributes:
        words: command that did it, after `dexndm`.
        seconds: that it took since it was last begun, s.
        finished_ns: when, since 1970.
        read: ``finished_ns`` of the steps whose results it read.
    """

    words: tuple[str, ...]
    seconds: float
    finished_ns: int
    read: dict[str, int]


class Records:
    """The records of a folder.

    Args:
        folder: where they are; made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Record | None:
        """The record of a step, if it is done."""
        try:
            found: dict[str, Any] = json.loads(self._file(name).read_text(encoding="utf-8"))
            return Record(**(found | {"words": tuple(found["words"])}))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def is_done(self, step: Step) -> bool:
        """Whether its result is there, made by this command from what its needs made last."""
        record = self.get(step.name)
        return (
            record is not None
            and record.words in step.commands
            and step.makes.is_file()
            and record.read == self._read_now(step)
        )

    def finish(self, step: Step, words: tuple[str, ...], seconds: float) -> None:
        """It is done."""
        record = {
            "words": words,
            "seconds": round(seconds, 1),
            "finished_ns": time.time_ns(),
            "read": self._read_now(step),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(step.name)
        partial = file.with_name(file.name + ".part")
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)

    def forget(self, step: Step) -> None:
        """Remove a result that was done once and is not any more: its sources have changed, or a part of it is gone.

        One that was only cut off stays, to go on with, and so does what a hand did: that cannot be computed again.
        """
        if self.get(step.name) is None or step.commands[0][0] == "collect":
            return
        self._file(step.name).unlink()
        if step.folder is not None:
            shutil.rmtree(step.folder, ignore_errors=True)
        step.makes.unlink(missing_ok=True)

    def _read_now(self, step: Step) -> dict[str, int]:
        records = {need: self.get(need) for need in step.needs}
        return {need: found.finished_ns for need, found in records.items() if found is not None}

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def claim(settings: Settings) -> None:
    """Make the loop's folder, or see that the one that is there is of the same settings.

    Raises:
        LoopError: it is of others; nothing has changed.
        PathError: no such world.
    """
    text = world_path(settings.world).read_bytes()
    ours = {
        "world": settings.world,
        "world_sha256": hashlib.sha256(text).hexdigest(),
        "size": settings.size,
        "seed": settings.seed,
    }
    file = settings.out / _SETTINGS
    if not file.exists():
        settings.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
        return
    try:
        theirs = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        theirs = {}
    for key, value in ours.items():
        if theirs.get(key) != value:
            raise LoopError(
                f"{settings.out} was begun with {key} {theirs.get(key)} and not {value}: "
                f"give another --out, or remove {settings.out}"
            )
