# SPDX-License-Identifier: Apache-2.0
"""The ledger's thread: real ledger, real bags, a disk and a library that fail."""

from __future__ import annotations

import dataclasses
import queue
import threading

import numpy as np
import pytest

from dexndm_ros.recording.partial import reason_of
from dexndm_ros.replay import ledger_worker as module
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.jobs import Finished, Job, JobKind, Recorded
from dexndm_ros.replay.ledger import Ledger, LedgerError
from dexndm_ros.replay.ledger_worker import LedgerWorker
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.player import load
from dexndm_ros.replay.prepare import prepare
from dexndm_ros.replay.verify import verify
from dexndm_ros.replay.watch import TrajectoryNumbers
from support.replays import begin_replay, write_replay

CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:5", 2, seed=7)
SOURCE = open_source(CAMPAIGN.library, seed=CAMPAIGN.seed, noise=CAMPAIGN.noise)
FINISHED = Finished(1, 20.0, 0, 0.1, TrajectoryNumbers(30.0, (0.1,) * 16, 0.01, 0.02))
PATIENCE_S = 30.0


class Office:
    """A worker, and what it says."""

    def __init__(self, out) -> None:
        self.out = out
        self.bags = out / "bags"
        self.prepared = prepare(CAMPAIGN, out, hold=False)
        self.answers: queue.Queue = queue.Queue()
        self.said: queue.Queue = queue.Queue()
        self.worker = LedgerWorker(
            self.prepared, self.bags, self.answers.put, lambda serious, text: self.said.put(text)
        )

    def claimed(self):
        """Have a row claimed; returns it loaded, or None."""
        self.worker.do(Job(JobKind.CLAIM))
        return self.answer()

    def answer(self):
        found = []
        self.answers.get(timeout=PATIENCE_S)(_Run(found))
        return found[0]

    def all_done(self) -> None:
        """Wait until the thread has come so far."""
        reached = threading.Event()
        self.worker._work.put(lambda ledger: reached.set())
        assert reached.wait(PATIENCE_S)

    def attempts(self):
        self.all_done()
        with Ledger.read_only(self.prepared.ledger_path) as ledger:
            return ledger.attempts()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.bags.iterdir())


class _Run:
    def __init__(self, found) -> None:
        self.claimed = found.append


@pytest.fixture
def office(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_AGAIN_S", 0.001)
    office = Office(tmp_path / "out")
    office.worker.start()
    yield office
    assert office.worker.stop(PATIENCE_S)


def recorded(office, claim, complete=True) -> Recorded:
    path = str(office.bags / claim.episode)
    return Recorded(claim.episode, "s", complete, "", path, 1206, 0, 0, 1, 20.0)


def test_a_claim_comes_with_its_targets_and_a_finished_one_is_done(office):
    loaded = office.claimed()
    again = load(
        loaded.claim, SOURCE.trajectory(loaded.claim.trajectory).targets_rad, CAMPAIGN.noise
    )
    assert np.array_equal(loaded.target_rad, again.target_rad)
    known = write_replay(office.bags, CAMPAIGN, loaded.claim, SOURCE)
    told = dataclasses.replace(recorded(office, loaded.claim), messages=known.messages)
    office.worker.do(Job(JobKind.FINISH, loaded, finished=FINISHED, recorded=told))
    (attempt,) = office.attempts()
    assert (attempt.state, attempt.bag) == ("done", "e000000_a1")
    assert office.worker.counts.done == 1
    assert verify(office.out).agrees


def test_a_library_that_cannot_be_read_is_told_and_costs_no_row(office, monkeypatch):
    broken = threading.Event()
    real = office.prepared.source.trajectory

    def trajectory(name):
        if not broken.is_set():
            raise OSError("the disk fails")
        return real(name)

    monkeypatch.setattr(office.prepared.source, "trajectory", trajectory)
    office.worker.do(Job(JobKind.CLAIM))
    assert "the disk fails" in office.said.get(timeout=PATIENCE_S)
    assert "the disk fails" in office.worker.trouble
    broken.set()
    assert office.answer().claim.episode == "e000000_a1"
    assert [a.claim.episode for a in office.attempts()] == ["e000000_a1"]
    assert office.worker.trouble == ""


def test_a_claim_is_made_once_when_counting_fails(office, monkeypatch):
    real, fails = Ledger.counts, [LedgerError("the disk fails")]

    def counts(ledger):
        if fails:
            raise fails.pop()
        return real(ledger)

    monkeypatch.setattr(Ledger, "counts", counts)
    office.claimed()
    assert len(office.attempts()) == 1
    assert office.answers.empty()


def test_a_whole_bag_that_does_not_count_is_put_aside(office):
    loaded = office.claimed()
    write_replay(office.bags, CAMPAIGN, loaded.claim, SOURCE)
    told = recorded(office, loaded.claim)
    office.worker.do(Job(JobKind.RELEASE, loaded, "12 commands were never in force", recorded=told))
    (attempt,) = office.attempts()
    assert (attempt.state, attempt.bag) == ("interrupted", "e000000_a1.partial")
    assert office.names() == ["e000000_a1.partial"]
    assert "never in force" in reason_of(office.bags / "e000000_a1.partial")
    assert verify(office.out).agrees


def test_what_became_of_a_recording_is_looked_up(office):
    whole = office.claimed()
    write_replay(office.bags, CAMPAIGN, whole.claim, SOURCE)
    office.worker.do(Job(JobKind.RESOLVE, whole, finished=FINISHED))
    absent = office.claimed()
    office.worker.do(Job(JobKind.RESOLVE, absent, finished=FINISHED))
    done, released = office.attempts()
    assert (done.state, done.bag) == ("done", "e000000_a1")
    assert (released.state, released.bag) == ("interrupted", "")
    assert verify(office.out).agrees


def test_a_recorder_that_is_only_late_does_not_finish_what_was_given_up(office):
    loaded = office.claimed()
    writer = begin_replay(office.bags, CAMPAIGN, loaded.claim, SOURCE)
    writer.flush()
    office.worker.do(Job(JobKind.RESOLVE, loaded, finished=FINISHED))
    (attempt,) = office.attempts()
    assert (attempt.state, attempt.bag) == ("interrupted", "e000000_a1.partial")
    late = writer.finish({}, {"messages_lost": "0", "messages_dropped": "0", "shared_topics": "[]"})
    assert not late.complete
    assert office.names() == ["e000000_a1.partial"]
    assert verify(office.out).agrees


def test_bags_that_cannot_be_put_in_order_are_told_and_tried_again(office, monkeypatch):
    real, fails = module.reconcile, [OSError("Read-only file system")]

    def reconcile(ledger, bags):
        if fails:
            raise fails.pop()
        return real(ledger, bags)

    monkeypatch.setattr(module, "reconcile", reconcile)
    office.worker.reconcile()
    assert "Read-only" in office.said.get(timeout=PATIENCE_S)
    office.all_done()
    assert office.worker.reconciled
