# SPDX-License-Identifier: Apache-2.0
"""Of a damaged bag all that is whole is given, nothing else, and what is not is told."""

import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin

from dexndm_ros.bags.open import BagError, open_bag
from dexndm_ros.bags.rewrite import salvage
from dexndm_ros.datasets.bag_cli import main
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.recording.mcap_records import MAGIC
from dexndm_ros.recording.metadata import FILE_NAME
from support.bags import CLOSING, JOINTS, STATE, TOPICS, hand_state, open_episode
from support.golden import MCAPS, contents, stream, write_mcap, write_rosbags

COUNT = 120
ORIGINAL = list(stream(COUNT))
PLACE = {message: number for number, message in enumerate(ORIGINAL)}
IN_CHUNK = 18
"""More messages than any chunk of these files holds."""
CHECKED = [kind for kind in MCAPS if kind not in ("no_checksums", "unchunked")]


class Files(dict):
    """File contents by kind; told by its name only when a property fails."""

    def __repr__(self):
        return "files"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return Files(
        {kind: write_mcap(folder / f"{kind}.mcap", kind, COUNT).read_bytes() for kind in MCAPS}
    )


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Opens these bytes as a file; everything that comes out was in the original, in order and once."""
    path = tmp_path_factory.mktemp("damaged") / "x.mcap"

    def read(data, strict=True):
        path.write_bytes(data)
        bag = open_bag(path)
        found = contents(bag)
        assert contents(bag) == found
        assert not any("could not be read on" in damage.text for damage in bag.damage)
        if strict:
            places = [PLACE[message] for message in found]
            assert places == sorted(set(places))
            assert bag.damage or len(found) == len(ORIGINAL)
        return bag, found

    return read


def at_places(data, how_many):
    return [len(MAGIC) + k * (len(data) - len(MAGIC)) // how_many for k in range(how_many)]


@pytest.mark.parametrize("kind", MCAPS)
def test_truncated_anywhere(files, damaged, kind):
    data = files[kind]
    before = 0
    for end in at_places(data, 50):
        bag, found = damaged(data[:end])
        assert found == ORIGINAL[: len(found)]
        assert len(found) >= before
        assert {damage.kind for damage in bag.damage} & {"unfinished", "torn"}
        before = len(found)
    assert before > COUNT


@pytest.mark.parametrize("kind", CHECKED)
@settings(max_examples=40)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_chunk(files, damaged, kind, where, bit):
    data = bytearray(files[kind])
    place = len(MAGIC) + int(where * (len(data) - len(MAGIC)))
    data[place] ^= 1 << bit
    _, found = damaged(data)
    if kind == "no_summary" and place < 3000:
        return  # nothing else says what the messages are
    assert len(found) >= len(ORIGINAL) - IN_CHUNK


@pytest.mark.parametrize("kind", ["no_checksums", "unchunked"])
@settings(max_examples=40)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_without_checksums_costs_two_messages(files, damaged, kind, where, bit):
    data = bytearray(files[kind])
    first, last = data.index(hand_state(0)), data.rindex(hand_state(COUNT - 1))
    data[first + int(where * (last - first))] ^= 1 << bit
    _, found = damaged(data, strict=False)
    assert len(set(found) & PLACE.keys()) >= len(ORIGINAL) - 2


@pytest.mark.parametrize("kind", [*CHECKED, "unchunked"])
@settings(max_examples=40)
@given(
    where=st.floats(0, 1, exclude_max=True),
    length=st.integers(1, 5000),
    put=st.one_of(st.just(b""), st.binary(min_size=30, max_size=300)),
)
def test_a_hole_costs_what_was_in_it(files, damaged, kind, where, length, put):
    data = files[kind]
    begin = len(MAGIC) + int(where * (len(data) - len(MAGIC)))
    _, found = damaged(data[:begin] + put + data[begin + length :], strict=kind != "unchunked")
    if begin > 9000:  # otherwise the definitions may be gone
        lost = len(ORIGINAL) - len(set(found) & PLACE.keys())
        assert lost <= (3 + length // 1200) * IN_CHUNK


@given(st.binary(max_size=400))
def test_arbitrary_bytes(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for start in (b"", MAGIC, b"SQLite format 3\0"):
        (folder / "x.mcap").write_bytes(start + data)
        try:
            contents(open_bag(folder / "x.mcap"))
        except BagError as error:
            assert "x.mcap" in str(error)


@given(st.text(max_size=200), st.integers(0, 600))
def test_arbitrary_metadata(tmp_path_factory, text, keep):
    folder = tmp_path_factory.mktemp("any")
    write_mcap(folder / "x.mcap", count=3)
    good = "rosbag2_bagfile_information:\n  version: 9\n  relative_file_paths:\n  - x.mcap\n"
    (folder / FILE_NAME).write_text(good[:keep] + text, encoding="utf-8")
    try:
        assert len(contents(open_bag(folder))) == 4
    except BagError as error:
        assert "version" in str(error) or "read" in str(error)


def test_a_broken_first_chunk_still_names_the_topics(files, damaged):
    data = bytearray(files["plain"])
    data[6000] ^= 1
    _, found = damaged(data[: len(data) // 2])
    assert len(found) > 30


def test_the_recorder_killed_in_the_middle(tmp_path):
    writer = open_episode(tmp_path, "e000001_a1", 40)
    bag = open_bag(tmp_path / "e000001_a1.part")
    assert len(contents(bag)) == 60
    assert bag.custom_data["campaign"] == "night"
    assert [damage.kind for damage in bag.damage] == ["unfinished"]
    writer.abandon("test")


def database(tmp_path, count=200):
    written = write_rosbags(tmp_path / "b", StoragePlugin.SQLITE3, count=count)
    return next((tmp_path / "b").glob("*.db3")), written


def test_a_truncated_database(tmp_path):
    file, written = database(tmp_path)
    data = file.read_bytes()
    for end in range(len(data) // 10, len(data), len(data) // 12):
        file.write_bytes(data[:end])
        bag = open_bag(file)
        found = contents(bag)
        assert found == [message for message in written if message in set(found)]
        assert len(found) >= (end // 4096 - 8) * 5
        assert {damage.kind for damage in bag.damage} >= {"torn"}


def test_overwritten_pages_of_a_database(tmp_path):
    file, written = database(tmp_path)
    data = bytearray(file.read_bytes())
    for page in (20, 21, 30):
        data[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    file.write_bytes(data)
    bag = open_bag(tmp_path / "b")
    found = contents(bag)
    assert set(found) < set(written)
    assert len(found) >= len(written) - 25
    kinds = [damage.kind for damage in bag.damage]
    assert "page" in kinds
    assert kinds.count("count") >= 1


def test_a_database_whose_first_page_is_gone(tmp_path):
    file, _ = database(tmp_path)
    data = bytearray(file.read_bytes())
    data[16:4096] = bytes(4080)
    file.write_bytes(data)
    bag = open_bag(file)
    assert contents(bag) == write_rosbags(tmp_path / "again", StoragePlugin.SQLITE3, count=200)


def test_a_database_with_its_write_ahead_log(tmp_path):
    file, written = database(tmp_path)
    writer = sqlite3.connect(file)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("PRAGMA wal_autocheckpoint=0")
    row = writer.execute(
        "SELECT topic_id, timestamp, data FROM messages ORDER BY id LIMIT 1"
    ).fetchone()
    writer.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    writer.commit()
    copy = tmp_path / "copy"
    copy.mkdir()
    for each in (file, file.with_name(file.name + "-wal")):
        (copy / each.name).write_bytes(each.read_bytes())
    writer.close()
    assert contents(open_bag(copy)) == [*written, written[0]]
    assert sorted(each.name for each in copy.iterdir()) == [file.name, file.name + "-wal"]


def test_a_truncated_compressed_file(tmp_path):
    from rosbags.rosbag2 import CompressionMode

    written = write_rosbags(
        tmp_path / "b", StoragePlugin.MCAP, mode=CompressionMode.FILE, count=900
    )
    file = next((tmp_path / "b").glob("*.zstd"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    bag = open_bag(tmp_path / "b")
    found = contents(bag)
    assert found == written[: len(found)]
    assert len(found) > 100
    assert "compression" in {damage.kind for damage in bag.damage}


def test_a_salvaged_bag_is_whole_and_read_by_others(tmp_path, files):
    data = bytearray(files["zstd"])
    data[data.rindex(b"zstd", 0, len(data) // 2) + 200] ^= 1
    (tmp_path / "x.mcap").write_bytes(data[:-400])
    bag = open_bag(tmp_path / "x.mcap")
    report = salvage(bag, tmp_path / "new")
    again = open_bag(tmp_path / "new")
    assert contents(again) == contents(bag)
    assert again.damage == []
    assert again.custom_data["seed"] == "7"
    assert again.custom_data["salvaged_from"] == "x.mcap"
    assert again.topics[STATE.name].definition == bag.topics[STATE.name].definition
    assert sum(report.messages.values()) == len(contents(bag)) < len(ORIGINAL)
    assert {damage.kind for damage in report.damage} == {"unfinished", "chunk"}
    with AnyReader([tmp_path / "new"]) as reader:
        assert [bytes(raw) for _, _, raw in reader.messages()] == [m[4] for m in contents(bag)]


def test_a_salvage_counts_what_is_missing(tmp_path):
    writer = EpisodeWriter(tmp_path, "e000001_a1", {}, TOPICS)
    for number, (topic, log_ns, publish_ns, sequence, data) in enumerate(ORIGINAL):
        writer.add(topic, data, log_ns, publish_ns, sequence)
        if number % 16 == 15:
            writer.flush()
    writer.finish({}, CLOSING)
    file = next((tmp_path / "e000001_a1").glob("*.mcap"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    report = salvage(open_bag(tmp_path / "e000001_a1"), tmp_path / "new")
    assert sum(report.missing.values()) == 16
    assert report.missing.keys() <= {STATE.name, JOINTS.name}
    assert sum(report.messages.values()) == len(ORIGINAL) - 16


def test_a_salvage_leaves_nothing_behind_when_it_cannot(tmp_path):
    (tmp_path / "x.mcap").write_bytes(MAGIC + bytes(100))
    bag = open_bag(tmp_path / "x.mcap")
    with pytest.raises(BagError, match="no whole message"):
        salvage(bag, tmp_path / "new")
    (tmp_path / "taken").mkdir()
    with pytest.raises(BagError, match="exists already"):
        salvage(bag, tmp_path / "taken")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["taken", "x.mcap"]


def test_the_kinds_differ(files):
    assert all(left != right for left, right in itertools.combinations(files.values(), 2))


def undecodable(tmp_path, rows):
    """A bag whose states, those of ``rows``, lack their last bytes."""
    writer = EpisodeWriter(tmp_path, "e000001_a1", {}, TOPICS)
    for number, (topic, log_ns, publish_ns, sequence, data) in enumerate(ORIGINAL):
        cut = topic == STATE.name and number in rows
        writer.add(topic, data[:-4] if cut else data, log_ns, publish_ns, sequence)
    writer.finish({}, CLOSING)
    return tmp_path / "e000001_a1"


@pytest.mark.parametrize("rows", [range(len(ORIGINAL)), range(0, 100, 7)])
def test_a_salvage_tells_and_keeps_what_cannot_be_decoded(tmp_path, rows):
    folder = undecodable(tmp_path, rows)
    bag = open_bag(folder)
    cut = sum(topic == STATE.name and k in rows for k, (topic, *_) in enumerate(ORIGINAL))
    report = salvage(bag, tmp_path / "new")
    (damage,) = report.damage
    assert damage.kind == "content"
    assert damage.text.startswith(f"{STATE.name}: {cut} of {COUNT} messages cannot be decoded")
    assert STATE.type in damage.text
    again = open_bag(tmp_path / "new")
    assert contents(again) == contents(bag)
    assert STATE.name in again.custom_data["salvage_damage"]


def test_the_command_warns_of_what_cannot_be_decoded(tmp_path, capsys):
    folder = undecodable(tmp_path, range(len(ORIGINAL)))
    assert main(["salvage", str(folder), "--out", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().out
    assert "cannot be decoded" in said
    assert "whole already" not in said
