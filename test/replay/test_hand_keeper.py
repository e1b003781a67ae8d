# SPDX-License-Identifier: Apache-2.0
"""Torque on, torque off, recovery: asked for at the right time and not too often."""

from __future__ import annotations

from itertools import pairwise

from dexndm_ros.replay.campaign import RecoveryConfig
from dexndm_ros.replay.hand_keeper import HandKeeper
from dexndm_ros.replay.views import HandMode

CONFIG = RecoveryConfig(backoff_s=2.0, backoff_max_s=8.0, patience_s=100.0)


def test_a_relaxed_hand_is_enabled_once_and_then_ready() -> None:
    keeper = HandKeeper(CONFIG)
    assert keeper.keep(True, HandMode.RELAXED, True, 0.0).ask == "enable"
    assert keeper.keep(True, HandMode.RELAXED, True, 0.1).ask == ""
    keeper.answered("enable", True, "on", 0.2)
    kept = keeper.keep(True, HandMode.HOLDING, True, 0.3)
    assert kept.ready and not kept.ask


def test_a_fault_is_recovered_and_then_enabled() -> None:
    keeper = HandKeeper(CONFIG)
    assert keeper.keep(True, HandMode.FAULT, True, 0.0).ask == "recover"
    keeper.answered("recover", True, "back", 0.5)
    assert keeper.keep(True, HandMode.RELAXED, True, 0.6).ask == "enable"


def test_a_hot_hand_is_left_alone_until_it_is_cool() -> None:
    keeper = HandKeeper(CONFIG)
    kept = keeper.keep(True, HandMode.FAULT, False, 0.0)
    assert not kept.ready and not kept.ask and "cool" in kept.waiting
    assert keeper.keep(True, HandMode.FAULT, True, 1.0).ask == "recover"


def test_failed_recoveries_wait_longer_each_time_and_patience_ends() -> None:
    keeper = HandKeeper(CONFIG)
    asked = []
    hopeless = ""
    now_s = 0.0
    while not hopeless and now_s < 1000.0:
        kept = keeper.keep(True, HandMode.FAULT, True, now_s)
        hopeless = kept.hopeless
        if kept.ask:
            asked.append(now_s)
            keeper.answered("recover", False, "no motor answers: check the cable", now_s)
        now_s += 0.5
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps[:4] == [2.0, 4.0, 8.0, 8.0]
    assert "check the cable" in hopeless
    assert 100.0 < now_s < 120.0


def test_after_somebody_looked_it_tries_again() -> None:
    keeper = HandKeeper(CONFIG)
    keeper.keep(True, HandMode.FAULT, True, 0.0)
    keeper.answered("recover", False, "no", 0.0)
    assert keeper.keep(True, HandMode.FAULT, True, 200.0).hopeless
    keeper.forget()
    assert keeper.keep(True, HandMode.FAULT, True, 200.0).ask == "recover"


def test_switching_off_does_not_wait_for_another_answer_and_is_repeated() -> None:
    keeper = HandKeeper(CONFIG)
    assert keeper.keep(True, HandMode.RELAXED, True, 0.0).ask == "enable"
    assert keeper.keep(False, HandMode.HOLDING, True, 0.1).ask == "relax"
    assert keeper.keep(False, HandMode.HOLDING, True, 0.2).ask == ""
    assert keeper.keep(False, HandMode.HOLDING, True, 1.5).ask == "relax"
    assert keeper.keep(False, HandMode.RELAXED, True, 1.6).ready
    assert keeper.keep(False, HandMode.FAULT, True, 1.7).ready  # the driver has switched off itself


def test_an_answer_that_never_comes_is_a_failure() -> None:
    keeper = HandKeeper(CONFIG)
    assert keeper.keep(True, HandMode.RELAXED, True, 0.0).ask == "enable"
    assert keeper.keep(True, HandMode.RELAXED, True, 29.0).ask == ""
    assert keeper.keep(True, HandMode.RELAXED, True, 31.0).ask == ""
    assert keeper.keep(True, HandMode.RELAXED, True, 33.5).ask == "enable"
