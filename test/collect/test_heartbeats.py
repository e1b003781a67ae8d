# SPDX-License-Identifier: Apache-2.0
"""Who lives and says nothing."""

from __future__ import annotations

from dexndm_ros.collect.heartbeats import HeartbeatLimits, Heartbeats

LIMITS = HeartbeatLimits(first_s=100.0, silent_s=10.0)


def beats() -> Heartbeats:
    found = Heartbeats(["a", "b"], LIMITS)
    assert found.frozen({"a": 1, "b": 2, "other": 3}, 0.0) == []
    return found


def test_one_that_speaks_is_well_and_one_that_stops_is_named_once() -> None:
    listened = beats()
    for now_s in (5.0, 14.0, 23.0):
        listened.heard("a", now_s)
        listened.heard("b", now_s)
        assert listened.frozen({"a": 1, "b": 2}, now_s + 0.5) == []
    listened.heard("b", 33.0)
    assert listened.frozen({"a": 1, "b": 2}, 33.5) == ["a"]
    listened.heard("b", 34.0)
    assert listened.frozen({"a": 1, "b": 2}, 34.0) == []


def test_a_new_life_has_its_own_patience() -> None:
    listened = beats()
    listened.heard("a", 5.0)
    assert listened.frozen({"a": 9}, 20.0) == []  # another process id: started anew
    assert listened.frozen({"a": 9}, 119.0) == []
    assert listened.frozen({"a": 9}, 121.0) == ["a"]
    assert listened.frozen({"a": 10}, 122.0) == []


def test_one_that_does_not_live_is_not_frozen() -> None:
    listened = beats()
    listened.heard("a", 5.0)
    assert listened.frozen({}, 1000.0) == []


def test_a_patient_one_is_frozen_only_after_its_first_word() -> None:
    listened = Heartbeats(["driver"], LIMITS, patient=["driver"])
    for now_s in (0.0, 101.0, 1000.0):
        assert listened.frozen({"driver": 1}, now_s) == []  # no hand is plugged in
    listened.heard("driver", 1001.0)
    assert listened.frozen({"driver": 1}, 1010.0) == []
    assert listened.frozen({"driver": 1}, 1012.0) == ["driver"]
    for now_s in (1013.0, 2000.0):  # its next life may wait again
        assert listened.frozen({"driver": 2}, now_s) == []
