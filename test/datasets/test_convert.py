# SPDX-License-Identifier: Apache-2.0
"""`dexndm convert` from bags to bytes: the same ones whoever does it, whatever ends it, however often it is asked."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.store import Building
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.recording.metadata import FILE_NAME
from dexndm_ros.recording.partial import put_aside
from support.converting import convert, provenance, rows
from support.nights import write_joint_state_bag, write_night
from support.small_disk import small_disk

__all__ = ["small_disk"]

STEPS = 60


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Four bags of whole trajectories, short ones; nobody changes them."""
    folder = tmp_path_factory.mktemp("nights") / "monday"
    write_night(folder, 4, state_hz=50.0, steps=400)
    return folder


@pytest.fixture(scope="module")
def made(night, tmp_path_factory) -> Path:
    """The dataset of it, made by two processes, with its report; nobody changes it."""
    dataset = tmp_path_factory.mktemp("made") / "set"
    status, said = convert(night, "--out", dataset, "--jobs", 2, report=True)
    assert status == 0, said
    return dataset


def test_bags_become_a_dataset_with_a_report(night, made):
    assert rows(made) == 4 * 400
    assert {"README.md", "report.html", "quality.json", "meta/info.json"} <= set(content(made))
    found = provenance(made)
    assert [bag["name"] for bag in found["bags"]] == [f"e00000{k}_a1" for k in range(4)]
    assert found["rejected"] == []
    beside = {path.name for path in made.parent.iterdir()}
    assert beside == {"set", ".set.lock"}


def test_the_bytes_do_not_depend_on_workers_places_or_order(night, made, tmp_path):
    other = tmp_path / "elsewhere" / "moved"
    shutil.copytree(night, other)
    bags = sorted(other.iterdir(), reverse=True)
    status, said = convert(*bags, "--out", tmp_path / "set", "--jobs", 1)
    assert status == 0, said
    expected = content(made)
    assert {"report.html", "quality.json"} <= set(expected)
    del expected["report.html"], expected["quality.json"]
    assert content(tmp_path / "set") == expected


def test_the_same_bags_again_change_nothing(night, made, tmp_path):
    dataset = tmp_path / "set"
    shutil.copytree(made, dataset)
    before = content(dataset)
    status, said = convert(night, "--out", dataset)
    assert (status, content(dataset)) == (0, before)
    assert "4 bags are in the dataset already" in said
    assert "nothing new" in said


def test_another_night_is_added_and_the_first_one_is_not_touched(made, tmp_path):
    dataset = tmp_path / "set"
    shutil.copytree(made, dataset)
    before = content(dataset)
    write_night(tmp_path / "tuesday", 2, state_hz=50.0, steps=STEPS, seed=5, campaign="tuesday")
    status, said = convert(tmp_path / "tuesday", "--out", dataset)
    assert status == 1, said  # short episodes are flagged
    assert "2 new bags: 0 episodes kept, 2 kept and flagged" in said
    assert rows(dataset) == 4 * 400 + 2 * STEPS
    after = content(dataset)
    assert after["data/chunk-000/file-000.parquet"] == before["data/chunk-000/file-000.parquet"]
    # Both at once are the same episodes.
    table = pq.read_table(dataset / "data", columns=["episode_index", "index"])
    assert np.array_equal(table.column("index").to_numpy(), np.arange(table.num_rows))
    assert np.unique(table.column("episode_index").to_numpy()).tolist() == list(range(6))


def test_other_settings_than_the_datasets_are_refused(night, made, tmp_path):
    dataset = tmp_path / "set"
    shutil.copytree(made, dataset)
    before = content(dataset)
    status, said = convert(night, "--out", dataset, "--library", "cylinder_z")
    assert (status, content(dataset)) == (2, before)
    assert "library_sha256" in said
    assert "another --out" in said


@pytest.mark.parametrize("strict", [False, True])
def test_a_bad_bag_is_named_and_the_others_are_taken_but_not_with_strict(night, tmp_path, strict):
    bags = tmp_path / "bags"
    shutil.copytree(night, bags)
    bad = bags / "e000001_a1"
    information = yaml.safe_load((bad / FILE_NAME).read_text())
    information["rosbag2_bagfile_information"]["version"] = 99
    (bad / FILE_NAME).write_text(yaml.safe_dump(information))
    (bags / "e000009_a1").mkdir()
    (bags / "e000009_a1" / "e000009_a1_0.mcap").write_bytes(b"these bytes are no bag")
    words = ["--strict"] if strict else []
    status, said = convert(bags, "--out", tmp_path / "set", *words)
    assert "e000001_a1" in said
    assert "99" in said
    assert "e000009_a1" in said
    assert "Traceback" not in said
    if strict:
        assert status == 2
        assert not (tmp_path / "set").exists()
        # Nothing that was done is done again.
        status, said = convert(bags, "--out", tmp_path / "set")
    assert status == 1, said
    assert rows(tmp_path / "set") == 3 * 400
    told = json.loads((tmp_path / "set" / "meta/provenance.json").read_text())["unreadable"]
    assert [each["bag"] for each in told] == ["e000001_a1", "e000009_a1"]
    assert "99" in told[0]["reason"] and str(tmp_path) not in json.dumps(told)
    if not strict:
        return
    # Mended, it is taken, and nothing is said of it any more.
    shutil.rmtree(bad)
    shutil.copytree(night / "e000001_a1", bad)
    convert(bags, "--out", tmp_path / "set")
    assert rows(tmp_path / "set") == 4 * 400
    told = json.loads((tmp_path / "set" / "meta/provenance.json").read_text())["unreadable"]
    assert [each["bag"] for each in told] == ["e000009_a1"]


def test_only_bad_bags_are_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "bag.mcap").write_bytes(b"these bytes are no bag")
    status, said = convert(tmp_path / "bag.mcap", "--out", tmp_path / "set")
    assert status == 2
    assert "none of the bags could be converted" in said
    assert {path.name for path in tmp_path.iterdir()} == {"bag.mcap", ".set.lock"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{tmp}/absent", "--out", "{tmp}/set"], "absent"),
        (["--out", "{tmp}/set"], "no bags given"),
        (["{night}", "--out", "{night}"], "is no dataset"),
        (["{night}", "--out", "{tmp}/set.zarr"], "--format zarr"),
        (["{night}", "--out", "{tmp}/set", "--jobs", "0"], "1 to 10000"),
        (["{night}", "--out", "{tmp}/set", "--mapping", "{tmp}/absent.yaml"], "absent.yaml"),
        (["{night}", "--out", "{tmp}/set", "--library", "absent"], "absent"),
    ],
)
def test_wrong_use_is_refused_in_a_sentence(night, tmp_path, words, said):
    before = content(night)
    status, told = convert(*(word.format(night=night, tmp=tmp_path) for word in words))
    assert status == 2
    assert said in told
    assert "Traceback" not in told
    assert content(night) == before
    assert not (tmp_path / "set").exists()


def test_a_dry_run_writes_nothing(night, tmp_path):
    put_aside(shutil.copytree(night / "e000000_a1", tmp_path / "bags" / "e000005_a1"), "stuck")
    status, said = convert(night, tmp_path / "bags", "--out", tmp_path / "set", "--dry-run")
    assert status == 0
    assert "4 bags" in said
    assert "stuck; --salvage takes it" in said
    assert {path.name for path in tmp_path.iterdir()} == {"bags"}


def test_salvage_takes_what_is_whole_of_a_torn_bag_and_prefers_the_whole_one(night, tmp_path):
    bags = tmp_path / "bags"
    shutil.copytree(night / "e000000_a1", bags / "e000000_a1")
    for name in ("e000000_a9", "e000001_a9"):
        torn = shutil.copytree(night / f"{name[:7]}_a1", bags / name)
        (torn / FILE_NAME).unlink()
        file = next(torn.glob("*.mcap"))
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
        put_aside(torn, "the recorder died")
    status, said = convert(bags, "--out", tmp_path / "set", "--salvage")
    assert status == 1, said
    found = provenance(tmp_path / "set")
    assert [bag["episodes"] for bag in found["bags"]] == [1, 0, 1]
    assert [each["bag"] for each in found["rejected"]] == ["e000000_a9.partial"]
    assert "is in bag e000000_a1 already" in found["rejected"][0]["reasons"][-1]
    assert 400 < rows(tmp_path / "set") < 800


def test_a_bag_of_another_driver_needs_its_mapping(tmp_path):
    write_joint_state_bag(tmp_path / "bag")
    status, said = convert(tmp_path / "bag", "--out", tmp_path / "set")
    assert status == 2
    assert "--mapping" in said
    mapping = {"state": {"topic": "/joint_states"}, "command": {"topic": "/joint_commands"}}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({**mapping, "episode_s": 2.0}))
    status, said = convert(tmp_path / "bag", "--out", tmp_path / "set", "--mapping", tmp_path / "map.yaml")  # fmt: skip
    assert status in (0, 1), said
    assert rows(tmp_path / "set") > 60


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_other_formats_are_written_beside_the_dataset(made, tmp_path, form):
    dataset = tmp_path / "set"
    shutil.copytree(made, dataset)
    status, said = convert("--out", dataset, "--format", form)
    assert status == 0, said
    assert (tmp_path / f"set.{form}").exists()
    status, said = convert("--out", tmp_path / f"named.{form}", "--format", form)
    assert status == 2  # there is no dataset of that name


def test_a_killed_run_leaves_the_dataset_and_the_next_one_goes_on(night, tmp_path):
    """Ctrl-C after the first part, kill -9 after the third, and then to the end."""
    dataset, others = tmp_path / "set", tmp_path / "others"
    write_night(others, 3, state_hz=50.0, steps=STEPS, seed=9, campaign="others")
    command = [sys.executable, "-m", "dexndm_ros.cli", "convert", str(others), str(night)]
    command += ["--out", str(dataset), "--jobs", "1", "--no-report"]
    parts = tmp_path / ".set.building" / "parts"
    for wanted, end in ((1, signal.SIGINT), (3, signal.SIGKILL)):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
            while len(list(parts.glob("*.arrow"))) < wanted:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    assert run.wait(0.01) is None, run.stderr.read()
            run.send_signal(end)
            told = run.stderr.read()
        assert run.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
        assert ("the same command goes on from there" in told) == (end == signal.SIGINT)
        assert not dataset.exists()
    done = {path: path.stat().st_mtime_ns for path in parts.glob("*.arrow")}
    assert len(done) >= 3
    # What was done is not done again, except for the one that nobody had noted yet.
    assert convert(others, night, "--out", dataset, "--strict")[0] == 2
    again = [path for path, time_ns in done.items() if path.stat().st_mtime_ns != time_ns]
    assert len(again) <= 1
    status, said = convert(others, night, "--out", dataset)
    assert status == 1, said
    assert "7 of 7 bags were done by an earlier run" in said
    assert "7 new bags" in said
    assert rows(dataset) == 4 * 400 + 3 * STEPS
    whole = tmp_path / "whole" / "set"
    assert convert(night, others, "--out", whole)[0] == 1
    assert content(whole) == content(dataset)


def test_two_at_once_are_one_too_many(night, tmp_path):
    with Building(tmp_path / "set", ConvertConfig()):
        status, said = convert(night, "--out", tmp_path / "set")
    assert status == 2
    assert "in use by process" in said


def test_a_report_that_cannot_be_drawn_costs_no_data(tmp_path, monkeypatch):
    write_night(tmp_path / "bags", 1, state_hz=50.0, steps=STEPS)
    monkeypatch.setitem(sys.modules, "dexndm_ros.datasets.report", None)  # as if not installed
    status, said = convert(tmp_path / "bags", "--out", tmp_path / "set", report=True)
    assert status == 1
    assert f"`dexndm convert --out {tmp_path}/set` writes it" in said
    assert rows(tmp_path / "set") == STEPS
    assert not (tmp_path / "set" / "report.html").exists()
    monkeypatch.undo()
    assert convert("--out", tmp_path / "set", report=True)[0] == 0
    assert (tmp_path / "set" / "report.html").exists()


def test_a_full_disk_leaves_the_dataset_and_says_what_to_do(small_disk, night, made):
    dataset = small_disk / "set"
    status, said = convert(night, "--out", dataset, "--jobs", 1)
    assert status == 2
    assert "make room" in said
    assert not dataset.exists()
    assert not list(small_disk.rglob("*.tmp"))


def test_two_nights_with_their_joints_in_other_orders_become_one_dataset_by_name(tmp_path):
    mapping = tmp_path / "driver.yaml"
    content = {"state": {"topic": "/joint_states"}, "command": {"topic": "/joint_commands"}}
    mapping.write_text(yaml.safe_dump({**content, "episode_s": 2}))
    orders = [np.arange(16), np.random.default_rng(4).permutation(16)]
    nights = []
    for number, order in enumerate(orders):
        folder = tmp_path / f"night{number}"
        names = [JOINT_NAMES[k] for k in order]
        nights.append(write_joint_state_bag(folder, names, seconds=2.5, seed=number))
        status, said = convert(folder, "--out", tmp_path / "set", "--mapping", mapping)
        assert status in (0, 1), said
    table = pq.read_table(tmp_path / "set" / "data")
    state = np.array(table.column("observation.state").to_pylist(), dtype=np.float32)
    stamp = table.column("observation.stamp_ns").to_numpy()
    night = np.cumsum(np.r_[0, np.diff(table.column("action.stamp_ns").to_numpy()) < 0])
    assert set(night) == {0, 1}
    for number, (known, order) in enumerate(zip(nights, orders, strict=True)):
        at = np.searchsorted(known["state_ns"], stamp[night == number])
        wanted = known["position"][at][:, np.argsort(order)].astype(np.float32)
        assert np.array_equal(state[night == number], wanted)
    # Vectors without names have only the mapping's word for their order: another one does not mix.
    mapping.write_text(yaml.safe_dump({**content, "episode_s": 2, "order": "menagerie"}))
    status, said = convert(tmp_path / "night0", "--out", tmp_path / "set", "--mapping", mapping)
    assert status == 2 and "mapping.order" in said
