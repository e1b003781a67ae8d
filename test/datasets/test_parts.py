# SPDX-License-Identifier: Apache-2.0
"""Parts that are done are found again, also after the worst of ends."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.part import write_part
from dexndm_ros.datasets.parts import Part, PartIndex, in_order
from support.small_disk import small_disk

__all__ = ["small_disk"]

SHA = "ab" * 32


def part(bag, campaign="night", sha256="", aside=False):
    return Part(Path(f"/x/{bag}.arrow"), bag, sha256 or bag, campaign, (), aside)


def test_whole_recordings_come_first_then_campaign_name_and_content():
    parts = [
        part("e000011_a1", campaign="early"),
        part("e000009_a1", sha256="0"),
        part("e000009_a1", sha256="1"),
        part("e000010_a1"),
        part("e000002_a1.partial", aside=True),
    ]
    for seed in range(5):
        mixed = random.Random(seed).sample(parts, len(parts))
        assert in_order(mixed) == parts


def write(index: PartIndex, sha256: str = SHA) -> None:
    late, damage = (
        Finding("late_ticks", 1, "noted", "late"),
        Finding("damage", 2, "flagged", "torn"),
    )
    episode = Episode("night/1", "task", empty_columns(30), {"kind": "replay"}, (late,))
    result = BagResult("e000001_a1", sha256, 5, {}, (episode,), (damage,), {"campaign": "night"})
    write_part(index.path(sha256), result)


@pytest.fixture
def index(tmp_path):
    found = PartIndex(tmp_path / "parts")
    write(found)
    found.add("key", SHA)
    return found


def test_a_part_is_found_by_the_next_process(index):
    again = PartIndex(index.folder)
    assert again.sha256("key") == SHA
    found = again.part(SHA, put_aside=True)
    assert (found.bag, found.campaign, found.put_aside) == ("e000001_a1", "night", True)
    told = [(where, each.check) for where, each in found.findings]
    assert told == [("", "damage"), ("night/1", "late_ticks")]
    assert again.sha256("other") == ""


def test_a_part_whose_file_is_gone_is_none(index):
    index.path(SHA).unlink()
    assert index.sha256("key") == ""
    assert index.part(SHA) is None


def test_a_torn_part_is_removed(index):
    data = index.path(SHA).read_bytes()
    index.path(SHA).write_bytes(data[: len(data) // 2])
    assert index.part(SHA) is None
    assert not index.path(SHA).exists()


@given(cut=st.integers(0, 400), noise=st.binary(max_size=20))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_list_costs_its_last_lines_only(index, cut, noise):
    path = index.folder / "index.jsonl"
    whole = path.read_bytes()
    try:
        index.add("second", "cd" * 32)
        write(index, "cd" * 32)
        path.write_bytes(path.read_bytes()[:-cut] + noise if cut else path.read_bytes() + noise)
        again = PartIndex(index.folder)
        if cut < len(whole):
            again.add("third", SHA)
            assert PartIndex(index.folder).sha256("third") == SHA
        assert again.sha256("key") in ("", SHA)
    finally:
        path.write_bytes(whole)


def test_what_a_killed_worker_left_is_swept(index):
    (index.folder / ".x.arrow.123.tmp").write_bytes(b"half")
    PartIndex(index.folder)
    assert not list(index.folder.glob(".*.tmp"))


def test_a_full_disk_is_told(small_disk):
    index = PartIndex(small_disk / "parts")
    (small_disk / "filler").write_bytes(bytes(250_000))
    with pytest.raises(DatasetWriteError, match="make room"):
        write(index)
    assert not list(index.folder.glob("*.arrow"))
