# SPDX-License-Identifier: Apache-2.0
"""The time a node lives by: the machine's, or with ``use_sim_time`` the one that ``/clock`` tells."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage

from dexndm_ros.policy.clock import Clock, MonotonicClock
from dexndm_ros.policy.paced_clock import PacedClock

__all__ = ["fill_stamp", "node_clock", "stamp_ns"]

_NS = 1_000_000_000
_CLOCK_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)


def node_clock(node: Node) -> Clock:
    """The clock for a node's loops; ask once, at construction.

    With ``use_sim_time`` it follows ``/clock`` and runs on between its messages, so that loops faster than
    those keep time. It needs the node's executor to spin: while that is held up for long, time stands still,
    as it does before the first messages and after the last.

    Args:
        node: its parameter ``use_sim_time`` decides; a later change of the parameter has no effect here.
    """
    if not node.get_parameter("use_sim_time").value:
        return MonotonicClock()
    clock = PacedClock()

    def on_clock(message: ClockMessage) -> None:
        clock.sample(message.clock.sec * _NS + message.clock.nanosec)

    node.create_subscription(ClockMessage, "/clock", on_clock, _CLOCK_QOS)
    return clock


def stamp_ns(clock: Clock, monotonic_ns: int | None = None) -> int:
    """Time for message stamps: the system's, or the one of ``/clock``.

    It is not ``clock.now_ns()``, which never goes back and has an origin of its own.

    Args:
        clock: what ``node_clock`` gave.
        monotonic_ns: the moment meant, on the machine's monotonic clock; default now.
    """
    if isinstance(clock, PacedClock):
        return max(0, clock.time_ns(monotonic_ns))
    age_ns = 0 if monotonic_ns is None else time.monotonic_ns() - monotonic_ns
    return time.time_ns() - age_ns


def fill_stamp(stamp: Any, ns: int) -> None:
    """Put a time into a ``builtin_interfaces/Time``."""
    stamp.sec, stamp.nanosec = divmod(ns, _NS)
