# SPDX-License-Identifier: Apache-2.0
"""The ledger: its transitions, what it refuses, and that no death of its process loses or repeats anything."""

from __future__ import annotations

import dataclasses
import math
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dexndm_ros.replay import ledger_file
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import (
    SCHEMA_VERSION,
    Claim,
    Counts,
    Ledger,
    LedgerError,
    LedgerStateError,
    PlanEntry,
    Result,
)
from dexndm_ros.replay.ledger_rows import episode_name, parse_episode

CAMPAIGN = Campaign("night-1", "palm_down", "all.parquet", 4, attempts=3)
SHA = "c0ffee"
ROOT = Path(__file__).resolve().parents[2]


def plan(count: int) -> list[PlanEntry]:
    return [PlanEntry(k, 1000 + k, 2**62 + k) for k in range(count)]


def result(claim: Claim, **changes: object) -> Result:
    """A result whose numbers tell whose it is."""
    values = Result(
        bag=claim.episode,
        messages=4000 + claim.entry,
        lost=0,
        dropped=0,
        bytes=10_000 + claim.entry,
        started_ns=claim.entry * 10**9,
        duration_s=20.0 + claim.entry,
        temperature_max_c=40.0 + claim.entry,
        current_mean_a=tuple(claim.entry + j / 100 for j in range(16)),
        current_spread_a=0.1,
        tracking_rms_rad=0.01,
        period_error_ms_p99=0.2,
        missed_ticks=0,
    )
    return dataclasses.replace(values, **changes)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "campaign.sqlite", CAMPAIGN, plan(4), SHA) as made:
        yield made


def test_a_new_ledger_holds_the_campaign_and_its_plan(ledger):
    assert ledger.campaign == CAMPAIGN
    assert ledger.library_sha256 == SHA
    assert ledger.plan() == plan(4)
    assert ledger.counts() == Counts(total=4, done=0, rejected=0, claimed=0, planned=4)


def test_rows_are_claimed_in_order_and_kept_when_done(ledger):
    claims = [ledger.claim() for _ in range(5)]
    assert claims == [*(Claim(k, 1, 1000 + k, 2**62 + k) for k in range(4)), None]
    assert ledger.claims() == claims[:4]
    for claim in (claims[2], claims[0]):
        ledger.finish(claim, result(claim))
    assert [done.claim.entry for done in ledger.results()] == [2, 0]
    assert [done.result for done in ledger.results()] == [result(claims[2]), result(claims[0])]
    assert ledger.counts() == Counts(total=4, done=2, rejected=0, claimed=2, planned=0)


def test_what_nobody_measured_comes_back_as_nan(ledger):
    claim = ledger.claim()
    ledger.finish(claim, Result(claim.episode, 1, 0, 0, 1, 0, 20.0))
    (done,) = ledger.results()
    assert math.isnan(done.result.temperature_max_c)
    assert done.result.current_mean_a == ()


def test_what_fails_waits_until_the_others_had_their_turn(ledger):
    for row in range(3):
        claim = ledger.claim()
        assert (claim.entry, claim.attempt) == (row, 1)
        ledger.reject(claim, "a ball is jammed", bag=f"{claim.episode}.partial")
    assert (ledger.claim().entry, ledger.claim().entry) == (3, 0)


def test_a_row_is_rejected_for_good_when_its_attempts_are_used_up(ledger):
    used = []
    while (claim := ledger.claim()) is not None:
        used.append(claim)
        if claim.entry == 1:
            ledger.reject(claim, f"jammed {claim.attempt}")
        else:
            ledger.finish(claim, result(claim))
    assert [claim.attempt for claim in used if claim.entry == 1] == [1, 2, 3]
    assert ledger.counts() == Counts(total=4, done=3, rejected=1, claimed=0, planned=0)
    assert [a.reason for a in ledger.attempts() if a.claim.entry == 1] == [
        "jammed 1",
        "jammed 2",
        "jammed 3",
    ]


def test_an_interruption_does_not_count_and_the_row_is_next(ledger):
    for attempt in range(1, 8):
        claim = ledger.claim()
        assert (claim.entry, claim.attempt, claim.seed) == (0, attempt, 2**62)
        ledger.release(claim, "the cable was pulled")
    assert ledger.counts().planned == 4


def test_a_row_may_be_rejected_at_once(ledger):
    ledger.reject(ledger.claim(), "no such trajectory", retry=False)
    assert ledger.counts().rejected == 1


def test_saying_it_again_changes_nothing(ledger):
    first, second, third = ledger.claim(), ledger.claim(), ledger.claim()
    for _ in range(2):
        ledger.finish(first, result(first))
        ledger.reject(second, "jammed")
        ledger.release(third, "interrupted")
    assert ledger.counts() == Counts(total=4, done=1, rejected=0, claimed=0, planned=3)
    assert len(ledger.attempts()) == 3


@pytest.mark.parametrize("end", ["finish", "reject", "release"])
def test_an_attempt_ends_once(ledger, end):
    claim = ledger.claim()
    ends = {
        "finish": lambda: ledger.finish(claim, result(claim)),
        "reject": lambda: ledger.reject(claim, "jammed"),
        "release": lambda: ledger.release(claim, "interrupted"),
    }
    ends.pop(end)()
    for other in ends.values():
        with pytest.raises(LedgerStateError, match="attempt 1 at row 0"):
            other()


def test_an_attempt_that_was_never_claimed_cannot_end(ledger):
    with pytest.raises(LedgerStateError, match="not in the ledger"):
        ledger.finish(Claim(3, 1, 1003, 0), result(Claim(3, 1, 1003, 0)))


@pytest.mark.parametrize(
    "change", [{"bag": ""}, {"messages": 0}, {"lost": -1}, {"bytes": 0}, {"missed_ticks": -1}]
)
def test_an_impossible_result_is_refused_and_the_claim_stays(ledger, change):
    claim = ledger.claim()
    with pytest.raises(LedgerStateError, match="refused"):
        ledger.finish(claim, result(claim, **change))
    assert ledger.claims() == [claim]
    ledger.finish(claim, result(claim))


def test_a_bag_belongs_to_one_attempt(ledger):
    first, second = ledger.claim(), ledger.claim()
    ledger.finish(first, result(first))
    with pytest.raises(LedgerStateError, match="refused"):
        ledger.finish(second, result(second, bag=first.episode))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET state = 'planned' WHERE entry = 0",
        "UPDATE entry SET state = 'done' WHERE entry = 1",
        "UPDATE entry SET state = 'claimed', attempts = 1 WHERE entry = 1",
        "UPDATE entry SET seed = 1 WHERE entry = 1",
        "UPDATE attempt SET state = 'claimed', ended_ns = NULL WHERE entry = 0",
        "UPDATE attempt SET bag = 'another' WHERE entry = 0",
        "DELETE FROM attempt",
        "DELETE FROM entry",
        "INSERT INTO attempt (entry, attempt, state, claimed_ns) VALUES (1, 2, 'claimed', 0)",
        "INSERT INTO attempt (entry, attempt, state, claimed_ns) VALUES (9, 1, 'claimed', 0)",
        "INSERT INTO attempt (entry, attempt, state, bag, claimed_ns, ended_ns)"
        " VALUES (1, 1, 'done', 'b', 0, 0)",
        "INSERT INTO entry (entry, trajectory, seed, state) VALUES (-1, 0, 0, 'planned')",
        "INSERT INTO entry (entry, trajectory, seed, state) VALUES (9, 0, 0, 'lost')",
        "INSERT INTO campaign VALUES (2, '{}', '', 0)",
    ],
)
def test_the_database_itself_refuses_what_must_never_happen(ledger, statement):
    claim = ledger.claim()
    ledger.finish(claim, result(claim))
    with sqlite3.connect(ledger.path) as other:
        other.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(statement)
    other.close()
    assert ledger.counts() == Counts(total=4, done=1, rejected=0, claimed=0, planned=3)


def test_journal_and_statistics_are_kept(ledger):
    for k in range(3):
        ledger.event("fault", f"fault {k}", motor=k, temperature_c=60.5)
    ledger.set_statistic("pace", {"bins": [1, 2, 3]})
    ledger.set_statistic("pace", {"bins": [4]})
    ledger.close()
    with Ledger.open(ledger.path) as again:
        assert [event.text for event in again.events()] == ["fault 0", "fault 1", "fault 2"]
        (last,) = again.events(last=1)
        assert (last.kind, last.numbers) == ("fault", {"motor": 2, "temperature_c": 60.5})
        assert again.statistics() == {"pace": {"bins": [4]}}
        assert again.statistic("none", default=7) == 7


def test_a_reader_sees_what_the_writer_writes_and_writes_nothing(ledger):
    with Ledger.read_only(ledger.path) as reader:
        ledger.claim()
        assert reader.counts().claimed == 1
        with pytest.raises(LedgerError, match="may not be written"):
            reader.claim()


# --- files that are no ledger ---------------------------------------------------------------------


def test_a_ledger_is_not_made_twice(ledger):
    with pytest.raises(LedgerError, match="exists"):
        Ledger.create(ledger.path, CAMPAIGN, plan(4), SHA)


def test_a_ledger_half_made_is_made_anew(tmp_path):
    path = tmp_path / "campaign.sqlite"
    for name in ("campaign.sqlite.new", "campaign.sqlite.new-wal", "campaign.sqlite.new-shm"):
        (tmp_path / name).write_bytes(b"left by a process that was killed")
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(path)
    Ledger.create(path, CAMPAIGN, plan(2), SHA).close()
    assert [file.name for file in tmp_path.iterdir()] == ["campaign.sqlite"]


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough" * 100])
@pytest.mark.parametrize("how", [Ledger.open, Ledger.read_only])
def test_another_file_is_refused(tmp_path, content, how):
    file = tmp_path / "campaign.sqlite"
    file.write_bytes(content)
    with pytest.raises(LedgerError, match="no ledger of a campaign"):
        how(file)


def test_another_database_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "bag.db3") as database:
        database.execute("CREATE TABLE campaign (config, library_sha256)")
    database.close()
    with pytest.raises(LedgerError, match="no ledger of a campaign"):
        Ledger.open(tmp_path / "bag.db3")


def test_another_version_is_refused_with_both(ledger):
    ledger.close()
    with sqlite3.connect(ledger.path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(LedgerError, match=rf"version {SCHEMA_VERSION + 1}.*{SCHEMA_VERSION}"):
        Ledger.open(ledger.path)


def test_a_damaged_ledger_says_so(ledger):
    for _ in range(3):
        ledger.event("x", "y" * 4000)
    ledger.close()
    content = bytearray(ledger.path.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    ledger.path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(ledger.path)


# --- a disk and neighbours that do not cooperate --------------------------------------------------


def test_a_full_disk_is_told_and_nothing_is_lost(ledger):
    claim = ledger.claim()
    ledger.finish(claim, result(claim))
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then meets a full disk
    with pytest.raises(LedgerError, match="the disk is full: make room"):
        ledger.event("noise", "x" * 100_000)
    ledger._db.execute("PRAGMA max_page_count = 100000")
    ledger.event("noise", "x" * 100_000)
    assert ledger.counts().done == 1
    assert len(ledger.events()) == 1


def test_a_ledger_that_another_program_writes_to_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_file, "_BUSY_S", 0.05)
    with Ledger.create(tmp_path / "campaign.sqlite", CAMPAIGN, plan(4), SHA) as ledger:
        other = sqlite3.connect(ledger.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another program is writing"):
            ledger.claim()
        other.execute("ROLLBACK")
        other.close()
        assert ledger.claim().entry == 0


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "attempt"), [(0, 1), (12, 3), (999_999, 10), (1_234_567, 1)])
def test_names_of_episodes_are_read_back(entry, attempt):
    assert parse_episode(episode_name(entry, attempt)) == (entry, attempt)


@pytest.mark.parametrize(
    "name",
    ["", "e000001", "e000001_a0", "e1_a1", "e0000001_a1", "e000001_a1.partial", "e000001_a01"],
)
def test_other_names_are_no_episodes(name):
    assert parse_episode(name) is None


# --- against a model, with crashes ------------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Any calls in any order, with deaths at any statement, against a model in plain Python."""

    ROWS = 3
    ATTEMPTS = 2

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger_"))
        self.lives = 0
        campaign = dataclasses.replace(CAMPAIGN, attempts=self.ATTEMPTS)
        self.ledger = Ledger.create(self.path, campaign, plan(self.ROWS), SHA)
        self.state = ["planned"] * self.ROWS
        self.rejections = [0] * self.ROWS
        self.attempts: list[list[str]] = [[] for _ in range(self.ROWS)]
        self.open: list[Claim] = []

    @property
    def path(self) -> Path:
        return self.folder / f"life{self.lives}.sqlite"

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    def next_row(self) -> int | None:
        planned = [k for k in range(self.ROWS) if self.state[k] == "planned"]
        return min(planned, key=lambda k: (self.rejections[k], k), default=None)

    @rule()
    def claim(self):
        row = self.next_row()
        claim = self.ledger.claim()
        if row is None:
            assert claim is None
            return
        self.attempts[row].append("claimed")
        assert claim == Claim(row, len(self.attempts[row]), 1000 + row, 2**62 + row)
        self.state[row] = "claimed"
        self.open.append(claim)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), end=st.sampled_from(["finish", "reject", "give up", "release"]))
    def end(self, data, end):
        claim = data.draw(st.sampled_from(self.open))
        self.call(end, claim)
        self.open.remove(claim)
        row = claim.entry
        self.rejections[row] += end in ("reject", "give up")
        used_up = end == "give up" or (end == "reject" and self.rejections[row] >= self.ATTEMPTS)
        self.state[row] = "done" if end == "finish" else "rejected" if used_up else "planned"
        self.attempts[row][-1] = {"finish": "done", "release": "interrupted"}.get(end, "rejected")

    @rule(
        row=st.integers(0, ROWS),
        attempt=st.integers(0, 3),
        end=st.sampled_from(["finish", "reject", "release"]),
    )
    def end_what_is_not_under_way(self, row, attempt, end):
        claim = Claim(row, attempt, 1000 + row, 2**62 + row)
        if claim in self.open:
            return
        ended = {"finish": "done", "reject": "rejected", "release": "interrupted"}[end]
        known = row < self.ROWS and 1 <= attempt <= len(self.attempts[row])
        if known and self.attempts[row][attempt - 1] == ended:
            self.call(end, claim)  # said again
        else:
            with pytest.raises(LedgerStateError):
                self.call(end, claim)

    def call(self, end: str, claim: Claim) -> None:
        if end == "finish":
            self.ledger.finish(claim, result(claim))
        elif end == "release":
            self.ledger.release(claim, "interrupted")
        else:
            self.ledger.reject(claim, "jammed", retry=end != "give up")

    @rule(data=st.data(), statement=st.integers(0, 4))
    def die_in_a_call(self, data, statement):
        """The files as a kill leaves them before some statement of a transaction: it never happened."""
        image = self.folder / f"life{self.lives + 1}.sqlite"
        seen = []

        def trace(sql: str) -> None:
            if len(seen) == statement or sql == "COMMIT":
                self.copy_to(image)
            seen.append(sql)

        def image_once(sql: str) -> None:
            if not image.exists():
                trace(sql)

        self.ledger._db.set_trace_callback(image_once)
        if self.open:
            end = data.draw(st.sampled_from(["finish", "reject", "release"]))
            self.call(end, data.draw(st.sampled_from(self.open)))
        else:
            self.ledger.claim()
        self.ledger._db.set_trace_callback(None)
        self.live_on(image)

    @rule()
    def die_between_calls(self):
        image = self.folder / f"life{self.lives + 1}.sqlite"
        self.copy_to(image)
        self.live_on(image)

    def copy_to(self, image: Path) -> None:
        for suffix in ("", "-wal"):  # shared memory is rebuilt from these
            file = self.path.with_name(self.path.name + suffix)
            if file.exists():
                shutil.copy(file, image.with_name(image.name + suffix))

    def live_on(self, image: Path) -> None:
        self.ledger.close()
        self.lives += 1
        assert self.path == image
        self.ledger = Ledger.open(image)

    @invariant()
    def agrees(self):
        assert [self.state.count(s) for s in ("done", "rejected", "claimed", "planned")] == [
            self.ledger.counts().done,
            self.ledger.counts().rejected,
            self.ledger.counts().claimed,
            self.ledger.counts().planned,
        ]
        attempts = self.ledger.attempts()
        for row, states in enumerate(self.attempts):
            assert [a.state for a in attempts if a.claim.entry == row] == states
        assert sorted(done.claim.entry for done in self.ledger.results()) == [
            row for row in range(self.ROWS) if self.state[row] == "done"
        ]
        assert {(c.entry, c.attempt) for c in self.ledger.claims()} == {
            (c.entry, c.attempt) for c in self.open
        }


Machine.TestCase.settings = settings(max_examples=30, stateful_step_count=20)
TestAgainstAModel = Machine.TestCase

WORKER = """
import sys
from pathlib import Path
from dexndm_ros.replay.ledger import Ledger, Result
ledger = Ledger.open(Path(sys.argv[1]))
for claim in ledger.claims():
    ledger.release(claim, "left behind")
while (claim := ledger.claim()) is not None:
    print("claimed", claim.entry, claim.attempt, flush=True)
    ledger.finish(claim, Result(claim.episode, 1, 0, 0, 1, 0, 20.0))
    print("done", claim.entry, claim.attempt, flush=True)
"""


def test_kill_9_at_any_moment_loses_and_repeats_nothing(tmp_path):
    rows = 400
    path = tmp_path / "campaign.sqlite"
    Ledger.create(path, CAMPAIGN, plan(rows), SHA).close()
    rng = random.Random(3)
    told_done: list[tuple[str, str]] = []
    kills = 0
    while True:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        lines_left = rng.randrange(40, 140)
        for line in worker.stdout:
            word, *key = line.split()
            if word == "done":
                told_done.append(tuple(key))
            lines_left -= 1
            if lines_left == 0:
                worker.send_signal(signal.SIGKILL)  # and what it wrote meanwhile is read on
        worker.stdout.close()
        if worker.wait() == 0:
            break
        assert worker.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    with Ledger.open(path) as ledger:
        assert ledger._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        done = {(str(a.claim.entry), str(a.claim.attempt)) for a in ledger.results()}
        assert ledger.counts() == Counts(total=rows, done=rows, rejected=0, claimed=0, planned=0)
        assert len(told_done) == len(set(told_done))
        assert set(told_done) <= done
        assert len(done) - len(told_done) <= kills  # finished, and killed before it could say so
