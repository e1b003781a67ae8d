# SPDX-License-Identifier: Apache-2.0
"""Verification: silent where ledger and bags agree, and one sentence for each way in which they may not."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, LedgerError
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.lock import CampaignLock, LockedError
from dexndm_ros.replay.prepare import prepare
from dexndm_ros.replay.verify import verify
from support.replays import begin_replay, write_replay

CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:5", 2, seed=7)
SOURCE = open_source(CAMPAIGN.library, seed=CAMPAIGN.seed, noise=CAMPAIGN.noise)


@pytest.fixture
def out(tmp_path):
    prepare(CAMPAIGN, tmp_path / "out", hold=False)
    return tmp_path / "out"


def collect(out, changes=None, rows=2, **result_changes):
    """Rows done; ``changes`` are made to the bag of the first one."""
    with Ledger.open(out / "campaign.sqlite") as ledger:
        for k in range(rows):
            claim = ledger.claim()
            wrong = changes if k == 0 else None
            ledger.finish(claim, write_replay(out / "bags", CAMPAIGN, claim, SOURCE, wrong))


def test_a_campaign_without_fault_agrees(out):
    collect(out)
    seen = []
    report = verify(out, lambda done, total: seen.append((done, total)))
    assert report.agrees, report.problems
    assert (report.bags, report.notes, report.rejected, report.interrupted) == (2, (), (), 0)
    assert report.messages == 2 * (403 * 2 + 400)
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_rejected_and_interrupted_rows_are_explained(out):
    with Ledger.open(out / "campaign.sqlite") as ledger:
        ledger.release(ledger.claim(), "interrupted")
        ledger.reject(ledger.claim(), "a ball is jammed", retry=False)
    collect(out, rows=1)
    report = verify(out)
    assert report.agrees, report.problems
    assert report.rejected == (("e000000_a2", "a ball is jammed"),)
    assert report.interrupted == 1


ONE_BIT = np.nextafter(0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({5: {"step": 6}}, "out of order: 5"),
        ({9: {"at_ns": 0}}, "step 9 is stamped no later"),
        ({5: {"campaign": "night-2"}}, "1 steps have campaign night-2, the ledger says night-1"),
        ({5: {"trajectory": 77}}, "trajectory 77"),
        ({5: {"entry": 1}}, "entry 1"),
        ({5: {"attempt": 2}}, "attempt 2"),
        ({5: {"seed": 1}}, "seed 1"),
        ({5: {"clean_target": np.zeros(16)}}, "step 5: clean_target is not what library"),
        ({5: {"noise": np.full(16, ONE_BIT)}}, "step 5: noise is not what"),
        ({5: {"target": np.zeros(16)}}, "step 5: target is not what"),
        (
            {5: {"position": np.zeros(16)}},
            "step 5: the command's position is not the step's target",
        ),
        ({5: {"seq": 4}}, "step 5: 0 commands with number 8 instead of one"),
        ({5: {"command_seq": 2**60}}, f"step 5: 0 commands with number {2**60}"),
        (
            {step: {"in_force": 0} for step in range(1, 43, 2)},
            "21 of 400 commands were never in force",
        ),
        ({k: {"in_force": 0} for k in range(390)}, "states show 10 of 400 commands in force"),
    ],
)
def test_a_replay_that_is_not_the_row_s_is_found(out, changes, words):
    collect(out, changes)
    report = verify(out)
    assert any("e000000_a1: " in text and words in text for text in report.problems), (
        report.problems
    )
    assert not any("e000001_a1" in text for text in report.problems)


def test_the_last_bit_counts(out):
    with Ledger.read_only(out / "campaign.sqlite") as ledger:
        first = SOURCE.trajectory(ledger.plan()[0].trajectory)
    clean_rad = first.targets_rad[399].copy()
    clean_rad[15] = np.nextafter(clean_rad[15], np.inf)
    collect(out, {399: {"clean_target": clean_rad}})
    assert verify(out).problems == (
        "e000000_a1: step 399: clean_target is not what library and seed give",
    )


def test_many_complaints_of_one_bag_are_counted(out):
    collect(out, {k: {"noise": np.full(16, ONE_BIT)} for k in range(10)})
    assert verify(out).problems[-1] == "e000000_a1: and 7 more"


def test_a_bag_that_is_gone(out):
    collect(out)
    shutil.rmtree(out / "bags" / "e000001_a1")
    (problem,) = verify(out).problems
    assert "e000001_a1: there is no bag" in problem


def test_a_damaged_bag(out):
    collect(out)
    file = next((out / "bags" / "e000001_a1").glob("*.mcap"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (problem,) = verify(out).problems
    assert problem.startswith("e000001_a1: ")


@pytest.mark.parametrize("name", ["e000001_a7", "notes", "e000000_a1.part"])
def test_a_bag_that_no_row_knows(out, name):
    collect(out)
    shutil.copytree(out / "bags" / "e000000_a1", out / "bags" / name)
    (problem,) = verify(out).problems
    assert problem.startswith(f"{name}: ")
    assert "no row of the ledger knows it" in problem


def test_a_bag_of_another_row(out):
    """Two rows with the same recording: one of them is twice, the other lost."""
    collect(out)
    shutil.rmtree(out / "bags" / "e000001_a1")
    shutil.copytree(out / "bags" / "e000000_a1", out / "bags" / "e000001_a1")
    problems = verify(out).problems
    assert any("e000001_a1: 400 steps have entry 0" in text for text in problems), problems


def test_a_row_that_nobody_works_at(out):
    collect(out, rows=1)
    with Ledger.open(out / "campaign.sqlite") as ledger:
        begin_replay(out / "bags", CAMPAIGN, ledger.claim(), SOURCE, steps=3).flush()
    problems = " ".join(verify(out).problems)
    assert "e000001_a1.part: lies in" in problems
    assert "e000001_a1: under way in the ledger, and no process is at work" in problems


def test_a_running_campaign_is_looked_at_as_far_as_it_is(out):
    collect(out, rows=1)
    with Ledger.open(out / "campaign.sqlite") as ledger, CampaignLock(out):
        begin_replay(out / "bags", CAMPAIGN, ledger.claim(), SOURCE, steps=3).flush()
        report = verify(out)
        assert report.agrees, report.problems
        assert report.notes == ("the campaign runs: 1 rows are under way",)


def test_no_campaign_begins_while_it_is_verified(out):
    collect(out, rows=1)
    refused = []

    def try_to_begin(done, total):
        with pytest.raises(LockedError, match="verify"):
            prepare(CAMPAIGN, out)
        refused.append(done)

    verify(out, try_to_begin)
    assert refused == [0, 1]
    prepare(CAMPAIGN, out, hold=False)


def test_another_library_is_told_and_the_rest_is_verified(out, monkeypatch):
    collect(out)
    other = open_source("waves:sine:6", seed=7)
    monkeypatch.setattr("dexndm_ros.replay.verify.open_source", lambda *a, **k: other)
    (problem,) = verify(out).problems
    assert "another library than the campaign's" in problem


def test_a_folder_without_a_campaign(tmp_path):
    with pytest.raises(LedgerError, match="no ledger"):
        verify(tmp_path)
