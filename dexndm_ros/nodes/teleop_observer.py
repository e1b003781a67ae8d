# SPDX-License-Identifier: Apache-2.0
"""Watches a running system for ``dexndm teleop`` and hands what it sees, as plain values, to a sink."""

from __future__ import annotations

from dexndm_msgs.msg import RotationCommand, TeleopStatus
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from dexndm_ros.nodes._observer import Observer
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._teleop_events import OperatorSeen, PoseSeen, TeleopSink
from dexndm_ros.nodes.demo_observer import DEEP, hand_rows, stamp_ns
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES

__all__ = ["TeleopObserver"]


class TeleopObserver(Observer):
    """A node of the show's own, spun in a thread. Use as a context manager.

    Args:
        sink: gets every event, in the observer's thread.
        joints_topic: of the arm.
        name: the node's name.
    """

    def __init__(
        self,
        sink: TeleopSink,
        joints_topic: str = "virtual_arm/joint_states",
        name: str = "teleop_observer",
    ) -> None:
        newest = control_subscriber()
        own = [
            (TeleopStatus, "teleop/status", self._on_status, DEEP),
            (PoseStamped, "arm/measured_pose", self._on_measured, DEEP),
            (PoseStamped, "arm/commanded_pose", self._on_commanded, DEEP),
            (RotationCommand, "rotation/command", self._on_axis, DEEP),
            (JointState, joints_topic, self._on_joints, newest),
            (String, "arm/fault", self._on_fault, LATCHED),
        ]
        super().__init__(name, [], often=[*own, *hand_rows(sink)])
        self._sink = sink

    def _on_status(self, message: TeleopStatus) -> None:
        self._sink.on_operator(
            OperatorSeen(
                stamp_ns(message),
                message.engaged,
                message.reason,
                (message.latency_ms_p50, message.latency_ms_p95),
                message.rejected,
            )
        )

    def _on_measured(self, message: PoseStamped) -> None:
        self._sink.on_measured(_pose(message))

    def _on_commanded(self, message: PoseStamped) -> None:
        self._sink.on_commanded(_pose(message))

    def _on_axis(self, message: RotationCommand) -> None:
        self._sink.on_axis((message.axis.x, message.axis.y, message.axis.z))

    def _on_joints(self, message: JointState) -> None:
        told = dict(zip(message.name, message.position, strict=False))
        if all(name in told for name in ARM_JOINT_NAMES):
            self._sink.on_joints(tuple(told[name] for name in ARM_JOINT_NAMES))

    def _on_fault(self, message: String) -> None:
        self._sink.on_arm_fault(message.data)


def _pose(message: PoseStamped) -> PoseSeen:
    p, q = message.pose.position, message.pose.orientation
    return PoseSeen(stamp_ns(message), (p.x, p.y, p.z), (q.x, q.y, q.z, q.w))
