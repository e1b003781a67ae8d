# SPDX-License-Identifier: Apache-2.0
"""The time a node lives by: the machine's, or with ``use_sim_time`` the one that ``/clock`` tells."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from dexndm_ros.policy.clock import Clock, MonotonicClock
from dexndm_ros.policy.paced_clock import PacedClock

__all__ = ["fill_stamp", "node_clock", "stamp_ns"]

_NS = 1_000_000_000


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
    clock, told = PacedClock(), node.get_clock()
    # rclpy listens to /clock already; a second subscription would double what each message costs.
    # Its clock does not keep the handle alive and calls it all the same: it must live as long.
    node.clock_jumps = told.create_jump_callback(
        JumpThreshold(
            min_forward=Duration(nanoseconds=1),
            min_backward=Duration(nanoseconds=-1),
            on_clock_change=False,
        ),
        post_callback=lambda _: clock.sample(told.now().nanoseconds),
    )
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
