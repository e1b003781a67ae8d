# SPDX-License-Identifier: Apache-2.0
"""Every kind of bag gives the same messages, and what is no bag is named."""

import hashlib
import shutil
import sqlite3

import pytest
import zstandard
from mcap.writer import Writer
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from dexndm_ros.bags import mcap_reader, source
from dexndm_ros.bags.open import BagError, open_bag
from dexndm_ros.recording.read import messages
from support.bags import JOINTS, STATE, write_bag
from support.golden import MCAPS, contents, stream, write_mcap, write_rosbags


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize(
    "mode", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
def test_reads_what_rosbags_writes(tmp_path, storage, version, mode):
    written = write_rosbags(tmp_path / "b", storage, version, mode)
    bag = open_bag(tmp_path / "b")
    assert contents(bag) == written
    assert contents(bag, max_bytes=5000) == written
    assert (bag.name, bag.version, bag.storage) == ("b", version, storage.name.lower())
    assert bag.custom_data == {"seed": "7"}
    assert {name: (info.type, info.count) for name, info in bag.topics.items()} == {
        STATE.name: (STATE.type, 60),
        JOINTS.name: (JOINTS.type, 20),
    }
    assert all(info.definition and info.type_hash for info in bag.topics.values())
    assert bag.damage == []


@pytest.mark.parametrize("kind", MCAPS)
def test_reads_mcap_of_every_kind(tmp_path, kind):
    bag = open_bag(write_mcap(tmp_path / "x.mcap", kind))
    assert contents(bag) == list(stream(150))
    assert contents(bag, ["hand/state"]) == [each for each in stream(150) if each[0] == STATE.name]
    assert contents(bag, ["/nothing"]) == []
    assert bag.custom_data == {"seed": "7", "campaign": "night"}
    assert {name: info.count for name, info in bag.topics.items()} == {
        STATE.name: 150,
        JOINTS.name: 50,
    }
    assert (bag.version, bag.damage) == (0, [])


def test_reads_our_own_as_the_recorder_reads_them(tmp_path):
    write_bag(tmp_path, "e000001_a1", 90)
    bag = open_bag(tmp_path / "e000001_a1")
    assert [(m[0], m[1], m[2], m[3], m[4]) for m in contents(bag)] == [
        (m.topic, m.log_ns, m.publish_ns, m.sequence, m.data)
        for m in messages(tmp_path / "e000001_a1")
    ]
    assert bag.custom_data["campaign"] == "night"
    assert bag.topics[STATE.name].qos[0]["reliability"] == "reliable"
    assert bag.damage == []
    assert bag.sha256() == hashlib.sha256(bag.files[0].read_bytes()).hexdigest()


def test_a_large_file_is_read_through_a_window(tmp_path, monkeypatch):
    path = write_mcap(tmp_path / "x.mcap", "zstd", 600)
    loose = write_mcap(tmp_path / "y.mcap", "unchunked", 600)
    monkeypatch.setattr(source, "SMALL_BYTES", 1000)
    monkeypatch.setattr(source, "_WINDOW_BYTES", 20_000)
    monkeypatch.setattr(mcap_reader, "_SCAN_BYTES", 30_000)
    assert contents(open_bag(path), max_bytes=30_000) == list(stream(600))
    assert contents(open_bag(loose), max_bytes=30_000) == list(stream(600))
    torn = tmp_path / "z.mcap"
    torn.write_bytes(path.read_bytes()[:60_000])
    bag = open_bag(torn)
    found = contents(bag, max_bytes=30_000)
    assert found == list(stream(600))[: len(found)]
    assert len(found) > 300
    assert bag.sha256() == hashlib.sha256(torn.read_bytes()).hexdigest()


def split(tmp_path, information=True):
    """Twelve files, of which the names do not sort as the numbers do."""
    folder = tmp_path / "night"
    folder.mkdir()
    all_of_them = list(stream(120))
    for number in range(12):
        part = write_mcap(folder / f"night_{number}.mcap", "zstd", 10)
        assert part.exists()
    names = "".join(f"  - night_{number}.mcap\n" for number in range(12))
    if information:
        (folder / "metadata.yaml").write_text(
            f"rosbag2_bagfile_information:\n  version: 9\n  message_count: {12 * 14}\n  relative_file_paths:\n{names}"
            "  custom_data: {seed: 8}\n"
        )
    return folder, all_of_them


@pytest.mark.parametrize("information", [True, False])
def test_split_bags_in_their_order(tmp_path, information):
    folder, _ = split(tmp_path, information)
    bag = open_bag(folder)
    assert [file.name for file in bag.files] == [f"night_{number}.mcap" for number in range(12)]
    assert contents(bag) == list(stream(10)) * 12
    assert bag.topics[STATE.name].count == 120
    assert bag.custom_data["seed"] == ("8" if information else "7")
    assert bag.sha256() == hashlib.sha256(b"".join(f.read_bytes() for f in bag.files)).hexdigest()


def test_one_file_of_a_split_bag(tmp_path):
    folder, _ = split(tmp_path)
    bag = open_bag(folder / "night_4.mcap")
    assert contents(bag) == list(stream(10))
    assert bag.topics[STATE.name].count == 10
    assert bag.custom_data["seed"] == "8"
    assert not any("messages" in damage.text for damage in bag.damage)


def test_compressed_splits(tmp_path):
    folder, _ = split(tmp_path)
    for file in folder.glob("*.mcap"):
        file.with_name(file.name + ".zstd").write_bytes(zstandard.compress(file.read_bytes()))
        file.unlink()
    bag = open_bag(folder)
    assert contents(bag) == list(stream(10)) * 12
    assert [damage.kind for damage in bag.damage] == ["metadata"]  # the seed that is told twice


def test_a_split_that_is_missing_and_one_nobody_named(tmp_path):
    folder, _ = split(tmp_path)
    (folder / "night_3.mcap").unlink()
    shutil.copy(folder / "night_4.mcap", folder / "night_77.mcap")
    bag = open_bag(folder)
    assert contents(bag) == list(stream(10)) * 11
    missing = {damage.file: damage.text for damage in bag.damage if damage.kind == "missing"}
    assert missing.keys() == {"night_3.mcap", "night_77.mcap"}
    assert any("168 messages" in damage.text for damage in bag.damage)


def test_metadata_that_is_missing_or_damaged(tmp_path):
    write_rosbags(tmp_path / "b", StoragePlugin.SQLITE3)
    text = (tmp_path / "b/metadata.yaml").read_text()
    (tmp_path / "b/metadata.yaml").write_text(
        text.replace("relative_file_paths:", "relative_file_paths: ]")
    )
    bag = open_bag(tmp_path / "b")
    assert len(contents(bag)) == 80
    assert [damage.kind for damage in bag.damage] == ["metadata"]
    (tmp_path / "b/metadata.yaml").unlink()
    bag = open_bag(tmp_path / "b")
    assert bag.topics[STATE.name].count == 60
    assert (bag.version, bag.damage) == (0, [])


def test_the_copy_of_the_metadata_in_the_file_itself(tmp_path):
    """rosbag2 writes it, and after a crash nothing else tells the custom data."""
    text = "version: 9\nstorage_identifier: mcap\ncustom_data:\n  operator: Ada\n  night: 3\n"
    with (tmp_path / "x.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        writer.add_metadata("rosbag2", {"serialized_metadata": text})
        writer.finish()
    assert open_bag(tmp_path / "x.mcap").custom_data == {"operator": "Ada", "night": "3"}
    write_rosbags(tmp_path / "b", StoragePlugin.SQLITE3)
    (tmp_path / "b/metadata.yaml").unlink()
    database = sqlite3.connect(tmp_path / "b/b.db3")
    database.execute("DELETE FROM metadata")
    database.execute("INSERT INTO metadata (metadata_version, metadata) VALUES (9, ?)", (text,))
    database.commit()
    database.close()
    assert open_bag(tmp_path / "b").custom_data == {"operator": "Ada", "night": "3"}


def test_a_newer_version_is_refused(tmp_path):
    write_rosbags(tmp_path / "b", StoragePlugin.MCAP)
    path = tmp_path / "b/metadata.yaml"
    path.write_text(path.read_text().replace("version: 9", "version: 10"))
    with pytest.raises(
        BagError, match=r"version 10; versions 1 to 9 are understood.*ros2 bag convert"
    ):
        open_bag(tmp_path / "b")


def test_custom_data_that_differs_is_told(tmp_path):
    write_bag(tmp_path, "e000001_a1", 10)
    path = tmp_path / "e000001_a1/metadata.yaml"
    path.write_text(path.read_text().replace('"seed": "007"', '"seed": "008"'))
    bag = open_bag(tmp_path / "e000001_a1")
    assert bag.custom_data["seed"] == "008"
    assert "seed is '008' here and '007' there" in bag.damage[0].text


def test_what_is_no_bag(tmp_path):
    cases = {
        "no": None,
        "empty.mcap": b"",
        "old.bag": b"#ROSBAG V2.0\n",
        "x.mcap": b"hello, this is no bag",
        "y.txt": b"hello",
    }
    words = ["no bag", "empty", "ROS 1", "no MCAP", "is no bag"]
    for (name, content), word in zip(cases.items(), words, strict=True):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(BagError, match=word):
            open_bag(tmp_path / name)
    with pytest.raises(BagError, match=r"holds no \.mcap or \.db3 file, but empty\.mcap"):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "empty.mcap.txt").write_bytes(b"")
        open_bag(tmp_path / "folder")
    database = sqlite3.connect(tmp_path / "other.db3")
    database.execute("CREATE TABLE x (y)")
    database.commit()
    database.close()
    with pytest.raises(BagError, match="not of rosbag2"):
        open_bag(tmp_path / "other.db3")


def test_one_topic_of_two_types(tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    write_mcap(folder / "b_0.mcap", count=10)
    write_mcap(folder / "b_1.mcap", "unchunked", 10)
    text = (
        (folder / "b_1.mcap")
        .read_bytes()
        .replace(STATE.type.encode(), b"dexndm_msgs/msg/MandState")
    )
    (folder / "b_1.mcap").write_bytes(text)
    bag = open_bag(folder)
    assert contents(bag) == [*stream(10), *(m for m in stream(10) if m[0] == JOINTS.name)]
    assert any(
        damage.kind == "type" and "/hand/state is of type dexndm_msgs/msg/MandState" in damage.text
        for damage in bag.damage
    )
