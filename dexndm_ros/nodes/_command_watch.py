# SPDX-License-Identifier: Apache-2.0
"""Hears from the middleware when the publisher of a control topic is late, hangs or dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile

from dexndm_ros.nodes._qos import control_watch

__all__ = ["CommandWatch"]


class CommandWatch:
    """A second, raw subscription that asks for deadline and liveliness.

    It stands beside the one that carries the data, because a subscription that asks for a deadline is
    deaf to publishers that offer none; and it is made only when there is a publisher that offers one,
    because the others would be warned that "no messages will be sent".

    Args:
        node: owns the subscription.
        message_type: of the topic.
        topic: its name.
        on_death: called when the last live publisher died or hangs.
    """

    def __init__(
        self, node: Node, message_type: Any, topic: str, on_death: Callable[[], None]
    ) -> None:
        self._node = node
        self._type = message_type
        self._topic = topic
        self._on_death = on_death
        self._profile = control_watch()
        self._subscription: Any = None
        self.late = 0
        """Messages that missed the deadline."""
        self.alive = 0
        """Live publishers among those that offer liveliness."""
        self.deaths = 0
        """Times that the last of them died or hung."""
        self.unwatched = 0
        """Publishers that offer no deadline: only a time-out can watch them."""

    def look(self) -> None:
        """Look who publishes; call it now and then."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        offers = [_offers(info.qos_profile, self._profile) for info in publishers]
        self.unwatched = len(offers) - sum(offers)
        if self._subscription is None and any(offers):
            self._subscription = self._node.create_subscription(
                self._type,
                self._topic,
                lambda _: None,
                self._profile,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(
                    deadline=self._on_late,
                    liveliness=self._on_liveliness,
                    incompatible_qos=lambda _: None,  # counted in unwatched
                ),
            )

    def _on_late(self, event: Any) -> None:
        self.late += event.total_count_change

    def _on_liveliness(self, event: Any) -> None:
        died = event.alive_count == 0 and event.alive_count_change < 0
        self.alive = event.alive_count
        if died:
            self.deaths += 1
            self._on_death()


def _offers(offered: QoSProfile, wanted: QoSProfile) -> bool:
    return all(
        0 < mine.nanoseconds <= theirs.nanoseconds
        for mine, theirs in (
            (offered.deadline, wanted.deadline),
            (offered.liveliness_lease_duration, wanted.liveliness_lease_duration),
        )
    )
