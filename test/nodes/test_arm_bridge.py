# SPDX-License-Identifier: Apache-2.0
"""The node in its own process, with the virtual arm and with an arm of poses."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from geometry_msgs.msg import PoseStamped, QuaternionStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.nodes._qos import LATCHED
from dexndm_ros.nodes._quest_output import pose_stamped, pose_told
from dexndm_ros.sim.virtual_arm import VirtualArm
from dexndm_ros.sim.worlds import ObjectConfig, World
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES, BASE_FRAME
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.trajectory import JointPoint
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
        assert tuple(message.joint_names) == ARM_JOINT_NAMES
        points = [
            JointPoint(
                np.array(point.positions),
                np.array(point.velocities),
                point.time_from_start.sec + point.time_from_start.nanosec * 1e-9,
            )
            for point in message.points
        ]
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
        graph.node.destroy_timer(wrong)
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
    from dexndm_ros.nodes._qos import control_subscriber

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


def test_an_unknown_profile_is_refused_with_the_shipped_ones(tmp_path) -> None:
    with NodeProcess(node_spec("arm_bridge", profile="kuka"), tmp_path) as node:
        assert node.wait() == 2
        assert "crisp, fzi" in node.log
