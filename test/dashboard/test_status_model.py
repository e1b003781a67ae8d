# SPDX-License-Identifier: Apache-2.0
"""The snapshot: whatever comes, it is JSON; what it says is what came."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.dashboard.inputs import (
    DiagnosticSeen,
    EpisodeSeen,
    HandSeen,
    HealthSeen,
    RecorderSeen,
    ReplayState,
    StatusSeen,
    StepSeen,
)
from dexndm_ros.dashboard.model import StatusModel
from dexndm_ros.dashboard.words import split_cure
from dexndm_ros.hand.joints import JOINT_NAMES
from support.dashboard import healthy_hand, running

text = st.text(max_size=30)
count = st.integers(0, 2**64 - 1)
number = st.floats()  # NaN and infinite too
vector = st.lists(number, max_size=18).map(tuple)


def builds(kind):
    """Any message of a kind: every field anything of its type."""
    by_type = {
        "str": text, "int": count, "float": number, "bool": st.booleans(), "Vector": vector,
        "tuple[str, ...]": st.lists(text, max_size=5).map(tuple),
        "tuple[int, ...]": st.lists(st.integers(0, 255), max_size=18).map(tuple),
        "tuple[bool, ...]": st.lists(st.booleans(), max_size=18).map(tuple),
    }  # fmt: skip
    return st.builds(kind, **{f.name: by_type[str(f.type)] for f in dataclasses.fields(kind)})


anything = st.one_of(
    *map(
        builds,
        (
            StatusSeen, StepSeen, HandSeen, HealthSeen, RecorderSeen, EpisodeSeen, DiagnosticSeen,
        ),
    )
)  # fmt: skip


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


@settings(max_examples=200)
@given(st.lists(st.tuples(anything, st.floats(0.0, 1e5)), max_size=30), st.floats(0.0, 1e6))
def test_any_messages_give_json_that_a_browser_reads(messages, later_s):
    model = StatusModel(start_s=100.0)
    now_s = 100.0
    for message, wait_s in messages:
        now_s += wait_s
        model.feed(message, now_s)
    snapshot = model.snapshot(now_s + later_s)
    written = json.dumps(snapshot, allow_nan=False)
    assert json.loads(written, parse_constant=refuse) == snapshot
    assert set(snapshot) == {"now", "history", "trajectory", "scale"}
    assert snapshot["now"]["state"]["title"]


def test_a_night_of_messages_leaves_a_small_snapshot():
    model = StatusModel(start_s=0.0)
    now_s = 0.0
    for done in range(3000):
        now_s += 10.0
        model.feed(running(done=done, trajectory=done, step=done % 400), now_s)
        model.feed(healthy_hand(40.0), now_s)
        model.feed(DiagnosticSeen(f"who {done}", 1, f"what {done}; cure " * 100), now_s)
        model.feed(EpisodeSeen(f"e{done}", False, "x" * 5000), now_s)
        for step in range(0, 400, 20):
            model.feed(StepSeen(done, done, 1, step, (0.1,) * 16, (0.1,) * 16), now_s)
    assert len(json.dumps(model.snapshot(now_s))) < 300_000


def test_nothing_heard_is_said_with_what_to_do():
    snapshot = StatusModel(start_s=5.0).snapshot(7.0)
    state = snapshot["now"]["state"]
    assert state["name"] == "none"
    assert "dexndm collect" in state["cure"]
    assert snapshot["now"]["campaign"] is None
    assert snapshot["now"]["hand"] is None
    assert snapshot["now"]["recorder"] is None
    assert snapshot["scale"]["joints"] == list(JOINT_NAMES)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (ReplayState.IDLE, "idle"),
        (ReplayState.RUNNING, "running"),
        (ReplayState.PAUSED, "paused"),
        (ReplayState.COOLING, "cooling"),
        (ReplayState.FAULT, "fault"),
        (ReplayState.DONE, "done"),
        (200, "unknown"),
    ],
)
def test_every_state_has_words_and_the_replays_own_cure_comes_first(state, name):
    model = StatusModel(start_s=0.0)
    model.feed(StatusSeen(state=int(state), reason="the thumb is stuck; free it"), 1.0)
    line = model.snapshot(1.0)["now"]["state"]
    assert line["name"] == name
    if name not in ("running", "unknown"):
        assert (line["detail"], line["cure"]) == ("the thumb is stuck", "free it")


def test_a_replay_that_stops_talking_is_silent_and_one_that_was_done_has_ended():
    model = StatusModel(start_s=0.0)
    model.feed(running(), 1.0)
    assert model.snapshot(5.0)["now"]["state"]["name"] == "running"
    line = model.snapshot(1000.0)["now"]["state"]
    assert (line["name"], line["tone"]) == ("silent", "bad")
    assert "17 min" in line["detail"]
    model.feed(StatusSeen(state=ReplayState.DONE), 1001.0)
    assert model.snapshot(2000.0)["now"]["state"]["tone"] == "done"


def test_progress_rate_and_the_time_left():
    model = StatusModel(start_s=0.0)
    model.feed(running(done=0, total=100, eta_s=55.0), 0.0)
    assert (
        model.snapshot(0.0)["now"]["campaign"]["eta_s"] == 55.0
    )  # the replay's, until two are done
    for done in range(1, 10):
        model.feed(running(done=done, total=100, eta_s=55.0), 20.0 * done)
    campaign = model.snapshot(180.0)["now"]["campaign"]
    assert campaign["done"] == 9
    assert campaign["rate_per_h"] == pytest.approx(180.0)
    assert campaign["eta_s"] == pytest.approx((100 - 9 - 3) * 20.0)
    model.feed(StatusSeen(state=ReplayState.FAULT, done=9, total=100, eta_s=55.0), 181.0)
    assert model.snapshot(181.0)["now"]["campaign"]["eta_s"] is None


def test_hours_of_free_disk_follow_from_the_size_of_trajectories_and_their_rate():
    model = StatusModel(start_s=0.0)
    model.feed(RecorderSeen(ready=True, free_bytes=36e9), 0.0)
    assert model.snapshot(0.0)["now"]["recorder"]["free_hours"] is None
    for done in range(10):
        model.feed(running(done=done), 20.0 * done)
        model.feed(EpisodeSeen(f"e{done}", True, bytes=10_000_000), 20.0 * done)
    model.feed(RecorderSeen(ready=True, free_bytes=36e9), 180.0)
    assert model.snapshot(180.0)["now"]["recorder"]["free_hours"] == pytest.approx(20.0)


def test_faults_come_with_their_cure_once_and_leave_when_mended():
    model = StatusModel(start_s=0.0)
    fault = "motor 3 has shut down: overload; let it cool and free it, then call hand/recover"
    model.feed(dataclasses.replace(healthy_hand(40.0), fault=fault), 1.0)
    model.feed(DiagnosticSeen("guard", 2, fault), 1.0)
    model.feed(DiagnosticSeen("bus", 2, "no motor answers: check the cable"), 1.0)
    model.feed(DiagnosticSeen("motor 4", 1, "71 C: let it cool"), 1.0)
    now = model.snapshot(1.0)["now"]
    assert now["faults"] == [
        {
            "source": "hand",
            "text": "motor 3 has shut down: overload",
            "cure": "let it cool and free it, then call hand/recover",
            "more": 0,
        },
        {"source": "bus", "text": "no motor answers", "cure": "check the cable", "more": 0},
    ]
    assert [row["source"] for row in now["warnings"]] == ["motor 4"]
    model.feed(healthy_hand(40.0), 2.0)
    model.feed(DiagnosticSeen("guard", 0, "ACTIVE"), 2.0)
    model.feed(DiagnosticSeen("bus", 0, "100 Hz"), 2.0)
    now = model.snapshot(2.0)["now"]
    assert now["faults"] == []
    assert any("motor 3 has shut down" in event["text"] for event in now["events"])


def test_one_cause_seen_at_sixteen_motors_is_one_warning():
    model = StatusModel(start_s=0.0)
    for k in range(16):
        text = f"{k + 1} replies lost: check the plugs on both sides of motor {k}"
        model.feed(DiagnosticSeen(f"motor {k}", 1, text), 1.0)
    [row] = model.snapshot(1.0)["now"]["warnings"]
    assert (row["source"], row["text"], row["more"]) == ("motor 0", "1 replies lost", 15)


def test_nodes_that_fall_silent_are_faults_until_the_campaign_is_done():
    model = StatusModel(start_s=0.0)
    model.feed(running(), 1.0)
    model.feed(HandSeen(2, (0.1,) * 16), 1.0)
    model.feed(RecorderSeen(ready=True), 1.0)
    model.feed(running(), 60.0)
    assert [row["source"] for row in model.snapshot(60.0)["now"]["faults"]] == [
        "leap_hand_driver",
        "episode_recorder",
    ]
    model.feed(StatusSeen(state=ReplayState.DONE), 61.0)
    assert model.snapshot(61.0)["now"]["faults"] == []


def test_a_reason_whose_numbers_count_is_one_event():
    model = StatusModel(start_s=0.0)
    for degrees in range(60, 50, -1):
        reason = f"motor 2 is at {degrees}.5 C; it goes on at 50 C"
        model.feed(StatusSeen(state=ReplayState.COOLING, reason=reason), 70.0 - degrees)
    events = model.snapshot(30.0)["now"]["events"]
    assert len(events) == 1
    assert events[0]["tone"] == "warn"


def test_the_plot_is_the_last_trajectorys_while_the_next_one_runs():
    model = StatusModel(start_s=0.0)
    nan = (math.nan,) * 16
    for step in range(400):
        model.feed(StepSeen(7, 0, 1, step, (step / 1000,) * 16, (0.5,) * 16), step * 0.05)
    assert model.snapshot(20.0)["trajectory"] is None
    model.feed(StepSeen(8, 1, 1, 0, nan, nan), 21.0)
    plot = model.snapshot(21.0)["trajectory"]
    assert (plot["trajectory"], plot["entry"], plot["attempt"]) == (7, 0, 1)
    assert plot["steps"] == list(range(0, 400, 4))
    assert plot["target"][15][:3] == [0.0, 0.004, 0.008]
    assert plot["position"][0] == [0.5] * 100


def test_a_trajectory_begun_anew_or_cut_short_is_the_last_one_when_there_is_something_to_see():
    model = StatusModel(start_s=0.0)
    q = (0.0,) * 16

    def replay(steps):
        for step in range(0, steps, 4):
            model.feed(StepSeen(7, 0, 1, step, q, q), 1.0)

    replay(12)
    replay(100)  # the same row again
    assert model.snapshot(1.0)["trajectory"]["steps"] == [0, 4, 8]
    model.feed(StatusSeen(state=ReplayState.PAUSED), 2.0)
    assert len(model.snapshot(2.0)["trajectory"]["steps"]) == 25
    replay(12)
    model.feed(StatusSeen(state=ReplayState.PAUSED), 3.0)
    assert len(model.snapshot(3.0)["trajectory"]["steps"]) == 25


def test_current_is_smoothed_without_its_sign_and_unknown_temperatures_are_null():
    model = StatusModel(start_s=0.0)
    for k in range(40):
        model.feed(HandSeen(2, (-0.2,) + (math.nan,) * 15), float(k))
    model.feed(HealthSeen((40.0,) + (math.nan,) * 15, (5.0,) * 16, (0,) * 16, (True,) * 16), 40.0)
    hand = model.snapshot(40.0)["now"]["hand"]
    assert hand["current_a"] == [pytest.approx(0.2)] + [None] * 15
    assert hand["temperature_c"] == [40.0] + [None] * 15


def test_buttons_say_why_they_are_of_no_use_and_stop_is_never_held_back():
    model = StatusModel(start_s=0.0)
    useful = {}
    for state in ReplayState:
        model.feed(StatusSeen(state=state), 1.0)
        actions = model.snapshot(1.0)["now"]["actions"]
        useful[state.name] = {name for name, why in actions.items() if not why}
    assert all("stop" in names for names in useful.values())
    assert useful["RUNNING"] == {"pause", "stop"}
    assert useful["PAUSED"] == {"resume", "stop"}
    assert useful["IDLE"] == {"start", "stop"}


@given(text)
def test_a_sentence_splits_into_parts_of_itself(sentence):
    what, cure = split_cure(sentence)
    assert what in " ".join(sentence.split())
    assert cure in " ".join(sentence.split())


@pytest.mark.parametrize(
    ("sentence", "cure"),
    [
        ("motor 4 is at 66 C (limit 65 C); let it cool, then call hand/recover",
         "let it cool, then call hand/recover"),
        ("all motors are silent for 1.20 s: check power and the cable", "check power and the cable"),
        ("5 replies lost: check the plugs on both sides of motor 3",
         "check the plugs on both sides of motor 3"),
        ("no hand/state: is leap_hand_driver running?", "is leap_hand_driver running?"),
        ("HOLDING: no command from chaos_box_replay for 393 ms", ""),
        ("motor 5: 66 C: let it cool: slowly", "let it cool: slowly"),
        ("paused", ""),
    ],
)  # fmt: skip
def test_cures_of_the_drivers_sentences(sentence, cure):
    assert split_cure(sentence)[1] == cure
