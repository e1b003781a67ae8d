# SPDX-License-Identifier: Apache-2.0
"""What ``bag_replay`` reads and writes: its parameters, and publishers that are like the recorded ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.playback.opening import ReplayOptions
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.playback.select import Played

__all__ = ["PARAMETERS", "make_publisher", "message_class", "publisher_qos", "read_options"]

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("bag", "", "bag to play: its folder, or one of its files"),
    ("topics", "", "topics to play, separated by blanks; empty = all"),
    ("remap", "", "other names to play topics under: FROM:=TO, separated by blanks"),
    ("rate", 1.0, "times the recorded pace; can be set while it plays"),
    ("start_s", 0.0, "where to begin, seconds after the first message"),
    ("duration_s", 0.0, "how much to play, recorded seconds; 0 = to the end"),
    ("paused", False, "wait at the start, until bag_replay/resume, step or tick is called"),
    ("loop", False, "begin again at the end"),
    ("order", "log", "log = as messages were received; publish = as they were published"),
    ("clock_hz", 0.0, "publish the recorded time on /clock so often; 0 = not at all"),
    ("publish_commands", False, "also play what makes something move, to allowed listeners only"),
    (
        "allow_listeners",
        "",
        "nodes that may hear recorded commands, separated by blanks; empty = none",
    ),
    ("keep_holes", False, "stand still for as long as nothing was recorded, minutes or hours"),
    ("delay_s", 1.0, "time for other nodes to find the topics before the first message"),
    ("exit_at_end", True, "end the process after the last message"),
    ("keyboard", False, "control it with keys in the terminal"),
)

_DEPTH = 1000
"""Messages kept for reliable subscribers that lag; recorded depths are often unknown, and too small for a burst."""
_FOREVER_NS = 9_000_000_000 * 1_000_000_000
_Policy = TypeVar("_Policy", ReliabilityPolicy, DurabilityPolicy, LivelinessPolicy)


def read_options(node: Node) -> ReplayOptions:
    """Declare the parameters, and read those that say what to play.

    Raises:
        PlaybackError: one that is not allowed.
    """
    for name, default, text in PARAMETERS:
        numeric = isinstance(default, float)
        node.declare_parameter(
            name, default, ParameterDescriptor(description=text, dynamic_typing=numeric)
        )
    values: dict[str, Any] = {}
    for field in fields(ReplayOptions):
        value = node.get_parameter(field.name).value
        if field.name in ("rate", "start_s", "duration_s", "clock_hz"):
            value = number(field.name, value)
        values[field.name] = value
    return ReplayOptions(**values)


def number(name: str, value: Any) -> float:
    """A parameter's value as a number: somebody may write 1 for 1.0.

    Raises:
        PlaybackError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlaybackError(f"{name} is {value!r}; give a number")
    return float(value)


def message_class(info: TopicInfo) -> Any:
    """The class of a topic's messages.

    Raises:
        PlaybackError: it is not installed.
    """
    package, _, rest = info.type.partition("/")
    kind, _, name = rest.partition("/")
    try:
        if kind != "msg":
            raise AttributeError("it must read package/msg/Name")
        found = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PlaybackError(f"its type {info.type} is not installed here ({error})") from error
    return found


def make_publisher(node: Node, played: Played) -> Publisher:
    """A publisher for a topic of a bag.

    Raises:
        PlaybackError: its type is not here.
    """
    qos = publisher_qos(played.info.qos, played.latched)
    return node.create_publisher(message_class(played.info), played.name, qos)


def publisher_qos(offered: Sequence[Mapping[str, Any]], latched: int = 0) -> QoSProfile:
    """What to offer, so that everybody who heard the recorded publishers hears this one.

    Args:
        offered: of the recorded publishers, as rosbag2 writes them: names, or numbers before version 9.
        latched: messages that wait for late subscribers; 0 = none.
    """
    best_effort = [_named(q, "reliability", ReliabilityPolicy) for q in offered]
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=latched or _DEPTH,
        # Where they differ, the one that satisfies the most.
        reliability=ReliabilityPolicy.BEST_EFFORT
        if offered and set(best_effort) == {ReliabilityPolicy.BEST_EFFORT}
        else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
    if deadline := _shortest(offered, "deadline"):
        qos.deadline = deadline
    if lease := _shortest(offered, "liveliness_lease_duration"):
        qos.liveliness = LivelinessPolicy.AUTOMATIC
        qos.liveliness_lease_duration = lease
    return qos


def _named(qos: Mapping[str, Any], key: str, kind: Callable[..., _Policy]) -> _Policy | None:
    value = qos.get(key)
    try:
        return kind[value.upper()] if isinstance(value, str) else kind(value)  # type: ignore[index]
    except (KeyError, ValueError):
        return None


def _shortest(offered: Sequence[Mapping[str, Any]], key: str) -> Duration | None:
    """The shortest that any offered; None = nobody offered one."""
    found = []
    for qos in offered:
        value = qos.get(key)
        if isinstance(value, Mapping):
            sec, nsec = value.get("sec", 0), value.get("nsec", 0)
            if isinstance(sec, int) and isinstance(nsec, int):
                found.append(sec * 1_000_000_000 + nsec)
    told = [ns for ns in found if 0 < ns < _FOREVER_NS]
    return Duration(nanoseconds=min(told)) if told else None
