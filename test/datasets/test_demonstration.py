# SPDX-License-Identifier: Apache-2.0
"""Sessions of teleoperation become rows: in each stands the newest that was told before it, and how old it is."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.datasets import convert_bag as module
from dexndm_ros.datasets.config import ConfigError, ConvertConfig
from dexndm_ros.datasets.convert_bag import BagRefusedError, convert_bag
from dexndm_ros.datasets.demonstration import newest
from dexndm_ros.datasets.demonstration_features import DEMONSTRATION_FEATURES, features_of
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.export import export_dataset
from dexndm_ros.datasets.features import FEATURES, RowFlag
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.datasets.part import part_name, read_part, write_part
from dexndm_ros.datasets.windows import WindowDataset
from support.converting import convert
from support.demonstrations import DEMONSTRATION, write_demonstration
from support.lerobot import PYTHON, read_with_lerobot
from support.nights import write_night

CONFIG = ConvertConfig(demonstrations=True)
HASH_OF_BEFORE = "3fec72058ba748eb49ee6926182c72e1a872318f56211ae3723b4038126256de"
"""Of the settings that nights were converted with before there were demonstrations."""
POSES = {
    "/arm/measured_pose": ("observation.arm.pose", "observation.arm.age_s"),
    "/arm/commanded_pose": ("action.arm.pose", "action.arm.age_s"),
    "/arm/target_pose": ("action.arm.target", "action.arm.target_age_s"),
}


def converted(folder: Path, change=lambda streams: None, **run) -> tuple[Episode, dict]:
    path, streams = write_demonstration(folder, change, **run)
    (episode,) = convert_bag(path, CONFIG).episodes
    return episode, streams


def told(episode: Episode) -> dict[str, str]:
    return {each.check: each.action for each in episode.findings}


# --- which message stands in a row ---------------------------------------------------------------


@given(
    stamps=st.lists(st.integers(0, 60), max_size=30),
    arrivals=st.integers(0, 20),
    at=st.lists(st.integers(-5, 70), min_size=1, max_size=20),
)
def test_it_is_the_last_one_that_is_stamped_no_later(stamps, arrivals, at) -> None:
    """Stamps in any order, some without one (0): then it is the arrival that counts."""
    stamp = np.array(stamps, dtype=np.int64)
    log = stamp + arrivals
    when = np.array(at, dtype=np.int64)
    index, age_s = newest({"stamp_ns": stamp, "log_ns": log} if stamps else None, when)
    counted = [log[k] if s == 0 else s for k, s in enumerate(stamps)]
    for row, now in enumerate(at):
        before = [(s, k) for k, s in enumerate(counted) if s <= now]
        if not before:
            assert index[row] == -1 and np.isnan(age_s[row])
            continue
        assert index[row] == max(before)[1]
        assert age_s[row] == pytest.approx((now - max(before)[0]) / 1e9) and age_s[row] >= 0


def test_every_row_has_the_newest_message_of_every_topic_and_its_age(tmp_path) -> None:
    episode, streams = converted(tmp_path, ticks=80)
    columns = episode.columns
    assert episode.verdict == "keep", episode.findings
    assert set(told(episode)) <= {"late_start", "late_ticks"} and columns["valid"].all()
    at = columns["action.stamp_ns"]

    def expected(topic: str) -> np.ndarray:
        return np.searchsorted(np.array(streams[topic].stamps_ns), at, side="right") - 1

    for topic, (name, age) in POSES.items():
        number = expected(topic)
        assert np.array_equal(columns[name][:, 0], number.astype(np.float32))
        assert np.array_equal(columns[name][0, 1:], np.float32([0.1, 0.2, 0, 0, 0, 1]))
        stamp = np.array(streams[topic].stamps_ns)[number]
        assert np.allclose(columns[age], (at - stamp) / 1e9, atol=1e-6)
        assert (columns[age] >= 0).all() and columns[age].max() < 0.0101
    number = expected("/teleop/controllers")
    assert np.array_equal(columns["observation.controllers.left"][:, 0], number)
    assert np.array_equal(columns["observation.controllers.right"][:, 0], 1000 + number)
    buttons = columns["observation.controllers.buttons"]
    assert np.array_equal(buttons[:, 0], number % 2 == 0)
    assert not buttons[:, 1].any() and not buttons[:, 2].any() and buttons[:, 3].all()
    analog = columns["observation.controllers.analog"]
    assert np.allclose(analog[:, 1], 0.25) and np.allclose(analog[:, 3], number % 100 / 100)
    assert np.array_equal(columns["observation.engaged"], expected("/teleop/status") % 4 > 1)
    assert np.array_equal(columns["action.axis"][:, 2], expected("/rotation/command") % 3 - 1)
    joints = expected("/virtual_arm/joint_states")[:, None] + np.arange(7) / 10
    assert np.allclose(columns["observation.arm.joints"], joints)
    facts = episode.facts
    assert episode.task == "turn the bulb" and facts["kind"] == "demonstration"
    x_m = columns["observation.arm.pose"][:, 0]
    assert facts["arm_path_m"] == pytest.approx(x_m[-1] - x_m[0])
    assert 0 < facts["engaged_s"] < len(episode) / 20


def test_the_hand_s_columns_are_those_of_the_policy_s_run(tmp_path) -> None:
    """And the stop in its middle, which cuts a run in two, is a part of the demonstration."""
    path, _ = write_demonstration(tmp_path, ticks=140, stop=(60, 20))
    (whole,) = convert_bag(path, CONFIG).episodes
    runs = convert_bag(path, ConvertConfig()).episodes
    assert len(runs) == 2
    assert whole.facts["rows"] > sum(len(run) for run in runs) + 15
    for run in runs:
        first = int(np.searchsorted(whole.columns["action.seq"], run.columns["action.seq"][0]))
        same = slice(first, first + len(run))
        for each in FEATURES:
            if each.name not in ("flags", "valid"):  # of their last rows: what follows is ours too
                np.testing.assert_array_equal(
                    whole.columns[each.name][same], run.columns[each.name]
                )
    stopped = np.isin(whole.columns["action.seq"], np.arange(62, 78))
    assert stopped.any() and not whole.columns["observation.axis"][stopped].any()
    assert whole.columns["valid"][stopped].all()


def test_a_bag_read_in_small_stretches_gives_the_same(tmp_path, monkeypatch) -> None:
    path, _ = write_demonstration(tmp_path, ticks=80)
    whole = convert_bag(path, CONFIG)

    def small(found):
        open_small = found.batches
        found.batches = lambda topics=None: open_small(topics, 20_000)
        return found

    open_whole = module.open_bag
    monkeypatch.setattr(module, "open_bag", lambda path: small(open_whole(path)))
    parts = convert_bag(path, CONFIG)
    (one,), (other,) = whole.episodes, parts.episodes
    assert one.findings == other.findings and one.facts == other.facts
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name])


def test_parts_keep_every_column(tmp_path) -> None:
    path, _ = write_demonstration(tmp_path, ticks=60)
    result = convert_bag(path, CONFIG)
    write_part(tmp_path / part_name(result.sha256), result)
    (episode,) = read_part(tmp_path / part_name(result.sha256)).episodes
    for name, values in result.episodes[0].columns.items():
        np.testing.assert_array_equal(values, episode.columns[name])


# --- what is missing ---------------------------------------------------------------------------


def test_an_arm_that_is_silent_for_a_while_spoils_those_rows_only(tmp_path) -> None:
    def silence(streams) -> None:
        stream = streams["/arm/measured_pose"]
        stream.left_out = set(range(300, 340))

    episode, streams = converted(tmp_path, silence, ticks=160)
    assert told(episode)["arm_gap"] == "flagged"
    silent = streams["/arm/measured_pose"].stamps_ns
    at = episode.columns["action.stamp_ns"]
    old = (at > silent[299] + 100_000_000) & (at < silent[340])
    assert 4 <= old.sum() <= 7
    assert np.array_equal(~episode.columns["valid"], old)
    assert (episode.columns["flags"][old] & RowFlag.STALE_STATE).all()
    assert (episode.columns["observation.arm.pose"][old, 0] == 299).all()


def test_a_controller_that_is_not_seen_is_nan_and_the_rows_stay(tmp_path) -> None:
    def hide(streams) -> None:
        stream = streams["/teleop/controllers"]
        values = stream.values
        stream.values = lambda k: {**values(k), "right_valid": not 200 <= k < 300}

    episode, _ = converted(tmp_path, hide, ticks=100)
    hidden = np.isnan(episode.columns["observation.controllers.right"]).all(axis=1)
    assert 15 < hidden.sum() < 30 and told(episode)["operator_gap"] == "noted"
    assert np.isfinite(episode.columns["observation.controllers.left"]).all()
    assert episode.columns["valid"].all() and episode.verdict == "keep"


@pytest.mark.parametrize(
    "topic",
    ["/arm/measured_pose", "/arm/commanded_pose", "/rotation/command", "/teleop/status"],
)
def test_a_topic_that_is_not_in_the_bag_is_nan_and_told(tmp_path, topic) -> None:
    episode, _ = converted(tmp_path, lambda streams: streams.pop(topic), ticks=60)
    assert told(episode)["not_told"] == "flagged" and episode.columns["valid"].all()
    (text,) = [each.text for each in episode.findings if each.check == "not_told"]
    assert topic.removeprefix("/") in text


def test_joints_are_there_where_the_arm_tells_them_and_by_name(tmp_path) -> None:
    def unnamed(streams) -> None:
        stream = streams["/virtual_arm/joint_states"]
        stream.values = lambda k: {
            "name": ["fr3_joint2", "other"] if k % 2 else ["fr3_joint7"],
            "position": [2.0, 9.0] if k % 2 else [7.0],
        }

    episode, _ = converted(tmp_path / "a", unnamed, ticks=60)
    joints = episode.columns["observation.arm.joints"]
    two, seven = np.isfinite(joints[:, 1]), np.isfinite(joints[:, 6])
    assert two.any() and seven.any() and not (two & seven).any()
    assert (joints[two, 1] == 2.0).all() and (joints[seven, 6] == 7.0).all()
    assert np.isnan(joints[:, [0, 2, 3, 4, 5]]).all()
    episode, _ = converted(tmp_path / "b", lambda s: s.pop("/virtual_arm/joint_states"), ticks=60)
    assert np.isnan(episode.columns["observation.arm.joints"]).all()
    assert episode.verdict == "keep"


def test_ticks_before_the_first_target_are_left_out(tmp_path) -> None:
    def late(streams) -> None:
        streams["/arm/commanded_pose"].left_out = set(range(250))

    episode, streams = converted(tmp_path, late, ticks=100)
    first = streams["/arm/commanded_pose"].stamps_ns[250]
    assert told(episode)["late_start"] == "noted"
    assert 0 <= episode.columns["action.stamp_ns"][0] - first < 60_000_000
    assert episode.columns["valid"].all()


def test_what_is_no_demonstration_is_refused_in_a_sentence(tmp_path) -> None:
    path, _ = write_demonstration(tmp_path / "a", lambda s: s.pop("/teleop/controllers"), ticks=40)
    with pytest.raises(
        BagRefusedError, match=r"no messages of teleop/controllers.*--demonstrations"
    ):
        convert_bag(path, CONFIG)
    (night,) = write_night(tmp_path / "night", trajectories=1, steps=40)
    with pytest.raises(
        BagRefusedError, match="no messages of policy/step nor of teleop/controllers"
    ):
        convert_bag(night.path, CONFIG)

    def other_type(streams) -> None:
        streams["/arm/measured_pose"].type = "geometry_msgs/msg/QuaternionStamped"
        streams["/arm/measured_pose"].values = lambda k: {}

    path, _ = write_demonstration(tmp_path / "b", other_type, ticks=40)
    with pytest.raises(BagRefusedError, match="must be geometry_msgs/msg/PoseStamped"):
        convert_bag(path, CONFIG)
    with pytest.raises(ConfigError, match="mapping"):
        ConvertConfig(demonstrations=True, mapping=TopicMapping.parse(
            {"state": {"topic": "/a"}, "command": {"topic": "/b"}, "task": "t"}))  # fmt: skip


# --- as a user calls it --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Two sessions, the second added to the dataset of the first; with HDF5 beside it."""
    folder = tmp_path_factory.mktemp("made")
    out, before = folder / "set", b""
    for k in (1, 2):
        about = {**DEMONSTRATION, "session": f"s{k}"}
        path, _ = write_demonstration(
            folder / str(k), about=about, ticks=50 + k, episode=f"demo_{k}"
        )
        more = ("--format", "hdf5") if importlib.util.find_spec("h5py") else ()
        status, said = convert(path, "--demonstrations", "--out", out, *more, report=k == 2)
        assert status == 0, said
        file = out / "data/chunk-000/file-000.parquet"
        assert before in (b"", file.read_bytes())
        before = file.read_bytes()
    return out


def test_sessions_become_a_dataset_with_the_operator_and_the_arm(made) -> None:
    info = json.loads((made / "meta/info.json").read_text())
    assert info["robot_type"] == "fr3_leap_hand" and info["fps"] == 20
    assert info["total_episodes"] == 2
    for each in (*FEATURES, *DEMONSTRATION_FEATURES):
        feature = info["features"][each.name]
        assert (feature["dtype"], feature["shape"]) == (each.dtype, [each.width or 1])
        assert feature["names"] == (list(each.names) or None)
    stats = json.loads((made / "meta/stats.json").read_text())
    assert len(stats["action.arm.pose"]["mean"]) == 7
    files = sorted((made / "data").rglob("*.parquet"))
    assert len(files) == 2
    for file in files:
        assert {each.name for each in DEMONSTRATION_FEATURES} < set(pq.read_schema(file).names)
    meta = sorted((made / "meta/episodes").rglob("*.parquet"))[1]
    row = pq.read_table(meta).to_pylist()[0]
    assert row["tasks"] == ["turn the bulb"] and row["demonstration"] == "demo_2"
    assert "`observation.controllers.right`" in (made / "README.md").read_text()
    quality = json.loads((made / "quality.json").read_text())
    assert [group["kind"] for group in quality["groups"]] == ["demonstration"]


def test_windows_have_them(made) -> None:
    windows = WindowDataset(made, length=4, columns=("observation.arm.pose", "action.arm.pose"))
    (batch,) = windows.batches(len(windows))
    assert batch["action.arm.pose"].shape == (len(windows), 4, 7)
    assert np.isfinite(batch["observation.arm.pose"]).all()


def test_robomimic_s_file_has_them(made) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(made.with_suffix(".hdf5")) as file:
        assert file["data/demo_1/obs/arm.pose"].shape[1] == 7
        assert file["data/demo_1/action_arm.pose"].shape[1] == 7
        assert json.loads(file.attrs["dexndm"])["units"]["action.arm.pose"] == "m"


def test_zarr_has_them(made, tmp_path) -> None:
    zarr = pytest.importorskip("zarr")
    export_dataset(made, tmp_path / "set.zarr", "zarr")
    root = zarr.open_group(str(tmp_path / "set.zarr"), mode="r")
    assert root["data/observation.controllers.right"].shape[1] == 7


def test_rows_of_the_hand_alone_and_of_demonstrations_do_not_mix(made, tmp_path) -> None:
    path, _ = write_demonstration(tmp_path, ticks=50)
    status, said = convert(path, "--out", made, "--dry-run")
    assert status == 2 and "converted in another way" in said
    result = convert_bag(path, ConvertConfig())
    assert [each.check for each in result.findings] == ["hand_only"]
    assert "--demonstrations" in result.findings[0].text
    assert not {each.name for each in DEMONSTRATION_FEATURES} & set(result.episodes[0].columns)


def test_datasets_of_the_hand_are_named_as_ever() -> None:
    """What is in the dataset of a Chaos Box night does not know of demonstrations."""
    assert "demonstrations" not in ConvertConfig().to_dict()
    assert ConvertConfig().hash == HASH_OF_BEFORE
    assert ConvertConfig().hash != CONFIG.hash
    assert features_of(["action"]) == FEATURES == ConvertConfig().features


@pytest.mark.skipif(
    not PYTHON.exists(), reason="the LeRobot reader is not set up: `make setup-lerobot` (280 MB)"
)
def test_lerobot_opens_it(made, tmp_path) -> None:
    found = read_with_lerobot(made, tmp_path / "cache")
    assert (found["episodes"], found["robot"]) == (2, "fr3_leap_hand")
    assert {each.name for each in (*FEATURES, *DEMONSTRATION_FEATURES)} < set(found["keys"])
    assert found["task"] == "turn the bulb"
