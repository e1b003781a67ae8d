# SPDX-License-Identifier: Apache-2.0
"""The node in its own process, with the virtual arm and with an arm of poses."""

from __future__ import annotations

import dataclasses
import importlib.util
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import ControllerState
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, QuaternionStamped
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.nodes._arm_io import robot_errors, robot_values
from dexndm_ros.nodes._joint_points import joint_points
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.nodes._quest_output import pose_stamped, pose_told
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES, BASE_FRAME
from dexndm_ros.teleop.pose import Pose
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros


@pytest.fixture
def graph():
    with Graph() as made:
        yield made


class ArmOnTopics:
    """The virtual arm behind a joint trajectory controller's topics."""

    def __init__(self, graph: Graph) -> None:
        self.arm = VirtualArm(dataclasses.replace(World(), object=ObjectConfig(kind="none")))
        self.lock = threading.Lock()
        self.told = 0
        self._publisher = graph.publisher(JointState, "virtual_arm/joint_states")
        graph.node.create_subscription(
            JointTrajectory, "virtual_arm/joint_trajectory", self._follow, 1
        )
        self._timer = graph.node.create_timer(0.01, self._step)

    def _follow(self, message: JointTrajectory) -> None:
        points = joint_points(message)
        with self.lock:
            self.told += 1
            self.arm.follow(points)

    def _step(self) -> None:
        with self.lock:
            for _ in range(2):
                self.arm.step()
            q = self.arm.q_rad.tolist()
        # in another order, with a stranger: joints are known by their names
        names = ["gripper", *reversed(ARM_JOINT_NAMES)]
        self._publisher.publish(JointState(name=names, position=[0.0, *reversed(q)]))

    @property
    def palm(self) -> Pose:
        with self.lock:
            return self.arm.palm


class Hold:
    """An operator who holds the grip, and after a fault (a busy machine has them) lets it go first."""

    def __init__(self, graph: Graph, goal: Pose) -> None:
        self._graph, self._goal = graph, goal
        self._faults = graph.listen(String, "arm/fault", LATCHED)
        self._publisher = graph.publisher(PoseStamped, "arm/target_pose", 1)
        self._let_go_until_s = 0.0
        self.timer = graph.node.create_timer(0.01, self._operate)

    def _operate(self) -> None:
        messages = self._faults.messages
        if not messages or messages[-1].data:
            self._let_go_until_s = time.monotonic() + 0.3
        if time.monotonic() > self._let_go_until_s:
            stamp = self._graph.node.get_clock().now().to_msg()
            self._publisher.publish(pose_stamped(self._goal, BASE_FRAME, stamp))


def test_the_virtual_arm_goes_where_the_operator_wants_it(graph, tmp_path) -> None:
    arm = ArmOnTopics(graph)
    measured = graph.listen(PoseStamped, "arm/measured_pose")
    commanded = graph.listen(PoseStamped, "arm/commanded_pose")
    wrists = graph.listen(QuaternionStamped, "wrist/orientation")
    faults = graph.listen(String, "arm/fault", LATCHED)
    target = graph.publisher(PoseStamped, "arm/target_pose", 1)
    start = arm.palm
    goal = Pose(start.position_m + np.array([0.0, 0.06, 0.03]), start.rotation)
    with NodeProcess(node_spec("arm_bridge", profile="virtual"), tmp_path) as node:
        graph.until(lambda: len(measured) and faults.last.data == "", "the arm to be known")
        assert measured.last.header.frame_id == BASE_FRAME
        far, _ = start.offset(pose_told(measured.last))
        assert np.linalg.norm(far) < 1e-3
        assert arm.told == 0, "it moved without a target"

        stray = pose_stamped(goal, "world", graph.node.get_clock().now().to_msg())
        wrong = graph.node.create_timer(0.01, lambda: target.publish(stray))
        count = len(measured)
        graph.until(lambda: len(measured) > count + 30, "time to pass")
        graph.until(lambda: "come in world" in faults.last.data, "words of it")
        graph.node.destroy_timer(wrong)
        graph.node.destroy_publisher(target)
        assert arm.told == 0, "it followed a target of another frame"

        right = Hold(graph, goal).timer
        graph.until(
            lambda: (
                np.linalg.norm(goal.offset(arm.palm)[0]) < 2e-3
                and np.linalg.norm(goal.offset(pose_told(commanded.last))[0]) < 2e-3
            ),
            "the arm at its target, as it was told",
        )
        graph.node.destroy_timer(right)
        x = wrists.last.quaternion
        np.testing.assert_allclose(np.abs(np.dot([x.x, x.y, x.z, x.w], start.xyzw)), 1.0, atol=1e-3)
        before = -1

        def quiet() -> bool:
            nonlocal before
            same, before = arm.told == before, arm.told
            return same

        graph.until(quiet, "the commands to end with the targets")
        assert node.stop(signal.SIGINT) == 0


def test_a_pose_controller_hears_limited_poses_from_a_best_effort_arm(graph, tmp_path) -> None:
    start = Pose(np.array([0.5, 0.0, 0.4]), Pose.of([0, 0, 0], [1, 0, 0, 0]).rotation)
    profile = tmp_path / "own.yaml"
    profile.write_text(
        "command: pose\ncommand_topic: target_pose\nstate: {pose_topic: pose, robot_topic: ''}\n"
    )
    poses = graph.listen(PoseStamped, "target_pose")
    measured = graph.listen(PoseStamped, "arm/measured_pose")
    tell = graph.publisher(PoseStamped, "pose", control_subscriber())
    now = graph.node.get_clock().now
    here = [start]
    graph.node.create_timer(
        0.01, lambda: tell.publish(pose_stamped(here[0], BASE_FRAME, now().to_msg()))
    )
    with NodeProcess(node_spec("arm_bridge", profile=str(profile)), tmp_path):
        graph.until(lambda: len(measured), "the measured pose")
        far = Pose(start.position_m + np.array([0.0, 0.5, 0.0]), start.rotation)
        Hold(graph, far)
        graph.until(lambda: len(poses) > 100, "limited poses")
        y = np.array([message.pose.position.y for message in poses.messages[:100]])
        assert (np.diff(y) <= 0.25 * 0.01 + 1e-9).all()
        # the arm does not move: the leash holds the target back
        assert y.max() <= 0.08 + 1e-4
        assert {message.header.frame_id for message in poses.messages} == {BASE_FRAME}


ALONE = (
    "command: pose\ncommand_topic: target_pose\n"
    "state: {pose_topic: pose, joints_topic: no_joints, robot_topic: ''}\n"
)


def test_an_imu_screwed_on_tells_the_wrist_while_it_tells_anything(graph, tmp_path) -> None:
    """Upside down in the palm, on a palm that looks up: the IMU stands upright."""
    profile = tmp_path / "own.yaml"
    profile.write_text(ALONE)
    imu = graph.publisher(Imu, "imu/data", control_subscriber())
    wrists = graph.listen(QuaternionStamped, "wrist/orientation")
    told = graph.listen(DiagnosticArray, "/diagnostics")
    message = Imu()
    message.orientation.w = 1.0
    timer = graph.node.create_timer(0.01, lambda: imu.publish(message))
    parameters = {
        "profile": str(profile),
        "wrist.source": "imu",
        "wrist.imu_mount": "1,0,0,0",
        "wrist.imu_stale_s": 0.5,
    }
    with NodeProcess(node_spec("arm_bridge", **parameters), tmp_path) as node:
        q = wrists.last.quaternion
        assert (abs(q.x), q.y, q.z, abs(q.w)) == pytest.approx((1, 0, 0, 0), abs=1e-6)
        assert wrists.last.header.frame_id == "world"
        graph.node.destroy_timer(timer)
        graph.until(lambda: values(told.last)["wrist"] == "not known", "its silence to be told")
        count = len(wrists)
        message.orientation_covariance[0] = -1.0
        graph.node.create_timer(0.01, lambda: imu.publish(message))
        graph.until(lambda: "tells no orientation" in node.log, "a word of it")
        assert len(wrists) == count


def finding(message: DiagnosticArray, what: str) -> DiagnosticStatus | None:
    return next((each for each in message.status if each.name == f"arm_bridge: {what}"), None)


def values(message: DiagnosticArray) -> dict[str, str]:
    return {value.key: value.value for value in message.status[0].values}


def test_a_hand_that_stands_still_needs_no_arm_and_findings_come_with_their_cure(
    graph, tmp_path
) -> None:
    profile = tmp_path / "own.yaml"
    profile.write_text(ALONE)
    wrists = graph.listen(QuaternionStamped, "wrist/orientation")
    told = graph.listen(DiagnosticArray, "/diagnostics")
    tell = graph.publisher(PoseStamped, "pose", control_subscriber())
    stray = PoseStamped()
    stray.header.frame_id = "world"
    stray.pose.orientation.w = 1.0
    graph.node.create_timer(0.05, lambda: tell.publish(stray))
    parameters = {"profile": str(profile), "wrist.source": "fixed", "wrist.fixed": "thumb_up"}
    with NodeProcess(node_spec("arm_bridge", **parameters), tmp_path):
        q = wrists.last.quaternion
        assert (q.x, q.w) == pytest.approx((0.5**0.5, 0.5**0.5))
        by_name = {each.name: each for each in told.last.status}
        assert "must not be moved" in by_name["arm_bridge: arm"].message
        graph.until(lambda: finding(told.last, "base frame"), "the frame to be found")
        assert finding(told.last, "base frame").message == "/pose is in world"
        deaf = by_name["arm_bridge: command topic /target_pose"]
        assert deaf.level == DiagnosticStatus.ERROR
        assert deaf.message == "nobody listens"
        assert "cure" in {value.key for value in deaf.values}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"wrist.source": "compass"}, "allowed: arm, imu, fixed, none"),
        ({"wrist.imu_mount": "1,1,0,0"}, "wrist.imu_mount"),
        ({"wrist.fixed": "sideways"}, "palm_up"),
        ({"wrist.source": "imu", "wrist.imu_stale_s": 0.0}, "imu_stale_s"),
    ],
)
def test_a_wrist_that_cannot_be_is_refused(tmp_path, parameters, words) -> None:
    with NodeProcess(node_spec("arm_bridge", profile="virtual", **parameters), tmp_path) as node:
        assert node.wait() == 2
        assert words in node.log


@pytest.mark.skipif(importlib.util.find_spec("franka_msgs") is not None, reason="it is here")
def test_without_the_robots_messages_it_says_what_to_install(tmp_path) -> None:
    with NodeProcess(node_spec("arm_bridge", profile="crisp"), tmp_path) as node:
        assert node.wait() == 2
        assert "install ros-jazzy-franka-msgs" in node.log
        assert 'robot_topic: ""' in node.log
        assert "Traceback" not in node.log


def test_a_robots_errors_are_named() -> None:
    # any message with fields that are true or false; franka_msgs is not on every machine
    errors = ControllerState(button_a=True, right_valid=True)
    state = SimpleNamespace(
        robot_mode=4, current_errors=errors, last_motion_errors=ControllerState()
    )
    assert sorted(robot_errors(errors)) == ["button_a", "right_valid"]
    told = robot_values(state)
    assert told["robot_mode"] == "REFLEX"
    assert "button_a" in told["current_errors"]
    assert told["last_motion_errors"] == ""


def test_an_unknown_profile_is_refused_with_the_shipped_ones(tmp_path) -> None:
    with NodeProcess(node_spec("arm_bridge", profile="kuka"), tmp_path) as node:
        assert node.wait() == 2
        assert "crisp, fzi" in node.log
