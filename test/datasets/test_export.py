# SPDX-License-Identifier: Apache-2.0
"""Exports hold what the dataset holds, in the shape that their readers want, or are not there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.export import export_dataset
from dexndm_ros.datasets.export_demo import Demo
from dexndm_ros.datasets.export_zarr import write_zarr
from support.dataset_growth import add_bags, bag_of, noisy_episode, tree
from support.small_disk import modest_disk  # noqa: F401

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")

EPISODES = [noisy_episode(f"n/{k}", 30 + k, k) for k in range(70)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    add_bags(folder, [bag_of("a", EPISODES[:66])])
    add_bags(folder, [bag_of("b", EPISODES[66:])])
    return folder


def test_hdf5_is_as_robomimic_reads_it(dataset, tmp_path) -> None:
    shares = []
    export_dataset(dataset, tmp_path / "x.hdf5", "hdf5", shares.append)
    assert shares[-1] == 1.0
    with h5py.File(tmp_path / "x.hdf5") as file:
        data = file["data"]
        assert len(data) == 70 and data.attrs["total"] == sum(map(len, EPISODES))
        assert json.loads(data.attrs["env_args"])["env_name"] == "leap_hand"
        names = [name.decode() for name in file["mask/train"]]
        assert names == [f"demo_{k}" for k in range(70)]
        for k, episode in enumerate(EPISODES):
            demo = data[f"demo_{k}"]
            assert demo.attrs["num_samples"] == len(episode)
            np.testing.assert_array_equal(demo["actions"], episode.columns["action"])
            np.testing.assert_array_equal(demo["obs/state"], episode.columns["observation.state"])
            np.testing.assert_array_equal(demo["action_clean"], episode.columns["action.clean"])
            np.testing.assert_array_equal(demo["valid"], episode.columns["valid"])
            assert list(demo["dones"]) == [0] * (len(episode) - 1) + [1]
        assert json.loads(data["demo_67"].attrs["facts"])["identity"] == "n/67"
        assert "observation.state" in json.loads(file.attrs["dexndm"])["units"]


def test_zarr_is_as_diffusion_policy_reads_it(dataset, tmp_path) -> None:
    export_dataset(dataset, tmp_path / "x.zarr", "zarr")
    assert json.loads((tmp_path / "x.zarr/.zgroup").read_text()) == {"zarr_format": 2}
    root = zarr.open_group(tmp_path / "x.zarr", mode="r")
    ends = root["meta/episode_ends"][:]
    assert ends.dtype == np.int64 and list(ends) == list(np.cumsum([len(e) for e in EPISODES]))
    for name, array in root["data"].arrays():
        assert array.shape[0] == ends[-1], name
        wanted = np.concatenate([each.columns[name] for each in EPISODES])
        np.testing.assert_array_equal(array[:], wanted)
    assert root.attrs["dexndm"]["rate_hz"] == 20


def test_zarr_columns_are_filled_over_many_chunks(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dexndm_ros.datasets.export_zarr._ROWS_A_CHUNK", 64)
    rows = sum(map(len, EPISODES))
    demos = (Demo(e.columns, {"identity": e.identity, "episode_index": 0}) for e in EPISODES)
    write_zarr(tmp_path / "x", demos, rows, {})
    stored = zarr.open_group(tmp_path / "x", mode="r")["data/action"]
    assert stored.chunks == (64, 16)
    np.testing.assert_array_equal(
        stored[:], np.concatenate([each.columns["action"] for each in EPISODES])
    )


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """Three episodes: rows that are not valid in the middle, none that is valid, and all valid."""
    folder = tmp_path_factory.mktemp("holed") / "set"
    bad = {"n/0": [0, 5, 6, 8, 29], "n/1": range(20), "n/2": []}
    lengths = {"n/0": 30, "n/1": 20, "n/2": 20}
    episodes = [noisy_episode(name, rows, k) for k, (name, rows) in enumerate(lengths.items())]
    for episode, rows in zip(episodes, bad.values(), strict=True):
        episode.columns["valid"][list(rows)] = False
    add_bags(folder, [bag_of("holed", episodes)])
    return folder, episodes


CUTS = [
    (0, 1, 5),
    (0, 9, 29),
    (2, 0, 20),
]  # episode, first row, the one behind the last; (0, 7, 8) is one row


def test_rows_that_are_not_valid_are_in_no_demo_of_hdf5(holed, tmp_path) -> None:
    folder, episodes = holed
    done = export_dataset(folder, tmp_path / "x.hdf5", "hdf5")
    assert (done.demos, done.rows, done.invalid, done.short, done.empty) == (3, 44, 25, 1, 1)
    assert "25 rows that are not valid were left out" in str(done)
    with h5py.File(tmp_path / "x.hdf5") as file:
        assert len(file["data"]) == 3 and file["data"].attrs["total"] == 44
        for k, (number, first, end) in enumerate(CUTS):
            demo = file[f"data/demo_{k}"]
            assert demo.attrs["identity"] == f"n/{number}"
            assert (demo.attrs["episode_index"], demo.attrs["first_frame_index"]) == (number, first)
            assert demo["valid"][:].all() and demo["dones"][-1] == 1 and demo["dones"][:].sum() == 1
            wanted = episodes[number].columns["observation.state"][first:end]
            np.testing.assert_array_equal(demo["obs/state"], wanted)


def test_rows_that_are_not_valid_are_in_no_episode_of_zarr(holed, tmp_path) -> None:
    folder, episodes = holed
    export_dataset(folder, tmp_path / "x.zarr", "zarr")
    root = zarr.open_group(tmp_path / "x.zarr", mode="r")
    assert list(root["meta/episode_ends"][:]) == [4, 24, 44]
    assert root["data/valid"][:].all()
    wanted = [episodes[number].columns["action"][first:end] for number, first, end in CUTS]
    np.testing.assert_array_equal(root["data/action"][:], np.concatenate(wanted))
    about = root["meta"].attrs
    assert about["identity"] == ["n/0", "n/0", "n/2"]
    assert about["first_frame_index"] == [1, 9, 0] and about["episode_index"] == [0, 0, 2]


def test_a_dataset_without_valid_rows_gives_no_export(tmp_path) -> None:
    episode = noisy_episode("n/0", 30)
    episode.columns["valid"][::2] = False
    add_bags(tmp_path / "set", [bag_of("b", [episode])])
    with pytest.raises(DatasetError, match="no 2 valid rows in a row"):
        export_dataset(tmp_path / "set", tmp_path / "x.zarr", "zarr")
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_an_export_is_replaced_and_nothing_else_is(dataset, tmp_path, form) -> None:
    out = tmp_path / "x"
    for _ in range(2):
        export_dataset(dataset, out, form)
    first = tree(out) if out.is_dir() else out.read_bytes()
    export_dataset(dataset, out, form)
    assert (tree(out) if out.is_dir() else out.read_bytes()) == first
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    for other in (mine, mine / "thesis.tex"):
        with pytest.raises(DatasetError, match="exists and is no"):
            export_dataset(dataset, other, form)
    assert (mine / "thesis.tex").read_text() == "all of it"


def test_what_is_no_dataset_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="no episodes to export"):
        export_dataset(tmp_path / "none", tmp_path / "x", "zarr")


@pytest.mark.parametrize("form", ["hdf5", "zarr"])
def test_a_full_disk_leaves_no_half_of_an_export(dataset, modest_disk, form) -> None:  # noqa: F811
    (modest_disk / "filler").write_bytes(bytes(1_900_000))
    with pytest.raises(DatasetWriteError, match="No space left"):
        export_dataset(dataset, modest_disk / "x", form)
    assert [path.name for path in modest_disk.iterdir()] == ["filler"]
