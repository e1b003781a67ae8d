# SPDX-License-Identifier: Apache-2.0
"""Tables of the ledger. What must never happen is refused by the database itself, whatever program writes to it.

A row of the plan goes planned -> claimed -> done | planned (again) | rejected (for good), an attempt
claimed -> done | rejected | interrupted; nothing ever leaves done, rejected or interrupted.
"""

from __future__ import annotations

__all__ = ["APPLICATION_ID", "SCHEMA", "SCHEMA_VERSION"]

SCHEMA_VERSION = 1
APPLICATION_ID = 0x444E444D
"""In the file's header: tells a ledger from any other SQLite file."""

SCHEMA = """
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    config TEXT NOT NULL,
    library_sha256 TEXT NOT NULL,
    created_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE entry (
    entry INTEGER PRIMARY KEY CHECK (entry >= 0),
    trajectory INTEGER NOT NULL CHECK (trajectory >= 0),
    seed INTEGER NOT NULL CHECK (seed >= 0),
    state TEXT NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'claimed', 'done', 'rejected')),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    rejections INTEGER NOT NULL DEFAULT 0 CHECK (rejections BETWEEN 0 AND attempts)
) STRICT;
CREATE INDEX next_entry ON entry (rejections, entry) WHERE state = 'planned';

CREATE TABLE attempt (
    entry INTEGER NOT NULL REFERENCES entry,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    state TEXT NOT NULL CHECK (state IN ('claimed', 'done', 'rejected', 'interrupted')),
    reason TEXT NOT NULL DEFAULT '',
    bag TEXT NOT NULL DEFAULT '',
    claimed_ns INTEGER NOT NULL,
    ended_ns INTEGER,
    messages INTEGER, lost INTEGER, dropped INTEGER, bytes INTEGER,
    started_ns INTEGER, duration_s REAL,
    temperature_max_c REAL, current_mean_a TEXT, current_spread_a REAL, tracking_rms_rad REAL,
    period_error_ms_p99 REAL, missed_ticks INTEGER,
    PRIMARY KEY (entry, attempt),
    CHECK ((state = 'claimed') = (ended_ns IS NULL)),
    CHECK ((state IN ('rejected', 'interrupted')) = (reason <> '')),
    CHECK (state <> 'done' OR (bag <> '' AND messages > 0 AND lost >= 0 AND dropped >= 0 AND bytes > 0
                               AND missed_ticks >= 0))
) STRICT;
CREATE UNIQUE INDEX one_done ON attempt (entry) WHERE state = 'done';
CREATE UNIQUE INDEX one_claimed ON attempt (entry) WHERE state = 'claimed';
CREATE UNIQUE INDEX one_bag ON attempt (bag) WHERE bag <> '';

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    numbers TEXT NOT NULL
) STRICT;

CREATE TABLE statistic (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TRIGGER attempt_ends_once BEFORE UPDATE ON attempt
WHEN OLD.state <> 'claimed' OR NEW.entry <> OLD.entry OR NEW.attempt <> OLD.attempt
BEGIN SELECT RAISE(ABORT, 'an attempt that has ended does not change'); END;

CREATE TRIGGER attempt_stays BEFORE DELETE ON attempt
BEGIN SELECT RAISE(ABORT, 'attempts are not deleted'); END;

CREATE TRIGGER attempt_begins BEFORE INSERT ON attempt
WHEN NEW.state <> 'claimed' OR NEW.attempt <> 1 + (SELECT count(*) FROM attempt WHERE entry = NEW.entry)
BEGIN SELECT RAISE(ABORT, 'attempts are claimed one after the other'); END;

CREATE TRIGGER entry_moves BEFORE UPDATE ON entry
WHEN NEW.entry <> OLD.entry OR NEW.trajectory <> OLD.trajectory OR NEW.seed <> OLD.seed OR NOT (
    (OLD.state = 'planned' AND NEW.state = 'claimed')
    OR (OLD.state = 'claimed' AND NEW.state IN ('planned', 'done', 'rejected')))
BEGIN SELECT RAISE(ABORT, 'a row of the plan does not move so'); END;

CREATE TRIGGER entry_agrees AFTER UPDATE ON entry
WHEN (NEW.state = 'done') <> EXISTS (SELECT 1 FROM attempt WHERE entry = NEW.entry AND state = 'done')
    OR (NEW.state = 'claimed') <> EXISTS (SELECT 1 FROM attempt WHERE entry = NEW.entry AND state = 'claimed')
    OR NEW.attempts <> (SELECT count(*) FROM attempt WHERE entry = NEW.entry)
    OR NEW.rejections <> (SELECT count(*) FROM attempt WHERE entry = NEW.entry AND state = 'rejected')
BEGIN SELECT RAISE(ABORT, 'a row of the plan and its attempts disagree'); END;

CREATE TRIGGER entry_stays BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'rows of the plan are not deleted'); END;
"""
