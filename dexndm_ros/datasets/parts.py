# SPDX-License-Identifier: Apache-2.0
"""The parts that are done: found again after a death, whatever it was; and the order in which they come."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.errors import DatasetError
from dexndm_ros.datasets.files import refused
from dexndm_ros.datasets.part import part_head, part_name
from dexndm_ros.datasets.plan import natural

__all__ = ["Part", "PartIndex", "in_order"]


@dataclass(frozen=True)
class Part:
    """What is remembered of a part while the others are made: little, since there may be tens of thousands.

    Attributes:
        path: the file.
        bag: name of its bag.
        sha256: of its bag.
        campaign: that the bag is of; "" = none.
        findings: about the bag (""), and about its episodes (their identities).
        put_aside: the recording was not finished by its recorder.
    """

    path: Path
    bag: str
    sha256: str
    campaign: str = ""
    findings: tuple[tuple[str, Finding], ...] = ()
    put_aside: bool = False


def in_order(parts: Iterable[Part]) -> list[Part]:
    """The order of the dataset.

    It follows from what the bags are, not from where they lie, in which order they were named or which was ready first:
    whole recordings before those that were put aside, then campaign, name and content.
    """
    return sorted(parts, key=lambda part: (part.put_aside, part.campaign, natural(part.bag), part.sha256))  # fmt: skip


class PartIndex:
    """A folder of part files, and a list that tells which bag each is of without reading the bag again.

    The list is lines of JSON, added to and never changed; a line that was torn by a death is as good as none. A part
    counts only if its file can be read.

    Args:
        folder: made if it is not there.

    Raises:
        DatasetWriteError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._list = folder / "index.jsonl"
        self._known: dict[str, str] = {}
        with refused(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for torn in folder.glob(".*.tmp"):
                torn.unlink()
            with contextlib.suppress(FileNotFoundError):
                for line in self._list.read_text(encoding="utf-8", errors="replace").splitlines():
                    self._read(line)

    def path(self, sha256: str) -> Path:
        """Where the part of a bag with this content is, or would be."""
        return self.folder / part_name(sha256)

    def sha256(self, key: str) -> str:
        """SHA-256 of the bag with this ``PlannedBag.key``; "" = not known, or its part is gone."""
        sha256 = self._known.get(key, "")
        return sha256 if sha256 and self.path(sha256).is_file() else ""

    def add(self, key: str, sha256: str) -> None:
        """A part is done.

        Raises:
            DatasetWriteError: it cannot be noted.
        """
        self._known[key] = sha256
        with refused(self._list), self._list.open("a", encoding="utf-8") as file:
            # A line of its own, also behind one that was torn.
            file.write("\n" + json.dumps({"key": key, "sha256": sha256}) + "\n")

    def part(self, sha256: str, put_aside: bool = False) -> Part | None:
        """The part of a bag; None = its file is torn or of another version, and has been removed."""
        path = self.path(sha256)
        try:
            result = part_head(path).result
        except (DatasetError, FileNotFoundError):
            with refused(path):
                path.unlink(missing_ok=True)
            return None
        findings = [("", each) for each in result.findings]
        for episode in result.episodes:
            findings += [(episode.identity, each) for each in episode.findings]
        campaign = str(result.provenance.get("campaign", ""))
        return Part(path, result.name, result.sha256, campaign, tuple(findings), put_aside)

    def _read(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, Mapping) and {"key", "sha256"} <= set(entry):
                self._known[str(entry["key"])] = str(entry["sha256"])
