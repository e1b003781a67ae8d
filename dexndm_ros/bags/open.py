# SPDX-License-Identifier: Apache-2.0
"""Opens a bag of any kind: MCAP or SQLite 3, split, compressed, finished or not."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import yaml

from dexndm_ros.bags.compressed import decompress_file, inflate
from dexndm_ros.bags.files import (
    STOCK_KEY,
    STOCK_RECORD,
    Found,
    find,
    kind_of,
    stock_custom_data,
)
from dexndm_ros.bags.mcap_reader import McapReader
from dexndm_ros.bags.source import Source
from dexndm_ros.bags.splits import missing_split, told_of_files
from dexndm_ros.bags.sqlite_beside import beside
from dexndm_ros.bags.sqlite_reader import SqliteReader
from dexndm_ros.bags.types import BagError, Damage, RawBatch, TopicInfo
from dexndm_ros.recording.check import BEGIN_RECORD, END_RECORD

__all__ = ["Bag", "BagError", "Damage", "RawBatch", "TopicInfo", "open_bag"]

Reader = McapReader | SqliteReader
_BLOCK_BYTES = 1024 * 1024
MAX_BATCH_BYTES = 64 * 1024 * 1024


def open_bag(path: Path | str) -> Bag:
    """Open a bag; nothing on the disk is changed, now or later.

    Args:
        path: folder with or without ``metadata.yaml``; or a ``.mcap`` or ``.db3`` file, also with ``.zstd``; or
            ``FOLDER/NAME_*.mcap``, the numbered files of one recording.

    Raises:
        BagError: it is none, or of a version that is not understood; the message says what it is.
    """
    return Bag(Path(path))


class Bag:
    """A bag that is read by columns.

    Attributes:
        path: as given.
        name: of its folder, or of the file that was given; bytes in it that are no UTF-8 are escaped.
        files: of its messages, in order.
        storage: "mcap" or "sqlite3".
        topics: by their full names. Of a file without a summary they were found by reading all of it.
        custom_data: ``metadata.yaml``'s; where that is missing, what the files say themselves.
        version: of ``metadata.yaml``; 0 = there is none.
        damage: what is not whole, as far as it was read: [] = nothing is known to be wrong.

    Raises:
        BagError: as :func:`open_bag`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[Damage] = []
        # Readers hold this and not the bag: what they hold goes with the bag, and not when a cycle is found.
        self._report = functools.partial(_told_once, self.damage)
        self._found: Found = find(path, self._report)
        self.name = self._found.name
        self.files = self._found.files
        self.version = self._found.information.version
        self._kept: Reader | None = None
        self._source: Source | None = None
        self._digest = ""
        topics: dict[str, TopicInfo] = {}
        said: dict[str, str] = {}
        kinds: set[str] = set()
        self._usable: list[Path] = []
        unseen = False
        for file in self.files:
            if file.suffix == ".zstd" and kinds and self._found.information.text:
                self._usable.append(file)  # to decompress it only to look at it costs too much
                unseen = True
                continue
            try:
                reader = self._open(file, peek=len(self.files) > 1)
            except (BagError, OSError) as error:
                if len(self.files) == 1:
                    raise BagError(f"{path}: {error}") from error
                size, told = _size(file), told_of_files(self._found.information.text)
                why = str(error) if size else "it is empty"
                self._report(missing_split(file.name, size, why, told, len(self.files)))
                continue
            self._usable.append(file)
            kinds.add(reader.storage)
            stock = reader.metadata.get(STOCK_RECORD, {}).get(STOCK_KEY, "")
            said.update(stock_custom_data(stock))
            for record in (BEGIN_RECORD, END_RECORD):
                said.update(reader.metadata.get(record, {}))
            for info in reader.topics:
                self._merge(topics, info, file.name)
            if len(self.files) == 1:
                self._kept = reader
        if not self._usable:
            raise BagError(
                f"{path}: none of its {len(self.files)} files could be read: {self.damage[-1]}"
            )
        self.storage: Literal["mcap", "sqlite3"] = "mcap" if "mcap" in kinds else "sqlite3"
        if (
            self.damage
            or unseen
            or any(info.count < 0 or not info.type_hash for info in topics.values())
        ):
            self._complete(topics, unseen)
        self.topics: Mapping[str, TopicInfo] = topics
        self.custom_data: Mapping[str, str] = self._custom(said)
        if not unseen:
            self._compare_counts()

    def batches(
        self, topics: Collection[str] | None = None, max_bytes: int = MAX_BATCH_BYTES
    ) -> Iterator[dict[str, RawBatch]]:
        """The messages, one stretch of the files after the other.

        What is not whole is skipped and noted in ``damage``; nothing is raised for it.

        Args:
            topics: only these; a name without its leading slash is understood. Default: all.
            max_bytes: of messages in a stretch, about; a single larger chunk comes alone.

        Yields:
            For each topic that has messages in the stretch, these; stretches may be empty of some topics.
        """
        wanted = None if topics is None else {"/" + name.lstrip("/") for name in topics}
        wanted = wanted if wanted is None else wanted | set(topics or ())
        read: Counter[str] = Counter()
        for file in self._usable:
            try:
                reader = self._kept or self._open(file)
                for found in reader.batches(wanted, max_bytes):
                    plain = inflate(found, file.name, self._report)
                    if good := {k: v for k, v in plain.items() if self._same_type(v, file.name)}:
                        read.update({topic: len(batch.begin) for topic, batch in good.items()})
                        yield good
            except (
                Exception
            ) as error:  # whatever bytes provoke: the other files are still to be read
                words = str(error) if isinstance(error, BagError | OSError) else repr(error)
                self._report(Damage(file.name, "frame", 0, f"it could not be read on: {words}"))

        for topic, info in self.topics.items():
            if (wanted is None or topic in wanted) and read[topic] < info.count:
                text = f"{topic}: {info.count - read[topic]} of {info.count} messages are not whole or not there"
                self._report(Damage(self.name, "count", 0, text))

    @property
    def declared(self) -> Mapping[str, int]:
        """Messages of each topic as ``metadata.yaml`` says; {} = it does not."""
        found = {}
        for section in self._found.information.topics():
            said, count = section.get("topic_metadata"), section.get("message_count")
            if isinstance(said, dict) and isinstance(count, int):
                found[str(said.get("name"))] = count
        return found

    def sha256(self) -> str:
        """Of the bytes of all storage files as they lie on the disk, in order; hex digits.

        Behind a database come its write-ahead log and its hot journal: what is read depends on them too.

        Raises:
            OSError: they cannot be read.
        """
        if not self._digest:
            digest = hashlib.sha256()
            for file in [each for one in self.files for each in (one, *beside(one))]:
                if self._source is not None and self._source.whole and self._source.path == file:
                    digest.update(self._source.view)
                    continue
                with file.open("rb", buffering=0) as opened:
                    while block := opened.read(_BLOCK_BYTES):
                        digest.update(block)
            self._digest = digest.hexdigest()
        return self._digest

    def _open(self, file: Path, peek: bool = False) -> Reader:
        kind, place, keep = kind_of(file), file, None
        if kind == "zstd":
            place, keep = decompress_file(file, self._report)
            kind = kind_of(place)
        if kind == "sqlite3":
            counted = not self._found.information.text
            return SqliteReader(place, file.name, self._report, counted, keep)
        self._source = source = Source(place, peek, keep)
        alone = not self._found.information.text
        return McapReader(source, file.name, self._report, alone)

    def _merge(self, topics: dict[str, TopicInfo], info: TopicInfo, file: str) -> None:
        before = topics.get(info.name)
        if before is None:
            topics[info.name] = info
            return
        if before.type != info.type:
            text = f"{info.name} is of type {info.type} here, and of {before.type} before: it is not read from here"
            self._report(Damage(file, "type", 0, text))
            return
        count = -1 if min(before.count, info.count) < 0 else before.count + info.count
        topics[info.name] = TopicInfo(
            info.name, info.type, before.definition or info.definition,
            before.type_hash or info.type_hash, before.qos_text or info.qos_text, count,
        )  # fmt: skip

    def _same_type(self, batch: RawBatch, file: str) -> bool:
        info = self.topics.get(batch.topic)
        if info is None or info.type == batch.type:
            return True
        text = f"{batch.topic} is of type {batch.type} here, and of {info.type} before: it is not read from here"
        self._report(Damage(file, "type", 0, text))
        return False

    def _complete(self, topics: dict[str, TopicInfo], unseen: bool) -> None:
        """Add what only ``metadata.yaml`` tells of the topics, of files that were not looked into or are damaged."""
        for section in self._found.information.topics():
            said = section.get("topic_metadata")
            said = said if isinstance(said, dict) else {}
            name, count = str(said.get("name", "")), section.get("message_count", -1)
            count = count if isinstance(count, int) else -1
            if not name:
                continue
            qos = said.get("offered_qos_profiles", "")
            only_here = TopicInfo(
                name,
                str(said.get("type", "")),
                "",
                str(said.get("type_description_hash", "")),
                qos if isinstance(qos, str) else yaml.safe_dump(qos, sort_keys=False),
                count if unseen else 0,
            )
            info = topics.get(name, only_here)
            topics[name] = replace(
                info,
                type_hash=info.type_hash or only_here.type_hash,
                qos_text=info.qos_text or only_here.qos_text,
                count=count if unseen or info.count < 0 else info.count,
            )

    def _custom(self, said: dict[str, str]) -> dict[str, str]:
        written = self._found.information.custom_data
        if not written:
            return said
        differ = sorted(key for key in said.keys() & written.keys() if said[key] != written[key])
        if differ:
            key = differ[0]
            text = (
                f"its custom data and the file's own differ in {', '.join(differ)}: "
                f"{key} is {written[key]!r} here and {said[key]!r} there"
            )
            self._report(Damage("metadata.yaml", "metadata", 0, text))
        return {**said, **written}

    def _compare_counts(self) -> None:
        counts = [info.count for info in self.topics.values()]
        declared = self._found.information.messages
        if declared >= 0 and all(count >= 0 for count in counts) and sum(counts) != declared:
            text = f"it says {declared} messages, the files say {sum(counts)}"
            self._report(Damage("metadata.yaml", "metadata", 0, text))


def _told_once(damages: list[Damage], damage: Damage) -> None:
    if damage not in damages:
        damages.append(damage)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
