# SPDX-License-Identifier: Apache-2.0
"""Looks whether a recording may be played into this graph: nobody else says the same, nobody hears what he must not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from rclpy.node import Node
from rclpy.publisher import Publisher

from dexndm_ros.playback.commands import is_shared

__all__ = ["GraphWatch"]

_CURE = "end it, or play in a graph of its own (another ROS_DOMAIN_ID)"
_SPACE_UNKNOWN, _UNKNOWN = "_NODE_NAMESPACE_UNKNOWN_", "_NODE_NAME_UNKNOWN_"
_PATIENCE_S, _LOOK_S = 0.5, 0.02
_SETTLED_S = 0.5
Name = tuple[str, str]


class GraphWatch:
    """The graph as far as playing is concerned. May be asked from any thread.

    Args:
        node: whose graph it is; its own publishers do not count.
        publishers: what it plays.
        commands: those of them that may make something move.
        allowed: full names of the nodes that may listen to these.
    """

    def __init__(
        self,
        node: Node,
        publishers: Sequence[Publisher],
        commands: Sequence[Publisher] = (),
        allowed: Collection[str] = (),
    ) -> None:
        self._node = node
        self._names = [publisher.topic_name for publisher in publishers]
        self._commands = {publisher.topic_name: publisher for publisher in commands}
        self._allowed = frozenset(allowed)
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

    def trouble(self) -> str:
        """Why nothing may be played now; '' = it may. A node that just comes is given a moment to say its name."""
        return self._asked(lambda: self._somebody_else() or self._listener())

    def command_trouble(self) -> str:
        """Why no command may be published now; '' = it may. Quick: to be asked before each."""
        return self._asked(self._listener)

    def _asked(self, question: Callable[[], str]) -> str:
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            found = question()
            if _UNKNOWN not in found:
                return found
            if time.monotonic() > deadline_s:
                for unknown in (f"{_SPACE_UNKNOWN}/{_UNKNOWN}", _UNKNOWN):
                    found = found.replace(unknown, "a node without a name")
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

    def _listener(self) -> str:
        """A node that hears a command, and was not allowed to: what it would do nobody can tell from outside."""
        found = sorted({name for topic in self._commands for name in self._not_allowed(topic)})
        if not found:
            return ""
        topics = ", ".join(t for t in self._commands if self._not_allowed(t))
        return (
            f"{', '.join(found)} {'listens' if len(found) == 1 else 'listen'} to {topics or 'commands'} and may move "
            f"motors: recorded commands are played to allowed listeners only; {_CURE}, leave publish_commands out, or, "
            "where nothing can be harmed, name them in allow_listeners (--allow-listener)"
        )

    def _not_allowed(self, topic: str) -> list[str]:
        """Who listens to a command and must not."""
        infos = self._node.get_subscriptions_info_by_topic(topic)
        names = [_path((info.node_namespace, info.node_name)) for info in infos]
        # A listener that is connected, and not in the graph yet or never.
        hidden = self._commands[topic].get_subscription_count() > len(infos)
        return [name for name in names if name not in self._allowed] + [_UNKNOWN] * hidden


def _path(name: Name) -> str:
    return f"{name[0].rstrip('/')}/{name[1]}"
