# SPDX-License-Identifier: Apache-2.0
"""A fast topic for a slow reader: its newest message is fetched when it is wanted, and wakes nobody before."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

__all__ = ["NewestOf"]

_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class NewestOf:
    """Holds a subscription that the executor leaves alone; the middleware keeps the newest message.

    Args:
        node: whose subscription it is.
        message_type: of the topic.
        topic: its name.
    """

    def __init__(self, node: Node, message_type: Any, topic: str) -> None:
        self._type = message_type
        self._subscription = node.create_subscription(
            message_type, topic, lambda message: None, _QOS, callback_group=_Never()
        )
        self.message: Any | None = None
        """What was fetched last; None = nothing came yet."""

    def fetch(self) -> bool:
        """Look for a newer message; call it from the executor's thread. Returns whether one came."""
        with self._subscription.handle:
            taken = self._subscription.handle.take_message(self._type, False)
        if taken is None:
            return False
        self.message = taken[0]
        return True


class _Never(CallbackGroup):
    """Whose callbacks are never due: the executor does not wait for their messages."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass
