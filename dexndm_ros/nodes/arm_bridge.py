# SPDX-License-Identifier: Apache-2.0
"""``arm_bridge``: limited targets for whichever controller moves the arm, and what the arm tells.

``arm/target_pose`` goes through an ``ArmDrive`` to the profile's own topic; ``arm/measured_pose``,
``arm/commanded_pose`` and ``arm/fault`` tell the operator's side how the arm stands, ``wrist/orientation`` the policy.
What is wrong in the graph around the arm is looked for twice a second and keeps it from moving. The loop is a thread
of its own; callbacks only store. Nothing here recovers an arm.
"""

from __future__ import annotations

import time
from typing import Any

from dexndm_msgs.msg import TeleopStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, QuaternionStamped
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.nodes import _arm_io as io
from dexndm_ros.nodes._arm_graph import ArmGraph
from dexndm_ros.nodes._arm_settings import PARAMETERS, declare_parameters, read_settings
from dexndm_ros.nodes._polled import NewestOf
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._quest_output import pose_stamped, pose_told
from dexndm_ros.nodes._run import NodeRefusedError, run_node, until_shutdown
from dexndm_ros.policy.clock import DeadlineLoop, LoopConfig, Tick
from dexndm_ros.policy.wrist import WristError
from dexndm_ros.teleop.arm_checks import refusal
from dexndm_ros.teleop.arm_drive import ArmDrive
from dexndm_ros.teleop.arm_inputs import check_servo, check_tool
from dexndm_ros.teleop.errors import SettingsError
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.profiles import ArmProfile, CommandKind
from dexndm_ros.teleop.wrist import Wrist, WristSource

__all__ = ["PARAMETERS", "ArmBridge", "main"]

_LOOK_PERIOD_S = 0.5
_LOOKS_PER_DIAGNOSTIC = 2
_TICKS_PER_ROBOT_STATE = (
    5  # it comes a thousand times a second, and costs as much to read as a tick
)
_QUIET_S = 2.0
_TARGET = "arm/target_pose"
_UNSEEN = "the graph around the arm is not looked at yet: wait a moment"


class ArmBridge(Node):
    """Wires an ``ArmDrive`` to the graph."""

    def __init__(self) -> None:
        super().__init__("arm_bridge")
        declare_parameters(self)
        self._loop: DeadlineLoop | None = None
        self._fault: str | None = None
        self._servo_finding: Finding | None = None
        self._robot: NewestOf | None = None
        self._measured: Pose | None = None
        self._frames: dict[str, str] = {}
        self._stray = ("", 0.0)  # a frame in which targets came and are not followed, and when
        self._tool: Finding | None = None
        self._findings: list[Finding] = []
        self._logged: list[Finding] = []
        self._looks = 0

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Read the profile, join the graph, start the loop."""
        try:
            settings = read_settings(self)
        except (SettingsError, ValueError) as error:
            raise NodeRefusedError(str(error)) from error
        self._profile = settings.profile
        self._drive = ArmDrive(self._profile)
        self._drive.forbid(_UNSEEN)
        self._wrist = Wrist(settings.wrist)
        self._tell(self._profile)
        self._listen(self._profile)
        if settings.wrist.source is WristSource.IMU:
            newest = control_subscriber()
            self.create_subscription(Imu, settings.imu_topic, self._on_imu, newest)
        self._graph = ArmGraph(self, self._profile, _TARGET)
        self.create_timer(_LOOK_PERIOD_S, self._look)
        self._loop = DeadlineLoop(
            LoopConfig(rate_hz=self._profile.rate_hz, name="arm_bridge"),
            until_shutdown(self, self._tick),
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
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def _listen(self, profile: ArmProfile) -> None:
        state, controller = profile.state, profile.controller
        self._targets = NewestOf(self, PoseStamped, _TARGET)
        self._operator = NewestOf(self, TeleopStatus, "teleop/status")
        # a real arm tells both a thousand times a second
        self._poses = NewestOf(self, PoseStamped, state.pose_topic)
        self._joints = NewestOf(self, JointState, state.joints_topic)
        if state.robot_topic:
            needed = f'{state.robot_topic} of the profile (robot_topic: "" for an arm without)'
            kind = io.optional_type("franka_msgs.msg", "FrankaRobotState", needed)
            self._robot = NewestOf(self, kind, state.robot_topic)
        if controller.status_topic:
            kind = io.optional_type("moveit_msgs.msg", "ServoStatus", "MoveIt Servo")
            self.create_subscription(kind, controller.status_topic, self._on_servo_status, 1)

    # --- callbacks: they only store ---------------------------------------------------------------

    def _on_imu(self, message: Imu) -> None:
        q, known = message.orientation, message.orientation_covariance[0] != -1.0
        try:
            self._wrist.saw_imu([q.x, q.y, q.z, q.w], time.monotonic(), known=known)
        except WristError as error:
            self._complain(f"{error}: not used")

    def _complain(self, text: str) -> None:
        self.get_logger().error(text, throttle_duration_sec=_QUIET_S)

    def _on_servo_status(self, message: Any) -> None:
        self._servo_finding = check_servo(int(message.code))

    # --- looking around, in the executor's thread -------------------------------------------------

    def _look(self) -> None:
        """What is wrong around the arm keeps it from moving until it is mended."""
        now_s = time.monotonic()
        frame, at_s = self._stray
        lately = frame if now_s - at_s < _QUIET_S else ""
        found = self._graph.look(dict(self._frames), lately, now_s)
        if self._profile.command is CommandKind.POSE and not self._drive.moving:
            self._tool = self._compare_tool(now_s)
        found += [each for each in (self._tool, self._servo_finding) if each is not None]
        self._drive.forbid(refusal(found))
        self._log(found)
        self._looks += 1
        if self._looks % _LOOKS_PER_DIAGNOSTIC == 0:
            values = {"wrist": "known" if self._palm(now_s) is not None else "not known"}
            if self._robot is not None and self._robot.message is not None:
                values |= io.robot_values(self._robot.message)
            stamp = self.get_clock().now().to_msg()
            told = io.diagnostics(self._fault or "", found, values, stamp)
            self._diagnostics_publisher.publish(told)

    def _compare_tool(self, now_s: float) -> Finding | None:
        pose, q_rad = self._drive.told(now_s)
        if pose is None or q_rad is None:
            return None
        return check_tool(pose, self._drive.chain, q_rad)

    def _log(self, found: list[Finding]) -> None:
        """Say what is new and stays; others are discovered one after another."""
        steady = [each for each in found if each in self._findings]
        self._findings = found
        for each in steady:
            if each not in self._logged and each.level in (Level.WARNING, Level.ERROR):
                text = f"{each.what}: {each.found}; {each.cure}"
                if each.level is Level.ERROR:  # rclpy allows one severity for each line of code
                    self.get_logger().error(text)
                else:
                    self.get_logger().warning(text)
        self._logged = [each for each in self._logged if each in found]
        self._logged += [each for each in steady if each not in self._logged]

    # --- the loop ---------------------------------------------------------------------------------

    def _tick(self, tick: Tick) -> None:
        now_s = time.monotonic()
        if self._robot is not None and tick.number % _TICKS_PER_ROBOT_STATE == 0:
            self._see_robot(self._robot, now_s)
        if self._poses.fetch() and self._poses.message is not None:
            self._see_pose(self._poses.message, now_s)
        if self._joints.fetch() and self._joints.message is not None:
            self._see_joints(self._joints.message, now_s)
        if self._targets.fetch() and self._targets.message is not None:
            self._see_target(self._targets.message, now_s)
        # after the target: one that was told before the grip was let go is not followed
        if self._operator.fetch() and self._operator.message is not None:
            self._drive.operator(engaged=self._operator.message.engaged)
        told = self._drive.tick(now_s)
        self._measured = told.measured
        stamp, frame = self.get_clock().now().to_msg(), self._profile.base_frame
        if told.pose is not None:
            self._command_publisher.publish(pose_stamped(told.pose, frame, stamp))
        if told.points:
            self._command_publisher.publish(io.trajectory(told.points))
        if told.commanded is not None:
            self._commanded_publisher.publish(pose_stamped(told.commanded, frame, stamp))
        if told.measured is not None:
            self._measured_publisher.publish(pose_stamped(told.measured, frame, stamp))
        palm = self._palm(now_s)
        if palm is not None:
            self._wrist_publisher.publish(io.wrist(palm, stamp))
        if told.fault != self._fault:
            self._fault = told.fault
            self._fault_publisher.publish(String(data=told.fault))
            if told.fault:
                self.get_logger().warning(told.fault)

    def _see_target(self, message: PoseStamped, now_s: float) -> None:
        frame = message.header.frame_id
        if frame != self._profile.base_frame:
            self._stray = (frame or "no frame", now_s)
            return
        try:
            self._drive.target(pose_told(message), now_s)
        except ValueError as error:
            self._complain(f"arm/target_pose: {error}")

    def _see_pose(self, message: PoseStamped, now_s: float) -> None:
        topic, frame = self._profile.state.pose_topic, message.header.frame_id
        self._frames[topic] = frame
        if frame != self._profile.base_frame:
            self._complain(
                f"{topic} is in {frame!r}, not in {self._profile.base_frame!r}: not used"
            )
            return
        try:
            self._drive.saw_pose(pose_told(message), now_s)
        except ValueError as error:
            self._complain(f"{topic}: {error}")

    def _see_joints(self, message: JointState, now_s: float) -> None:
        q_rad = io.arm_joints(message)
        if q_rad is not None:
            self._drive.saw_joints(q_rad, now_s)

    def _see_robot(self, robot: NewestOf, now_s: float) -> None:
        if robot.fetch() and robot.message is not None:
            errors = io.robot_errors(robot.message.current_errors)
            self._drive.saw_robot(int(robot.message.robot_mode), errors, now_s)

    def _palm(self, now_s: float) -> Rotation | None:
        measured = self._measured
        return self._wrist.palm(measured.rotation if measured is not None else None, now_s)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until a signal."""
    return run_node(ArmBridge, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
