# SPDX-License-Identifier: Apache-2.0
"""Splits that are missing, empty or torn are named, with what went with them."""

import pytest

from dexndm_ros.bags.open import open_bag
from support.golden import contents, stream, write_mcap

COUNT = 10
MESSAGES = len(list(stream(COUNT)))


def split(tmp_path, numbers, told=False, stem="night"):
    folder = tmp_path / "bag"
    folder.mkdir()
    for number in numbers:
        write_mcap(folder / f"{stem}_{number}.mcap", "zstd", COUNT)
    if told:
        names = [f"{stem}_{number}.mcap" for number in numbers]
        lines = ["rosbag2_bagfile_information:", "  version: 9"]
        lines += [f"  message_count: {MESSAGES * len(names)}", "  relative_file_paths:"]
        lines += [f"  - {name}" for name in names]
        lines += ["  files:"]
        for name in names:
            lines += [f"  - path: {name}", f"    message_count: {MESSAGES}"]
            lines += ["    duration: {nanoseconds: 90000000}"]
            lines += ["    starting_time: {nanoseconds_since_epoch: 1700000000000000000}"]
        (folder / "metadata.yaml").write_text("\n".join([*lines, ""]))
    return folder


def missing(bag):
    return {each.file: each.text for each in bag.damage if each.kind == "missing"}


@pytest.mark.parametrize("gone", ["removed", "empty"])
def test_what_went_with_a_split_is_told_by_the_metadata(tmp_path, gone):
    folder = split(tmp_path, range(3), told=True)
    file = folder / "night_1.mcap"
    file.unlink() if gone == "removed" else file.write_bytes(b"")
    bag = open_bag(folder)
    assert len(contents(bag)) == 2 * MESSAGES
    text = missing(bag)["night_1.mcap"]
    assert f"all its {MESSAGES} messages, 0.09 s from 1700000000.00 on are missing" in text
    assert str(tmp_path) not in text


def test_an_empty_split_without_metadata(tmp_path):
    folder = split(tmp_path, range(3))
    (folder / "night_1.mcap").write_bytes(b"")
    bag = open_bag(folder)
    assert len(contents(bag)) == 2 * MESSAGES
    text = missing(bag)["night_1.mcap"]
    assert "empty" in text
    assert "all its messages are missing" in text
    assert "cannot be told" in text


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ([0, 2], "night_1.mcap"),
        ([0, 1, 9, 10], "night_2.mcap"),
        ([1, 2], "night_0.mcap"),
    ],
)
def test_numbers_that_are_left_out_without_metadata(tmp_path, there, named):
    bag = open_bag(split(tmp_path, there))
    assert len(contents(bag)) == len(there) * MESSAGES
    found = missing(bag)
    assert found.keys() == {named}
    assert "messages are missing" in found[named]
    if there[-1] == 10:
        assert "night_8.mcap" in found[named]


@pytest.mark.parametrize("there", [[0, 1, 2], [7], [2026, 2027]])
def test_numbers_that_leave_nothing_out(tmp_path, there):
    assert open_bag(split(tmp_path, there)).damage == []


def test_a_torn_split_says_that_the_rest_of_it_is_missing(tmp_path):
    folder = split(tmp_path, range(3))
    file = folder / "night_1.mcap"
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"zstd") + 400])
    bag = open_bag(folder)
    assert 2 * MESSAGES <= len(contents(bag)) < 3 * MESSAGES
    assert any("missing" in damage.text for damage in bag.damage if damage.kind == "torn")
