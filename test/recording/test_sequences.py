# SPDX-License-Identifier: Apache-2.0
"""Loss is counted exactly for one publisher, and never invented for several."""

from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.recording.sequences import LossCount, SequenceTracker


def count(sequences, publishers=1):
    tracker = SequenceTracker()
    for sequence in sequences:
        tracker.observe(sequence, publishers)
    return tracker.count


@given(st.integers(1, 2**40), st.sets(st.integers(1, 200)), st.integers(201, 300))
def test_one_publisher_every_number_that_never_came_is_lost(first, gone, length):
    came = [first + k for k in range(length + 1) if k not in gone]
    assert count(came) == LossCount(len(gone), 0)


@given(st.data())
def test_several_publishers_without_loss_count_nothing_in_any_order(data):
    firsts = data.draw(st.lists(st.integers(1, 50), min_size=2, max_size=4))
    turns = data.draw(st.lists(st.integers(0, len(firsts) - 1), max_size=100))
    numbers, came = list(firsts), []
    for publisher in turns:
        came.append(numbers[publisher])
        numbers[publisher] += 1
    assert count(came, publishers=len(firsts)).lost == 0


def test_two_publishers_far_apart_are_followed_without_a_doubt_once_both_were_heard():
    came = [n for k in range(100) for n in (5 + k, 9000 + k)]
    assert count(came, publishers=2) == count(came[:2], publishers=2)


def test_a_jump_while_an_idle_publisher_shares_the_topic_is_unknown():
    assert count([5, 6, 9, 10], publishers=2) == LossCount(0, 1)


def test_a_jump_among_two_publishers_is_unknown_and_not_lost():
    came = [5, 900, 6, 901, 9, 902, 10, 903]
    assert count(came, publishers=2) == LossCount(0, count(came[:4], publishers=2).unknown + 1)


def test_a_restarted_publisher_is_no_loss():
    assert count([7, 8, 9, 1, 2, 3]) == LossCount(0, 0)
    assert count([7, 8, 9, 3, 4]) == LossCount(0, 0)


def test_a_restart_while_the_dead_publisher_is_still_announced():
    tracker = SequenceTracker()
    for sequence in (500, 501):
        tracker.observe(sequence, 1)
    for sequence in (1, 2, 3):
        tracker.observe(sequence, 2)
    for sequence in (4, 6):
        tracker.observe(sequence, 1)
    assert tracker.count == LossCount(1, 0)


def test_a_middleware_without_numbers_counts_nothing():
    assert count([0, 0, 0]) == LossCount(0, 0)


def test_difference_of_two_counts():
    assert LossCount(5, 2) - LossCount(3, 1) == LossCount(2, 1)
