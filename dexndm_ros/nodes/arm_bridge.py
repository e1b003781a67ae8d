# SPDX-License-Identifier: Apache-2.0
"""``arm_bridge``: limited targets for whichever controller moves the arm, and what the arm tells.

``arm/target_pose`` goes through an ``ArmDrive`` to the profile's own topic; ``arm/measured_pose``,
``arm/commanded_pose`` and ``arm/fault`` tell the operator's side how the arm stands, ``wrist/orientation`` the policy.
The loop is a thread of its own; callbacks only store. Nothing here recovers an arm.
"""

from __future__ import annotations

import time
from typing import Any

from geometry_msgs.msg import PoseStamped, QuaternionStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.nodes._arm_io import (
    arm_joints,
    optional_type,
    robot_errors,
    trajectory,
    wrist,
)
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._quest_output import pose_stamped, pose_told
from dexndm_ros.nodes._run import NodeRefusedError, run_node
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.errors import SettingsError
from dexndm_ros.teleop.profiles import ArmProfile, CommandKind, load_profile

__all__ = ["PARAMETERS", "ArmBridge", "main"]

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("profile", "crisp", "controller of the arm: a name in config/teleop, or a YAML file"),
    (
        "publish_wrist",
        True,
        "tell the palm's orientation on wrist/orientation; false where an IMU does",
    ),
)
_SERVO_PERIOD_S = 1.0
_QUIET_S = 2.0


class ArmBridge(Node):
    """Wires an ``ArmDrive`` to the graph."""

    def __init__(self) -> None:
        super().__init__("arm_bridge")
        for name, default, text in PARAMETERS:
            self.declare_parameter(name, default, ParameterDescriptor(description=text))
        self._loop: DeadlineLoop | None = None
        self._fault: str | None = None
        self._servo: Any = None

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Read the profile, join the graph, start the loop."""
        try:
            self._profile = load_profile(str(self.get_parameter("profile").value))
        except SettingsError as error:
            raise NodeRefusedError(str(error)) from error
        self._drive = ArmDrive(self._profile)
        self._tell_wrist = bool(self.get_parameter("publish_wrist").value)
        self._tell(self._profile)
        self._listen(self._profile)
        self._loop = DeadlineLoop(
            LoopConfig(rate_hz=self._profile.rate_hz, name="arm_bridge"), self._tick
        )
        self._loop.start()

    def failure(self) -> str:
        """Why the process must end; empty while it need not."""
        error = self._loop.error if self._loop is not None else None
        return f"the loop ended: {error!r}" if error is not None else ""

    def close(self) -> None:
        """No command any more: the controller holds, or stops by itself."""
        if self._loop is not None:
            self._loop.stop()

    def _tell(self, profile: ArmProfile) -> None:
        kind = PoseStamped if profile.command is CommandKind.POSE else JointTrajectory
        self._command_publisher = self.create_publisher(kind, profile.command_topic, 1)
        self._measured_publisher = self.create_publisher(PoseStamped, "arm/measured_pose", 1)
        self._commanded_publisher = self.create_publisher(PoseStamped, "arm/commanded_pose", 1)
        self._fault_publisher = self.create_publisher(String, "arm/fault", LATCHED)
        self._wrist_publisher = self.create_publisher(QuaternionStamped, "wrist/orientation", 1)

    def _listen(self, profile: ArmProfile) -> None:
        newest = control_subscriber()  # best effort: franka_ros2 offers no more for its poses
        state, controller = profile.state, profile.controller
        self.create_subscription(PoseStamped, "arm/target_pose", self._on_target, newest)
        self.create_subscription(PoseStamped, state.pose_topic, self._on_pose, newest)
        self.create_subscription(JointState, state.joints_topic, self._on_joints, newest)
        if state.robot_topic:
            kind = optional_type("franka_msgs.msg", "FrankaRobotState", "state.robot_topic")
            self.create_subscription(kind, state.robot_topic, self._on_robot, newest)
        if controller.command_type_service:
            kind = optional_type("moveit_msgs.srv", "ServoCommandType", "MoveIt Servo")
            self._servo_request = kind.Request(command_type=controller.command_type)
            self._servo = self.create_client(kind, controller.command_type_service)
            self._servo_timer = self.create_timer(_SERVO_PERIOD_S, self._set_command_type)

    # --- callbacks: they only store ---------------------------------------------------------------

    def _on_target(self, message: PoseStamped) -> None:
        frame = message.header.frame_id
        if frame != self._profile.base_frame:
            self._complain(
                f"arm/target_pose is in {frame!r}, not in {self._profile.base_frame!r}: not followed"
            )
            return
        try:
            self._drive.target(pose_told(message), time.monotonic())
        except ValueError as error:
            self._complain(f"arm/target_pose: {error}")

    def _on_pose(self, message: PoseStamped) -> None:
        topic, frame = self._profile.state.pose_topic, message.header.frame_id
        if frame != self._profile.base_frame:
            self._complain(
                f"{topic} is in {frame!r}, not in {self._profile.base_frame!r}: not used"
            )
            return
        try:
            self._drive.saw_pose(pose_told(message), time.monotonic())
        except ValueError as error:
            self._complain(f"{topic}: {error}")

    def _on_joints(self, message: JointState) -> None:
        q_rad = arm_joints(message)
        if q_rad is not None:
            self._drive.saw_joints(q_rad, time.monotonic())

    def _on_robot(self, message: Any) -> None:
        errors = robot_errors(message.current_errors)
        self._drive.saw_robot(int(message.robot_mode), errors)

    def _complain(self, text: str) -> None:
        self.get_logger().error(text, throttle_duration_sec=_QUIET_S)

    def _set_command_type(self) -> None:
        """Ask Servo for poses until it has agreed; it ignores them before."""
        if self._servo.service_is_ready():
            self._servo.call_async(self._servo_request).add_done_callback(self._on_servo)

    def _on_servo(self, answer: Any) -> None:
        if answer.exception() is None and answer.result().success:
            self._servo_timer.cancel()
            self.get_logger().info("MoveIt Servo takes poses")

    # --- the loop ---------------------------------------------------------------------------------

    def _tick(self, _: Tick) -> None:
        told = self._drive.tick(time.monotonic())
        stamp, frame = self.get_clock().now().to_msg(), self._profile.base_frame
        if told.pose is not None:
            self._command_publisher.publish(pose_stamped(told.pose, frame, stamp))
        if told.points:
            self._command_publisher.publish(trajectory(told.points))
        if told.commanded is not None:
            self._commanded_publisher.publish(pose_stamped(told.commanded, frame, stamp))
        if told.measured is not None:
            self._measured_publisher.publish(pose_stamped(told.measured, frame, stamp))
            if self._tell_wrist:
                self._wrist_publisher.publish(wrist(told.measured, frame, stamp))
        if told.fault != self._fault:
            self._fault = told.fault
            self._fault_publisher.publish(String(data=told.fault))
            if told.fault:
                self.get_logger().warning(told.fault)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(ArmBridge, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
