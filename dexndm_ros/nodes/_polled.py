# SPDX-License-Identifier: Apache-2.0
"""Topics that wake nobody: their messages wait in the middleware until somebody asks for them.

rclpy's executor spends 40 times as long on a message as its reader, and holds the interpreter meanwhile.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from dexndm_ros.nodes._qos import control_subscriber

__all__ = ["AllOf", "NewestOf", "Polled", "unheard"]


class Polled(CallbackGroup):
    """A callback group whose callbacks are never due: the executor does not wait for their messages."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


def unheard(message: Any) -> None:
    """The callback of a polled subscription; it is never called."""


class AllOf:
    """All messages of a topic since the last look.

    Args:
        node: whose subscription it is.
        message_type: of the topic.
        topic: its name.
        qos: its depth says how many messages wait in the middleware; of more, the newest.
    """

    def __init__(self, node: Node, message_type: Any, topic: str, qos: QoSProfile) -> None:
        self._node, self._type = node, message_type
        self._subscription = node.create_subscription(
            message_type, topic, unheard, qos, callback_group=Polled()
        )

    def take(self) -> list[Any]:
        """The messages, oldest first; from any thread, one at a time."""
        taken, handle = [], self._subscription.handle
        with handle:
            while (message := handle.take_message(self._type, False)) is not None:
                taken.append(message[0])
        return taken

    def leave(self) -> None:
        """Hear no more."""
        self._node.destroy_subscription(self._subscription)


class NewestOf:
    """The newest message of a topic, for a slow reader.

    Args:
        node: whose subscription it is.
        message_type: of the topic.
        topic: its name.
    """

    def __init__(self, node: Node, message_type: Any, topic: str) -> None:
        self._all = AllOf(node, message_type, topic, control_subscriber())
        self.message: Any | None = None
        """What was fetched last; None = nothing came yet."""

    def fetch(self) -> bool:
        """Look for a newer message; returns whether one came."""
        taken = self._all.take()
        if taken:
            self.message = taken[-1]
        return bool(taken)

    def leave(self) -> None:
        """Hear no more."""
        self._all.leave()
