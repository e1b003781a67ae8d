# SPDX-License-Identifier: Apache-2.0
"""From trajectory to trajectory, against a recorder and a ledger that do their worst."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.replay.campaign import MotionConfig
from dexndm_ros.replay.jobs import JobKind, Recorded
from dexndm_ros.replay.ledger import Claim
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.player import load
from dexndm_ros.replay.run import ReplayRun
from dexndm_ros.replay.views import Decision, HandMode, HandView, State

RUN = Decision(State.RUNNING, run=True)
HOLD = Decision(State.PAUSED, "recorder", "not ready")
DROP = Decision(State.FAULT, "hand_fault", "overload", drop=True)
BLAME = Decision(State.COOLING, "jam", "stuck", drop=True, blame=True)
STEPS = 40
TICK_NS = 50_000_000
HAND = HandView(0.0, HandMode.ACTIVE, np.full(16, 0.2), np.zeros(16), np.zeros(16), np.zeros(16))


class Desk:
    """The run with a ledger and a recorder behind it, which are checked as they are used."""

    def __init__(self, count: int = 3) -> None:
        self.finished: list[int] = []
        self.setbacks: list[str] = []
        self.run = ReplayRun(MotionConfig(), 20.0, lambda f: None, self.setbacks.append)
        self.planned = list(range(count))
        self.count = count
        self.attempts: Counter[int] = Counter()
        self.claimed: dict[str, int] = {}
        self.open = ""
        self.closing: list[str] = []
        self.steps: list[int] = []
        self.late: list = []
        self.now_ns = 0
        self.answer_begin = True
        self.log: list[tuple[str, str]] = []

    def tick(self, decision: Decision = RUN, hand: HandView = HAND, gap: int = 1):
        self.now_ns += gap * TICK_NS
        recording = self.open
        out = self.run.tick(decision, hand, self.now_ns, self.now_ns / 1e9, 0)
        if out.step is not None:
            assert recording == out.loaded.episode, "a step that is not recorded"
            assert out.step == len(self.steps), "a step out of order"
            assert np.array_equal(out.target, out.loaded.target_rad[out.step])
            self.steps.append(out.step)
        for job in out.jobs:
            self.carry_out(job)
        return out

    def carry_out(self, job) -> None:
        episode = job.loaded.episode if job.loaded else ""
        self.log.append((job.kind.value, episode))
        kind = job.kind
        if kind is JobKind.CLAIM:
            self.late.append(self.answer_claim)
        elif kind is JobKind.BEGIN:
            assert not self.open, "a recording begun while another is open"
            ok = self.answer_begin
            if ok:
                self.open, self.steps = episode, []
            self.late.append(lambda: self.run.began(episode, ok, "full", self.now_ns))
        elif kind is JobKind.END:
            assert self.open == episode and len(self.steps) == STEPS
            self.closing.append(episode)
            self.open = ""
        elif kind is JobKind.DISCARD:
            if self.open == episode:
                self.open = ""
        elif kind is JobKind.FINISH:
            assert job.recorded.complete and not job.recorded.lost
            self.finished.append(self.claimed.pop(episode))
        else:  # REJECT, RELEASE, RESOLVE (whose bag is not there)
            assert job.reason or kind is JobKind.RESOLVE
            self.planned.append(self.claimed.pop(episode))
            self.planned.sort()

    def answer_claim(self) -> None:
        loaded = None
        if self.planned:
            entry = self.planned.pop(0)
            self.attempts[entry] += 1
            claim = Claim(entry=entry, attempt=self.attempts[entry], trajectory=entry, seed=entry)
            clean = 0.2 + 0.005 * np.arange(STEPS)[:, None] + 0.01 * np.arange(16)
            loaded = load(claim, clean, NoiseConfig())
            self.claimed[loaded.episode] = entry
        self.run.claimed(loaded)

    def answers(self) -> None:
        late, self.late = self.late, []
        for answer in late:
            answer()

    def close(self, complete: bool = True, lost: int = 0) -> None:
        episode = self.closing.pop(0)
        self.run.recorded(
            Recorded(
                episode,
                "s",
                complete,
                "" if complete else "torn",
                f"bags/{episode}",
                99,
                lost,
                0,
                1,
                2.0,
            )
        )

    def go(self, ticks: int, decision: Decision = RUN, hand: HandView = HAND) -> None:
        for _ in range(ticks):
            self.tick(decision, hand)
            self.answers()
            while self.closing:
                self.close()


def test_a_campaign_runs_to_its_end_without_a_wasted_tick() -> None:
    desk = Desk(count=5)
    while not desk.run.done:
        desk.go(1)
    assert desk.finished == [0, 1, 2, 3, 4]
    assert desk.run.step_ticks == 5 * STEPS
    ramps = desk.now_ns / TICK_NS - 5 * STEPS
    assert ramps < 5 * 6 + 10


def test_the_state_after_the_last_target_is_still_recorded() -> None:
    """END comes a tick after the last step, together with the next BEGIN."""
    desk = Desk(count=2)
    while ("end", "e000000_a1") not in desk.log:
        out = desk.tick()
        desk.answers()
    assert out.step is None
    assert desk.log[-2:] == [("end", "e000000_a1"), ("begin", "e000001_a1")]


def test_a_refused_recording_is_tried_again_without_moving_on() -> None:
    desk = Desk(count=1)
    desk.answer_begin = False
    desk.go(100)
    assert desk.run.step_ticks == 0 and "full" in desk.run.waiting
    assert 3 <= sum(kind == "begin" for kind, _ in desk.log) <= 6
    desk.answer_begin = True
    desk.go(80)
    assert desk.finished == [0] and desk.attempts[0] == 1 and not desk.run.waiting


def test_what_is_dropped_is_put_aside_and_done_again() -> None:
    desk = Desk(count=1)
    desk.go(20)
    assert desk.run.stepping
    desk.go(3, DROP)
    assert desk.log[-2:] == [("discard", "e000000_a1"), ("release", "e000000_a1")]
    assert desk.run.sent is None
    desk.go(80)
    assert desk.finished == [0] and desk.attempts[0] == 2


def test_what_the_trajectory_did_counts_as_a_try() -> None:
    desk = Desk(count=1)
    desk.go(20)
    desk.go(1, BLAME)
    assert ("reject", "e000000_a1") in desk.log


def test_a_pause_that_can_wait_lets_the_trajectory_end() -> None:
    desk = Desk(count=2)
    desk.go(20)
    desk.go(60, HOLD)
    assert desk.finished == [0] and desk.run.sent is None and not desk.open
    desk.go(80)
    assert desk.finished == [0, 1]


def test_what_was_recorded_with_losses_or_torn_is_done_again() -> None:
    desk = Desk(count=1)
    while not desk.closing:
        desk.tick()
        desk.answers()
    desk.close(lost=3)
    desk.tick()
    assert ("release", "e000000_a1") in desk.log and "3 messages" in desk.setbacks[0]
    while not desk.closing:
        desk.answers()
        desk.tick()
    desk.close(complete=False)
    desk.tick()
    assert ("release", "e000000_a2") in desk.log
    desk.go(80)
    assert desk.finished == [0]


def test_commands_that_the_driver_passed_over_make_no_trajectory() -> None:
    desk = Desk(count=1)
    for k in range(50):
        desk.tick()
        desk.answers()
        if desk.run.stepping:
            desk.run.tally.state(np.zeros(16), k, 2 * k)  # every second command only
    desk.close()
    desk.tick()
    assert ("release", "e000000_a1") in desk.log and "never in force" in desk.setbacks[0]


def test_a_recorder_that_died_while_closing_is_looked_up() -> None:
    desk = Desk(count=2)
    while not desk.closing:
        desk.tick()
        desk.answers()
    desk.closing.clear()
    desk.open = ""
    desk.run.recorder_restarted()
    desk.tick()
    assert ("resolve", "e000000_a1") in desk.log
    assert ("release", "e000001_a1") in desk.log
    desk.go(150)
    assert sorted(desk.finished) == [0, 1]


def test_what_is_given_back_while_the_ledger_says_that_nothing_is_left_is_claimed_again() -> None:
    desk = Desk(count=1)
    desk.tick()
    while not desk.run.stepping:
        desk.answers()
        desk.tick()
    assert desk.log.count(("claim", "")) == 2
    desk.late.clear()  # the ledger takes its time over the second
    desk.tick(DROP)
    assert ("release", "e000000_a1") in desk.log
    desk.run.claimed(None)  # what it found before the row was given back
    desk.go(100)
    assert desk.finished == [0]


def test_a_recording_that_ends_by_itself_stops_the_hand() -> None:
    desk = Desk(count=1)
    desk.go(20)
    sent = desk.run.step_ticks
    desk.open = ""
    desk.run.recorded(Recorded("e000000_a1", "s", False, "disk full", "", 0, 0, 0, 0, 0.0))
    desk.tick()
    assert desk.run.step_ticks == sent and "disk full" in desk.setbacks[0]
    desk.go(100)
    assert desk.finished == [0]


def test_a_recording_that_never_begins_is_a_fault_in_the_end() -> None:
    desk = Desk(count=1)
    desk.answer_begin = False
    desk.go(20 * 25)
    assert len(desk.setbacks) >= 3 and "did not begin" in desk.setbacks[0]


def test_a_hand_that_never_comes_to_the_first_pose_is_a_fault() -> None:
    desk = Desk(count=1)
    desk.go(20 * 40, hand=dataclasses.replace(HAND, mode=HandMode.RAMPING))
    assert len(desk.setbacks) == 2 and "first pose" in desk.setbacks[0]
    assert desk.log.count(("discard", "e000000_a1")) == 1


def test_a_replay_that_was_held_up_does_not_pass_as_one() -> None:
    desk = Desk(count=1)
    desk.go(20)
    desk.tick(gap=4)
    assert ("release", "e000000_a1") in desk.log


def test_in_fast_time_a_short_hiccup_of_the_machine_is_none_of_the_trajectory() -> None:
    desk = Desk(count=1)
    desk.go(20)
    step = desk.run.step_ticks
    desk.now_ns += 3 * TICK_NS  # in a world that is ten times faster, 15 ms of the machine
    desk.run.tick(RUN, HAND, desk.now_ns, desk.now_ns / 1e9 - 0.15, 0)
    assert desk.run.step_ticks == step + 1


def test_a_driver_that_does_not_follow_is_not_recorded_as_if_it_did() -> None:
    desk = Desk(count=1)
    desk.go(20)
    desk.go(8, hand=dataclasses.replace(HAND, mode=HandMode.HOLDING))
    assert ("release", "e000000_a1") in desk.log


def test_steps_wait_until_the_driver_has_caught_up() -> None:
    desk = Desk(count=1)
    desk.go(40, hand=dataclasses.replace(HAND, mode=HandMode.RAMPING))
    assert desk.run.step_ticks == 0
    desk.go(60)
    assert desk.finished == [0]


def test_an_end_in_the_middle_leaves_nothing_claimed() -> None:
    desk = Desk(count=3)
    desk.go(30)
    for job in desk.run.abandon("stopped"):
        desk.carry_out(job)
    assert not desk.claimed and not desk.open


EVENTS = st.sampled_from(
    ["go", "go", "go", "go", "drop", "blame", "hold", "late", "refuse", "lossy", "torn", "restart", "stall"]
)  # fmt: skip


@settings(max_examples=150)
@given(events=st.lists(EVENTS, max_size=60))
def test_whatever_happens_each_trajectory_is_finished_once_and_every_step_is_recorded(
    events,
) -> None:
    """The desk's own assertions are the property; here it must come to an end as well."""
    desk = Desk(count=3)
    for event in events:
        desk.answer_begin = event != "refuse"
        if event in ("go", "refuse"):
            desk.go(7)
        elif event in ("drop", "blame", "hold"):
            desk.go(2, {"drop": DROP, "blame": BLAME, "hold": HOLD}[event])
        elif event == "late":
            for _ in range(5):
                desk.tick()
        elif event == "stall":
            desk.tick(gap=10)
        elif event in ("lossy", "torn"):
            desk.tick()
            while desk.closing:
                desk.close(complete=event == "lossy", lost=2)
        else:
            desk.open = ""
            desk.closing.clear()
            desk.run.recorder_restarted()
    desk.answer_begin = True
    for _ in range(3000):
        if desk.run.done:
            break
        desk.go(1)
    assert desk.run.done
    assert sorted(desk.finished) == [0, 1, 2]
    assert not desk.claimed and not desk.planned
