# SPDX-License-Identifier: Apache-2.0
"""Tells ``dexndm collect`` how its campaign goes, as plain values."""

from __future__ import annotations

from collections.abc import Callable

from dexndm_msgs.msg import RecorderStatus, ReplayStatus, RotationProgress
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile

from dexndm_ros.dashboard.inputs import StatusSeen
from dexndm_ros.nodes._dashboard_inputs import status_seen
from dexndm_ros.nodes._observer import Observer

__all__ = ["DRIVER", "RECORDER", "REPLAY", "VIRTUAL_HAND", "CampaignObserver"]

REPLAY, RECORDER = "chaos_box_replay", "episode_recorder"
DRIVER, VIRTUAL_HAND = "leap_hand_driver", "virtual_leap_hand"
"""Names of the nodes that are heard."""


class CampaignObserver(Observer):
    """A node that listens to replay, recorder, driver and virtual hand, spun in a thread. Use as a context manager.

    Args:
        on_status: gets every ``replay/status``, in the observer's thread.
        on_heartbeat: gets the name of a node that has just told its state, likewise.
        name: the node's name.
    """

    def __init__(
        self,
        on_status: Callable[[StatusSeen], None],
        on_heartbeat: Callable[[str], None],
        name: str = "campaign_observer",
    ) -> None:
        qos = QoSProfile(depth=10)
        super().__init__(
            name,
            [
                (ReplayStatus, "replay/status", self._on_replay, qos),
                (RecorderStatus, "recorder/status", self._on_recorder, qos),
                # Not hand/health: a driver that a person has deactivated is silent there, and is well.
                (DiagnosticArray, "/diagnostics", self._on_diagnostics, qos),
                (RotationProgress, "rotation/progress", self._on_virtual_hand, QoSProfile(depth=1)),
            ],
        )
        self._on_status = on_status
        self._on_heartbeat = on_heartbeat

    def _on_recorder(self, message: RecorderStatus) -> None:
        self._on_heartbeat(RECORDER)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if any(status.name.startswith(f"{DRIVER}:") for status in message.status):
            self._on_heartbeat(DRIVER)

    def _on_virtual_hand(self, message: RotationProgress) -> None:
        self._on_heartbeat(VIRTUAL_HAND)

    def _on_replay(self, message: ReplayStatus) -> None:
        self._on_heartbeat(REPLAY)
        self._on_status(status_seen(message))
