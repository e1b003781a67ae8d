# SPDX-License-Identifier: Apache-2.0
"""News and verdicts from the replay's status."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import pytest

from dexndm_ros.collect.watch import CampaignWatch, Patience
from dexndm_ros.dashboard.inputs import ReplayState, StatusSeen
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.supervisor import Supervisor
from dexndm_ros.replay.views import Seen, State

RUNNING = StatusSeen("c", ReplayState.RUNNING, done=3, total=12, step=17, duty_cycle=0.991)
NO_QUIET = Patience(quiet_s=0.0)


def watch() -> CampaignWatch:
    return CampaignWatch(0.0, NO_QUIET)


def faulty(reason: str) -> StatusSeen:
    return replace(RUNNING, state=ReplayState.FAULT, reason=reason)


def test_a_fault_is_told_once_with_its_cure_and_so_is_its_end() -> None:
    seen = watch()
    assert seen.see(RUNNING, 1.0) == []
    out = replace(RUNNING, state=ReplayState.FAULT, reason="no answer for 3 s; plug the cable in")
    assert seen.see(out, 2.0) == ["stopped by a fault: no answer for 3 s -> plug the cable in"]
    later = replace(out, reason="no answer for 4 s; plug the cable in")
    assert seen.see(later, 3.0) == []
    assert seen.see(RUNNING, 4.0) == ["it goes on"]
    assert len(seen.see(out, 5.0)) == 1  # the next night it is news again


def test_while_the_nodes_find_each_other_nothing_is_news() -> None:
    seen = CampaignWatch(0.0, Patience(quiet_s=15.0))
    idle = replace(RUNNING, state=ReplayState.IDLE, reason="waiting for episode_recorder")
    assert seen.see(idle, 14.0) == []
    assert len(seen.see(idle, 15.0)) == 1


def test_a_warning_is_told_once() -> None:
    seen = watch()
    warned = replace(RUNNING, warnings=("currents are 0.61 of the first",))
    assert seen.see(warned, 1.0) == ["warning: currents are 0.61 of the first"]
    assert seen.see(replace(RUNNING, warnings=("currents are 0.60 of the first",)), 2.0) == []


def test_done_is_the_end_without_a_fault() -> None:
    seen = watch()
    seen.see(replace(RUNNING, state=ReplayState.DONE, reason="all trajectories are done"), 1.0)
    verdict = seen.verdict(1.0)
    assert verdict is not None and verdict.fault == "" and "all" in verdict.text


def test_a_trajectory_that_finishes_after_the_schedule_is_no_end() -> None:
    seen = watch()
    seen.see(replace(RUNNING, reason="the time of the schedule is over"), 1.0)
    assert seen.verdict(1.0) is None
    seen.see(
        replace(RUNNING, state=ReplayState.DONE, reason="the time of the schedule is over"), 2.0
    )
    verdict = seen.verdict(2.0)
    assert verdict is not None and verdict.fault == ""


def test_a_fault_that_the_replay_recovers_from_is_no_end() -> None:
    seen = watch()
    seen.see(faulty("leap_hand_driver is gone"), 1.0)
    seen.see(faulty("leap_hand_driver is gone"), 100.0)
    assert seen.verdict(100.0) is None
    seen.see(RUNNING, 101.0)
    assert seen.verdict(101.0) is None


def test_what_the_supervisor_says_when_it_gives_up_is_an_end() -> None:
    """Its own words, not a copy of them."""
    campaign = Campaign("c", "palm_up", "cylinder_z", 10)
    supervisor = Supervisor(campaign, 20.0, datetime.now())
    for k in range(campaign.recovery.in_a_row):
        supervisor.setback(f"cable out, {k}")
    decision = supervisor.tick(Seen(0.0, datetime.now(), None, None), None, False, False)
    assert decision.state is State.FAULT
    seen = watch()
    seen.see(faulty(decision.reason), 1.0)
    verdict = seen.verdict(1.0)
    assert verdict is not None
    assert "cable out, 7" in verdict.fault
    assert "replay/start" not in verdict.fault  # that is for those who are still there


def test_a_fault_without_a_way_out_is_an_end() -> None:
    seen = watch()
    limit_s = NO_QUIET.fault_s
    for now_s in (1.0, limit_s / 2, limit_s + 2.0):
        seen.see(faulty("another node commands this hand too"), now_s)
    verdict = seen.verdict(limit_s + 2.0)
    assert verdict is not None and "another node" in verdict.fault


@pytest.mark.parametrize("heard", [False, True])
def test_silence_is_an_end(heard: bool) -> None:
    seen = watch()
    if heard:
        seen.see(RUNNING, 10.0)
    assert seen.verdict(NO_QUIET.start_s - 1.0) is None
    verdict = seen.verdict(NO_QUIET.silent_s + 11.0)
    assert verdict is not None and verdict.fault


def test_the_line_tells_where_it_stands() -> None:
    seen = watch()
    assert seen.line() == "the nodes start"
    seen.see(replace(RUNNING, rejected=1, eta_s=27000.0), 1.0)
    assert seen.line() == "3 of 12 done, 1 rejected, step 17, duty 99.1 %, 7 h 30 min to go"
    hot = replace(RUNNING, state=ReplayState.COOLING, reason="a motor is hot: resting")
    seen.see(replace(hot, eta_s=math.nan, duty_cycle=math.nan), 2.0)
    assert seen.line() == "3 of 12 done, cooling down: a motor is hot: resting"
