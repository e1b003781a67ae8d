# SPDX-License-Identifier: Apache-2.0
"""What `dexndm convert` says of bags that it does not take, of names, locks and reports."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dexndm_ros.datasets.config import ConvertConfig, Limits
from dexndm_ros.datasets.outcome import Outcome
from dexndm_ros.datasets.plan import LeftOut
from dexndm_ros.datasets.store import Building
from dexndm_ros.recording.metadata import FILE_NAME
from dexndm_ros.recording.partial import put_aside
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, Result
from dexndm_ros.replay.prepare import prepare
from support.converting import convert, provenance, rows
from support.nights import write_night

STEPS = 60


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Three short bags; nobody changes them."""
    folder = tmp_path_factory.mktemp("nights") / "monday"
    write_night(folder, 3, state_hz=50.0, steps=STEPS)
    return folder


@pytest.fixture(scope="module")
def made(night, tmp_path_factory) -> Path:
    """The dataset of the first of them, with its report."""
    dataset = tmp_path_factory.mktemp("made") / "set"
    status, said = convert(night / "e000000_a1", "--out", dataset, "--jobs", 1, report=True)
    assert status == 1, said
    return dataset


def names(entries) -> list[tuple[str, str]]:
    return [(each["campaign"], each["bag"]) for each in entries]


@pytest.fixture
def campaign(night, tmp_path) -> Path:
    """Row 0 done, row 1 rejected and put aside, row 2 rejected and its bag as it was."""
    out = tmp_path / "tuesday"
    prepare(Campaign("tuesday", "palm_down", "waves:sine:5", 3, seed=7), out, hold=False)
    with Ledger.open(out / "campaign.sqlite") as ledger:
        for k in range(3):
            claim = ledger.claim()
            bag = shutil.copytree(night / f"e00000{k}_a1", out / "bags" / claim.episode)
            if k == 0:
                ledger.finish(claim, Result(claim.episode, 60, 0, 0, 1, 1, 20.0))
            else:
                bag = put_aside(bag, "a stuck finger") if k == 1 else bag
                ledger.reject(claim, "a stuck finger" if k == 1 else "motor 3 is hot", bag.name)
    return out


def test_bags_that_are_left_out_are_told_until_they_are_taken(campaign, tmp_path):
    dataset = tmp_path / "set"
    status, said = convert(campaign, "--out", dataset, "--jobs", 1, report=True)
    assert status == 1, said
    found = provenance(dataset)
    assert found["totals"]["left_out"] == 2
    assert names(found["left_out"]) == [
        ("tuesday", "e000001_a1.partial"),
        ("tuesday", "e000002_a1"),
    ]
    assert "a stuck finger" in found["left_out"][0]["reason"]
    assert "motor 3 is hot" in found["left_out"][1]["reason"]
    assert str(tmp_path) not in json.dumps(found)
    assert json.loads((dataset / "quality.json").read_text())["left_out"] == found["left_out"]
    page = (dataset / "report.html").read_text()
    assert "Bags that were left out" in page and "motor 3 is hot" in page
    assert "e000001_a1.partial: put aside: a stuck finger" in said
    convert(campaign, "--out", dataset, "--salvage", "--jobs", 1)
    assert provenance(dataset)["left_out"] == []
    assert rows(dataset) == 3 * STEPS


def test_bags_that_fail_are_told_in_the_order_of_the_plan_and_once(night, tmp_path):
    bags = tmp_path / "bags"
    shutil.copytree(night / "e000000_a1", bags / "e000000_a1")
    for k in range(1, 6):  # the largest is done first
        (bags / f"e00000{k}_a1").mkdir()
        (bags / f"e00000{k}_a1" / f"x{k}.mcap").write_bytes(b"no bag" * k)
    text = (night / "e000000_a1" / FILE_NAME).read_text().replace("version: 9", "version: 99")
    (bags / "e000005_a1" / FILE_NAME).write_text(text)
    status, said = convert(bags, "--out", tmp_path / "set", "--jobs", 1)
    assert status == 1
    told = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert [f"e00000{k}_a1" in line for k, line in enumerate(told, 1)] == [True] * 5
    for line in told:
        assert line.count(str(bags)) == 1, line
    assert names(provenance(tmp_path / "set")["unreadable"]) == [
        ("", f"e00000{k}_a1") for k in range(1, 6)
    ]


def test_every_reason_is_told_until_there_are_many():
    several = [LeftOut(Path(f"/bags/e{k}"), f"reason {k % 20}") for k in range(40)]
    lines = list(Outcome(left_out=several).lines())
    assert len(lines) == 20
    assert lines[19] == "left out: /bags/e19 and 1 more: reason 19"
    several += [LeftOut(Path(f"/bags/f{k}"), f"another {k}") for k in range(3)]
    assert (
        list(Outcome(left_out=several).lines())[20] == "left out: 3 more bags, for 3 other reasons"
    )


@pytest.mark.parametrize("words", [[], ["--format", "zarr"], ["--format", "hdf5"]])
def test_a_dataset_that_changes_is_not_read(made, tmp_path, words):
    dataset = shutil.copytree(made, tmp_path / "set")
    with Building(dataset, ConvertConfig()):
        status, said = convert("--out", dataset, *words, report=True)
    assert status == 2
    assert "in use by process" in said and "wait until it is done" in said
    assert not {path.name for path in tmp_path.iterdir()} & {"set.zarr", "set.hdf5"}


def test_while_a_dataset_is_read_nobody_changes_it(made, tmp_path, monkeypatch):
    dataset = shutil.copytree(made, tmp_path / "set")
    told = []

    def others_try(*_: object) -> None:
        told.append(convert(made.parent, "--out", dataset))

    monkeypatch.setattr("dexndm_ros.datasets.report.write_report", others_try)
    assert convert("--out", dataset, report=True)[0] == 0
    monkeypatch.setattr("dexndm_ros.datasets.export.export_dataset", others_try)
    assert convert("--out", dataset, "--format", "zarr", report=True)[0] == 0
    assert len(told) == 2
    for status, said in told:
        assert status == 2
        assert "in use by process" in said or "holds no bag" in said


def test_a_report_of_before_does_not_stay_beside_new_bags_and_that_is_said(night, made, tmp_path):
    dataset = shutil.copytree(made, tmp_path / "set")
    said = convert(night / "e000000_a1", "--out", dataset)[1]
    assert (dataset / "report.html").exists() and "quality report" not in said  # nothing new
    said = convert(night / "e000001_a1", "--out", dataset, "--jobs", 1)[1]
    assert not (dataset / "report.html").exists()
    assert f"is gone; `dexndm convert --out {dataset}` writes it" in said
    said = convert(night / "e000002_a1", "--out", dataset, "--jobs", 1)[1]
    assert "is gone" not in said


def test_names_that_are_no_utf8_cost_nothing(night, tmp_path):
    odd = os.fsdecode(b"n\xffcht")
    bags = tmp_path / odd
    shutil.copytree(night / "e000000_a1", bags / "good")
    shutil.copytree(night / "e000001_a1", bags / odd)
    (bags / odd / FILE_NAME).unlink()
    (bags / odd / "e000001_a1_0.mcap").rename(bags / odd / f"{odd}_0.mcap")
    put_aside(shutil.copytree(night / "e000002_a1", bags / f"{odd}2"), odd)
    (bags / f"{odd}.mcap").write_bytes(b"these bytes are no bag")
    status, said = convert(bags, "--out", tmp_path / "set", "--jobs", 1, report=True)
    assert status == 1, said
    assert "n\\xffcht" in said and "quality report is missing" not in said
    assert rows(tmp_path / "set") == 2 * STEPS
    found = provenance(tmp_path / "set")
    assert [bag["name"] for bag in found["bags"]] == ["good", "n\\xffcht"]
    assert names(found["unreadable"]) == [("", "n\\xffcht.mcap")]
    assert names(found["left_out"]) == [("", "n\\xffcht2.partial")]
    assert "n\\xffcht" in (tmp_path / "set" / "report.html").read_text()
    status, said = convert(bags / "good", "--out", tmp_path / odd / "set")
    assert status == 2
    assert "is not UTF-8" in said


def test_the_hand_decides_which_current_is_at_its_limit(night, made, tmp_path):
    dataset = tmp_path / "set"
    convert(night / "e000000_a1", "--out", dataset, "--hand", "lite", "--jobs", 1)
    config = provenance(dataset)["config"]
    assert config["limits"]["saturated_a"] == pytest.approx(0.285)
    lite = replace(ConvertConfig(), limits=Limits(saturated_a=config["limits"]["saturated_a"]))
    assert provenance(dataset)["config_hash"] == lite.hash
    assert provenance(made)["config_hash"] == ConvertConfig().hash
    status, said = convert(night, "--out", dataset)
    assert status == 2
    assert "limits.saturated_a is 0.285 in the dataset and now 0.475" in said


@pytest.mark.parametrize(
    "words", [["", "--out", "x"], ["{night}", "--out", "{tmp}/x", "--library", ""]]
)
def test_an_empty_word_is_refused(night, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    status, said = convert(*(word.format(night=night, tmp=tmp_path) for word in words))
    assert status == 2, said
    assert list(tmp_path.iterdir()) == []
