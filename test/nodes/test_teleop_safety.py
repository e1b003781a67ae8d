# SPDX-License-Identifier: Apache-2.0
"""The real bridges, killed and stopped in mid-motion: the arm stays, the fingers stop, and nothing catches up."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandCommand, HandState, PolicyStep, TeleopStatus
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import String

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.nodes._qos import LATCHED, control_publisher, control_subscriber
from dexndm_ros.nodes._quest_output import pose_stamped, pose_told
from dexndm_ros.teleop.fr3 import BASE_FRAME
from dexndm_ros.teleop.pose import Pose
from support.live_operator import LiveOperator
from support.ros import Graph, NodeProcess, node_spec
from support.tiny_policy import write_tiny_policy

pytestmark = pytest.mark.ros

START = Pose.of([0.5, 0.0, 0.4], [1, 0, 0, 0])
# A busy machine keeps a process from running for longer than a headset or an arm is ever silent.
QUEST = {"source": "oculus_reader", "stale_s": 0.5, "arm_stale_s": 1.0}
PROFILE = """\
command: pose
command_topic: target_pose
target_stale_s: 0.5
state: {pose_topic: pose, joints_topic: no_joints, robot_topic: '', stale_s: 0.5}
"""
STEP_M = 0.01
"""Four periods at the limit: farther apart, two commands that follow one another were a jump."""


@pytest.fixture
def graph():
    with Graph() as made:
        yield made


@pytest.fixture
def operator(tmp_path):
    with LiveOperator(tmp_path / "headset") as made:
        yield made


class Arm:
    """Goes where it is told at once, and tells where it is a hundred times a second."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.pose, self.ticks = graph, START, 0
        self.heights: list[float] = []
        self.faults = graph.listen(String, "arm/fault", LATCHED)
        self.words = graph.listen(TeleopStatus, "teleop/status")
        self._publisher = graph.publisher(PoseStamped, "pose", control_subscriber())
        graph.node.create_subscription(PoseStamped, "target_pose", self._follow, 10)
        graph.node.create_timer(0.01, self._tell)

    def _follow(self, message: PoseStamped) -> None:
        self.pose = pose_told(message)
        self.heights.append(message.pose.position.z)

    def _tell(self) -> None:
        self.ticks += 1
        stamp = self.graph.node.get_clock().now().to_msg()
        self._publisher.publish(pose_stamped(self.pose, BASE_FRAME, stamp))

    def until_it_rests(self) -> float:
        """Wait until no command has come for half a second; the height then."""
        count, since = -1, 0

        def resting() -> bool:
            nonlocal count, since
            if len(self.heights) != count:
                count, since = len(self.heights), self.ticks
            return self.ticks > since + 50

        self.graph.until(resting, "the commands to end")
        return self.pose.position_m[2]

    def stays(self, statuses: int = 20) -> None:
        """Nothing is commanded while the operator's side tells so many times how it stands."""
        told, count = len(self.words), len(self.heights)
        self.graph.until(lambda: len(self.words) >= told + statuses, "two seconds")
        assert len(self.heights) == count, self.words.last.reason
        assert not self.words.last.engaged


def press_anew(arm: Arm, operator: LiveOperator) -> None:
    """Release the grip and press it, again where a busy machine was in the way, until the arm moves."""
    graph, count = arm.graph, len(arm.heights)

    def moves() -> bool:
        return len(arm.heights) > count + 10

    for _ in range(10):
        operator.squeeze = 0.0
        told = len(arm.words)
        graph.until(
            lambda told=told: any("hold the right grip" in word.reason for word in arm.words.messages[told:]),
            "the bridge to be ready",
        )  # fmt: skip
        operator.squeeze, operator.up_m = 1.0, operator.up_m + 0.05
        since = arm.ticks
        graph.until(lambda since=since: moves() or arm.ticks > since + 150, "time to pass")
        if moves():
            return
    raise AssertionError(f"it does not move: {arm.words.last.reason}; {arm.faults.last.data}")


def no_jump(arm: Arm) -> None:
    """Commands that followed one another were near one another, whatever was between them."""
    steps = np.abs(np.diff([START.position_m[2], *arm.heights]))
    assert steps.max() < STEP_M, steps.max()


@pytest.fixture
def arm_bridge(tmp_path):
    profile = tmp_path / "own.yaml"
    profile.write_text(PROFILE)
    with NodeProcess(node_spec("arm_bridge", profile=str(profile)), tmp_path / "arm") as process:
        yield process


def quest_bridge(operator: LiveOperator, folder) -> NodeProcess:
    return NodeProcess(node_spec("quest_bridge", adb=str(operator.adb), **QUEST), folder)


def test_a_killed_quest_bridge_leaves_the_arm_where_it_is(
    graph, operator, arm_bridge, tmp_path
) -> None:
    arm = Arm(graph)
    with quest_bridge(operator, tmp_path / "first") as first:
        press_anew(arm, operator)
        first.signal(signal.SIGKILL)
        graph.until(lambda: "stopped coming" in arm.faults.last.data, "words of it")
        here = arm.until_it_rests()
        operator.up_m += 0.1  # the hand goes on, with the grip held
    with quest_bridge(operator, tmp_path / "second"):
        graph.until(lambda: "press it again" in arm.words.last.reason, "the second to say why not")
        arm.stays()
        assert arm.pose.position_m[2] == here
        press_anew(arm, operator)
        no_jump(arm)


def test_a_quest_bridge_that_stood_still_does_not_catch_up(
    graph, operator, arm_bridge, tmp_path
) -> None:
    arm = Arm(graph)
    with quest_bridge(operator, tmp_path / "quest") as quest:
        press_anew(arm, operator)
        quest.signal(signal.SIGSTOP)
        operator.up_m += 0.1
        here = arm.until_it_rests()
        assert "stopped coming" in arm.faults.last.data
        quest.signal(signal.SIGCONT)
        arm.stays()
        assert arm.pose.position_m[2] == here
        press_anew(arm, operator)
        no_jump(arm)


def test_an_arm_bridge_that_stood_still_does_not_catch_up(
    graph, operator, arm_bridge, tmp_path
) -> None:
    arm = Arm(graph)
    with quest_bridge(operator, tmp_path / "quest"):
        press_anew(arm, operator)
        arm_bridge.signal(signal.SIGSTOP)
        here = arm.until_it_rests()
        arm_bridge.signal(signal.SIGCONT)
        arm.stays()
        assert arm.pose.position_m[2] == here
        press_anew(arm, operator)
        no_jump(arm)


class Hand:
    """Follows commands at once and tells its state at 100 Hz."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.q = graph, CANONICAL_POSE_RAD
        self.mode, self.seq = HandState.MODE_HOLDING, 0
        self.steps = graph.listen(PolicyStep, "policy/step", 200)
        self._publisher = graph.publisher(HandState, "hand/state", control_publisher(100.0))
        graph.node.create_subscription(
            HandCommand, "hand/command", self._follow, control_subscriber()
        )
        graph.node.create_timer(0.01, self._tell)

    def _follow(self, command: HandCommand) -> None:
        self.mode, self.q = HandState.MODE_ACTIVE, command.position

    def _tell(self) -> None:
        self.seq += 1
        message = HandState(seq=self.seq, position=list(self.q), mode=self.mode)
        message.header.stamp = self.graph.node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def until_turns(self) -> None:
        begin = len(self.steps)
        self.graph.until(
            lambda: any(step.axis.z for step in self.steps.messages[begin:]), "the fingers to turn"
        )

    def until_held(self) -> None:
        """Wait for ten ticks one after another that hold."""
        self.graph.until(
            lambda: all(step.stopped for step in self.steps.messages[-10:]), "the fingers to stop"
        )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_the_fingers_stop_when_quest_bridge_does(graph, operator, tmp_path, end) -> None:
    hand = Hand(graph)
    words = graph.listen(TeleopStatus, "teleop/status")
    policy = {
        "policy": str(write_tiny_policy(tmp_path / "policy.onnx")),
        "axis": "stop",
        "command_lease_s": 1.0,
        "stale_s": 0.5,
        **{"open_s": 0.1, "place_s": 0.05, "close_s": 0.1, "settle_s": 0.2},
    }
    spec = node_spec("rotation_policy", **policy)
    with (
        NodeProcess(spec, tmp_path / "policy") as process,
        quest_bridge(operator, tmp_path / "quest") as quest,
    ):
        graph.until(lambda: len(words) and words.last.reason, "the bridge")
        operator.buttons = ()
        graph.until(lambda: "arm's pose" in words.last.reason, "the headset to be heard")
        operator.buttons = ("X",)
        hand.until_turns()
        quest.signal(end)
        hand.until_held()
        graph.until(lambda: "not told again for over 1 s" in process.log, "the reason")
        if end == signal.SIGKILL:
            return
        quest.signal(signal.SIGCONT)
        told = len(words)
        graph.until(lambda: len(words) > told + 20, "two seconds, X held")
        hand.until_held()
        operator.buttons = ()
        told = len(words)
        graph.until(lambda: len(words) > told + 5, "X to be let go")
        operator.buttons = ("X",)
        hand.until_turns()


def test_an_arm_bridge_beside_another_publisher_does_not_move(
    graph, operator, arm_bridge, tmp_path
) -> None:
    arm = Arm(graph)
    with quest_bridge(operator, tmp_path / "quest"):
        press_anew(arm, operator)
        with Graph("somebody_else") as other:
            other.publisher(PoseStamped, "target_pose")
            graph.until(lambda: "somebody_else" in arm.faults.last.data, "the finding")
            assert "stop the other node" in arm.faults.last.data
            arm.until_it_rests()
            arm.stays()
        graph.until(lambda: "somebody_else" not in arm.faults.last.data, "its end")
        arm.stays()
        press_anew(arm, operator)
