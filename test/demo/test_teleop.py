# SPDX-License-Identifier: Apache-2.0
"""``dexndm teleop`` from end to end: a recorded operator, the virtual arm, the hand on it, and its report."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_ros.teleop.rehearsal import Step, write_session
from support.command import Command, alive, running

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NODES = {"virtual_arm", "leap_hand_driver", "rotation_policy", "arm_bridge", "quest_bridge"}

SHORT = (
    Step(0.6),
    Step(2.2, button="X"),  # the hand opens
    Step(0.3),
    Step(0.3, grip=True),
    Step(1.6, grip=True, by_m=(0.0, 0.0, -0.08)),
    Step(0.4, grip=True),
    Step(8.0, button="X"),  # half of it goes by while the hand closes
    Step(0.3),
    Step(0.3, grip=True),
    Step(1.5, grip=True, by_m=(0.0, 0.0, 0.08)),
    Step(0.3, grip=True),
    Step(0.6),
)


def test_a_recorded_operator_takes_the_object_and_turns_it(tmp_path) -> None:
    session, report = tmp_path / "short.jsonl.gz", tmp_path / "report.json"
    write_session(session, SHORT)
    words = ("teleop", "--recording", str(session), "--headless", "--report", str(report))
    with running(Command(tmp_path, *words)) as shown:
        shown.until(lambda: set(shown.nodes()) == NODES, "all nodes")
        nodes = shown.nodes()
        assert shown.wait() == 0, shown.said
        assert not any(alive(pid) for pid in nodes.values())
    data = json.loads(report.read_text())
    assert data["moved_m"] > 0.05
    assert data["engaged_s"] > 1.0
    assert data["rotation_rad"]["+z"] > 0.2
    assert (
        0.0
        <= data["tracking_mm"]["p50"]
        <= data["tracking_mm"]["p95"]
        <= data["tracking_mm"]["max"]
    )
    assert data["reasons"]["hold the right grip to move"] > 0.0
    assert data["operator_ms"]["p50"] > 0.0
    assert not list(tmp_path.glob("dexndm-teleop-*"))


def test_an_operator_who_only_watches_is_no_teleoperation(tmp_path) -> None:
    session, report = tmp_path / "idle.jsonl.gz", tmp_path / "report.json"
    write_session(session, [Step(1.0)])
    words = ("teleop", "--recording", str(session), "--headless", "--report", str(report))
    with running(Command(tmp_path, *words)) as shown:
        assert shown.wait() == 1
        assert "the arm never moved" in shown.said
        assert "Traceback" not in shown.said
    assert json.loads(report.read_text())["moved_m"] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "words, status, sentence",
    [
        (["--recording", "ballet"], 1, "shipped: light_bulb"),
        (["--report", "no/such/folder/r.json"], 1, "its folder does not exist"),
        (["--source", "webxr", "--headless"], 2, "needs --seconds N"),
        (["--headless", "--view"], 2, "exclude each other"),
    ],
)
def test_what_cannot_start_is_told_before_anything_starts(
    tmp_path, words, status, sentence
) -> None:
    with running(Command(tmp_path, "teleop", *words)) as shown:
        assert shown.wait() == status
        assert sentence in shown.said and "Traceback" not in shown.said
