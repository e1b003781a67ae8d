# SPDX-License-Identifier: Apache-2.0
"""What refuses a campaign before anything moves, and how it is found again."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from dexndm_ros.replay.campaign import Campaign, CampaignError, CoolingConfig
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.lock import LockedError
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.plan import make_plan
from dexndm_ros.replay.prepare import PrepareError, prepare
from dexndm_ros.replay.trajectory import LibraryError

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:6,square:4", 5, seed=7)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


@pytest.fixture
def out(tmp_path):
    """A campaign's folder with one row done."""
    prepared = prepare(CAMPAIGN, tmp_path / "out", hold=False)
    with Ledger.open(prepared.ledger_path) as ledger:
        claim = ledger.claim()
        ledger.finish(claim, Result(claim.episode, 1, 0, 0, 1, 0, 20.0, current_spread_a=0.25))
        ledger.set_statistic("pace", {"late": 3})
    return tmp_path / "out"


def test_a_new_folder_is_made_ready(tmp_path):
    prepared = prepare(CAMPAIGN, tmp_path / "a" / "b")
    assert (prepared.directory, prepared.resumed) == (tmp_path / "a" / "b", False)
    assert Campaign.load(tmp_path / "a" / "b" / "campaign.yaml") == CAMPAIGN
    assert prepared.bags.is_dir()
    assert (prepared.spreads_a, prepared.statistics) == ((), {})
    with Ledger.read_only(prepared.ledger_path) as ledger:
        assert ledger.plan() == make_plan(CAMPAIGN, prepared.source)
        assert ledger.library_sha256 == prepared.source.sha256
    prepared.lock.release()


@pytest.mark.parametrize("how", ["campaign", "file", "folder"])
def test_the_same_campaign_goes_on(out, tmp_path, how):
    file = tmp_path / "night.yaml"
    file.write_text(CAMPAIGN.to_yaml(), encoding="utf-8")
    before = tree(out)
    given = {"campaign": CAMPAIGN, "file": file, "folder": None}[how]
    prepared = prepare(given, out, hold=False)
    assert prepared.resumed
    assert prepared.campaign == CAMPAIGN
    assert prepared.spreads_a == (0.25,)
    assert prepared.statistics == {"pace": {"late": 3}}
    assert tree(out) == before


def test_rules_may_change_and_it_is_written_down(out):
    cooler = dataclasses.replace(CAMPAIGN, cooling=CoolingConfig(pause_c=54.0))
    assert prepare(cooler, out, hold=False).campaign == cooler
    assert Campaign.load(out / "campaign.yaml") == cooler
    with Ledger.read_only(out / "campaign.sqlite") as ledger:
        assert ledger.campaign == cooler
        assert [event.kind for event in ledger.events()] == ["rules"]
        assert ledger.counts().done == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "night-2"}, "name ('night-1' there, 'night-2' here)"),
        ({"orientation": "palm_up"}, "orientation ('palm_down' there, 'palm_up' here)"),
        ({"selection_orientation": "palm_up"}, "selection_orientation"),
        ({"count": 6}, "count (5 there, 6 here)"),
        ({"seed": 8}, "seed (7 there, 8 here)"),
        ({"hand_load": "half"}, "hand_load ('full' there, 'half' here)"),
        ({"noise": NoiseConfig(0.25, 0.01)}, "noise.probability (0.5 there, 0.25 here)"),
        (
            {"library": "waves:sine:7"},
            "library ('waves:sine:6,square:4' there, 'waves:sine:7' here",
        ),
    ],
)
def test_the_folder_of_another_campaign_is_refused_by_key(out, change, words):
    before = tree(out)
    with pytest.raises(PrepareError) as error:
        prepare(dataclasses.replace(CAMPAIGN, **change), out)
    assert words in str(error.value)
    assert "give another folder" in str(error.value)
    assert tree(out) == before
    prepare(CAMPAIGN, out, hold=False)  # the lock is free again


def test_two_campaigns_in_one_folder_are_refused(tmp_path):
    first = prepare(CAMPAIGN, tmp_path / "out")
    with pytest.raises(LockedError, match=f"process {os.getpid()} .campaign night-1"):
        prepare(CAMPAIGN, tmp_path / "out")
    first.lock.release()
    prepare(CAMPAIGN, tmp_path / "out", hold=False)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"library": "no_such_library"}, OSError, "no_such_library"),
        ({"library": "waves:circle:3"}, LibraryError, "circle"),
        ({"disk": dataclasses.replace(CAMPAIGN.disk, pause_gb=9e4, resume_gb=9.1e4)}, PrepareError, "GB are free"),
    ],
)  # fmt: skip
def test_a_campaign_that_cannot_begin_leaves_no_folder(tmp_path, change, kind, words):
    with pytest.raises(kind, match=words):
        prepare(dataclasses.replace(CAMPAIGN, **change), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_leaves_no_folder(tmp_path):
    file = tmp_path / "night.yaml"
    file.write_text(yaml.safe_dump({**CAMPAIGN.to_dict(), "count": 0}), encoding="utf-8")
    with pytest.raises(CampaignError, match="count"):
        prepare(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_campaign_to_go_on_with(tmp_path):
    with pytest.raises(PrepareError, match="give a campaign file"):
        prepare(None, tmp_path / "out")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(PrepareError, match="is a file; give a folder"):
            prepare(CAMPAIGN, folder)


@pytest.fixture
def nobody():
    """Root may write everywhere: become somebody who may not, if need be."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_folder_without_rights_is_refused(nobody):
    with tempfile.TemporaryDirectory(prefix="campaign_") as folder:
        Path(folder).chmod(0o555)
        with pytest.raises(PrepareError, match=r"cannot be written: Perm.*give another folder"):
            prepare(CAMPAIGN, Path(folder) / "out")
        with pytest.raises(PrepareError, match=r"cannot be written: Perm.*give another folder"):
            prepare(CAMPAIGN, folder)


def test_recordings_without_a_ledger_are_not_touched(out):
    (out / "campaign.sqlite").unlink()
    (out / "bags" / "e000000_a1").mkdir()
    before = tree(out)
    with pytest.raises(PrepareError, match=r"no ledger campaign\.sqlite beside it"):
        prepare(CAMPAIGN, out)
    assert tree(out) == before


def test_a_ledger_of_another_version_is_refused(out):
    with sqlite3.connect(out / "campaign.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(PrepareError, match="version 99"):
        prepare(CAMPAIGN, out)
    with pytest.raises(PrepareError, match="version 99"):
        prepare(None, out)


def test_a_file_in_the_ledger_s_place_is_refused(out):
    (out / "campaign.sqlite").write_text("notes")
    with pytest.raises(PrepareError, match="no ledger of a campaign"):
        prepare(CAMPAIGN, out)


PREPARE = """
import sys
import tempfile
from pathlib import Path
from dexndm_ros.replay.prepare import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), hold=False)
"""


def test_killed_at_any_moment_it_is_prepared_again(tmp_path):
    """The process kills itself before the n-th thing it does to a file of the folder."""
    file = tmp_path / "night.yaml"
    file.write_text(CAMPAIGN.to_yaml(), encoding="utf-8")
    program = """
import os, signal, sys
left = int(sys.argv[3])
def count(event, arguments):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.remove") and sys.argv[2] in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
""" + PREPARE.lstrip()  # fmt: skip
    kills = 0
    for moment in range(40):
        out = tmp_path / f"out{moment}"
        arguments = [sys.executable, "-c", program, str(file), str(out), str(moment)]
        status = subprocess.run(arguments, cwd=ROOT, check=False).returncode
        if status == 0:
            break
        kills += 1
        prepared = prepare(file, out, hold=False)
        with Ledger.read_only(prepared.ledger_path) as ledger:
            assert ledger.counts().planned == 5
        assert not list(out.glob("*.new*"))
    assert kills >= 6
    assert status == 0
