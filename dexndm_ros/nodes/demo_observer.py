# SPDX-License-Identifier: Apache-2.0
"""Watches a running system for ``dexndm demo`` and hands what it sees, as plain values, to a sink.

It hears ``hand/command`` through a subscription like the driver's and notes when the callback begins.
That is how the demo measures "observation to command": from the stamp of the HandState that the policy
used to a command that has come through DDS into the Python of another process.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import rclpy
from dexndm_msgs.msg import HandCommand, HandHealth, HandState, PolicyStep, RotationProgress
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from dexndm_ros.nodes._demo_events import (
    CommandSeen,
    DemoSink,
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)
from dexndm_ros.nodes._qos import control_subscriber

__all__ = ["DemoObserver"]

_DEEP = QoSProfile(depth=100)
"""Reliable and deep: what is counted must not be lost on the way to the counter."""
_SERVICE_WAIT_S = 10.0
_OBJECT_PERIOD_NS = 15_000_000
"""Poses of the object are for pictures: 60 a second are enough."""


class DemoObserver:
    """A node of the demo's own, spun in a thread. Use as a context manager.

    Args:
        sink: gets every event, in the observer's thread.
        name: the node's name.
    """

    def __init__(self, sink: DemoSink, name: str = "demo_observer") -> None:
        self._sink = sink
        self._name = name
        self._last_object_ns = 0
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._context = Context()
        # Signals belong to the demo, which has processes to end.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(self._name, context=self._context, enable_rosout=False)
        self._subscribe()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name=self._name, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._executor.wake()
        self._thread.join(5.0)
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def trigger(self, service: str) -> str:
        """Call a std_srvs/Trigger service.

        Args:
            service: its name.

        Returns:
            why it did not do it; empty = done.
        """
        client = self._node.create_client(Trigger, service)
        try:
            if not client.wait_for_service(_SERVICE_WAIT_S):
                return f"service {service} is not there"
            done = threading.Event()
            future = client.call_async(Trigger.Request())
            future.add_done_callback(lambda _: done.set())
            self._executor.wake()
            if not done.wait(_SERVICE_WAIT_S):
                return f"service {service} did not answer"
            answer = future.result()
            return "" if answer.success else f"{service}: {answer.message}"
        finally:
            self._node.destroy_client(client)

    # --- inside -------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        rows: list[tuple[Any, str, Callable[[Any], None], QoSProfile]] = [
            (HandCommand, "hand/command", self._on_command, control_subscriber()),
            (HandState, "hand/state", self._on_state, _DEEP),
            (PolicyStep, "policy/step", self._on_step, _DEEP),
            (RotationProgress, "rotation/progress", self._on_progress, _DEEP),
            (HandHealth, "hand/health", self._on_health, _DEEP),
            (PoseStamped, "sim/object", self._on_object, control_subscriber()),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, _DEEP),
        ]
        self._subscriptions = [
            self._node.create_subscription(kind, topic, callback, qos)
            for kind, topic, callback, qos in rows
        ]

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            while not self._stop.is_set():
                self._executor.spin_once(timeout_sec=0.5)

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
