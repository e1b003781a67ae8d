# SPDX-License-Identifier: Apache-2.0
"""What is said of an arm that may not move."""

from __future__ import annotations

import pytest

from dexndm_ros.teleop.franka import RECOVERY, RobotMode, mode_name, robot_fault


@pytest.mark.parametrize("mode", [RobotMode.IDLE, RobotMode.MOVE])
def test_an_arm_that_may_move_has_no_fault(mode) -> None:
    assert robot_fault(mode, ()) == ""


@pytest.mark.parametrize(("mode", "name"), [(2, "MOVE"), (4, "REFLEX"), (9, "9")])
def test_a_mode_has_a_name(mode, name) -> None:
    assert mode_name(mode) == name


@pytest.mark.parametrize("mode", [m for m in range(-1, 9) if m not in (1, 2)])
@pytest.mark.parametrize("errors", [(), ("joint_reflex",)])
def test_every_other_mode_is_a_fault_with_words_of_its_own(mode, errors) -> None:
    words = robot_fault(mode, errors)
    cause, colon, cure = words.partition(": ")
    assert cause.startswith("the arm")
    assert colon
    assert cure
    others = {robot_fault(m, ()) for m in range(-1, 9)} - {words}
    assert words not in others


@pytest.mark.parametrize("mode", [RobotMode.IDLE, RobotMode.MOVE, RobotMode.REFLEX])
def test_an_error_is_named_with_the_three_steps_back(mode) -> None:
    words = robot_fault(mode, ("joint_velocity_violation", "cartesian_reflex"))
    assert "joint velocity violation, cartesian reflex" in words
    places = [words.index(step) for step in RECOVERY]
    assert places == sorted(places)
