# SPDX-License-Identifier: Apache-2.0
"""The ledger of a campaign: what is planned, under way, done and rejected, in one SQLite file.

Every call that writes is one transaction, on disk (WAL, synchronous=FULL) when the call returns: a process may be
killed and the plug be pulled at any moment. One process writes; others read beside it (``Ledger.read_only``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_file import (
    LedgerError,
    LedgerStateError,
    connect,
    errors,
    recognise,
    sync_folder,
)
from dexndm_ros.replay.ledger_rows import Attempt, Claim, Counts, Event, PlanEntry, Result
from dexndm_ros.replay.ledger_schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION

__all__ = [
    "SCHEMA_VERSION",
    "Attempt",
    "Claim",
    "Counts",
    "Event",
    "Ledger",
    "LedgerError",
    "LedgerStateError",
    "PlanEntry",
    "Result",
]

_RESULT_COLUMNS = tuple(f.name for f in dataclasses.fields(Result) if f.name != "bag")


class Ledger:
    """An open ledger; to be used by the thread that opened it. Get one by ``create``, ``open`` or ``read_only``.

    Args:
        database: connection.
        path: its file, for the messages.

    Attributes:
        path: the file.
        campaign: the campaign as it was when the ledger was made.
        library_sha256: fingerprint of its trajectory library.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._db = database
        self.path = path
        with self._errors():
            recognise(database, path)
            config, self.library_sha256 = database.execute(
                "SELECT config, library_sha256 FROM campaign"
            ).fetchone()
        self.campaign = Campaign.from_dict(json.loads(config), str(path))

    @classmethod
    def create(
        cls, path: Path, campaign: Campaign, plan: Sequence[PlanEntry], library_sha256: str
    ) -> Ledger:
        """Make a ledger with every row planned, and open it. It is there whole or not at all.

        Raises:
            LedgerError: there is a file already, or it cannot be written.
        """
        if path.exists():
            raise LedgerStateError(f"{path} exists: open it, or give another folder")
        new = path.with_name(path.name + ".new")
        for leftover in path.parent.glob(new.name + "*"):
            leftover.unlink()
        with errors(new):
            database = connect(new, "rwc")
            with contextlib.closing(database):
                _write_plan(database, campaign, plan, library_sha256)
        new.rename(path)
        sync_folder(path.parent)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open a ledger to go on with it.

        Raises:
            LedgerError: no such file, another kind of file, or a ledger of another version.
        """
        return cls._open(path, "rw")

    @classmethod
    def read_only(cls, path: Path) -> Ledger:
        """Open a ledger to read it, also while another process writes.

        Raises:
            LedgerError: as for ``open``.
        """
        return cls._open(path, "ro")

    @classmethod
    def _open(cls, path: Path, mode: str) -> Ledger:
        if not path.is_file():
            raise LedgerError(f"{path}: there is no ledger; is this the folder of a campaign?")
        with errors(path):
            database = connect(path, mode)
        try:
            return cls(database, path)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- a trajectory's way through the ledger ------------------------------------------------------

    def claim(self) -> Claim | None:
        """Take the next planned row, None = there is none.

        It is the lowest of those that were rejected least often: what fails waits until the others have had their turn.
        """
        with self._transaction():
            row = self._db.execute(
                "SELECT entry, attempts + 1, trajectory, seed FROM entry WHERE state = 'planned'"
                " ORDER BY rejections, entry LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            claim = Claim(*row)
            self._db.execute(
                "INSERT INTO attempt (entry, attempt, state, claimed_ns) VALUES (?, ?, 'claimed', ?)",
                (claim.entry, claim.attempt, time.time_ns()),
            )
            self._db.execute(
                "UPDATE entry SET state = 'claimed', attempts = attempts + 1 WHERE entry = ?",
                (claim.entry,),
            )
        return claim

    def finish(self, claim: Claim, result: Result) -> None:
        """The trajectory is done, its bag safe on disk. Saying it again changes nothing.

        Raises:
            LedgerStateError: the claim is not under way, or the result is impossible.
        """
        values = dataclasses.asdict(result) | {"current_mean_a": json.dumps(result.current_mean_a)}
        self._end(claim, "done", "", values, "done")

    def reject(self, claim: Claim, reason: str, bag: str = "", retry: bool = True) -> None:
        """The attempt failed; the row is tried again until the campaign's ``attempts`` are used up.

        Args:
            claim: the attempt.
            reason: why, in words.
            bag: folder name of what was recorded; "" = nothing.
            retry: False = the row is rejected for good at once.

        Raises:
            LedgerStateError: the claim is not under way.
        """
        self._end(claim, "rejected", reason, {"bag": bag}, "planned" if retry else "rejected")

    def release(self, claim: Claim, reason: str, bag: str = "") -> None:
        """The attempt was interrupted from outside; the row is planned again, and nothing counts against it.

        Raises:
            LedgerStateError: the claim is not under way.
        """
        self._end(claim, "interrupted", reason, {"bag": bag}, "planned")

    def _end(
        self, claim: Claim, state: str, reason: str, values: dict[str, Any], entry_state: str
    ) -> None:
        key = (claim.entry, claim.attempt)
        columns = {"state": state, "reason": reason, "ended_ns": time.time_ns(), **values}
        with self._transaction():
            row = self._db.execute(
                "SELECT state, bag FROM attempt WHERE entry = ? AND attempt = ?", key
            ).fetchone()
            if row == (state, values["bag"]):
                return
            if row is None or row[0] != "claimed":
                found = row[0] if row else "not in the ledger"
                raise LedgerStateError(
                    f"{self.path}: attempt {claim.attempt} at row {claim.entry} cannot become {state}: it is {found}"
                )
            assignments = ", ".join(f"{name} = ?" for name in columns)
            self._db.execute(
                f"UPDATE attempt SET {assignments} WHERE entry = ? AND attempt = ?",
                (*(_plain(value) for value in columns.values()), *key),
            )
            rejected = int(state == "rejected")
            self._db.execute(
                "UPDATE entry SET rejections = rejections + :rejected, state = CASE"
                " WHEN :rejected AND rejections + 1 >= :most THEN 'rejected' ELSE :state END WHERE entry = :entry",
                {
                    "rejected": rejected,
                    "most": self.campaign.attempts,
                    "state": entry_state,
                    "entry": claim.entry,
                },
            )

    # --- the journal and other numbers --------------------------------------------------------------

    def event(self, kind: str, text: str, **numbers: float) -> None:
        """Add a line to the campaign's journal."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO event (time_ns, kind, text, numbers) VALUES (?, ?, ?, ?)",
                (time.time_ns(), kind, text, json.dumps(numbers)),
            )

    def set_statistic(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name; the last one counts."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO statistic VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, json.dumps(value)),
            )

    def statistic(self, name: str, default: Any = None) -> Any:
        """The value kept under a name."""
        rows = self._rows("SELECT value FROM statistic WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else default

    def statistics(self) -> dict[str, Any]:
        """All values by name."""
        return {name: json.loads(value) for name, value in self._rows("SELECT * FROM statistic")}

    def change_rules(self, campaign: Campaign) -> None:
        """Go on under other rules; what is collected must stay the same, which ``prepare`` sees to."""
        with self._transaction():
            self._db.execute("UPDATE campaign SET config = ?", (json.dumps(campaign.to_dict()),))
        self.campaign = campaign

    # --- reading --------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Rows of the plan by state."""
        found = dict(self._rows("SELECT state, count(*) FROM entry GROUP BY state"))
        states = {name: found.get(name, 0) for name in ("done", "rejected", "claimed", "planned")}
        return Counts(total=sum(states.values()), **states)

    def plan(self) -> list[PlanEntry]:
        """All rows of the plan, in order."""
        rows = self._rows("SELECT entry, trajectory, seed FROM entry ORDER BY entry")
        return [PlanEntry(*row) for row in rows]

    def claims(self) -> list[Claim]:
        """Attempts under way, or left behind by a process that died, by row."""
        return [attempt.claim for attempt in self._attempts("WHERE a.state = 'claimed'")]

    def results(self) -> list[Attempt]:
        """Done attempts, one for each done row, in the order in which they were done."""
        return self._attempts("WHERE a.state = 'done'", "a.ended_ns, a.entry")

    def attempts(self) -> list[Attempt]:
        """All attempts, by row and attempt."""
        return self._attempts("")

    def events(self, last: int | None = None) -> list[Event]:
        """The journal, oldest first; ``last`` = only so many of the newest."""
        rows = self._rows(
            "SELECT time_ns, kind, text, numbers FROM event ORDER BY id DESC LIMIT ?",
            -1 if last is None else last,
        )
        return [
            Event(at, kind, text, json.loads(numbers)) for at, kind, text, numbers in rows[::-1]
        ]

    def _attempts(self, where: str, order: str = "a.entry, a.attempt") -> list[Attempt]:
        columns = ", ".join(f"a.{name}" for name in _RESULT_COLUMNS)
        rows = self._rows(
            "SELECT a.entry, a.attempt, e.trajectory, e.seed, a.state, a.reason, a.bag, a.claimed_ns, a.ended_ns,"
            f" {columns} FROM attempt a JOIN entry e ON e.entry = a.entry {where} ORDER BY {order}"
        )
        return [_attempt(row) for row in rows]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._errors():
            return self._db.execute(query, values).fetchall()

    # --- transactions -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return errors(self.path)


def _write_plan(
    database: sqlite3.Connection,
    campaign: Campaign,
    plan: Sequence[PlanEntry],
    library_sha256: str,
) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript("BEGIN;" + SCHEMA)
    database.execute(
        "INSERT INTO campaign VALUES (1, ?, ?, ?)",
        (json.dumps(campaign.to_dict()), library_sha256, time.time_ns()),
    )
    database.executemany(
        "INSERT INTO entry (entry, trajectory, seed) VALUES (?, ?, ?)",
        ((row.entry, row.trajectory, row.seed) for row in plan),
    )
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute("COMMIT")


def _plain(value: Any) -> Any:
    """SQLite has no NaN, and no infinity that would mean anything here."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _attempt(row: Sequence[Any]) -> Attempt:
    claim, (state, reason, bag, claimed_ns, ended_ns) = Claim(*row[:4]), row[4:9]
    result = None
    if state == "done":
        values: dict[str, Any] = dict(zip(_RESULT_COLUMNS, row[9:], strict=True))
        values = {name: math.nan if value is None else value for name, value in values.items()}
        values["current_mean_a"] = tuple(json.loads(values["current_mean_a"]))
        result = Result(bag, **values)
    return Attempt(claim, state, reason, bag, claimed_ns, ended_ns, result)
