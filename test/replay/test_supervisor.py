# SPDX-License-Identifier: Apache-2.0
"""When the hand may replay, and what is said when it may not."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import numpy as np
import pytest

from dexndm_ros.replay.campaign import (
    Campaign,
    CoolingConfig,
    DiskConfig,
    JamConfig,
    RecoveryConfig,
    ScheduleConfig,
)
from dexndm_ros.replay.supervisor import Supervisor
from dexndm_ros.replay.views import Decision, HandMode, HandView, Intent, RecorderView, Seen, State

NOON = datetime(2026, 3, 1, 12, 0)
ZERO = np.zeros(16)
AFTER = {"relax": HandMode.RELAXED, "enable": HandMode.HOLDING}
CAMPAIGN = Campaign(
    name="test",
    orientation="palm_down",
    library="cylinder_z",
    count=10,
    cooling=CoolingConfig(pause_c=58, resume_c=50),
    recovery=RecoveryConfig(in_a_row=4, budget=30, patience_s=60.0),
    jam=JamConfig(in_a_row=3),
    disk=DiskConfig(pause_gb=2.0, resume_gb=3.0),
)


def hand(**changes) -> HandView:
    view = HandView(0.0, HandMode.ACTIVE, ZERO, ZERO, ZERO, np.full(16, 40.0))
    return dataclasses.replace(view, **changes)


def recorder(**changes) -> RecorderView:
    return dataclasses.replace(RecorderView(0.0, "s1", True, "", 0.0, 100e9), **changes)


class Desk:
    """A supervisor and the time that goes by."""

    def __init__(self, **changes) -> None:
        self.supervisor = Supervisor(dataclasses.replace(CAMPAIGN, **changes), 20.0, NOON)
        self.seen = Seen(0.0, NOON, hand(), recorder())

    def tick(self, target=None, stepping=False, done=False, **changes) -> Decision:
        self.seen = dataclasses.replace(self.seen, now_s=self.seen.now_s + 0.05, **changes)
        decision = self.supervisor.tick(self.seen, target, stepping, done)
        if decision.ask in AFTER:  # a driver that does what it is asked
            self.supervisor.keeper.answered(decision.ask, True, "", self.seen.now_s)
            mode = AFTER[decision.ask]
            self.seen = dataclasses.replace(
                self.seen, hand=dataclasses.replace(self.seen.hand, mode=mode)
            )
        return decision

    def ticks(self, count: int, **given) -> Decision:
        for _ in range(count):
            decision = self.tick(**given)
        return decision


def test_with_everything_well_it_runs() -> None:
    decision = Desk().tick()
    assert decision.run and decision.state is State.RUNNING and not decision.reason


def test_a_relaxed_hand_is_switched_on_first() -> None:
    desk = Desk()
    decision = desk.tick(hand=hand(mode=HandMode.RELAXED))
    assert decision.ask == "enable" and not decision.run


def test_it_waits_for_a_person_where_the_campaign_says_so() -> None:
    desk = Desk(start="service")
    decision = desk.tick()
    assert decision.state is State.IDLE and "replay/start" in decision.reason
    desk.supervisor.start()
    assert desk.ticks(2).run


@pytest.mark.parametrize(
    ("intent", "state"), [(Intent.PAUSE, State.PAUSED), (Intent.STOP, State.IDLE)]
)
def test_a_person_stops_the_hand_at_once(intent: Intent, state: State) -> None:
    desk = Desk()
    desk.supervisor.intent = intent
    decision = desk.tick(target=ZERO, stepping=True)
    assert decision.state is state and decision.drop and decision.ask == "relax"


def test_no_fault_is_recovered_while_a_person_has_paused() -> None:
    desk = Desk()
    desk.supervisor.intent = Intent.PAUSE
    assert not any(desk.tick(hand=hand(mode=HandMode.FAULT, fault="x")).ask for _ in range(500))


def test_warm_motors_finish_their_trajectory_and_rest_with_hysteresis() -> None:
    desk = Desk()
    warm, hot = hand(temperature_c=np.full(16, 59.0)), hand(temperature_c=np.full(16, 62.5))
    decision = desk.tick(stepping=True, target=ZERO, hand=warm)
    assert decision.state is State.COOLING and not decision.drop and not decision.ask
    assert desk.tick(stepping=True, target=ZERO, hand=hot).drop
    assert desk.tick(hand=warm).ask == "relax"
    assert not desk.tick(hand=hand(temperature_c=np.full(16, 51.0))).run
    assert desk.tick(hand=hand(temperature_c=np.full(16, 49.0))).run


def test_a_fault_is_told_recovered_and_counted_once() -> None:
    desk = Desk()
    fault = hand(mode=HandMode.FAULT, fault="motor 3 has shut down: overload")
    decision = desk.tick(hand=fault, stepping=True, target=ZERO)
    assert decision.drop and decision.state is State.FAULT and "motor 3" in decision.reason
    assert decision.ask == "recover"
    desk.ticks(100, hand=fault)
    assert desk.supervisor.faults == 1
    desk.tick(hand=hand(mode=HandMode.RELAXED))
    desk.tick(hand=hand())
    desk.tick(hand=fault)
    assert desk.supervisor.faults == 2


def test_a_hot_fault_is_not_recovered_before_it_has_cooled() -> None:
    desk = Desk()
    fault = hand(mode=HandMode.FAULT, fault="motor 3 is at 66 C", temperature_c=np.full(16, 66.0))
    decision = desk.ticks(200, hand=fault)
    assert decision.state is State.COOLING and not decision.ask
    cooled = dataclasses.replace(fault, temperature_c=np.full(16, 45.0))
    assert desk.tick(hand=cooled).ask == "recover"
    assert desk.supervisor.faults == 1


def test_too_many_faults_without_progress_end_it_and_a_person_may_begin_again() -> None:
    desk = Desk()
    fault = hand(mode=HandMode.FAULT, fault="motor 3 has shut down")
    for _ in range(4):
        decision = desk.tick(hand=fault)
        desk.tick(hand=hand())
    decision = desk.tick(hand=hand())
    assert decision.code == "gave_up" and "replay/start" in decision.reason
    assert decision.ask == "relax" and decision.drop
    assert not any(desk.tick().run for _ in range(100))
    desk.supervisor.start()
    assert desk.ticks(2).run


def test_progress_makes_good_for_setbacks_until_the_budget_is_spent() -> None:
    desk = Desk()
    fault = hand(mode=HandMode.FAULT, fault="motor 3 has shut down")
    for _ in range(29):
        desk.tick(hand=fault)
        assert desk.tick(hand=hand()).code == ""
        desk.supervisor.progress()
    desk.tick(hand=fault)
    assert "budget" in desk.tick(hand=hand()).reason


def test_nothing_moves_unrecorded() -> None:
    desk = Desk()
    decision = desk.tick(recorder=recorder(age_s=2.0), stepping=True, target=ZERO)
    assert (
        decision.drop and decision.state is State.PAUSED and "episode_recorder" in decision.reason
    )
    assert not desk.tick(recorder=None).run
    waiting = desk.tick(recorder=recorder(ready=False, reason="hand/state has no publisher"))
    assert not waiting.run and "hand/state has no publisher" in waiting.reason


def test_a_short_absence_is_held_through_a_long_one_goes_limp() -> None:
    desk = Desk()
    asks = [desk.tick(recorder=recorder(age_s=2.0)).ask for _ in range(100)]
    assert not any(asks[:59])
    assert "relax" in asks[59:63]


def test_patience_with_a_hand_that_stays_away_ends() -> None:
    desk = Desk()
    away = hand(age_s=1.0)
    assert "leap_hand_driver" in desk.tick(hand=away).reason
    assert desk.ticks(1300, hand=away).code == "gave_up"


def test_a_full_disk_pauses_before_it_is_full_and_goes_on_with_room() -> None:
    desk = Desk()
    decision = desk.tick(recorder=recorder(free_bytes=1.9e9), stepping=True, target=ZERO)
    assert decision.state is State.PAUSED and not decision.drop and "disk" in decision.reason
    assert desk.tick(recorder=recorder(free_bytes=0.9e9), stepping=True, target=ZERO).drop
    assert not desk.tick(recorder=recorder(free_bytes=2.9e9)).run
    desk.tick(recorder=recorder(free_bytes=3.1e9))
    assert desk.tick().run


def test_a_recorder_that_falls_behind_is_waited_for() -> None:
    desk = Desk()
    assert desk.tick(recorder=recorder(behind_s=4.0)).run
    decision = desk.tick(recorder=recorder(behind_s=6.0), stepping=True, target=ZERO)
    assert not decision.run and not decision.drop
    assert not desk.tick(recorder=recorder(behind_s=1.0)).run
    desk.tick(recorder=recorder(behind_s=0.1))
    assert desk.tick().run


def test_a_stuck_finger_ends_the_trajectory_lets_go_and_too_many_end_the_campaign() -> None:
    desk = Desk()
    target = ZERO + 0.0
    target[4] = 0.8
    for jam in range(3):
        desk.supervisor.trajectory_begins()
        decisions = [desk.tick(target=target, stepping=True) for _ in range(20)]
        assert decisions[18].run and decisions[19].drop and decisions[19].blame
        assert "motor 4" in decisions[19].reason
        assert decisions[19].ask == "relax"
        resting = desk.tick()
        assert not resting.run
        if jam < 2:
            assert desk.ticks(45).run
    assert "look at the fingers" in resting.reason


def test_a_motor_that_pushes_for_long_rests() -> None:
    desk = Desk()
    pushing = hand(current_a=np.full(16, 0.6))
    decisions = [desk.tick(target=ZERO, stepping=True, hand=pushing) for _ in range(300)]
    dropped = next(k for k, d in enumerate(decisions) if d.drop)
    assert decisions[dropped].blame and "0.4" in decisions[dropped].reason
    assert dropped > 40
    assert not desk.ticks(500, hand=hand()).run
    assert desk.ticks(120).run


def test_rest_after_some_trajectories_does_not_interrupt_one() -> None:
    desk = Desk(cooling=CoolingConfig(rest_every=2, rest_s=5.0))
    desk.supervisor.progress()
    assert desk.tick().run
    desk.supervisor.progress()
    decision = desk.ticks(50, target=ZERO, stepping=True)
    assert not decision.run and not decision.drop
    assert not desk.ticks(95).run
    assert desk.ticks(10).run


def test_the_schedule_is_kept() -> None:
    desk = Desk(schedule=ScheduleConfig(start="18:00", stop="08:00"))
    decision = desk.tick(stepping=True, target=ZERO)
    assert decision.state is State.IDLE and "18:00" in decision.reason and not decision.drop
    assert desk.tick(clock=datetime(2026, 3, 1, 18, 0)).run
    assert desk.tick(clock=datetime(2026, 3, 2, 8, 0)).state is State.IDLE


def test_when_the_time_is_over_it_is_over() -> None:
    desk = Desk(schedule=ScheduleConfig(max_hours=1.0))
    assert desk.tick().run
    decision = desk.tick(clock=datetime(2026, 3, 1, 13, 1))
    assert decision.state is State.DONE and decision.code == "schedule_over"


def test_what_forbids_motion_forbids_it() -> None:
    desk = Desk()
    decision = desk.tick(refusal="keyboard commands this hand too", stepping=True, target=ZERO)
    assert decision.drop and not decision.run and "keyboard" in decision.reason


def test_at_the_end_the_torque_goes_off() -> None:
    decision = Desk().tick(done=True)
    assert decision.state is State.DONE and decision.ask == "relax"


def test_waiting_at_the_start_is_no_fault() -> None:
    desk = Desk()
    decision = desk.tick(starting="waiting for episode_recorder", recorder=None)
    assert decision.state is State.IDLE
    assert desk.supervisor.faults == 0


@pytest.mark.parametrize(
    "gentle",
    [
        {"clock": datetime(2026, 3, 1, 14, 0)},
        {"recorder": recorder(free_bytes=1.5e9)},
        {"recorder": recorder(ready=False, reason="x")},
    ],
    ids=["schedule", "disk", "recorder"],
)
def test_what_may_wait_does_not_hide_what_must_not(gentle) -> None:
    desk = Desk(schedule=ScheduleConfig(max_hours=1.0))
    decision = desk.tick(target=ZERO, stepping=True, **gentle)
    assert not decision.drop and not decision.run
    fault = hand(mode=HandMode.FAULT, fault="motor 3 has shut down")
    decision = desk.tick(target=ZERO, stepping=True, hand=fault)
    assert decision.drop and "motor 3" in decision.reason


def test_at_the_end_of_the_schedule_the_last_trajectory_is_finished_first() -> None:
    desk = Desk(schedule=ScheduleConfig(max_hours=1.0))
    desk.seen = dataclasses.replace(desk.seen, clock=datetime(2026, 3, 1, 14, 0))
    assert desk.tick(target=ZERO, stepping=True).state is State.RUNNING
    late = desk.supervisor.tick(desk.seen, ZERO, False, False, closing=True)
    assert late.state is State.RUNNING and not late.run
    assert desk.tick().state is State.DONE


def test_one_outage_is_one_fault_however_it_is_seen() -> None:
    desk = Desk()
    fault = hand(mode=HandMode.FAULT, fault="the port failed")
    for _ in range(50):
        desk.tick(hand=fault)
        desk.tick(hand=hand(age_s=2.0))
    assert desk.supervisor.faults == 1


def test_waiting_that_a_person_or_the_clock_asked_for_costs_no_patience() -> None:
    desk = Desk(schedule=ScheduleConfig(start="18:00", stop="08:00"))
    desk.seen = dataclasses.replace(desk.seen, clock=datetime(2026, 3, 1, 18, 0))
    desk.tick(hand=hand(age_s=9.0))
    desk.ticks(2000, clock=datetime(2026, 3, 1, 12, 0))
    desk.tick(clock=datetime(2026, 3, 1, 18, 0), hand=hand(age_s=9.0))
    assert desk.tick(hand=hand()).code == ""


def test_a_hot_hand_stays_hot_while_nobody_tells_its_temperature() -> None:
    desk = Desk()
    desk.tick(hand=hand(temperature_c=np.full(16, 59.0)))
    unknown = hand(temperature_c=np.full(16, np.nan))
    assert desk.ticks(20, hand=unknown).state is State.COOLING
    desk.tick(hand=hand(temperature_c=np.full(16, 49.0)))
    assert desk.ticks(2, hand=hand(temperature_c=np.full(16, 49.0))).run
