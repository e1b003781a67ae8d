# SPDX-License-Identifier: Apache-2.0
"""Tells ``dexndm collect`` how its campaign goes, as plain values."""

from __future__ import annotations

from collections.abc import Callable

from dexndm_msgs.msg import RecorderStatus, ReplayStatus
from rclpy.qos import QoSProfile

from dexndm_ros.dashboard.inputs import StatusSeen
from dexndm_ros.nodes._dashboard_inputs import status_seen
from dexndm_ros.nodes._observer import Observer

__all__ = ["RECORDER", "REPLAY", "CampaignObserver"]

REPLAY, RECORDER = "chaos_box_replay", "episode_recorder"
"""Names of the nodes that are heard."""


class CampaignObserver(Observer):
    """A node that listens to replay and recorder, spun in a thread. Use as a context manager.

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
            ],
        )
        self._on_status = on_status
        self._on_heartbeat = on_heartbeat

    def _on_recorder(self, message: RecorderStatus) -> None:
        self._on_heartbeat(RECORDER)

    def _on_replay(self, message: ReplayStatus) -> None:
        self._on_heartbeat(REPLAY)
        self._on_status(status_seen(message))
