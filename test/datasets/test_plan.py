# SPDX-License-Identifier: Apache-2.0
"""Which bags the words of a command line mean."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.bags.files import find
from dexndm_ros.datasets.plan import PlanError, find_bags, natural
from dexndm_ros.recording.partial import put_aside
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.lock import CampaignLock
from dexndm_ros.replay.prepare import prepare
from support.bags import CLOSING, open_episode, write_bag
from support.small_disk import modest_disk  # noqa: F401

CAMPAIGN = Campaign("night-1", "palm_down", "waves:sine:5", 6, seed=7)


def names(plan) -> list[str]:
    return [bag.name for bag in plan.bags]


@pytest.fixture
def campaign(tmp_path) -> Path:
    """Row 0 done, row 1 rejected, row 2 under way, and a bag that nobody owns."""
    out = tmp_path / "monday"
    prepare(CAMPAIGN, out, hold=False)
    bags = out / "bags"
    with Ledger.open(out / "campaign.sqlite") as ledger:
        for _ in range(3):
            claim = ledger.claim()
            writer = open_episode(bags, claim.episode)
            if claim.entry == 2:
                continue
            writer.finish({"/hand/state": 40}, CLOSING)
            if claim.entry == 0:
                ledger.finish(claim, Result(claim.episode, 60, 0, 0, 1, 1, 20.0))
            else:
                aside = put_aside(bags / claim.episode, "a stuck finger")
                ledger.reject(claim, "a stuck finger", aside.name)
    write_bag(bags, "e000009_a1")
    return out


@pytest.mark.parametrize("word", ["", "bags"])
def test_of_a_campaign_the_done_rows_are_taken_and_the_others_told(campaign, word):
    with CampaignLock(campaign, "night-1"):
        plan = find_bags([campaign / word])
    assert names(plan) == ["e000000_a1"]
    told = {each.path.name: each.reason for each in plan.left_out}
    assert set(told) == {"e000001_a1.partial", "e000002_a1.part", "e000009_a1"}
    assert "a stuck finger" in told["e000001_a1.partial"]
    assert "--salvage" in told["e000001_a1.partial"]
    assert told["e000002_a1.part"] == "it is being recorded"
    assert "no attempt" in told["e000009_a1"]


def test_salvage_takes_what_was_put_aside_but_not_what_is_being_recorded(campaign):
    with CampaignLock(campaign, "night-1"):
        plan = find_bags([campaign], salvage=True)
    assert names(plan) == ["e000000_a1", "e000001_a1.partial", "e000009_a1"]
    assert [bag.put_aside for bag in plan.bags] == [False, True, True]
    # The campaign has died: nobody writes that any more.
    assert "e000002_a1.part" in names(find_bags([campaign], salvage=True))


def test_a_done_bag_that_is_gone_is_told(campaign):
    shutil.rmtree(campaign / "bags" / "e000000_a1")
    assert ("e000000_a1", "done, and its bag is gone") in [
        (each.path.name, each.reason) for each in find_bags([campaign]).left_out
    ]


def test_a_torn_ledger_is_refused_with_the_way_around_it(campaign):
    (campaign / "campaign.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(PlanError, match=r"bags/\*"):
        find_bags([campaign])


def test_folders_of_folders_of_bags_and_campaigns(campaign, tmp_path):
    write_bag(tmp_path / "loose" / "tuesday", "e000010_a1")
    write_bag(tmp_path / "loose" / "tuesday", "e000009_a1")
    write_bag(tmp_path / "loose" / ".hidden", "e000001_a1")
    assert names(find_bags([tmp_path])) == ["e000009_a1", "e000010_a1", "e000000_a1"]


def test_a_bag_named_twice_is_taken_once(tmp_path):
    write_bag(tmp_path, "e000001_a1")
    (tmp_path / "again").symlink_to(tmp_path / "e000001_a1")
    file = next((tmp_path / "e000001_a1").glob("*.mcap"))
    plan = find_bags([tmp_path, tmp_path / "e000001_a1", str(tmp_path / "e*"), tmp_path / "again"])
    assert names(plan) == ["e000001_a1"]
    assert names(find_bags([file])) == [
        "e000001_a1"
    ]  # it is described by the metadata.yaml beside it


def test_loose_files_are_a_bag_each_and_splits_are_one(tmp_path):
    for name in ("monday.mcap", "tuesday.db3.zstd", "notes.txt"):
        (tmp_path / "loose" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "loose" / name).write_bytes(b"x")
    for k in range(3):
        (tmp_path / "split" / f"run_{k}.mcap").parent.mkdir(exist_ok=True)
        (tmp_path / "split" / f"run_{k}.mcap").write_bytes(b"x")
    assert names(find_bags([tmp_path / "loose"])) == ["monday.mcap", "tuesday.db3.zstd"]
    (split,) = find_bags([tmp_path / "split"]).bags
    assert (split.name, split.bytes) == ("split", 3)


def touch(folder: Path, *files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_bytes(b"x")


def test_splits_given_file_by_file_are_one_bag(tmp_path):
    splits = [f"run_{k}.mcap" for k in range(11)]
    touch(tmp_path, *splits, "walk_0.db3.zstd", "walk_1.db3.zstd", "alone_0.mcap", "other.mcap")
    plan = find_bags([tmp_path / "*.*"])
    assert names(plan) == ["alone_0.mcap", "other.mcap", "run", "walk"]
    assert [bag.bytes for bag in plan.bags] == [1, 1, 11, 2]
    assert find_bags([tmp_path]) == plan
    assert names(find_bags([tmp_path / "run_3.mcap"])) == ["run"]
    assert [file.name for file in find(plan.bags[2].path, print).files] == splits


def test_a_file_that_metadata_names_stands_for_its_folder(tmp_path):
    write_bag(tmp_path, "e000001_a1")
    bag = tmp_path / "e000001_a1"
    touch(bag, "stray.mcap")
    plan = find_bags([bag / "e000001_a1_0.mcap", bag])
    assert [each.path for each in plan.bags] == [bag]
    assert names(find_bags([bag / "stray.mcap"])) == ["stray.mcap"]
    aside = put_aside(bag, "stuck")
    (left,) = find_bags([aside / "e000001_a1_0.mcap"]).left_out
    assert "stuck; --salvage takes it" in left.reason


@pytest.mark.parametrize("what", ["loose.mcap", "metadata.yaml", "run_0.mcap run_1.mcap"])
def test_what_lies_in_a_folder_hides_nothing_below_it(tmp_path, what):
    write_bag(tmp_path / "deep" / "er", "e000001_a1")
    write_bag(tmp_path, "e000002_a1")
    touch(tmp_path, *what.split())
    write_bag(tmp_path / "e000002_a1", "inside")
    plan = find_bags([tmp_path])
    found = [*names(plan), *(each.path.name for each in plan.left_out)]
    own = {"metadata.yaml": tmp_path.name, "loose.mcap": "loose.mcap"}.get(what, "run")
    assert sorted(found) == sorted(["e000001_a1", "e000002_a1", "inside", own])


def test_metadata_of_another_bag_is_told(tmp_path):
    write_bag(tmp_path, "e000001_a1")
    touch(tmp_path, "monday.mcap", "tuesday.mcap")
    shutil.copy(tmp_path / "e000001_a1" / "metadata.yaml", tmp_path)
    plan = find_bags([tmp_path])
    assert names(plan) == ["e000001_a1", "monday.mcap", "tuesday.mcap"]
    assert "names none of" in plan.left_out[0].reason


def test_what_lies_beside_a_campaigns_bags_is_found(campaign):
    write_bag(campaign / "more", "e000020_a1")
    write_bag(campaign / "bags" / "old", "e000021_a1")
    touch(campaign / "bags", "loose.mcap")
    plan = find_bags([campaign])
    assert names(plan) == ["e000000_a1", "e000021_a1", "e000020_a1"]
    assert [bag.campaign for bag in plan.bags] == ["night-1", "night-1", ""]
    assert "loose.mcap" in [each.path.name for each in plan.left_out]


def test_links_that_lead_round_are_followed_once(tmp_path, monkeypatch):
    write_bag(tmp_path / "night", "e000001_a1")
    for name in "abcdefgh":
        (tmp_path / "night" / name).symlink_to(".")
        (tmp_path / name).symlink_to(tmp_path)
    assert names(find_bags([tmp_path, tmp_path / "a", tmp_path / "night"])) == ["e000001_a1"]
    write_bag(tmp_path / ".trash", "e000002_a1")
    assert names(find_bags([tmp_path / "**" / "*.mcap"])) == ["e000001_a1"]
    assert names(find_bags([tmp_path / ".trash" / "**" / "*.mcap"])) == ["e000002_a1"]
    monkeypatch.chdir(tmp_path / "night")
    assert names(find_bags(["../**/*.mcap"])) == ["e000001_a1"]


def test_names_that_are_no_utf8_are_names(tmp_path):
    odd = os.fsdecode(b"n\xffcht")
    touch(tmp_path / odd / odd, "x.mcap")
    touch(tmp_path / odd, os.fsdecode(b"\xfe.mcap"))
    plan = find_bags([tmp_path, tmp_path / odd / "*"])
    assert names(plan) == [odd, os.fsdecode(b"\xfe.mcap")]


def test_an_empty_word_is_refused(tmp_path, monkeypatch):
    write_bag(tmp_path, "e000001_a1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError, match="empty word"):
        find_bags([""])
    assert names(find_bags(["."])) == ["e000001_a1"]


def test_a_campaign_on_storage_that_cannot_be_written(campaign, modest_disk):  # noqa: F811
    """Its ledger was copied while a campaign had it open: with a journal that SQLite wants to work on."""
    with Ledger.open(campaign / "campaign.sqlite") as ledger:
        claim = ledger.claim()
        shutil.copytree(campaign, modest_disk / "monday")
    assert (modest_disk / "monday" / "campaign.sqlite-wal").stat().st_size
    (modest_disk / "monday" / "campaign.sqlite-shm").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(modest_disk)], check=True)
    plan = find_bags([modest_disk / "monday"])
    assert names(plan) == ["e000000_a1"]
    assert claim.entry == 3
    subprocess.run(["mount", "-o", "remount,rw", str(modest_disk)], check=True)
    (modest_disk / "monday" / "campaign.sqlite").write_bytes(b"no database at all" * 100)
    subprocess.run(["mount", "-o", "remount,ro", str(modest_disk)], check=True)
    with pytest.raises(PlanError, match=r"cannot be written.*bags/\*"):
        find_bags([modest_disk / "monday"])


@pytest.mark.parametrize("name", ["absent", "notes.txt", "empty", "*.mcap"])
def test_what_is_no_bag_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlanError, match=r"\.mcap"):
        find_bags([tmp_path / name])


def test_metadata_without_storage_is_left_out_with_a_reason(tmp_path):
    write_bag(tmp_path, "e000001_a1")
    next((tmp_path / "e000001_a1").glob("*.mcap")).unlink()
    plan = find_bags([tmp_path])
    assert plan.bags == ()
    assert "no .mcap or .db3" in plan.left_out[0].reason


def test_the_key_follows_the_files(tmp_path):
    write_bag(tmp_path, "e000001_a1")
    (before,) = find_bags([tmp_path]).bags
    assert find_bags([tmp_path]).bags == (before,)
    file = next((tmp_path / "e000001_a1").glob("*.mcap"))
    file.write_bytes(file.read_bytes() + b"x")
    (after,) = find_bags([tmp_path]).bags
    assert after.key != before.key
    assert after.bytes == before.bytes + 1


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True))
def test_names_sort_by_their_numbers(numbers):
    shuffled = sorted((f"bag_{n}_x" for n in numbers), key=natural)
    assert shuffled == [f"bag_{n}_x" for n in sorted(numbers)]
