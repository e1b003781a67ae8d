# SPDX-License-Identifier: Apache-2.0
"""An arm and a hand that go at once where they are told, with the times of what they were told last."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import rclpy
from dexndm_msgs.msg import ControllerState, HandCommand, HandState, PolicyStep
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.middleware import settle

__all__ = ["ARM_PROFILE", "StandIn", "standing_in"]

ARM_PROFILE = """\
command: pose
command_topic: target_pose
state: {pose_topic: bench/pose, joints_topic: bench/no_joints, robot_topic: ''}
"""
"""A pose controller without a controller manager; every time and limit is the default."""

_RATE_HZ = 100.0
_HOME_M = (0.5, 0.0, 0.4)


class StandIn(Node):
    """The robot, as the topics show it.

    Attributes:
        commanded_s: when the arm's newest command came, our monotonic time.
        turned_s: when the newest policy/step came in which the policy ran.
        held: steps since then in which it did not.
        sample_s: when quest_bridge told the newest sample of the headset.
    """

    def __init__(self, context: Context) -> None:
        super().__init__("bench_robot", context=context)
        self.commanded_s = self.turned_s = self.sample_s = 0.0
        self.held = 0
        self._seq = 0
        self._pose = PoseStamped()
        self._pose.header.frame_id = "fr3_link0"
        place, turn = self._pose.pose.position, self._pose.pose.orientation
        place.x, place.y, place.z = _HOME_M
        turn.x, turn.w = 1.0, 0.0
        self._q, self._mode = CANONICAL_POSE_RAD.tolist(), HandState.MODE_HOLDING
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._pose_publisher = self.create_publisher(PoseStamped, "bench/pose", newest)
        self._state_publisher = self.create_publisher(HandState, "hand/state", 1)
        self.create_subscription(PoseStamped, "target_pose", self._on_arm, 10)
        self.create_subscription(HandCommand, "hand/command", self._on_hand, 10)
        self.create_subscription(PolicyStep, "policy/step", self._on_step, 10)
        self.create_subscription(ControllerState, "teleop/controllers", self._on_sample, 10)
        self.create_timer(1.0 / _RATE_HZ, self._tell)

    def _on_arm(self, told: PoseStamped) -> None:
        self.commanded_s = time.monotonic()
        self._pose.pose = told.pose

    def _on_hand(self, told: HandCommand) -> None:
        self._q, self._mode = list(told.position), HandState.MODE_ACTIVE

    def _on_step(self, told: PolicyStep) -> None:
        axis = told.axis
        if axis.x or axis.y or axis.z:
            self.turned_s, self.held = time.monotonic(), 0
        else:
            self.held += 1

    def _on_sample(self, _: ControllerState) -> None:
        self.sample_s = time.monotonic()

    def _tell(self) -> None:
        self._seq += 1
        stamp = self.get_clock().now().to_msg()
        self._pose.header.stamp = stamp
        self._pose_publisher.publish(self._pose)
        state = HandState(seq=self._seq, position=self._q, mode=self._mode)
        state.header.stamp = stamp
        self._state_publisher.publish(state)

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
        """Wait for something.

        Raises:
            RuntimeError: it takes too long.
        """
        end_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end_s:
                raise RuntimeError(f"waited {limit_s:.0f} s for {what}")
            time.sleep(0.02)


@contextlib.contextmanager
def standing_in() -> Iterator[StandIn]:
    """The robot, in a thread of its own."""
    settle(os.environ)
    context = Context()
    rclpy.init(context=context)
    node, executor = StandIn(context), SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ending = threading.Event()

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin, name="bench robot", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        ending.set()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
