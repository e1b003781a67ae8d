# SPDX-License-Identifier: Apache-2.0
"""Why the arm does not move, in words that fit the page."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.teleop.clutch import State
from dexndm_ros.teleop.gates import Fault
from dexndm_ros.teleop.web.status import Status, as_json, status_of, with_recording


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_becomes_a_sentence_and_its_cure_another(fault):
    status = status_of(State.FAULT_HOLD, str(fault))
    assert (status.title, status.tone) == ("Holding", "bad")
    assert status.why[0].isupper() and status.why.endswith(".")
    assert ":" not in status.why
    assert bool(status.cure) == (": " in fault)


def test_reason_and_cure_may_be_parted_by_a_semicolon():
    status = status_of(State.FAULT_HOLD, "its user stop is pressed; release it")
    assert (status.why, status.cure) == ("Its user stop is pressed.", "Release it.")


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
    assert shown.title == "Holding, recording 0:07"
    assert shown.why == "Not recorded: the disk is full. The pose jumped."
    assert (shown.cure, shown.tone) == (arm.cure, arm.tone)
    assert shown.figures == {"Rate": "90 Hz", "demonstration": "not recorded: the disk is full"}
    assert with_recording(arm, "recording 0:07", "").figures["demonstration"] == "recording 0:07"


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_any_words_fit_into_a_message(why, title, figures):
    shown = json.dumps(as_json(Status(title, "bad", why, why, figures)), allow_nan=False)
    assert len(shown) < 12_000
    assert json.loads(shown)["why"] == why[:200]
