# SPDX-License-Identifier: Apache-2.0
"""Delays and budget of starting a process again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.respawn import REFUSED, RespawnBudget, RespawnRule

RULE = RespawnRule(delay_s=0.5, delay_max_s=3.0, healthy_s=10.0, budget=6, window_s=600.0)


def test_the_wait_doubles_up_to_its_limit_and_the_budget_ends_it() -> None:
    budget = RespawnBudget(RULE)
    delays = [budget.ended(float(k), 0.1, 1) for k in range(7)]
    assert delays == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0, None]
    assert budget.used == 6


def test_a_healthy_life_begins_anew_with_the_short_wait() -> None:
    budget = RespawnBudget(RULE)
    assert [budget.ended(0.0, 0.1, 1), budget.ended(1.0, 0.1, 1)] == [0.5, 1.0]
    assert budget.ended(20.0, 10.0, -9) == 0.5
    assert budget.ended(21.0, 0.1, -9) == 1.0


def test_what_lies_behind_the_window_is_forgiven() -> None:
    budget = RespawnBudget(RULE)
    for _ in range(6):
        assert budget.ended(0.0, 20.0, 1) is not None
    assert budget.ended(599.0, 20.0, 1) is None
    assert budget.ended(600.0, 20.0, 1) == 0.5
    assert budget.used == 7


def test_a_refusal_is_final_at_once() -> None:
    budget = RespawnBudget(RULE)
    assert budget.ended(0.0, 0.1, REFUSED) is None
    assert budget.used == 0


@given(
    lives=st.lists(st.tuples(st.floats(0.0, 5000.0), st.floats(0.0, 5000.0)), max_size=60),
    size=st.integers(0, 5),
)
def test_never_more_starts_in_a_window_than_the_budget(
    lives: list[tuple[float, float]], size: int
) -> None:
    rule = RespawnRule(budget=size)
    budget, now_s, starts = RespawnBudget(rule), 0.0, []
    for lived_s, pause_s in lives:
        now_s += lived_s
        delay_s = budget.ended(now_s, lived_s, 1)
        recent = [s for s in starts if s > now_s - rule.window_s]
        if delay_s is None:
            assert len(recent) == size  # given up only when it is spent
        else:
            assert len(recent) < size and rule.delay_s <= delay_s <= rule.delay_max_s
            starts.append(now_s)
        now_s += pause_s
