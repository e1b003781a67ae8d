# SPDX-License-Identifier: Apache-2.0
"""Why the arm does not move, in words that fit the page."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.franka import RECOVERY, robot_fault
from dexndm_ros.teleop.gates import Fault
from dexndm_ros.teleop.web.status import Status, as_json, status_of, with_recording


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_becomes_a_sentence_and_its_cure_another(fault):
    status = status_of(State.FAULT_HOLD, str(fault))
    assert (status.title, status.tone) == ("Stopped", "bad")
    assert status.why[0].isupper() and status.why.endswith(".")
    assert ":" not in status.why
    assert bool(status.cure) == (": " in fault)


def test_reason_and_cure_may_be_parted_by_a_semicolon():
    status = status_of(State.FAULT_HOLD, "its user stop is pressed; release it")
    assert (status.why, status.cure) == ("Its user stop is pressed.", "Release it.")


def test_a_question_stays_a_question():
    status = status_of(State.FAULT_HOLD, "the arm's pose is not known: is its driver running?")
    assert status.cure == "Is its driver running?"


def test_where_nothing_is_wrong_the_words_say_what_to_do():
    status = status_of(State.READY, "hold the right grip to move")
    assert (status.why, status.cure) == ("", "Hold the right grip to move.")


@pytest.mark.parametrize("reason", [str(Fault.NO_SAMPLE), str(Fault.STALE), ""])
def test_without_a_headset_there_is_always_something_to_do(reason):
    assert status_of(State.DISCONNECTED, reason).cure


def test_all_steps_after_a_reflex_reach_the_desktop():
    shown = as_json(status_of(State.FAULT_HOLD, robot_fault(4, ["cartesian_reflex"])))
    assert shown["why"] == "The arm reports cartesian reflex."
    assert all(step.partition(" ")[2] in shown["cure"] for step in RECOVERY)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_title(state):
    assert status_of(state, "").title


def test_while_the_arm_follows_there_is_nothing_to_explain():
    assert status_of(State.ENGAGED, "", {"Rate": "90 Hz"}) == Status(
        "Following", "good", "", "", {"Rate": "90 Hz"}
    )


def test_a_recording_stands_beside_the_arm_s_words_and_never_hides_them():
    arm = status_of(State.FAULT_HOLD, "the pose jumped: release the grip", {"Rate": "90 Hz"})
    assert with_recording(arm, "", "") == arm
    shown = with_recording(arm, "recording 0:07", "not recorded: the disk is full")
    assert shown.title == "Stopped, recording 0:07"
    assert shown.why == "Not recorded: the disk is full. The pose jumped."
    assert (shown.cure, shown.tone) == (arm.cure, arm.tone)
    assert shown.figures == {"Rate": "90 Hz", "demonstration": "not recorded: the disk is full"}
    assert with_recording(arm, "recording 0:07", "").figures["demonstration"] == "recording 0:07"


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_words_fit_into_a_message(why, title, figures):
    shown = json.dumps(as_json(Status(title, "bad", why, why, figures)), allow_nan=False)
    assert len(shown) < 18_000
    assert json.loads(shown)["why"] == why[:200]
