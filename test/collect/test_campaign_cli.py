# SPDX-License-Identifier: Apache-2.0
"""``dexndm campaign``: what it says and how it exits."""

from __future__ import annotations

import shutil

import pytest

from dexndm_ros.collect.campaign_cli import main
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.prepare import prepare
from support.replays import write_replay

CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:5", 4, seed=7)


@pytest.fixture
def out(tmp_path):
    """Two rows done, one rejected for good, one to do."""
    source = open_source(CAMPAIGN.library, seed=CAMPAIGN.seed, noise=CAMPAIGN.noise)
    prepared = prepare(CAMPAIGN, tmp_path / "out", hold=False)
    with Ledger.open(prepared.ledger_path) as ledger:
        for _ in range(2):
            claim = ledger.claim()
            ledger.finish(claim, write_replay(prepared.bags, CAMPAIGN, claim, source))
        ledger.reject(ledger.claim(), "thumb_mcp is stuck", retry=False)
        ledger.event("fault", "the cable was pulled")
    return prepared.directory


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ["4 trajectories, palm_down, hand load full", "4 of them once", "at any time"]),
        ({"count": 13}, ["5 trajectories for palm_down, each 2 times, 3 of them once more"]),
        ({"count": 1800}, ["10.0 h of replay"]),
        ({"schedule": {"start": "18:00", "stop": "08:00"}}, ["every day from 18:00 to 08:00"]),
        ({"schedule": {"start": "18:00"}}, ["from 18:00 on"]),
        ({"schedule": {"stop": "08:00", "max_hours": 9}}, ["until 08:00, at most 9 h a run"]),
    ],
)
def test_check_tells_what_a_campaign_comes_to(tmp_path, capsys, change, words):
    file = tmp_path / "night.yaml"
    campaign = Campaign.from_dict({**CAMPAIGN.to_dict(), **change})
    file.write_text(campaign.to_yaml(), encoding="utf-8")
    assert main(["check", str(file)]) == 0
    said = capsys.readouterr().out
    for word in [*words, "it can begin"]:
        assert word in said
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: night-1", "orientation is missing"),
        (CAMPAIGN.to_yaml().replace("count: 4", "count: -4"), "count: must be from 1"),
        (CAMPAIGN.to_yaml().replace("waves:sine:5", "none.parquet"), "none.parquet"),
        (CAMPAIGN.to_yaml().replace("waves:sine:5", "waves:circle:5"), "circle"),
    ],
)
def test_check_refuses_with_2_and_says_why(tmp_path, capsys, text, words):
    file = tmp_path / "night.yaml"
    file.write_text(text, encoding="utf-8")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


def test_status_tells_counts_reasons_and_the_newest_events(out, capsys):
    assert main(["status", str(out)]) == 0
    said = capsys.readouterr().out
    for words in (
        "night-1: 4 trajectories",
        "2 of 4 trajectories done, 1 rejected, 1 to do",
        "rejected 1 x: thumb_mcp is stuck",
        "the cable was pulled",
    ):
        assert words in said


def test_verify_agrees(out, capsys):
    assert main(["verify", str(out)]) == 0
    said = capsys.readouterr().out
    for words in (
        "2 of 4 rows done, 1 rejected, 1 to do; 0 interruptions",
        "2 bags read: 2412 messages",
        "rejected 1 x: thumb_mcp is stuck",
        "ledger and bags agree",
    ):
        assert words in said


def test_verify_disagrees_with_1(out, capsys):
    shutil.rmtree(out / "bags" / "e000001_a1")
    (out / "bags" / "e000009_a1").mkdir()
    assert main(["verify", str(out)]) == 1
    said = capsys.readouterr().out
    assert said.count("PROBLEM: ") == 2
    assert "ledger and bags disagree: 2 problems" in said


@pytest.mark.parametrize("job", ["status", "verify"])
def test_a_folder_without_a_campaign_is_refused(tmp_path, capsys, job):
    assert main([job, str(tmp_path)]) == 2
    assert f"dexndm campaign {job}: " in (said := capsys.readouterr().err)
    assert "there is no ledger" in said


def test_wrong_use_is_told():
    with pytest.raises(SystemExit) as ended:
        main(["verfy"])
    assert ended.value.code == 2


def test_report_is_written_anew(out, capsys):
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert "night-1" in (out / "report.html").read_text(encoding="utf-8")


def test_a_report_of_nothing_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "dexndm campaign report: " in capsys.readouterr().err
