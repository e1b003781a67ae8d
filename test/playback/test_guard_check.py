# SPDX-License-Identifier: Apache-2.0
"""What a guard decided is computed again from states and commands, whatever came in between."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, LOWER_RAD, UPPER_RAD
from dexndm_ros.playback import guard_check
from dexndm_ros.playback.check_types import CheckError
from dexndm_ros.playback.guard_check import check_guard
from support.decisions import Driver, changed, without

POSE = np.array(CANONICAL_POSE_RAD)
EVENTS = (
    "good",
    "far",
    "two",
    "none",
    "bad",
    "short",
    "other",
    "lost",
    "relax",
    "fault",
    "silence",
)


def running(seconds=1.0, seed=0, config=None):
    """A hand that follows commands at 20 Hz, ramp and all."""
    driver = Driver(config, seed)
    driver.q = POSE + 0.2
    driver.cycle()
    driver.cycle(request="enable")
    follow(driver, seconds)
    return driver


def follow(driver, seconds, start=0):
    for k in range(round(seconds * 100)):
        if k % 5 == 0:
            driver.send(POSE + 0.1 * np.sin(0.06 * (start + k) + np.arange(16)), start + k)
        driver.cycle()


def play(events, seed):
    """A driver that lives through events, one each 50 ms."""
    driver = running(0.8, seed)
    seq = 1000
    for event in events:
        seq += 10
        offset = driver.rng.uniform(-0.02, 0.02, 16)
        if event in ("good", "far", "two", "other"):
            driver.send(POSE + (20 if event == "far" else 1) * offset, seq)
        if event == "two":
            driver.send(POSE - offset, seq + 1)
        if event == "other":
            driver.send(POSE, seq, "somebody")
        if event == "bad":
            driver.send(np.full(16, 9.0), seq)
        if event == "short":
            driver.send(POSE[:15], seq)
        if event in ("relax", "fault"):
            if event == "fault":
                driver.guard.fault("hot")
                driver.cycle()
                driver.cycle(request="recover")
            else:
                driver.cycle(request="relax")
            driver.cycle()
            driver.cycle(request="enable")
        for k in range(20 if event == "silence" else 5):
            driver.cycle(whole=not (event == "lost" and k < 2))
    return driver


def test_a_run_with_its_ramp_is_the_same_to_the_last_bit():
    result = check_guard(running().recorded())
    assert result.diverged == 0
    assert result.unknown == {guard_check.FIRST: 1, guard_check.GAP: 1}
    assert result.equal > 90 and not result.notes
    np.testing.assert_array_equal(result.trace.recorded[2:], result.trace.computed[2:])


@settings(max_examples=60)
@given(st.lists(st.sampled_from(EVENTS), max_size=25), st.integers(0, 1000))
def test_whatever_happens_nothing_diverges_and_little_is_unknown(events, seed):
    recorded = play(events, seed).recorded()
    result = check_guard(recorded)
    assert result.diverged == 0, result.first.text
    rare = sum(events.count(name) for name in ("lost", "relax", "fault"))
    assert sum(result.unknown.values()) <= 3 + 8 * rare


def test_a_refused_command_that_stopped_the_hand_is_found():
    driver = running(0.02)  # still on the ramp
    driver.send(np.full(16, 9.0), 77)
    follow(driver, 0.0)
    for _ in range(5):
        driver.cycle()
    result = check_guard(driver.recorded())
    assert result.diverged == 0
    assert "command 77 of policy" in result.notes[0] and "outside its limits" in result.notes[0]


@pytest.mark.parametrize("field", ["command", "mode"])
def test_a_state_that_says_something_else_is_named(field):
    recorded = running().recorded()
    row = 60
    joint = 5
    other = 3
    if field == "command":
        other = recorded.states[field][row].copy()
        other[joint] = np.nextafter(other[joint], 9.0)
    states = changed(recorded.states, field, row, other)
    first = check_guard(dataclasses.replace(recorded, states=states)).first
    assert first.tick == recorded.states["seq"][row]
    if field == "command":
        assert (first.field, first.joint) == ("command", joint)
        assert 0.0 < first.size < 1e-15
    assert str(first.tick) in first.text


def test_another_setting_of_the_guard_diverges_where_it_matters_first():
    driver = running(1.5)
    driver.send(np.clip(POSE + 0.5, LOWER_RAD, UPPER_RAD), 900)
    for _ in range(10):
        driver.cycle()
    assert check_guard(driver.recorded()).diverged == 0
    other = dataclasses.replace(GuardConfig(), max_step_rad=0.2)
    result = check_guard(driver.recorded(guard=other))
    assert result.diverged > 0
    assert result.first.computed == pytest.approx(result.first.recorded, abs=0.06)
    at = driver.recorded().states["command_seq"].tolist().index(900)
    assert result.first.tick == driver.states[at]["seq"]


def test_a_bag_that_begins_in_mid_run_is_known_after_a_moment():
    recorded = running().recorded()
    late = dataclasses.replace(
        recorded,
        states=without(recorded.states, slice(0, 53)),
        commands=without(recorded.commands, slice(0, 12)),
    )
    result = check_guard(late)
    assert result.diverged == 0
    assert result.unknown[guard_check.FIRST] == 1
    assert sum(result.unknown.values()) <= 8


def test_a_driver_that_was_started_again_is_followed_from_there():
    first, second = running(0.3).recorded(), running(0.3, seed=4).recorded()
    both = {
        name: np.concatenate([first.states[name], second.states[name]]) for name in first.states
    }
    both["log_ns"][len(first.states["seq"]) :] += 60_000_000_000
    sent = {
        name: np.concatenate([first.commands[name], second.commands[name]])
        for name in first.commands
    }
    sent["log_ns"][len(first.commands["seq"]) :] += 60_000_000_000
    result = check_guard(dataclasses.replace(first, states=both, commands=sent))
    assert result.diverged == 0
    assert result.unknown[guard_check.RESTARTED] == 1


def test_states_without_times_cannot_be_checked():
    recorded = running(0.1).recorded()
    states = {name: values for name, values in recorded.states.items() if name != "decided_s"}
    with pytest.raises(CheckError, match="decided_s"):
        check_guard(dataclasses.replace(recorded, states=states))
    with pytest.raises(CheckError, match="hand/state"):
        check_guard(dataclasses.replace(recorded, states={}))
