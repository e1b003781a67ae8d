# SPDX-License-Identifier: Apache-2.0
"""One SQLite 3 file of rosbag2: its topics and its messages by stretches, also of a damaged one."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np

from dexndm_ros.bags.files import STOCK_KEY, STOCK_RECORD
from dexndm_ros.bags.source import Source
from dexndm_ros.bags.sqlite_beside import copied, hot_journal, rolled_back, write_ahead_log
from dexndm_ros.bags.sqlite_pages import Pages, Row
from dexndm_ros.bags.types import BagError, Damage, RawBatch, TopicInfo

__all__ = ["SqliteReader"]

_ROWS = 256
_KINDS = (int, int, int, bytes)
_CDR = "cdr"

Report = Callable[[Damage], None]
Message = tuple[int, int, int, bytes]
"""Row number, topic id, time, data."""


class SqliteReader:
    """Reads a file, whatever state it is in.

    Args:
        path: of the file.
        name: how damage names it.
        report: is told of what is not whole.
        counted: whether the messages of each topic are to be counted.
        keep: an object that must live as long as the file is needed.

    Raises:
        BagError: it is a database of something else.
    """

    storage = "sqlite3"

    def __init__(
        self, path: Path, name: str, report: Report, counted: bool = False, keep: object = None
    ) -> None:
        self._path, self._name, self._report, self._keep = path, name, report, keep
        self.metadata: dict[str, Mapping[str, str]] = {}
        self._topics: dict[int, TopicInfo] = {}
        self._foreign: set[int] = set()
        if (journal := hot_journal(path)) is not None:
            self._roll_back(journal)
        self._compare_size()
        try:
            with self._database() as database:
                self._read_topics(database, counted)
        except (sqlite3.Error, TypeError, ValueError, KeyError) as error:
            self._note("page", f"the database is damaged ({error}); its pages are read one by one")
            self._find_topics()
        if not self._topics and not self._is_bag():
            raise BagError(f"{name} is an SQLite database, but not of rosbag2: it has no topics")

    @property
    def topics(self) -> list[TopicInfo]:
        """Topics, in the order of their ids."""
        found: dict[str, TopicInfo] = {}
        for _, info in sorted(self._topics.items()):
            found.setdefault(info.name, info)
        return list(found.values())

    def batches(
        self, wanted: Collection[str] | None, max_bytes: int
    ) -> Iterator[dict[str, RawBatch]]:
        """Messages of the wanted topics (None = all), one stretch after the other."""
        ids = [
            number
            for number, info in self._topics.items()
            if (wanted is None or info.name in wanted) and number not in self._foreign
        ]
        rows: list[Message] = []
        total = 0
        for row in self._messages(ids, everything=wanted is None):
            if rows and total + len(row[3]) > max_bytes:
                yield self._by_topic(rows)
                rows, total = [], 0
            rows.append(row)
            total += len(row[3])
        if rows:
            yield self._by_topic(rows)

    def _note(self, kind: str, text: str, size: int = 0) -> None:
        self._report(Damage(self._name, kind, size, text))

    def _compare_size(self) -> None:
        with self._path.open("rb") as file:
            head = file.read(100)
        size = int.from_bytes(head[16:18], "big")
        pages, changed, valid = (int.from_bytes(head[at : at + 4], "big") for at in (28, 24, 92))
        said = pages * (65536 if size == 1 else size)
        if changed == valid and self._path.stat().st_size < said:
            lost = said - self._path.stat().st_size
            self._note("torn", f"the last {lost} bytes of {said} are missing", lost)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Opened without a lock; when a write-ahead log lies beside it, with that, and again without a trace."""
        memory = self._path.with_name(self._path.name + "-shm")
        mode, left = "mode=ro&immutable=1", True
        if (log := write_ahead_log(self._path)) is not None:
            mode, left = "mode=ro", memory.exists()
            if not left and not os.access(self._path.parent, os.W_OK):
                # SQLite cannot read a log where it cannot make a file
                self._path, self._keep = copied(self._path, [log])
        where = f"file:{quote(str(self._path.resolve()))}?{mode}"
        try:
            with closing(sqlite3.connect(where, uri=True)) as database:
                yield database
        finally:
            if not left:
                with suppress(OSError):
                    memory.unlink(missing_ok=True)

    def _roll_back(self, journal: Path) -> None:
        """Read a copy from now on, in which the last transaction, that was cut off, is undone."""
        size = self._path.stat().st_size + journal.stat().st_size
        text = (
            "a journal lies beside it: its last transaction was cut off, and was undone in a temporary copy "
            f"({size} bytes in {tempfile.gettempdir()}); what that transaction held is not read"
        )
        try:
            self._path, self._keep = rolled_back(self._path, journal)
        except sqlite3.Error as error:
            text = (
                "a journal lies beside it: its last transaction was cut off, may be there in part, and could not be "
                f"undone ({error})"
            )
        self._note("unfinished", text)

    def _is_bag(self) -> bool:
        with suppress(sqlite3.Error), self._database() as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            return {"topics", "messages"} <= tables
        return True  # so damaged that it cannot be told

    def _read_topics(self, database: sqlite3.Connection, counted: bool) -> None:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if not {"topics", "messages"} <= tables:
            return
        if "metadata" in tables:
            for (text,) in database.execute("SELECT metadata FROM metadata ORDER BY id"):
                self.metadata[STOCK_RECORD] = {STOCK_KEY: str(text)}
        texts: dict[str, str] = {}
        if "message_definitions" in tables:
            query = "SELECT topic_type, encoded_message_definition FROM message_definitions"
            texts = {str(kind): str(text) for kind, text in database.execute(query)}
        counts: dict[int, int] = {}
        if counted:
            query = "SELECT topic_id, count(*) FROM messages GROUP BY topic_id"
            counts = dict(database.execute(query).fetchall())
        database.row_factory = sqlite3.Row
        for row in database.execute("SELECT * FROM topics ORDER BY id"):
            values = dict(row)
            number = int(values["id"])
            self._add_topic(
                number, str(values["name"]), str(values["type"]),
                str(values.get("serialization_format", _CDR)),
                str(values.get("offered_qos_profiles", "")),
                str(values.get("type_description_hash", "")), texts,
                counts.get(number, 0) if counted else -1,
            )  # fmt: skip

    def _add_topic(
        self,
        number: int,
        name: str,
        kind: str,
        encoding: str,
        qos: str,
        type_hash: str,
        texts: Mapping[str, str],
        count: int,
    ) -> None:
        if encoding != _CDR:
            self._note("type", f"{name} is kept as {encoding!r}, and only {_CDR!r} can be read")
            self._foreign.add(number)
        self._topics[number] = TopicInfo(name, kind, texts.get(kind, ""), type_hash, qos, count)

    def _find_topics(self) -> None:
        """Topics and definitions out of the pages: rows that look like theirs."""
        texts: dict[str, str] = {}
        topics: dict[int, tuple[str, str, str, str, str]] = {}
        for row in Pages(Source(self._path)).rows():
            words = [value if isinstance(value, str) else "" for value in row.values[1:]]
            if len(words) >= 4 and words[1] in ("ros2msg", "ros2idl"):
                texts[words[0]] = words[2]
            elif len(words) >= 3 and words[1].count("/") == 2 and words[0]:
                name, kind, encoding, qos, type_hash = [*words, "", ""][:5]
                topics[row.number] = name, kind, encoding, qos, type_hash
        for number, each in sorted(topics.items()):
            self._add_topic(number, *each, texts, -1)

    def _messages(self, ids: list[int], everything: bool) -> Iterator[Message]:
        """By row number; behind a damaged page by what the pages themselves hold."""
        last = -1
        try:
            with self._database() as database:
                where = ""
                if not everything or self._foreign:
                    where = f"WHERE topic_id IN ({','.join(map(str, ids))})"
                query = f"SELECT id, topic_id, timestamp, data FROM messages {where} ORDER BY id"
                cursor = database.execute(query)
                while block := cursor.fetchmany(_ROWS):
                    yield from (row for row in block if tuple(map(type, row)) == _KINDS)
                    last = block[-1][0]
            return
        except sqlite3.Error as error:
            self._note("page", f"the database is damaged ({error}); its pages are read one by one")
        pages = Pages(Source(self._path))
        found = {
            row.number: (row.page, row.cell)
            for row in pages.rows()
            if row.number > last and _message(row) is not None
        }
        for number in sorted(found):
            again = pages.row(*found[number])
            message = None if again is None else _message(again)
            if message is not None and (everything or message[1] in ids):
                yield message

    def _by_topic(self, rows: list[Message]) -> dict[str, RawBatch]:
        numbers = np.fromiter((row[1] for row in rows), np.int64, len(rows))
        times = np.fromiter((row[2] for row in rows), np.int64, len(rows))
        sizes = np.fromiter((len(row[3]) for row in rows), np.int64, len(rows))
        begins = np.cumsum(sizes) - sizes
        buffer = np.frombuffer(b"".join([row[3] for row in rows]), np.uint8)
        zeros = np.zeros(len(rows), np.int64)
        found: dict[str, list[int]] = {}
        for number in np.unique(numbers).tolist():
            info = self._topics.get(number)
            if info is None:
                count = int((numbers == number).sum())
                self._note("type", f"{count} messages of topic {number}, of which nothing is said")
                continue
            found.setdefault(info.name, []).append(number)
        batches = {}
        for topic, those in found.items():
            mine = np.isin(numbers, those)
            kind = self._topics[those[0]].type
            batches[topic] = RawBatch(
                topic,
                kind,
                times[mine],
                times[mine],
                zeros[mine],
                begins[mine],
                sizes[mine],
                buffer,
            )
        return batches


def _message(row: Row) -> Message | None:
    """A row of the table of messages; None of any other."""
    if len(row.values) != 4 or row.values[0] is not None:
        return None
    _, topic, time, data = row.values
    if isinstance(topic, int) and isinstance(time, int) and isinstance(data, bytes):
        return row.number, topic, time, data
    return None
