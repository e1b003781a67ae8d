# SPDX-License-Identifier: Apache-2.0
"""Watches a running system for ``dexndm demo`` and hands what it sees, as plain values, to a sink.

It hears ``hand/command`` through a subscription like the driver's and notes when the callback begins.
That is how the demo measures "observation to command": from the stamp of the HandState that the policy
used to a command that has come through DDS into the Python of another process.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from dexndm_msgs.msg import HandCommand, HandHealth, HandState, PolicyStep, RotationProgress
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile

from dexndm_ros.nodes._demo_events import (
    CommandSeen,
    DemoSink,
    HandSink,
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)
from dexndm_ros.nodes._observer import Observer, Row
from dexndm_ros.nodes._qos import control_subscriber

__all__ = ["DEEP", "DemoObserver", "hand_rows", "stamp_ns"]

DEEP = QoSProfile(depth=100)
"""Reliable and deep: what is counted must not be lost on the way to the counter."""
_OBJECT_PERIOD_NS = 15_000_000
"""Poses of the object are for pictures: 60 a second are enough."""


class DemoObserver(Observer):
    """A node of the demo's own, spun in a thread. Use as a context manager.

    Args:
        sink: gets every event, in the observer's thread.
        name: the node's name.
    """

    def __init__(self, sink: DemoSink, name: str = "demo_observer") -> None:
        command = (HandCommand, "hand/command", self._on_command, control_subscriber())
        super().__init__(name, [command, *hand_rows(sink)])
        self._sink = sink

    def _on_command(self, message: HandCommand) -> None:
        self._sink.on_command(CommandSeen(message.seq, time.time_ns()))


def hand_rows(sink: HandSink) -> list[Row]:
    """What is heard of hand, policy and object, for an ``Observer``.

    Args:
        sink: gets it as events.
    """
    last_object_ns = 0

    def on_object(message: PoseStamped) -> None:
        nonlocal last_object_ns
        at_ns = stamp_ns(message)
        if 0 <= at_ns - last_object_ns < _OBJECT_PERIOD_NS:
            return
        last_object_ns = at_ns
        p, q = message.pose.position, message.pose.orientation
        sink.on_object(ObjectSeen(at_ns, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)))

    def on_diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            bad = status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
            sink.on_complaint(status.name, status.message if bad else "")

    return [
        (HandState, "hand/state", lambda message: sink.on_state(_state(message)), DEEP),
        (PolicyStep, "policy/step", lambda message: sink.on_step(_step(message)), DEEP),
        (
            RotationProgress,
            "rotation/progress",
            lambda message: sink.on_progress(_progress(message)),
            DEEP,
        ),
        (HandHealth, "hand/health", lambda message: sink.on_health(_health(message)), DEEP),
        (PoseStamped, "sim/object", on_object, control_subscriber()),
        (DiagnosticArray, "/diagnostics", on_diagnostics, DEEP),
    ]


def _state(message: HandState) -> StateSeen:
    return StateSeen(
        stamp_ns(message),
        message.seq,
        np.array(message.position, dtype=np.float64),
        message.command_seq,
        message.command_source,
        message.mode,
    )


def _step(message: PolicyStep) -> StepSeen:
    axis, wrist = message.axis, message.wrist
    return StepSeen(
        stamp_ns(message),
        message.seq,
        message.observation_seq,
        message.observation_age_ms,
        message.inference_ms,
        message.missed_ticks,
        not message.stopped and any((axis.x, axis.y, axis.z)),
        (wrist.x, wrist.y, wrist.z, wrist.w),
    )


def _progress(message: RotationProgress) -> ProgressSeen:
    return ProgressSeen(
        stamp_ns(message),
        message.angle,
        message.off_axis,
        message.time,
        message.fallen,
        message.episode,
    )


def _health(message: HandHealth) -> HealthSeen:
    lost = int(sum(int(count) for count in message.lost_reads))
    return HealthSeen(message.bus_hz, lost, message.fault)


def stamp_ns(message: Any) -> int:
    """The stamp of a message's header, ns."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
