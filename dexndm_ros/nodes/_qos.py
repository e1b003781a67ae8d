# SPDX-License-Identifier: Apache-2.0
"""Quality of service of the control topics, one place for publishers and subscribers.

An offered deadline or liveliness lease must not be longer than the requested one, or the two never
connect. So publishers offer, and the subscribers that carry the data request nothing: a plain
``ros2 topic pub`` reaches the driver too. Who wants to know of misses asks with a *watch* profile on
a second, raw subscription.
"""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

__all__ = [
    "LATCHED",
    "control_publisher",
    "control_subscriber",
    "control_watch",
]

_DEPTH = 10
_MAX_DEADLINE_S = 0.1
_LEASE_S = 0.5
_WATCH_DEADLINE_S = 0.15
_WATCH_LEASE_S = 1.0

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""The last message waits for late subscribers: robot_description, wrist/orientation."""


def _seconds(seconds: float) -> Duration:
    return Duration(nanoseconds=round(seconds * 1e9))


def control_publisher(rate_hz: float, depth: int = _DEPTH) -> QoSProfile:
    """For ``hand/command`` and ``hand/state``: reliable, with a deadline of a few periods.

    Args:
        rate_hz: messages a second.
        depth: kept for reliable subscribers that lag, messages.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        deadline=_seconds(min(_MAX_DEADLINE_S, max(0.02, 3.0 / rate_hz))),
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=_seconds(_LEASE_S),
    )


def control_subscriber() -> QoSProfile:
    """For those who act on the data: the newest message, no waiting for lost ones."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def control_watch() -> QoSProfile:
    """For those who want to be told of a late or dead publisher; matches ``control_publisher``."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        deadline=_seconds(_WATCH_DEADLINE_S),
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=_seconds(_WATCH_LEASE_S),
    )
