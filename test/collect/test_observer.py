# SPDX-License-Identifier: Apache-2.0
"""Each node that is started again when it hangs is heard, as itself, on a topic that it keeps up all the time."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import RecorderStatus, ReplayStatus, RotationProgress
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from dexndm_ros.nodes.campaign_observer import (
    DRIVER,
    RECORDER,
    REPLAY,
    VIRTUAL_HAND,
    CampaignObserver,
)
from support.ros import Graph

pytestmark = pytest.mark.ros


def diagnostics(name: str) -> DiagnosticArray:
    return DiagnosticArray(status=[DiagnosticStatus(name=name)])


def test_all_four_are_heard_and_nobody_for_another() -> None:
    heard: list[str] = []
    with Graph("observed") as graph, CampaignObserver(lambda _: None, heard.append):
        kinds = {
            "replay/status": ReplayStatus, "recorder/status": RecorderStatus,
            "/diagnostics": DiagnosticArray, "rotation/progress": RotationProgress,
        }  # fmt: skip
        speak = {topic: graph.publisher(kind, topic) for topic, kind in kinds.items()}
        for topic, publisher in speak.items():
            graph.until(publisher.get_subscription_count, f"a listener to {topic}")
        for topic, message, name in (
            ("replay/status", ReplayStatus(), REPLAY),
            ("recorder/status", RecorderStatus(), RECORDER),
            ("/diagnostics", diagnostics(f"{DRIVER}: bus"), DRIVER),
            ("rotation/progress", RotationProgress(), VIRTUAL_HAND),
        ):
            heard.clear()
            speak["/diagnostics"].publish(diagnostics("episode_recorder: disk"))
            speak[topic].publish(message)
            graph.until(lambda: heard, name)
            assert heard == [name]
