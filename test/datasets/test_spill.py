# SPDX-License-Identifier: Apache-2.0
"""Episodes of a long bag on the disk: the same columns, whenever they are read, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest

from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.episode import Episode
from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.part import write_part
from dexndm_ros.datasets.spill import Spill
from support.nights import write_night
from support.small_disk import small_disk

__all__ = ["small_disk"]


def episode(number: int, rows: int = 50) -> Episode:
    columns = empty_columns(rows)
    for k, each in enumerate(columns.values()):
        each[...] = (number + k) % 2 if each.dtype == bool else 1000 * number + k
    return Episode(str(number), "task", columns, {})


def test_columns_are_the_same_in_memory_and_in_the_file(tmp_path):
    size = sum(each.nbytes for each in episode(0).columns.values())
    with Spill(tmp_path, held_bytes=2 * size) as spill:
        kept = []
        for number in range(6):
            kept.append(spill.keep(episode(number)))
            assert len(kept[-1]) == 50  # reads in between do no harm
        assert [isinstance(each.columns, dict) for each in kept] == [True] * 2 + [False] * 4
        for number in (5, 0, 3, 4, 2, 1):
            wanted = episode(number).columns
            assert list(kept[number].columns) == list(wanted)
            for name, values in wanted.items():
                found = kept[number].columns[name]
                assert (found.dtype, found.shape) == (values.dtype, values.shape)
                assert np.array_equal(found, values, equal_nan=True)
        assert not list(tmp_path.iterdir())  # it has no name


def test_an_episode_without_rows_can_be_kept(tmp_path):
    with Spill(tmp_path, held_bytes=0) as spill:
        spill.keep(episode(1))
        kept = spill.keep(episode(2, rows=0))
        assert kept.columns["action"].shape == (0, 16)


def test_the_part_of_a_bag_of_many_splits_is_the_same_bytes(tmp_path):
    """Several trajectories in one bag, its files split between and the columns spilled."""
    write_night(tmp_path / "night", 4, state_hz=50.0, steps=60)
    bag = tmp_path / "long"
    bag.mkdir()
    singles = []
    for k, each in enumerate(sorted((tmp_path / "night").iterdir())):
        singles += convert_bag(each, ConvertConfig()).episodes
        next(each.glob("*.mcap")).rename(bag / f"long_{k}.mcap")
    whole = convert_bag(bag, ConvertConfig())
    assert [each.identity for each in whole.episodes] == [each.identity for each in singles]
    for one, other in zip(whole.episodes, singles, strict=True):
        assert np.array_equal(one.columns["action"], other.columns["action"])
        assert np.array_equal(one.columns["observation.state"], other.columns["observation.state"])
    write_part(tmp_path / "held.arrow", whole)
    with Spill(tmp_path, held_bytes=0) as spill:
        write_part(tmp_path / "spilled.arrow", convert_bag(bag, ConvertConfig(), spill.keep))
    assert (tmp_path / "held.arrow").read_bytes() == (tmp_path / "spilled.arrow").read_bytes()


def test_a_full_disk_is_told(small_disk):
    with (
        Spill(small_disk, held_bytes=0) as spill,
        pytest.raises(DatasetWriteError, match="make room"),
    ):
        for number in range(20):
            spill.keep(episode(number))
