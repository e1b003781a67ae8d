# SPDX-License-Identifier: Apache-2.0
"""What is refused before anything starts, and what comes of what is not."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dexndm_ros.collect.errors import RefusedError
from dexndm_ros.collect.job import CollectJob, make_job
from dexndm_ros.collect.options import CollectOptions, parse_options
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger
from dexndm_ros.replay.lock import CampaignLock


def made(options: CollectOptions) -> CollectJob:
    """A job whose locks are released again: the test makes another one."""
    job = make_job(options)
    for lock in job.locks:
        lock.release()
    return job


@pytest.fixture
def options(campaign: Path, tmp_path: Path) -> CollectOptions:
    return CollectOptions(campaign=str(campaign), out=tmp_path / "out", headless=True)


def test_a_new_campaign_gets_its_folder_ledger_and_processes(options: CollectOptions) -> None:
    job = made(options)
    with Ledger.read_only(job.ledger) as ledger:
        assert ledger.counts().planned == 3
        assert ledger.campaign.name == "small"
    named = {spec.name: spec for spec in job.processes}
    assert named["chaos_box_replay"].parameters["campaign"] == str(job.out / "campaign.yaml")
    assert named["chaos_box_replay"].parameters["directory"] == str(job.out)
    assert str(named["virtual_leap_hand"].parameters["world"]).endswith("free_hand.yaml")
    assert named["virtual_leap_hand"].parameters["wrist"] == "palm_down"
    assert "dashboard" not in named


def test_what_the_command_line_says_is_worked_into_the_campaign(options: CollectOptions) -> None:
    words = replace(options, trajectories=2, orientation="thumb_up", load="half", seed=77)
    job = made(words)
    stored = Campaign.load(job.out / "campaign.yaml")
    assert (stored.count, stored.orientation, stored.hand_load, stored.seed) == (
        2, "thumb_up", "half", 77,
    )  # fmt: skip
    named = {spec.name: spec for spec in job.processes}
    assert named["virtual_leap_hand"].parameters["wrist"] == "thumb_up"
    assert str(named["virtual_leap_hand"].parameters["world"]).endswith("chaos_box_half.yaml")


def test_the_folder_alone_goes_on_with_what_it_holds(options: CollectOptions) -> None:
    first = made(replace(options, trajectories=2))
    with Ledger.open(first.ledger) as ledger:
        claim = ledger.claim()
        assert claim is not None
        ledger.release(claim, "interrupted")
    again = made(parse_options(["--out", str(first.out), "--headless"]))
    assert again.campaign == first.campaign
    with Ledger.read_only(again.ledger) as ledger:
        assert len(ledger.attempts()) == 1
    assert str(first.out) in again.again


def test_without_a_folder_each_campaign_gets_its_own(
    options: CollectOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = made(replace(options, out=None))
    assert job.out.parent == tmp_path / "campaigns" and job.out.name.startswith("small-")
    assert job.ledger.is_file()


def edited(campaign: Path, **changes: object) -> Path:
    path = campaign.with_name("edited.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(campaign.read_text()) | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"counts": 3}, "counts"),
        ({"count": 0}, "count"),
        ({"orientation": "sideways"}, "orientation"),
        ({"library": "no_such_library"}, "no_such_library"),
        ({"library": "waves:sawtooth:5"}, "sawtooth"),
        ({"hand_load": "overfull"}, "hand_load"),
    ],
)
def test_a_bad_campaign_is_refused_and_leaves_no_folder(
    options: CollectOptions, campaign: Path, changes: dict[str, object], sentence: str
) -> None:
    words = replace(options, campaign=str(edited(campaign, **changes)))
    with pytest.raises(RefusedError, match=sentence):
        make_job(words)
    assert not (campaign.parent / "out").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"campaign": "no_such_campaign"}, "no campaign 'no_such_campaign'"),
        ({"world": "atlantis"}, "no world 'atlantis'"),
        ({"speed": "0"}, "speed is '0'"),
        ({"rate_hz": "fast"}, "rate is 'fast'"),
        ({"dashboard_port": "x", "headless": False}, "dashboard_port is 'x'"),
        ({"port": "/nowhere/hand"}, "/nowhere/hand does not exist: plug the U2D2 in"),
        ({"port": "/dev/null", "speed": "2"}, "is real"),
    ],
)
def test_a_bad_word_is_refused_and_leaves_no_folder(
    options: CollectOptions, campaign: Path, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(RefusedError, match=sentence):
        make_job(replace(options, **changes))  # type: ignore[arg-type]
    assert not (campaign.parent / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused(options: CollectOptions, campaign: Path) -> None:
    for out in (campaign / "below_a_file", Path("/proc/no_folder_here")):
        with pytest.raises(RefusedError, match="folder"):
            make_job(replace(options, out=out))


def test_a_folder_of_another_campaign_is_refused(options: CollectOptions) -> None:
    made(options)
    with pytest.raises(RefusedError, match="another campaign"):
        made(replace(options, seed=78))


def test_a_ledger_of_another_version_is_refused(options: CollectOptions) -> None:
    job = made(options)
    with sqlite3.connect(job.ledger) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(RefusedError, match="99"):
        made(options)


def test_a_folder_or_a_hand_that_is_in_use_is_refused(
    options: CollectOptions, tmp_path: Path
) -> None:
    job = made(options)
    with CampaignLock(job.out, "another"), pytest.raises(RefusedError, match="in use by"):
        made(options)
    held = make_job(options)
    with pytest.raises(RefusedError, match=r"in use by .*campaign small"):
        make_job(replace(options, out=tmp_path / "second"))
    assert not (tmp_path / "second").exists()
    for lock in held.locks:
        lock.release()
    made(options)
