# SPDX-License-Identifier: Apache-2.0
"""Which blocks are simulated when only some episodes are of use, and which of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.datasets.part import part_head
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.simulate.blocks import Block
from dexndm_ros.training.simulate.config import RolloutConfig, SimulateError
from dexndm_ros.training.simulate.tasks import Task
from dexndm_ros.training.simulate.work import BlockDone, _write
from support.datasets import numbered_episode

SIZE = 4
CONFIG = RolloutConfig(out=Path("none"), block=SIZE)


def block(number: int) -> Block:
    return Block(CONFIG, World(), "palm_up", "+z", number, {"number": number})


def task(wanted: int, known: dict[str, int] | None = None, picky: bool = True) -> Task:
    return Task("rollouts", block, SIZE, wanted, picky, known or {})


def work_off(job: Task, kept: Sequence[int]) -> list[int]:
    """Simulate what is missing until nothing is; the numbers of the blocks."""
    done = []
    while missing := job.missing():
        for each in reversed(missing):  # whoever is ready first
            done.append(each.number)
            job.note(each, BlockDone(kept[each.number], 0, SIZE - kept[each.number], 0))
    return sorted(done)


def part(folder: Path, number: int, good: int) -> None:
    episodes = []
    for k in range(SIZE):
        episode = numbered_episode(f"{number}/{k}", 3, 0)
        if k >= good:
            episode = replace(episode, columns=empty_columns(0), verdict="drop")
        episodes.append(episode)
    _write(folder, block(number).sha256, block(number), episodes, "a test")


def test_as_many_blocks_as_there_are_episodes_when_all_are_of_use() -> None:
    assert work_off(task(10, picky=False), [SIZE] * 9) == [0, 1, 2]


@given(st.lists(st.integers(1, SIZE), min_size=40, max_size=40), st.integers(1, 30))
def test_enough_are_of_use_in_the_end_and_no_block_is_done_twice(kept, wanted) -> None:
    job = task(wanted)
    numbers = work_off(job, kept)
    assert numbers == list(range(len(numbers)))
    assert sum(kept[: len(numbers)]) >= wanted
    assert job.outcome()[0] == SIZE * len(numbers)


def test_the_first_ones_that_are_of_use_are_taken_however_far_the_work_had_got(tmp_path) -> None:
    for number, good in enumerate([3, 1, 4]):
        part(tmp_path, number, good)
    few, many = task(6), task(6)
    few.note(block(0), BlockDone(3, 9, 1, 0))
    few.note(block(1), BlockDone(1, 3, 3, 0))
    few.note(block(2), BlockDone(4, 12, 0, 0))
    work_off(many, [3, 1, 4, 4, 4])
    paths = few.parts(tmp_path, "a test")
    assert paths == many.parts(tmp_path, "a test")
    heads = [part_head(path).result for path in paths]
    good = [e.identity for head in heads for e in head.episodes if e.verdict == "keep"]
    assert good == ["0/0", "0/1", "0/2", "1/0", "2/0", "2/1"]


def test_what_the_dataset_has_is_not_simulated_again() -> None:
    whole = {block(0).sha256: 3, block(1).sha256: 1}
    assert work_off(task(4, whole), []) == []
    assert [b.number for b in task(5, whole).missing()] == [2]
    trimmed = whole | {block(2).trimmed_sha256(2): 2}
    assert task(6, trimmed).missing() == []
    assert task(6, trimmed).parts(Path("nowhere"), "a test") == []
    assert task(7, trimmed).missing()[0].number == 2  # now more of it is wanted


def test_a_policy_that_holds_nothing_is_given_up_with_a_reason() -> None:
    with pytest.raises(SimulateError, match=r"0 of \d+ episodes are of use, 2 are wanted"):
        work_off(task(2), [0] * 200)
