# SPDX-License-Identifier: Apache-2.0
"""The topics of ``episode_recorder``: what was asked for, and subscriptions that fit what is offered."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from dexndm_ros.nodes._polled import Polled, unheard
from dexndm_ros.recording.metadata import Topic

__all__ = ["DEFAULT_TOPICS", "Ear", "TopicError", "TopicSpec", "parse_topics"]

DEFAULT_TOPICS = (
    "hand/state dexndm_msgs/msg/HandState required",
    "hand/command dexndm_msgs/msg/HandCommand",
    "hand/health dexndm_msgs/msg/HandHealth",
    "joint_states sensor_msgs/msg/JointState",
    "replay/step dexndm_msgs/msg/ReplayStep",
    "replay/status dexndm_msgs/msg/ReplayStatus",
    "policy/step dexndm_msgs/msg/PolicyStep",
    "rotation/command dexndm_msgs/msg/RotationCommand",
    "rotation/progress dexndm_msgs/msg/RotationProgress",
    "sim/object geometry_msgs/msg/PoseStamped",
    "wrist/orientation geometry_msgs/msg/QuaternionStamped latched",
    "/diagnostics diagnostic_msgs/msg/DiagnosticArray",
)
_WORDS = ("required", "optional", "latched")
_NS = 1_000_000_000


class TopicError(ValueError):
    """A topic that cannot be recorded as asked; the message says what is allowed."""


@dataclass(frozen=True)
class TopicSpec:
    """A line of the parameter ``topics``.

    Attributes:
        name: as given.
        type: "package/msg/Name".
        required: no episode begins without a publisher of it.
        latched: its last message holds, and stands in every bag.
    """

    name: str
    type: str
    required: bool = False
    latched: bool = False


def parse_topics(lines: Sequence[str]) -> tuple[TopicSpec, ...]:
    """The lines of the parameter ``topics``.

    Raises:
        TopicError: a line that says something else, or a topic twice.
    """
    specs: dict[str, TopicSpec] = {}
    for line in lines:
        name, kind, *words = line.split() if len(line.split()) > 1 else ("", "")
        if not name or (wrong := set(words) - set(_WORDS)):
            extra = f" (not {', '.join(sorted(wrong))})" if name else ""
            raise TopicError(
                f"topics: {line!r}; a line is NAME TYPE and then any of {', '.join(_WORDS)}{extra}, as in "
                f"{DEFAULT_TOPICS[0]!r}"
            )
        if name in specs:
            raise TopicError(f"topics: {name} stands there twice")
        specs[name] = TopicSpec(name, kind, "required" in words, "latched" in words)
    if not specs:
        raise TopicError("topics is empty; there is nothing to record")
    return tuple(specs.values())


class Ear:
    """Listens to one topic, with the quality of service that its publishers offer.

    It begins reliable; a publisher that offers less is met, else it would not be heard at all.

    Args:
        node: owns the subscription.
        spec: what was asked for.
        depth: messages that wait in the middleware while this process is busy.

    Raises:
        TopicError: the type is not installed.
    """

    def __init__(self, node: Node, spec: TopicSpec, depth: int) -> None:
        self.spec = spec
        self.name: str = node.resolve_topic_name(spec.name)
        self.wrong_types: tuple[str, ...] = ()
        """Types, other than ours, under which somebody publishes it."""
        self._type = _message_type(spec)
        self._node = node
        self._depth = depth
        self._group = Polled()
        self._offered: list[QoSProfile] = []
        self._matched_at_look = 0
        durability = DurabilityPolicy.TRANSIENT_LOCAL if spec.latched else DurabilityPolicy.VOLATILE
        self._qos = (ReliabilityPolicy.RELIABLE, durability)
        self._subscribe()

    @property
    def matched(self) -> int:
        """Publishers that are heard."""
        return int(self._subscription.get_publisher_count())

    @property
    def topic(self) -> Topic:
        """For the bag."""
        return Topic(self.name, self.spec.type, tuple(_as_dict(qos) for qos in self._offered))

    def heard(self) -> int:
        """Publishers that were heard at the last look, or are now, whichever is more.

        The last messages of one that left are still to be taken.
        """
        return max(self.matched, self._matched_at_look)

    def take(self) -> list[tuple[bytes, dict[str, Any]]]:
        """All messages that wait, each with what the middleware knows of it."""
        taken = []
        handle = self._subscription.handle
        with handle:
            while (message := handle.take_message(self._type, True)) is not None:
                taken.append(message)
        return taken

    def look(self) -> bool:
        """See who publishes, and subscribe anew if that takes another quality of service.

        Returns:
            Whether it subscribed anew.
        """
        self._matched_at_look = self.matched
        infos = self._node.get_publishers_info_by_topic(self.name)
        ours = [info for info in infos if info.topic_type == self.spec.type]
        self.wrong_types = tuple({i.topic_type for i in infos if i.topic_type != self.spec.type})
        self._offered = [info.qos_profile for info in ours]
        if not ours:
            return False
        best_effort = any(q.reliability is ReliabilityPolicy.BEST_EFFORT for q in self._offered)
        latched = all(q.durability is DurabilityPolicy.TRANSIENT_LOCAL for q in self._offered)
        wanted = (
            ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        if wanted == self._qos:
            return False
        self._qos = wanted
        self._node.destroy_subscription(self._subscription)
        self._subscribe()
        return True

    def trouble(self) -> str:
        """Why an episode must not begin because of this topic; '' = it may."""
        if self.wrong_types:
            return f"{self.name} is published as {self.wrong_types[0]}, not {self.spec.type}"
        matched = self.matched
        if matched < len(self._offered):
            return f"a publisher of {self.name} is not heard yet"
        if self.spec.required and not matched:
            return f"nobody publishes {self.name}"
        return ""

    def _subscribe(self) -> None:
        reliability, durability = self._qos
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._depth,
            reliability=reliability,
            durability=durability,
        )
        self._subscription = self._node.create_subscription(
            self._type, self.name, unheard, qos, callback_group=self._group, raw=True
        )


def _message_type(spec: TopicSpec) -> Any:
    package, _, rest = spec.type.partition("/")
    kind, _, name = rest.partition("/")
    try:
        if kind != "msg":
            raise AttributeError("it must read package/msg/Name")
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TopicError(
            f"topics: {spec.name} has type {spec.type!r}, which is not installed: {error}"
        ) from error


def _as_dict(qos: QoSProfile) -> dict[str, Any]:
    """QoS as rosbag2 writes it."""
    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": _time(qos.deadline),
        "lifespan": _time(qos.lifespan),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": _time(qos.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": bool(qos.avoid_ros_namespace_conventions),
    }


def _time(duration: Any) -> dict[str, int]:
    seconds, rest = divmod(duration.nanoseconds, _NS)
    return {"sec": seconds, "nsec": rest}
