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
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)
from dexndm_ros.nodes._observer import Observer, Row
from dexndm_ros.nodes._qos import control_subscriber

__all__ = ["DemoObserver"]

_DEEP = QoSProfile(depth=100)
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
        super().__init__(name, self._topics())
        self._sink = sink
        self._last_object_ns = 0

    # --- inside -------------------------------------------------------------------------------

    def _topics(self) -> list[Row]:
        return [
            (HandCommand, "hand/command", self._on_command, control_subscriber()),
            (HandState, "hand/state", self._on_state, _DEEP),
            (PolicyStep, "policy/step", self._on_step, _DEEP),
            (RotationProgress, "rotation/progress", self._on_progress, _DEEP),
            (HandHealth, "hand/health", self._on_health, _DEEP),
            (PoseStamped, "sim/object", self._on_object, control_subscriber()),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, _DEEP),
        ]

    def _on_command(self, message: HandCommand) -> None:
        self._sink.on_command(CommandSeen(message.seq, time.time_ns()))

    def _on_state(self, message: HandState) -> None:
        self._sink.on_state(
            StateSeen(
                _stamp_ns(message),
                message.seq,
                np.array(message.position, dtype=np.float64),
                message.command_seq,
                message.command_source,
                message.mode,
            )
        )

    def _on_step(self, message: PolicyStep) -> None:
        axis, wrist = message.axis, message.wrist
        self._sink.on_step(
            StepSeen(
                _stamp_ns(message),
                message.seq,
                message.observation_seq,
                message.observation_age_ms,
                message.inference_ms,
                message.missed_ticks,
                not message.stopped and any((axis.x, axis.y, axis.z)),
                (wrist.x, wrist.y, wrist.z, wrist.w),
            )
        )

    def _on_progress(self, message: RotationProgress) -> None:
        self._sink.on_progress(
            ProgressSeen(
                _stamp_ns(message),
                message.angle,
                message.off_axis,
                message.time,
                message.fallen,
                message.episode,
            )
        )

    def _on_object(self, message: PoseStamped) -> None:
        stamp_ns = _stamp_ns(message)
        if 0 <= stamp_ns - self._last_object_ns < _OBJECT_PERIOD_NS:
            return
        self._last_object_ns = stamp_ns
        p, q = message.pose.position, message.pose.orientation
        self._sink.on_object(ObjectSeen(stamp_ns, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)))

    def _on_health(self, message: HandHealth) -> None:
        lost = int(sum(int(count) for count in message.lost_reads))
        self._sink.on_health(HealthSeen(message.bus_hz, lost, message.fault))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            bad = status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
            self._sink.on_complaint(status.name, status.message if bad else "")


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
