# SPDX-License-Identifier: Apache-2.0
"""Tells ``dexndm collect`` how its campaign goes, as plain values."""

from __future__ import annotations

from collections.abc import Callable

from dexndm_msgs.msg import ReplayStatus
from rclpy.qos import QoSProfile

from dexndm_ros.dashboard.inputs import StatusSeen
from dexndm_ros.nodes._observer import Observer

__all__ = ["CampaignObserver"]


class CampaignObserver(Observer):
    """A node that listens to ``replay/status``, spun in a thread. Use as a context manager.

    Args:
        on_status: gets every status, in the observer's thread.
        name: the node's name.
    """

    def __init__(
        self, on_status: Callable[[StatusSeen], None], name: str = "campaign_observer"
    ) -> None:
        super().__init__(
            name, [(ReplayStatus, "replay/status", self._on_message, QoSProfile(depth=10))]
        )
        self._on_status = on_status

    def _on_message(self, message: ReplayStatus) -> None:
        self._on_status(
            StatusSeen(
                campaign=message.campaign,
                state=message.state,
                done=message.done,
                rejected=message.rejected,
                total=message.total,
                trajectory=message.trajectory,
                step=message.step,
                entry=message.entry,
                attempt=message.attempt,
                eta_s=message.eta_s,
                duty_cycle=message.duty_cycle,
                reason=message.reason,
                faults=message.faults,
                warnings=tuple(message.warnings),
                directory=message.directory,
            )
        )
