# SPDX-License-Identifier: Apache-2.0
"""What a session of teleoperation counts, event by event."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.teleop_run import TeleopRun, axis_name
from dexndm_ros.nodes._demo_events import ProgressSeen, StateSeen, StepSeen
from dexndm_ros.nodes._teleop_events import OperatorSeen, PoseSeen

NS = 1_000_000_000
UP = (0.0, 0.0, 1.0)
NOT_TURNED = (0.0, 0.0, 0.0, 1.0)


class Story:
    """Events at times that the story tells, s."""

    def __init__(self) -> None:
        self.run = TeleopRun()
        self.operator(0.0, "no headset is connected")
        self.run.begin()

    def operator(self, at_s: float, reason: str = "", age_ms: float = 5.0) -> None:
        seen = OperatorSeen(round(at_s * NS), not reason, reason, (age_ms, 2 * age_ms), 3)
        self.run.on_operator(seen)

    def arm(self, at_s: float, commanded, measured, turn=NOT_TURNED) -> None:
        self.run.on_commanded(PoseSeen(round(at_s * NS), commanded, NOT_TURNED))
        self.run.on_measured(PoseSeen(round(at_s * NS), measured, turn))

    def turned(
        self, angle: float, off: float = 0.0, fallen: bool = False, episode: int = 1
    ) -> None:
        self.run.on_progress(ProgressSeen(0, angle, off, 0.0, fallen, episode))

    def report(self):
        return self.run.report("policy", "operator", "world")


@pytest.fixture
def story() -> Story:
    return Story()


def test_time_is_booked_to_what_was_told_in_it(story) -> None:
    story.operator(1.0, "hold the right grip to move")
    story.operator(2.5)
    story.operator(6.0, "the right controller's pose jumped")
    story.operator(6.5, "it stopped because the right controller's pose jumped")
    story.operator(9.0)
    story.operator(10.0, "hold the right grip to move")
    report = story.report()
    assert report.seconds == pytest.approx(10.0)
    assert report.engaged_s == pytest.approx(3.5 + 1.0)
    assert report.reasons == pytest.approx(
        {
            "no headset is connected": 1.0,
            "hold the right grip to move": 1.5,
            "the right controller's pose jumped": 0.5,
            "it stopped because the right controller's pose jumped": 2.5,
        }
    )
    assert report.stops == 1, "letting go of the grip is no stop"
    assert report.operator_ms == {"p50": 5.0, "p95": 10.0}
    assert report.rejected == 3


def test_only_an_arm_that_follows_is_behind(story) -> None:
    story.arm(0.5, (0.0, 0.0, 0.0), (0.5, 0.0, 0.0))  # not told to follow: nothing to compare
    story.operator(1.0)
    half = math.radians(2.0) / 2
    turned = (0.0, 0.0, math.sin(half), math.cos(half))
    for k in range(100):
        story.arm(1.0 + k * 0.01, (0.5, 0.0, 0.0), (0.5, 0.0, 1e-3 * (k + 1)), turned)
    report = story.report()
    assert report.tracking_mm.max == pytest.approx(100.0)
    assert report.tracking_mm.p50 == pytest.approx(50.5)
    assert report.tracking_deg.p95 == pytest.approx(2.0)


def test_poses_are_compared_by_their_period_whichever_comes_first(story) -> None:
    story.operator(1.0)
    story.run.on_measured(PoseSeen(NS, (0.0, 0.0, 0.003), NOT_TURNED))
    story.run.on_commanded(PoseSeen(2 * NS, (0.0, 0.0, 9.0), NOT_TURNED))  # its partner was lost
    story.run.on_commanded(PoseSeen(NS, (0.0, 0.0, 0.0), NOT_TURNED))
    assert story.report().tracking_mm.max == pytest.approx(3.0)


def test_the_way_of_the_palm_is_not_the_noise_of_measuring_it(story) -> None:
    rng = np.random.default_rng(1)
    for k in range(200):
        shake = rng.uniform(-2e-5, 2e-5, 3)
        story.arm(k * 0.01, (0.5, 0.0, 0.0), tuple(np.array([0.5, 0.0, 0.0]) + shake))
    assert story.report().moved_m == 0.0
    for k in range(101):
        story.arm(3.0 + k * 0.01, (0.5, 0.0, 0.0), (0.5, 0.1 * k / 100, 0.0))
    assert story.report().moved_m == pytest.approx(0.1, abs=1e-3)


def test_what_the_object_turned_is_booked_to_the_axis_in_force(story) -> None:
    story.run.on_axis(UP)
    story.turned(0.0)
    story.turned(1.5, off=0.2)
    story.run.on_axis((0.0, 0.0, 0.0))
    story.turned(1.5, off=0.2)
    story.run.on_axis((0.0, 0.0, -1.0))
    story.turned(2.0, off=0.3)
    story.turned(0.0, episode=2)  # handed over anew: nothing turned back
    story.turned(0.25, fallen=True, episode=2)
    report = story.report()
    assert report.rotation_rad == pytest.approx({"+z": 1.5, "-z": 0.75})
    assert report.off_axis_rad == pytest.approx(0.3)
    assert report.fell


def test_what_was_before_the_operator_began_is_not_his(story) -> None:
    run = TeleopRun()
    run.on_axis(UP)
    for angle in (0.0, 2.0):
        run.on_progress(ProgressSeen(0, angle, 0.0, 0.0, False, 1))
    run.on_arm_fault("the graph around the arm is not looked at yet")
    report = run.report("", "", "")
    assert (report.rotation_rad, report.faults, report.seconds) == ({}, 0, 0.0)


def test_a_report_says_when_this_was_no_teleoperation(story, tmp_path) -> None:
    story.operator(5.0, "the right controller is not there")
    with pytest.raises(DemoError, match=r"the arm never moved .*no headset is connected"):
        story.report().check()
    for k in range(11):
        story.arm(6.0 + k, (0.0, 0.0, 0.0), (0.0, 0.01 * k, 0.0))
    with pytest.raises(DemoError, match="never turned the object"):
        story.report().check()
    story.run.on_axis(UP)
    story.turned(0.0)
    story.turned(1.0)
    story.report().check()
    file = tmp_path / "report.json"
    story.report().write(file)
    assert json.loads(file.read_text())["rotation_rad"] == {"+z": 1.0}
    assert "1.00 rad about +z" in story.report().summary()


def test_it_is_ready_when_arm_hand_policy_and_operator_are(story) -> None:
    run = TeleopRun()
    assert run.missing() == "waiting for: arm, hand, policy, operator"
    run.on_operator(OperatorSeen(0, False, "no headset is connected", (math.nan,) * 2, 0))
    run.on_state(StateSeen(0, 1, np.zeros(16), 0, "", 2))
    run.on_step(StepSeen(0, 1, 1, 1.0, 1.0, 0, False, NOT_TURNED))
    run.on_arm_fault("the arm's pose is not known: is its driver running?")
    assert run.missing() == "waiting for: arm (the arm's pose is not known: is its driver running?)"
    run.on_arm_fault("")
    run.on_measured(PoseSeen(0, (0.0, 0.0, 0.0), NOT_TURNED))
    run.on_joints((0.0,) * 7)
    assert run.ready and run.missing() == ""


def test_axes_have_the_names_that_people_use() -> None:
    assert axis_name((0.0, 0.0, -1.0)) == "-z"
    assert axis_name((1.0, 0.0, 0.0)) == "+x"
    assert axis_name((0.6, 0.0, 0.8)) == "0.60,0.00,0.80"
