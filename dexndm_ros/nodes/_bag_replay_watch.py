# SPDX-License-Identifier: Apache-2.0
"""Looks whether a recording may be played into this graph: nobody else says the same, and no motor would obey."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rclpy.node import Node
from rclpy.publisher import Publisher

from dexndm_ros.playback.commands import is_command, is_shared, moves_motors

__all__ = ["GraphWatch"]

_CURE = "end it, or play in a graph of its own (another ROS_DOMAIN_ID)"
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
_PATIENCE_S, _LOOK_S = 0.5, 0.02
_SETTLED_S = 0.5
Name = tuple[str, str]


class GraphWatch:
    """The graph as far as playing is concerned. May be asked from any thread.

    Args:
        node: whose graph it is; its own publishers do not count.
        publishers: what it plays.
        commands: whether commands are among that.
    """

    def __init__(self, node: Node, publishers: Sequence[Publisher], commands: bool) -> None:
        self._node = node
        self._names = [publisher.topic_name for publisher in publishers]
        self._commands = commands
        self._me: Name = (node.get_namespace(), node.get_name())
        self._seen, self._since_s = "", time.monotonic()

    def settled(self) -> bool:
        """Whether the graph has not changed for a while; ask often. Before that nobody knows who is there."""
        nodes = sorted(self._node.get_node_names_and_namespaces())
        seen = repr((nodes, sorted(self._node.get_topic_names_and_types())))
        now_s = time.monotonic()
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
        return now_s - self._since_s >= _SETTLED_S

    def newcomer(self) -> str:
        """As :meth:`trouble`, while somebody has just come: what it is shows only bit by bit."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not (found := self.trouble()) and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        return found

    def trouble(self) -> str:
        """Why nothing may be played now; '' = it may. A node that just comes is given a moment to say its name."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            found = self._somebody_else() or (self._driver() if self._commands else "")
            if _UNKNOWN not in found or time.monotonic() > deadline_s:
                return found
            time.sleep(_LOOK_S)

    def _somebody_else(self) -> str:
        """Two who publish the joints' states, one of them from last night: a policy would act on both."""
        for name in self._names:
            if is_shared(name) or self._node.count_publishers(name) < 2:
                continue
            others = {
                (info.node_namespace, info.node_name)
                for info in self._node.get_publishers_info_by_topic(name)
            }
            for other in sorted(others - {self._me}):
                return (
                    f"{_path(other)} publishes {name} as well: those who listen could not tell the recording from "
                    f"it; {_CURE}, or remap {name}"
                )
        return ""

    def _driver(self) -> str:
        """A node that listens to commands, and has motors."""
        for topic, kinds in self._node.get_topic_names_and_types():
            if not any(is_command(topic, kind) for kind in kinds):
                continue
            for info in self._node.get_subscriptions_info_by_topic(topic):
                listener = (info.node_namespace, info.node_name)
                if listener != self._me and moves_motors(info.node_name, self._says(listener)):
                    return (
                        f"{_path(listener)} listens to {topic} and would move its motors: recorded commands are not "
                        f"played; {_CURE}, or leave publish_commands out"
                    )
        return ""

    def _says(self, other: Name) -> set[str]:
        """Types of what another node publishes; of one that is not known yet, the worst is assumed."""
        namespace, name = other
        try:
            found = self._node.get_publisher_names_and_types_by_node(name, namespace)
        except (
            Exception
        ):  # rclpy's NodeNameNonExistentError is not public; it has gone, or is just coming
            return {"dexndm_msgs/msg/HandState"}
        return {kind for _, kinds in found for kind in kinds}


def _path(name: Name) -> str:
    return f"{name[0].rstrip('/')}/{name[1]}"
