# SPDX-License-Identifier: Apache-2.0
"""What became of each command, and whether the states tell one story."""

import dataclasses

import numpy as np
import pytest

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.playback import driver_check
from dexndm_ros.playback.driver_check import check_driver
from support.decisions import Driver, changed, without

POSE = np.array(CANONICAL_POSE_RAD)


@pytest.fixture
def driver():
    driver = Driver()
    driver.q = POSE + 0.05
    for _ in range(20):
        driver.cycle()
    driver.cycle(request="enable")
    follow(driver, 0)
    return driver


def follow(driver, begin, commands=40):
    for k in range(commands):
        driver.send(POSE + 0.01 * np.sin(0.3 * k + np.arange(16)), begin + k)
        for _ in range(5):
            driver.cycle()


def fates(result):
    told = result.facts["never came into force"]
    return {fate: found["commands"] for fate, found in told.items()}


def test_a_run_in_order_has_nothing_to_explain(driver):
    result = check_driver(driver.recorded())
    assert result.diverged == 0
    assert result.unknown == {driver_check.FIRST: 1, driver_check.GAP: 1}
    assert result.facts["came into force"] == 40 and fates(result) == {}
    assert 0.0 < result.facts["arrival to decision (ms)"]["median"] < 20.0


def test_every_command_that_was_not_followed_has_its_reason(driver):
    driver.send(POSE, 100)
    driver.send(POSE, 101)  # overtakes it
    follow(driver, 102, 2)
    driver.send(np.full(16, 9.0), 104)
    follow(driver, 105, 12)
    driver.cycle(request="relax")
    follow(driver, 200, 3)
    driver.cycle()
    for _ in range(100):
        driver.cycle()
    result = check_driver(driver.recorded())
    assert result.diverged == 0, result.first.text
    found = fates(result)
    assert found.pop("the torque was off") == 3
    # Command 104 shares its cycle with 105, and 101 with 102: only the last of a cycle is in force.
    assert found.pop("refused: outside the joint limits, or not sixteen finite angles") == 1
    assert found == {"a newer one came before the driver took them": 2}
    assert "the first: 100" in "; ".join(result.notes)


def test_two_publishers_are_told(driver):
    for k in range(10):
        driver.send(POSE, 40 + k)
        driver.send(POSE, k, "somebody")
        for _ in range(5):
            driver.cycle()
    follow(driver, 60, 30)
    result = check_driver(driver.recorded())
    assert result.diverged == 0
    assert fates(result)["refused: two publishers commanded the hand"] >= 15


def test_a_good_command_that_nobody_followed_and_nothing_explains_is_a_finding(driver):
    recorded = driver.recorded()
    last = recorded.commands
    lonely = {name: np.concatenate([values, values[2:3]]) for name, values in last.items()}
    lonely["seq"][-1] = 1_000
    result = check_driver(dataclasses.replace(recorded, commands=lonely))
    assert result.diverged == 1
    assert "command 1000 of policy never came into force" in result.first.text


@pytest.mark.parametrize(
    "field, value",
    [("command_source", "policy"), ("command_seq", 5), ("decided_s", 0.5), ("command", POSE)],
)
def test_a_state_that_contradicts_itself_or_the_one_before_is_named(driver, field, value):
    recorded = driver.recorded()
    states = changed(recorded.states, field, 10, value)  # the torque is off there
    if field == "command_source":
        states["command_source"] = recorded.states["command_source"].astype("U16")
        states["command_source"][10] = value
    result = check_driver(dataclasses.replace(recorded, states=states))
    assert result.first.tick == recorded.states["seq"][10]
    assert result.first.field == field


def test_an_arrival_that_changes_under_way_is_named(driver):
    recorded = driver.recorded()
    row = int(np.flatnonzero(recorded.states["command_seq"] == 20)[2])
    later = recorded.states["arrived_s"][row] + 1e-6
    states = changed(recorded.states, "arrived_s", row, later)
    first = check_driver(dataclasses.replace(recorded, states=states)).first
    assert (first.tick, first.field) == (recorded.states["seq"][row], "arrived_s")


def test_commands_that_are_not_in_the_bag_are_said(driver):
    recorded = driver.recorded()
    few = dataclasses.replace(recorded, commands=without(recorded.commands, 7))
    result = check_driver(few)
    assert result.diverged == 0 and 4 <= result.unknown[driver_check.NO_COMMAND] <= 6
