# SPDX-License-Identifier: Apache-2.0
"""Ways out of ``dexndm collect`` that start nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dexndm_ros.collect import cli
from dexndm_ros.collect.watch import Verdict
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.prepare import prepare
from dexndm_ros.replay.verify import verify
from support.replays import begin_replay, write_replay


def test_a_refusal_is_one_sentence_and_status_2(
    campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--campaign", str(campaign), "--out", str(campaign / "below_a_file"), "--headless"]
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert said.err.startswith("dexndm collect: ")


def test_a_real_hand_does_not_move_with_nobody_asked(
    campaign: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = tmp_path / "hand"
    port.touch()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # a pipe is no person
    words = ["--campaign", str(campaign), "--out", str(tmp_path / "out"), "--port", str(port)]
    assert cli.main(words) == 2
    assert "add --yes" in capsys.readouterr().err


def test_a_campaign_that_is_done_starts_nothing_and_reports(
    campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with Ledger.open(prepare(campaign, out, hold=False).ledger_path) as ledger:
        while claim := ledger.claim():
            bag = claim.episode
            numbers = {"messages": 1, "lost": 0, "dropped": 0, "bytes": 1, "started_ns": 1}
            ledger.finish(claim, Result(bag=bag, duration_s=20.0, **numbers))
    assert cli.main(["--out", str(out), "--headless"]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 trajectories done" in said and "to go on" not in said
    assert f"dexndm campaign verify {out}" in said
    assert not (out / "logs").exists()
    assert (out / "report.html").is_file()


def test_what_was_being_closed_at_the_end_is_settled(
    campaign: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The replay ends first: one bag is finished after it, of another something is left."""
    out = tmp_path / "out"

    def run(job, progress):
        prepared = prepare(None, out, hold=False)
        with Ledger.open(prepared.ledger_path) as ledger:
            one, two = ledger.claim(), ledger.claim()
            assert one is not None and two is not None
            rules = Campaign.load(campaign)
            write_replay(prepared.bags, rules, one, prepared.source)
            begin_replay(prepared.bags, rules, two, prepared.source, steps=20).flush()
        return Verdict("", "the time of the schedule is over")

    monkeypatch.setattr(cli, "run_campaign", run)
    assert cli.main(["--campaign", str(campaign), "--out", str(out), "--headless"]) == 0
    said = capsys.readouterr().out
    assert "1 of 3 trajectories done, 0 rejected, 2 to do" in said
    again = f"the time of the schedule is over; to go on: dexndm collect --out {out} --headless"
    assert said.splitlines()[-1].startswith(again)
    report = verify(out)
    assert report.agrees, report.problems
