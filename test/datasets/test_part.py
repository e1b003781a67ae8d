# SPDX-License-Identifier: Apache-2.0
"""Part files give back what was put into them, and know when they are torn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dexndm_ros.datasets.episode import Episode, Finding
from dexndm_ros.datasets.errors import DatasetError, DatasetWriteError
from dexndm_ros.datasets.features import FEATURES, empty_columns
from dexndm_ros.datasets.part import (
    episode_rows,
    part_head,
    part_name,
    read_part,
    write_part,
)
from support.dataset_growth import bag_of, noisy_episode
from support.small_disk import small_disk  # noqa: F401

SAME_PLACE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def the_bag():
    dropped = Episode(
        "night/palm_up/9",
        "try",
        empty_columns(0),
        {"trajectory": 9, "lag": math.nan},
        (Finding("short", 3, "dropped", "3 rows"),),
        "drop",
    )
    good = [noisy_episode(f"night/palm_up/{k}", 20 + k, k) for k in range(2)]
    return bag_of("e1", [good[0], dropped, good[1]], [Finding("damage", 1, "flagged", "a hole")])


def test_what_was_written_is_read(tmp_path) -> None:
    bag, path = the_bag(), tmp_path / "one.arrow"
    write_part(path, bag)
    found = read_part(path)
    assert [path.name for path in tmp_path.iterdir()] == ["one.arrow"]
    assert (found.name, found.sha256, found.bytes) == (bag.name, bag.sha256, bag.bytes)
    assert found.findings == bag.findings and found.messages == bag.messages
    for one, other in zip(bag.episodes, found.episodes, strict=True):
        assert (one.identity, one.task, one.verdict) == (other.identity, other.task, other.verdict)
        assert one.findings == other.findings
        assert str(one.facts) == str(other.facts)  # NaN is not itself
        for feature in FEATURES:
            column = other.columns[feature.name]
            assert column.dtype == feature.dtype
            np.testing.assert_array_equal(column, one.columns[feature.name])


def test_the_head_has_all_but_the_rows(tmp_path) -> None:
    bag, path = the_bag(), tmp_path / part_name("ab" * 32)
    write_part(path, bag)
    head = part_head(path)
    assert path.name == "abababababababab.arrow"
    assert head.rows == (20, 0, 21) and head.batches == (0, -1, 1)
    assert [len(each) for each in head.result.episodes] == [0, 0, 0]
    (last,) = episode_rows(path, (2,))
    np.testing.assert_array_equal(last.columns["action"], bag.episodes[2].columns["action"])


def test_the_same_bag_gives_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        write_part(tmp_path / name, the_bag())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_hole_in_a_part_is_known_and_the_part_goes(tmp_path) -> None:
    path = tmp_path / "one.arrow"
    write_part(path, the_bag())
    data = path.read_bytes()
    middle = data.index(the_bag().episodes[2].columns["action"].tobytes()) + 100
    path.write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])
    assert len(list(episode_rows(path, (0,)))) == 1
    with pytest.raises(DatasetError, match="has been deleted: run the same command again"):
        list(episode_rows(path, (0, 2)))
    assert not path.exists()


@SAME_PLACE
@given(st.integers(0, 10**6), st.sampled_from(["cut", "zero", "junk"]))
def test_a_torn_part_is_refused_in_words_or_as_it_was(tmp_path, at: int, how: str) -> None:
    path, bag = tmp_path / "one.arrow", the_bag()
    write_part(path, bag)
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(
        {"cut": data[:at], "zero": data[:at] + bytes(len(data) - at), "junk": data[at:]}[how]
    )
    try:
        found = read_part(path)
    except DatasetError as error:
        assert "delete" in str(error)
        return
    for one, other in zip(bag.episodes, found.episodes, strict=True):
        np.testing.assert_array_equal(one.columns["action"], other.columns["action"])


def test_columns_that_do_not_fit_are_named(tmp_path) -> None:
    episode = noisy_episode("x", 10)
    columns = dict(episode.columns)
    del columns["flags"]
    with pytest.raises(DatasetError, match="columns flags are missing"):
        write_part(tmp_path / "a", bag_of("b", [Episode("x", "try", columns, {})]))
    columns = {**episode.columns, "action": np.zeros((9, 16), np.float32)}
    with pytest.raises(DatasetError, match=r"action has shape \(9, 16\)"):
        write_part(tmp_path / "a", bag_of("b", [Episode("x", "try", columns, {})]))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(small_disk) -> None:  # noqa: F811
    bag = bag_of("big", [noisy_episode(str(k), 400, k) for k in range(3)])
    with pytest.raises(DatasetWriteError, match=r"No space left.*make room and run the same"):
        write_part(small_disk / "a.arrow", bag)
    assert not list(small_disk.iterdir())
