# SPDX-License-Identifier: Apache-2.0
"""Nothing but a bag as it was written passes for a whole one, and nothing makes the check raise."""

import shutil

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.metadata import parse_metadata
from dexndm_ros.recording.partial import recover
from dexndm_ros.recording.read import BagError, bag_file, decoder, messages
from support.bags import stream, write_bag


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bags")
    write_bag(directory, "good", 40)
    return directory / "good"


@pytest.fixture(scope="module")
def whole(bag):
    return bag_file(bag).read_bytes()


@pytest.fixture(scope="module")
def copy(bag, tmp_path_factory):
    """A copy of the bag with another MCAP file or metadata.yaml."""
    place = tmp_path_factory.mktemp("copies") / "good"

    def make(mcap=None, text=None):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(bag, place)
        if mcap is not None:
            bag_file(place).write_bytes(mcap)
        if text is not None:
            (place / "metadata.yaml").write_bytes(text)
        return place

    return make


def test_the_bag_itself_is_whole(bag):
    assert check_bag(bag).complete


@given(st.data())
def test_cut_anywhere_it_is_not_whole_and_gives_what_came_before_the_cut(whole, copy, data):
    length = data.draw(st.integers(0, len(whole) - 1))
    place = copy(whole[:length])
    found = check_bag(place)
    assert not found.complete and found.reason
    before = [tuple(m[k] for k in (0, 5, 2, 3, 4)) for m in recover(place)]
    assert before == list(stream(40))[: len(before)]
    if length < len(whole) - 100:
        with pytest.raises(BagError):
            list(messages(place))


@given(st.data())
def test_with_any_byte_changed_it_is_not_whole(whole, copy, data):
    position = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(whole)
    damaged[position] ^= flip
    place = copy(bytes(damaged))
    found = check_bag(place)
    assert not found.complete and found.reason
    for message in recover(place):
        assert isinstance(message.data, bytes)


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_are_not_whole_and_raise_nothing(copy, whole, noise, keep_head):
    place = copy(whole[:8] + noise if keep_head else noise)
    assert not check_bag(place).complete
    assert list(recover(place)) == []


@given(st.binary(min_size=1, max_size=200))
def test_bytes_put_behind_or_into_it_are_seen(copy, whole, noise):
    assert not check_bag(copy(whole + noise)).complete
    middle = len(whole) // 2
    assert not check_bag(copy(whole[:middle] + noise + whole[middle:])).complete


@given(st.data())
def test_a_changed_metadata_file_passes_only_if_it_says_the_same(bag, copy, data):
    text = bytearray((bag / "metadata.yaml").read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    if check_bag(copy(text=bytes(text))).complete:
        before = parse_metadata((bag / "metadata.yaml").read_text())
        assert parse_metadata(bytes(text).decode()) == before


@given(st.binary(max_size=300))
def test_an_arbitrary_metadata_file_is_no_bag(copy, noise):
    assert not check_bag(copy(text=noise)).complete


@pytest.mark.parametrize("name", ["../good_0.mcap", "/etc/passwd", "other.mcap"])
def test_a_metadata_file_that_names_another_file(bag, copy, name):
    content = yaml.safe_load((bag / "metadata.yaml").read_text())
    content["rosbag2_bagfile_information"]["relative_file_paths"] = [name]
    assert not check_bag(copy(text=yaml.safe_dump(content).encode())).complete


def test_folders_that_are_no_bags(tmp_path, bag):
    assert "there is no bag" in check_bag(tmp_path / "nothing").reason
    assert not check_bag(tmp_path).complete
    assert not check_bag(bag_file(bag)).complete
    (tmp_path / "metadata.yaml").mkdir()
    assert not check_bag(tmp_path).complete
    for ending in (".part", ".partial"):
        shutil.copytree(bag, tmp_path / f"good{ending}")
        assert not check_bag(tmp_path / f"good{ending}").complete
    with pytest.raises(BagError, match="holds 0"):
        bag_file(tmp_path)


def test_a_decoder_needs_the_definitions(bag, copy, whole):
    with pytest.raises(ValueError, match="no definition of"):
        decoder(bag)("std_msgs/msg/String", b"")
    for length in (4, 8, 200):
        with pytest.raises(BagError):
            decoder(copy(whole[:length]))
