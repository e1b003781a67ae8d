# SPDX-License-Identifier: Apache-2.0
"""Databases that were not closed: what lies beside them is read, undone and counted in the checksum."""

import hashlib
import sqlite3

import pytest
from rosbags.rosbag2 import StoragePlugin

from dexndm_ros.bags import sqlite_beside
from dexndm_ros.bags.open import BagError, open_bag
from support.golden import contents, write_rosbags


def cut_off(tmp_path, pragmas, commit):
    """A copy of a database and what lies beside it, taken while a writer is at work; and what was in it before."""
    written = write_rosbags(tmp_path / "b", StoragePlugin.SQLITE3, count=200)
    file = next((tmp_path / "b").glob("*.db3"))
    writer = sqlite3.connect(file)
    for pragma in pragmas:
        writer.execute(f"PRAGMA {pragma}")
    rows = writer.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id").fetchall()
    writer.execute("DELETE FROM messages WHERE id > 100")
    writer.executemany(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows[::-1] * 3
    )
    if commit:
        writer.commit()
    copy = tmp_path / "copy"
    copy.mkdir()
    for each in (tmp_path / "b").glob("*.db3*"):
        (copy / each.name).write_bytes(each.read_bytes())
    writer.rollback()
    writer.close()
    return copy, written


def torn_transaction(tmp_path):
    """Its pages are half written: a cache this small spills into the file."""
    return cut_off(tmp_path, ["journal_mode=DELETE", "cache_size=2"], commit=False)


def files(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_a_transaction_that_was_cut_off_is_undone_in_a_copy(tmp_path, monkeypatch):
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(sqlite_beside.tempfile, "tempdir", str(room))
    copy, written = torn_transaction(tmp_path)
    before = files(copy)
    assert {name.rpartition(".")[2] for name in before} == {"db3", "db3-journal"}
    bag = open_bag(copy)
    assert contents(bag) == written
    assert contents(bag) == written
    assert files(copy) == before
    (damage,) = bag.damage
    assert damage.kind == "unfinished"
    assert "undone" in damage.text
    assert f"{sum(map(len, before.values()))} bytes in {room}" in damage.text
    del bag
    assert list(room.iterdir()) == []


def test_a_journal_without_a_transaction_is_no_damage(tmp_path):
    whole = tmp_path / "whole"
    written = write_rosbags(whole, StoragePlugin.SQLITE3, count=20)
    name = next(whole.glob("*.db3")).name
    for journal in (b"", bytes(4096)):
        (whole / f"{name}-journal").write_bytes(journal)
        bag = open_bag(whole)
        assert contents(bag) == written
        assert bag.damage == []


def test_a_journal_that_is_damaged_too(tmp_path):
    copy, written = torn_transaction(tmp_path)
    journal = next(copy.glob("*-journal"))
    data = bytearray(journal.read_bytes())
    data[512:] = b"\xa5" * (len(data) - 512)
    journal.write_bytes(data)
    bag = open_bag(copy)
    assert {message[0] for message in contents(bag)} <= {message[0] for message in written}
    assert "unfinished" in {damage.kind for damage in bag.damage}


def test_no_room_for_the_copy(tmp_path, monkeypatch):
    copy, _ = torn_transaction(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite_beside.shutil, "copyfile", full)
    with pytest.raises(BagError, match=r"No space left.*TMPDIR"):
        open_bag(copy)


@pytest.mark.parametrize("beside", ["-wal", "-journal"])
def test_the_checksum_covers_what_lies_beside_a_database(tmp_path, beside):
    if beside == "-wal":
        copy, _ = cut_off(tmp_path, ["journal_mode=WAL", "wal_autocheckpoint=0"], commit=True)
    else:
        copy, _ = torn_transaction(tmp_path)
    file = next(copy.glob("*.db3"))
    more = file.with_name(file.name + beside)
    shared = file.with_name(file.name + "-shm")
    shared.unlink(missing_ok=True)
    data = file.read_bytes() + more.read_bytes()
    assert open_bag(copy).sha256() == hashlib.sha256(data).hexdigest()
    assert open_bag(file).sha256() == hashlib.sha256(data).hexdigest()
    more.write_bytes(b"")
    assert open_bag(copy).sha256() == hashlib.sha256(file.read_bytes()).hexdigest()
