# SPDX-License-Identifier: Apache-2.0
"""Names of files as text, and names that several files share."""

from __future__ import annotations

import os
import shutil

from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.bags.names import group_name, group_of, readable, splits
from dexndm_ros.bags.open import open_bag
from support.bags import write_bag


@given(st.binary(min_size=1))
def test_every_name_can_be_told(name):
    told = readable(os.fsdecode(name))
    assert told.encode()
    try:
        assert told == name.decode()
    except UnicodeDecodeError:
        assert "\\x" in told


def test_text_with_half_of_a_pair_can_be_told():
    assert readable("a\ud800b") == "a\\ud800b"
    assert readable("grün \N{HIBISCUS}") == "grün \N{HIBISCUS}"


def test_splits_are_opened_together_by_the_name_that_they_share(tmp_path):
    for k in (2, 0, 10):
        write_bag(tmp_path, f"bag{k}", 20 + k)
        shutil.move(tmp_path / f"bag{k}" / f"bag{k}_0.mcap", tmp_path / f"run_{k}.mcap")
    (tmp_path / "run_x.mcap").write_bytes(b"x")
    (tmp_path / "run_11.mcap").mkdir()
    place = group_of(tmp_path / "run_2.mcap")
    assert place == tmp_path / "run_*.mcap"
    assert [file.name for file in splits(place)] == ["run_0.mcap", "run_2.mcap", "run_10.mcap"]
    bag = open_bag(place)
    assert (bag.name, group_name(place), len(bag.files)) == ("run", "run", 3)
    assert bag.topics["/hand/state"].count == 72
    (gap, *_) = bag.damage
    assert gap.kind == "missing" and gap.file == "run_1.mcap"


def test_what_is_not_numbered_is_no_group(tmp_path):
    assert group_of(tmp_path / "monday.mcap") is None
    assert group_name(tmp_path / "monday.mcap") == ""
    assert splits(tmp_path / "absent" / "x_*.mcap") == []


def test_a_bag_with_a_name_that_is_no_utf8(tmp_path):
    write_bag(tmp_path, "bag")
    odd = (tmp_path / "bag").rename(tmp_path / os.fsdecode(b"n\xffcht"))
    assert open_bag(odd).name == "n\\xffcht"
