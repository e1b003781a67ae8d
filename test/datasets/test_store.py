# SPDX-License-Identifier: Apache-2.0
"""A dataset grows whole or not at all: by bags, again by the same, on a full disk, and when it is killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dexndm_ros.datasets import dataset_plan, store
from dexndm_ros.datasets.config import ConvertConfig, Limits
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.features import FEATURES, OWN_FEATURES, RowFlag
from dexndm_ros.datasets.layout import dataset_stats
from dexndm_ros.datasets.provenance import read_existing
from dexndm_ros.datasets.stats import json_stats
from dexndm_ros.datasets.store import Building
from dexndm_ros.replay.lock import LockedError
from support.dataset_growth import add_bags, bag_of, noisy_episode, tree
from support.small_disk import modest_disk  # noqa: F401

FEW = [bag_of(f"e{k}", [noisy_episode(f"n/{k}", 30, k)]) for k in range(4)]


def provenance(dataset: Path):
    return json.loads((dataset / "meta/provenance.json").read_text())


def inodes(dataset: Path):
    return {path.name: path.stat().st_ino for path in (dataset / "data").rglob("*.parquet")}


def test_a_new_dataset_is_whole(tmp_path) -> None:
    dataset = tmp_path / "set"
    done = add_bags(dataset, FEW[:3])
    assert (done.changed, done.episodes, done.rows) == (True, 3, 90)
    info = json.loads((dataset / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["fps"] == 20
    assert info["total_episodes"] == 3 and info["total_frames"] == 90
    assert info["splits"] == {"train": "0:3"} and info["video_path"] is None
    table = pq.read_table(dataset / "data/chunk-000/file-000.parquet")
    assert set(info["features"]) == set(table.column_names)
    state = info["features"]["observation.state"]
    assert state["shape"] == [16] and len(state["names"]) == 16
    stats = json.loads((dataset / "meta/stats.json").read_text())
    assert set(stats) == set(table.column_names)
    rows = np.stack([r for bag in FEW[:3] for r in bag.episodes[0].columns["action"]])
    np.testing.assert_allclose(stats["action"]["mean"], rows.mean(0), rtol=1e-4, atol=1e-6)
    assert stats["action"]["count"] == [90]
    found = provenance(dataset)
    assert found["totals"]["bags"] == 3 and found["totals"]["messages"] == 900
    assert [each["sha256"] for each in found["bags"]] == [each.sha256 for each in FEW[:3]]
    assert found["bags"][0]["provenance"]["drift"] is None  # NaN is no JSON
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["set"]


def test_statistics_are_the_same_however_many_files_are_open(tmp_path, monkeypatch) -> None:
    for bag in FEW[:3]:
        add_bags(tmp_path / "set", [bag])
    files = sorted((tmp_path / "set/meta/episodes").rglob("*.parquet"))
    assert len(files) == 3
    wanted = json_stats(dataset_stats(files))
    monkeypatch.setattr("dexndm_ros.datasets.layout._OPEN_FILES", 1)
    assert json_stats(dataset_stats(files)) == wanted


def test_tasks_have_their_index_for_pandas(tmp_path) -> None:
    other = bag_of("o", [replace(noisy_episode("n/o", 30), task="turn it")])
    add_bags(tmp_path / "set", [FEW[0], other])
    table = pq.read_table(tmp_path / "set/meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["try", "turn it"]}
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    rows = pq.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    assert rows.column("task_index").to_pylist() == [0] * 30 + [1] * 30


def test_the_same_bags_make_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        add_bags(tmp_path / name, FEW)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_bags_that_are_there_change_nothing(tmp_path) -> None:
    dataset = tmp_path / "set"
    add_bags(dataset, FEW)
    before, numbers = tree(dataset), inodes(dataset)
    assert not add_bags(dataset, FEW[::-1]).changed
    assert tree(dataset) == before and inodes(dataset) == numbers


def test_more_bags_are_appended_and_old_files_stay(tmp_path) -> None:
    dataset = tmp_path / "set"
    add_bags(dataset, FEW[:2])
    before, numbers = tree(dataset), inodes(dataset)
    done = add_bags(dataset, FEW)
    assert (done.episodes, done.rows) == (4, 120)
    assert inodes(dataset)["file-000.parquet"] == numbers["file-000.parquet"]
    for name in ("data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"):
        assert tree(dataset)[name] == before[name]
    new = pq.read_table(dataset / "meta/episodes/chunk-000/file-001.parquet").to_pylist()
    assert [row["episode_index"] for row in new] == [2, 3]
    assert [row["dataset_from_index"] for row in new] == [60, 90]
    assert [row["data/file_index"] for row in new] == [1, 1]
    assert [row["bag"] for row in new] == ["e2", "e3"]
    rows = pq.read_table(dataset / "data").column("index").to_pylist()
    assert rows == list(range(120))
    existing = read_existing(dataset)
    assert existing.episodes == 4 and set(existing.lengths) == {"n/0", "n/1", "n/2", "n/3"}


def test_of_an_episode_that_comes_twice_the_longer_one_is_taken(tmp_path) -> None:
    dataset = tmp_path / "set"  # e0 has n/0 with 30 rows
    twin = bag_of("twin", [noisy_episode("n/0", 40, 9), noisy_episode("n/9", 40, 9)])
    add_bags(dataset, [FEW[0], twin, bag_of("again", [noisy_episode("n/9", 40, 3)])])
    assert read_existing(dataset).lengths == {"n/0": 40, "n/9": 40}
    add_bags(dataset, [bag_of("late", [noisy_episode("n/9", 20, 1), noisy_episode("n/0", 45)])])
    found = provenance(dataset)
    assert read_existing(dataset).rows == 80
    told = [(each["bag"], each["identity"], each["findings"][-1]) for each in found["rejected"]]
    assert [(bag, identity, each["check"]) for bag, identity, each in told] == [
        ("e0", "n/0", "repeated"),
        ("again", "n/9", "repeated"),
        ("late", "n/9", "repeated"),
        ("late", "n/0", "longer"),
    ]
    assert "another bag has 40 rows" in told[0][2]["text"]
    assert "in bag twin already" in told[1][2]["text"]
    assert "45" in told[3][2]["text"] and "new dataset" in told[3][2]["text"]
    assert [each["episodes"] for each in found["bags"]] == [0, 2, 0, 0]


def test_dropped_episodes_are_told_and_not_taken(tmp_path) -> None:
    short = Finding("short", 1, "dropped", "only 3 steps")
    bad = replace(noisy_episode("n/bad", 30), findings=(short,), verdict="drop")
    add_bags(tmp_path / "set", [bag_of("b", [bad, noisy_episode("n/ok", 30)])])
    (entry,) = provenance(tmp_path / "set")["rejected"]
    assert entry["reasons"] == ["only 3 steps"] and entry["identity"] == "n/bad"
    assert read_existing(tmp_path / "set").episodes == 1


def test_no_episode_at_all_is_no_dataset(tmp_path) -> None:
    bad = replace(noisy_episode("n/bad", 30), verdict="drop")
    with pytest.raises(DatasetError, match="without any"):
        add_bags(tmp_path / "set", [bag_of("b", [bad])])
    assert not (tmp_path / "set").exists()


def test_another_configuration_is_refused_with_the_option_that_differs(tmp_path) -> None:
    add_bags(tmp_path / "set", FEW[:1])
    before = tree(tmp_path / "set")
    other = ConvertConfig(limits=Limits(max_age_s=0.1), rate_hz=10)
    with pytest.raises(DatasetError) as error:
        add_bags(tmp_path / "set", FEW, other)
    assert "limits.max_age_s is 0.05 in the dataset and now 0.1" in str(error.value)
    assert "rate_hz is 20 in the dataset and now 10" in str(error.value)
    assert tree(tmp_path / "set") == before


def test_what_is_no_dataset_is_left_alone(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("all of it")
    with pytest.raises(DatasetError, match="is no dataset of `dexndm convert`"):
        add_bags(tmp_path / "mine", FEW)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="is no dataset"):
        add_bags(tmp_path / "file", FEW)
    assert (tmp_path / "mine/thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: (d / "data/chunk-000/file-000.parquet").write_bytes(b"PAR1"),
        lambda d: (d / "data/chunk-000/file-000.parquet").unlink(),
        lambda d: (d / "meta/episodes/chunk-000/file-000.parquet").write_bytes(b"PAR1"),
        lambda d: (d / "meta/provenance.json").write_text('{"format": 1, "bags": 3}'),
        lambda d: (d / "meta/provenance.json").write_text("{"),
        lambda d: (d / "meta/provenance.json").write_text("[]"),
    ],
)
def test_a_damaged_dataset_is_not_added_to(tmp_path, harm) -> None:
    add_bags(tmp_path / "set", FEW[:1])
    harm(tmp_path / "set")
    before = tree(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"is not whole.*into a new dataset"):
        add_bags(tmp_path / "set", FEW)
    assert tree(tmp_path / "set") == before


def test_a_later_format_is_named(tmp_path) -> None:
    add_bags(tmp_path / "set", FEW[:1])
    path = tmp_path / "set/meta/provenance.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(DatasetError, match="format 7 and this version knows 1"):
        add_bags(tmp_path / "set", FEW)


def test_what_people_put_there_stays(tmp_path) -> None:
    dataset = tmp_path / "set"
    add_bags(dataset, FEW[:1], report=lambda folder: (folder / "report.html").write_text("one"))
    card = dataset / "README.md"
    text = card.read_text().replace("license: unknown", "license: mit") + "\nThumb was loose.\n"
    card.write_text(text)
    (dataset / "notes").mkdir()
    (dataset / "notes/monday.txt").write_text("warm")
    (dataset / "latest").symlink_to("notes")
    (dataset / "gone").symlink_to("nowhere")
    (dataset / "empty").mkdir()
    add_bags(dataset, FEW[:2], report=lambda folder: (folder / "report.html").write_text("two"))
    assert "license: mit" in card.read_text() and "Thumb was loose." in card.read_text()
    assert "2 episodes" in card.read_text()
    assert (dataset / "notes/monday.txt").read_text() == "warm"
    assert (dataset / "latest/monday.txt").read_text() == "warm" and (
        dataset / "latest"
    ).is_symlink()
    assert (dataset / "gone").is_symlink() and (dataset / "empty").is_dir()
    assert (dataset / "report.html").read_text() == "two"
    card.write_text("mine alone")
    add_bags(dataset, FEW)
    assert card.read_text() == "mine alone"


def test_the_card_names_every_column_and_flag(tmp_path) -> None:
    add_bags(tmp_path / "set", FEW[:1])
    text = (tmp_path / "set/README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "unknown" and "LeRobot" in header["tags"]
    for name in [*(each.name for each in FEATURES), *OWN_FEATURES]:
        assert f"| `{name}` |" in text
    for flag in RowFlag:
        bad = "not valid" in text.split(f"- {flag.value}: ")[1].split("\n")[0]
        assert bad == bool(flag & RowFlag.INVALID)


def test_a_dataset_behind_a_link_grows_in_its_place(tmp_path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "set").symlink_to("disk/set")
    add_bags(tmp_path / "set", FEW[:1])
    add_bags(tmp_path / "set", FEW[:2])
    assert (tmp_path / "set").is_symlink()
    assert read_existing(tmp_path / "disk/set").episodes == 2


def test_two_at_once_are_refused(tmp_path) -> None:
    with Building(tmp_path / "set", ConvertConfig()), pytest.raises(LockedError, match="in use"):
        add_bags(tmp_path / "set", FEW)
    assert add_bags(tmp_path / "set", FEW).changed


def test_a_failing_report_leaves_the_old_dataset(tmp_path) -> None:
    add_bags(tmp_path / "set", FEW[:1])
    before = tree(tmp_path / "set")

    def fail(folder: Path) -> None:
        raise RuntimeError("no font")

    with pytest.raises(RuntimeError, match="no font"):
        add_bags(tmp_path / "set", FEW, report=fail)
    assert tree(tmp_path / "set") == before
    assert add_bags(tmp_path / "set", FEW).episodes == 4


def test_without_an_exchange_of_names_two_renames_do_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "exchange", lambda one, other: False)
    add_bags(tmp_path / "set", FEW[:1])
    add_bags(tmp_path / "set", FEW)
    assert read_existing(tmp_path / "set").episodes == 4
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["set"]


def test_a_death_between_the_two_renames_is_put_right(tmp_path) -> None:
    dataset, aside = tmp_path / "set", tmp_path / ".set.building/old"
    add_bags(dataset, FEW[:2])
    aside.parent.mkdir()
    dataset.rename(aside)
    assert add_bags(dataset, FEW[:3]).episodes == 3  # the two were not lost
    assert not aside.exists()
    aside.parent.mkdir()
    shutil.copytree(dataset, aside)  # the new one has its name already
    add_bags(dataset, FEW)
    assert read_existing(dataset).episodes == 4 and not aside.exists()


def test_a_full_disk_changes_nothing_and_is_gone_on_from(modest_disk) -> None:  # noqa: F811
    dataset, filler = modest_disk / "set", modest_disk / "filler"
    add_bags(dataset, FEW[:1])
    before = tree(dataset)
    for room in (0, 16_000, 60_000, 100_000, 200_000):  # full of parts, of data, of meta
        free = shutil.disk_usage(modest_disk).free
        filler.write_bytes(bytes(free - room))
        with pytest.raises(DatasetWriteError, match="make room and run the same command again"):
            add_bags(dataset, FEW)
        assert tree(dataset) == before
        filler.unlink()
    assert add_bags(dataset, FEW).episodes == 4


def test_finished_data_files_are_found_again(tmp_path, monkeypatch) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        add_bags(tmp_path / "set", FEW, report=fail)
    # A second writing would be told.
    monkeypatch.setattr(dataset_plan, "write_data_file", fail)
    assert add_bags(tmp_path / "set", FEW).episodes == 4


KILLER = """
import os, signal, sys
from pathlib import Path
from support.dataset_growth import add_bags, bag_of, noisy_episode
from dexndm_ros.datasets import store

root, renames = Path(sys.argv[1]), sys.argv[2] == "renames"
FEW = [bag_of(f"e{k}", [noisy_episode(f"n/{k}", 30, k)]) for k in range(4)]
if renames:
    store.exchange = lambda one, other: False
MOVES = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "ctypes.call_function")

def killing(after):
    left = after
    def hook(event, args):
        nonlocal left
        writes = event != "open" or isinstance(args[1], str) and "r" not in args[1]
        if event in MOVES and writes:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return hook

for after in map(int, sys.argv[3:]):
    child = os.fork()  # no thread of Arrow's runs yet
    if not child:
        sys.addaudithook(killing(after))
        add_bags(root / str(after), FEW)
        os._exit(0)
    print(after, os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.parametrize("how", ["exchange", "renames"])
def test_killed_anywhere_the_dataset_is_the_old_or_the_new_one(tmp_path, how) -> None:
    add_bags(tmp_path / "old", FEW[:2])
    add_bags(tmp_path / "new", FEW[:2])
    add_bags(tmp_path / "new", FEW)
    old, new = tree(tmp_path / "old"), tree(tmp_path / "new")
    points = [*range(3, 66, 9), *range(66, 93, 3), 1000]
    for after in points:
        add_bags(tmp_path / str(after), FEW[:2])
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), how, *map(str, points)],
        env={"PYTHONPATH": f"{root}:{root / 'test'}", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    killed = {int(k): int(status) for k, status in map(str.split, done.stdout.splitlines())}
    assert list(killed) == points
    assert 9 in killed.values() and 0 in killed.values()  # some before its end, some never
    for after in points:
        dataset = tmp_path / str(after)
        gone = not dataset.exists()
        if gone:
            assert how == "renames"  # between the two: the next start puts it back
        else:
            assert tree(dataset) in (old, new)
        add_bags(dataset, FEW)
        assert tree(dataset) == new
        assert not (tmp_path / f".{after}.building").exists()
