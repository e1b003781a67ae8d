# SPDX-License-Identifier: Apache-2.0
"""Figures of the quality report against sums made the slow way, and histories of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.datasets.features import RowFlag
from dexndm_ros.datasets.report_histories import HISTORY, Histories, compare
from dexndm_ros.datasets.report_numbers import lag_ticks
from dexndm_ros.datasets.report_tally import BINS, Tally
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_COUNT, LOWER_RAD, UPPER_RAD
from support.quality_sets import TICK_NS, answering_episode, rows_of


def counted(episodes, sizes=None):
    """A tally of these, added in stretches of so many episodes."""
    tally = Tally(len(episodes), sum(map(len, episodes)))
    first = row = 0
    for size in sizes or [len(episodes)]:
        part = rows_of(episodes[first : first + size], first)
        part["index"] = row + np.arange(len(part["index"]))
        tally.add(part, np.zeros(len(part["index"]), dtype=bool))
        first, row = first + size, row + len(part["index"])
    return tally


def test_stretches_do_not_matter() -> None:
    episodes = [answering_episode(str(k), seed=k, rows=40 + 3 * k) for k in range(7)]
    whole, parts = counted(episodes), counted(episodes, [1, 4, 2])
    for name, value in vars(whole).items():
        other = vars(parts)[name]
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, other, rtol=1e-12, err_msg=name)
        elif isinstance(value, Histories):
            np.testing.assert_array_equal(value.sample, other.sample)
        elif name == "episode":
            for key in value:
                np.testing.assert_allclose(value[key], other[key], rtol=1e-12, err_msg=key)
        else:
            assert value == other, name


@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_lag_is_found_in_each_episode_and_joint(ticks) -> None:
    tally = counted([answering_episode(str(k), seed=k, answer_ticks=ticks, rows=200) for k in range(3)])  # fmt: skip
    for k in range(3):
        sums = {name: tally.episode[name][k] for name in ("together", "asked", "moved")}
        found = sums["together"] / np.sqrt(sums["asked"] * sums["moved"])
        assert lag_ticks(found) == pytest.approx(ticks, abs=0.15)
        assert found[ticks] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("correlation", "wanted"),
    [([0.1, 0.9, 0.1], 1.0), ([0.2, 0.8, 0.8, 0.2], 1.5), ([0.9, 0.2, 0.1], 0.0), ([0.0, 0.01, 0.0], np.nan),
     ([np.nan] * 3, np.nan)],
)  # fmt: skip
def test_lag_between_ticks(correlation, wanted) -> None:
    assert lag_ticks(correlation) == pytest.approx(wanted, nan_ok=True)


def test_every_valid_row_is_in_the_histograms_and_only_those() -> None:
    episode = answering_episode("0", rows=100)
    episode.columns["valid"][:30] = False
    episode.columns["action"][50, 4] = np.nan
    tally = counted([episode])
    assert (tally.target.sum(axis=1) == 69).all() and (tally.state.sum(axis=1) == 69).all()
    rows = np.r_[30:50, 51:100]
    share = (episode.columns["action"][rows] - LOWER_RAD) / (UPPER_RAD - LOWER_RAD)
    middle = np.bincount(np.clip((share[:, 2] * BINS).astype(int), 0, BINS - 1), minlength=BINS)
    assert np.abs(middle - tally.target[2]).sum() <= 2  # a value on an edge may fall to either side
    np.testing.assert_allclose(tally.high_rad, episode.columns["action"][rows].max(axis=0))


def test_what_lies_between_rows_with_ticks_missing_is_no_period() -> None:
    episode = answering_episode("0", rows=100)
    episode.columns["action.stamp_ns"][60:] += 10 * TICK_NS
    episode.columns["action.stamp_ns"][80:] += 7_000_000
    episode.columns["flags"][59] = RowFlag.GAP
    tally = counted([episode, answering_episode("1", rows=50, seed=1)])
    assert tally.period.sum() == 98 + 49 and tally.longest_period_ns == TICK_NS + 7_000_000
    assert tally.period_ms(0.5) == pytest.approx(50.0, abs=0.01)
    assert tally.age_ms(0.1) == pytest.approx(4.0, abs=0.1)


@given(st.lists(st.integers(1, 3 * HISTORY), min_size=1, max_size=6), st.integers(0, 5))
def test_histories_stay_inside_episodes_and_valid_rows(lengths, holes) -> None:
    episode = np.repeat(np.arange(len(lengths)), lengths)
    rows = len(episode)
    usable = np.ones(rows, dtype=bool)
    usable[np.random.default_rng(holes).integers(0, rows, holes)] = False
    state = np.arange(rows, dtype=np.float64)[:, None] + np.zeros(JOINT_COUNT)
    histories = Histories(rows)
    histories.add(state, -state, usable, episode, np.arange(rows))
    wanted = [
        k for k in range(rows - HISTORY + 1)
        if episode[k] == episode[k + HISTORY - 1] and usable[k : k + HISTORY].all()
    ]  # fmt: skip
    assert histories.seen == len(wanted)
    assert sorted(histories.sample[:, 0, 0].tolist()) == wanted
    for each in histories.sample[:, 5]:
        np.testing.assert_array_equal(each[:HISTORY], each[0] + np.arange(HISTORY))
        np.testing.assert_array_equal(each[HISTORY:], -each[:HISTORY])


def test_sample_is_bounded_and_spread_over_all_episodes() -> None:
    histories = Histories(0)
    rows = 10_000
    for part in range(5):
        state = np.zeros((rows, JOINT_COUNT))
        index = part * rows + np.arange(rows)
        histories.add(state, state, np.ones(rows, dtype=bool), index // 400, index)
    assert histories.seen == 5 * (rows // 400) * (400 - HISTORY + 1)
    assert 2_000 < len(histories.sample) <= 8_000
    counts = np.bincount(histories.episodes, minlength=125)
    assert counts.min() > 0.3 * counts.mean()


def test_joints_cover_a_task_that_the_whole_hand_does_not() -> None:
    """Each joint of the run does what it did in some episode, but never with the others (the paper's Fig. 4)."""
    rng = np.random.default_rng(3)
    poses = CANONICAL_POSE_RAD + rng.choice([-0.4, 0.4], (6, JOINT_COUNT))
    centres = np.repeat(poses, 5, axis=0)
    collected, task, far = Histories(0), Histories(0), Histories(0)
    here = rows_of([answering_episode(str(k), seed=k, centre_rad=c) for k, c in enumerate(centres)])
    mixed = answering_episode("task", seed=0)
    for joint in range(JOINT_COUNT):
        other = answering_episode("x", seed=joint % 6 * 5, centre_rad=poses[joint % 6]).columns
        for name in ("observation.state", "action"):
            mixed.columns[name][:, joint] = other[name][:, joint]
    away = answering_episode("far", seed=1, centre_rad=CANONICAL_POSE_RAD + 5.0)
    for histories, rows in ((collected, here), (task, rows_of([mixed])), (far, rows_of([away]))):
        histories.add(
            rows["observation.state"], rows["action"], rows["valid"], rows["episode_index"], rows["index"]
        )  # fmt: skip
    reached = [view["reached"] for view in compare(collected, task)["views"]]
    assert np.mean(reached[:JOINT_COUNT]) > 0.95 and reached[JOINT_COUNT] < 0.05
    assert [view["reached"] for view in compare(collected, far)["views"]] == [0.0] * 17
    assert [view["reached"] for view in compare(collected, Histories(0))["views"]] == [None] * 17
