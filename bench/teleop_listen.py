# SPDX-License-Identifier: Apache-2.0
"""What ``quest_bridge`` says, with the times; and an arm that stands where it is."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import rclpy
from dexndm_msgs.msg import ControllerState, TeleopStatus
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from dexndm_ros.middleware import settle

__all__ = ["ARM_M", "Heard", "listening"]

ARM_M = (0.5, 0.0, 0.4)
_ARM_RATE_HZ = 100.0


@dataclass
class Heard:
    """All times are our monotonic clock, ns.

    Attributes:
        targets: (when its tick was, when it came, x, y, z) of each arm/target_pose.
        hands: frame's number to (when it was published, when it came, the age the node tells, ms).
        ages_ms: percentiles 50 and 95 that the node told last.
        reasons: why the arm did not follow, with how often it was said.
    """

    targets: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    hands: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    ages_ms: tuple[float, float] = (float("nan"), float("nan"))
    reasons: dict[str, int] = field(default_factory=dict)


def _ns(stamp: object) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec  # type: ignore[attr-defined]


class _Ears(Node):
    def __init__(self, heard: Heard, context: Context) -> None:
        super().__init__("bench_listener", context=context)
        self._heard = heard
        self._to_monotonic_ns = time.monotonic_ns() - time.time_ns()
        self._arm = PoseStamped()
        self._arm.header.frame_id = "fr3_link0"
        place = self._arm.pose.position
        place.x, place.y, place.z = ARM_M
        self._arm_publisher = self.create_publisher(PoseStamped, "arm/measured_pose", 1)
        self.create_timer(1.0 / _ARM_RATE_HZ, self._tell_arm)
        self.create_subscription(PoseStamped, "arm/target_pose", self._on_target, 10)
        self.create_subscription(ControllerState, "teleop/controllers", self._on_hands, 10)
        self.create_subscription(TeleopStatus, "teleop/status", self._on_status, 10)

    def _tell_arm(self) -> None:
        self._arm.header.stamp = self.get_clock().now().to_msg()
        self._arm_publisher.publish(self._arm)

    def _on_target(self, told: PoseStamped) -> None:
        p = told.pose.position
        ticked = _ns(told.header.stamp) + self._to_monotonic_ns
        self._heard.targets.append((ticked, time.monotonic_ns(), p.x, p.y, p.z))

    def _on_hands(self, told: ControllerState) -> None:
        # its stamp is the capture as the node counts it back from its tick; so this is the tick
        ticked = _ns(told.header.stamp) + round(told.age_ms * 1e6) + self._to_monotonic_ns
        self._heard.hands[told.seq] = (ticked, time.monotonic_ns(), told.age_ms)

    def _on_status(self, told: TeleopStatus) -> None:
        self._heard.ages_ms = told.latency_ms_p50, told.latency_ms_p95
        self._heard.reasons[told.reason] = self._heard.reasons.get(told.reason, 0) + 1


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Listen in a thread of its own."""
    settle(os.environ)
    context, heard = Context(), Heard()
    rclpy.init(context=context)
    node, executor = _Ears(heard, context), SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ending = threading.Event()

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name="bench listener", daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        ending.set()
        thread.join()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
