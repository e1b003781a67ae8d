# SPDX-License-Identifier: Apache-2.0
"""The virtual arm's node in its own process: the topics of an arm, and those of the hand that it carries."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import RotationProgress
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.nodes._joint_points import joint_points
from dexndm_ros.sim.worlds import GRASP_CENTRE_M
from dexndm_ros.teleop.bulb import READY_RAD, STAND_AWAY_M
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros
READY = np.array(READY_RAD)


@pytest.fixture(scope="module")
def graph():
    with Graph() as made:
        yield made


@pytest.fixture(scope="module")
def arm(graph, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arm")
    progress = graph.listen(RotationProgress, "rotation/progress")
    with NodeProcess(node_spec("virtual_arm", link=str(folder / "port")), folder) as process:
        graph.until(lambda: len(progress) or process.ended(), "the virtual arm")
        assert not process.ended(), process.log
        yield process
        assert process.stop(signal.SIGINT) == 0
        assert not (folder / "port").exists()


def order(q_rad, seconds=1.0, names=ARM_JOINT_NAMES) -> JointTrajectory:
    point = JointTrajectoryPoint(positions=list(map(float, q_rad)), velocities=[0.0] * 7)
    point.time_from_start.sec = int(seconds)
    point.time_from_start.nanosec = round((seconds % 1.0) * 1e9)
    return JointTrajectory(joint_names=list(names), points=[point])


def test_it_stands_over_the_object_and_goes_where_a_trajectory_leads(graph, arm) -> None:
    states = graph.listen(JointState, "virtual_arm/joint_states")
    tell = graph.publisher(JointTrajectory, "virtual_arm/joint_trajectory", 1)
    assert list(states.last.name) == list(ARM_JOINT_NAMES)
    np.testing.assert_allclose(states.last.position, READY, atol=2e-3)
    objects = graph.listen(PoseStamped, "sim/object")
    p = objects.last.pose.position
    # the palm looks down with its fingers forward: its axes are the base frame's
    np.testing.assert_allclose([p.x, p.y, p.z], GRASP_CENTRE_M + STAND_AWAY_M, atol=0.01)

    wrong = order(READY, names=("elbow", *ARM_JOINT_NAMES[1:]))
    again = graph.node.create_timer(0.1, lambda: tell.publish(wrong))
    graph.until(lambda: "'elbow'" in arm.log, "a word about the stranger")
    graph.node.destroy_timer(again)
    goal = READY + np.array([0.1, 0.0, 0.0, 0.05, 0.0, 0.0, -0.1])
    backwards = order(goal[::-1], names=ARM_JOINT_NAMES[::-1])
    tell.publish(backwards)  # joints are known by their names
    graph.until(lambda: np.abs(np.array(states.last.position) - goal).max() < 5e-3, "the goal")
    graph.until(
        lambda: abs(objects.last.pose.position.x - (GRASP_CENTRE_M + STAND_AWAY_M)[0]) > 0.02,
        "the object, which stayed, seen from the palm, which did not",
    )


def test_the_hand_on_it_has_its_serial_port(arm) -> None:
    link = str(arm.spec.parameters["link"])
    with DynamixelBus(BusConfig(link, reply_timeout_s=0.2, gap_s=0.1)) as bus:
        assert sorted(bus.ping_all()) == list(range(16))


def test_the_wrist_is_told_by_whoever_knows_the_arm(graph, arm) -> None:
    assert not graph.node.get_publishers_info_by_topic("/wrist/orientation")


def test_after_a_reflex_it_listens_again_when_a_person_says_so(graph, arm) -> None:
    states = graph.listen(JointState, "virtual_arm/joint_states")
    tell = graph.publisher(JointTrajectory, "virtual_arm/joint_trajectory", 1)
    wrong = order(READY, names=("stranger", *ARM_JOINT_NAMES[1:]))
    again = graph.node.create_timer(0.1, lambda: tell.publish(wrong))
    graph.until(lambda: "stranger" in arm.log, "its ear")  # it hears this publisher
    graph.node.destroy_timer(again)
    standing = np.array(states.last.position)
    tell.publish(order(standing + 1.0, seconds=0.05))
    graph.until(lambda: "virtual_arm/recover" in arm.log, "the reflex, and what mends it")
    assert graph.call(Trigger, "virtual_arm/recover").success
    goal = np.array(states.last.position) + 0.02
    tell.publish(order(goal))
    graph.until(lambda: np.abs(np.array(states.last.position) - goal).max() < 5e-3, "the goal")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.joint_names.pop(),
        lambda m: setattr(m.points[0], "velocities", []),
        lambda m: setattr(m.points[0], "positions", [float("nan")] * 7),
    ],
)
def test_what_is_no_trajectory_is_refused(change) -> None:
    message = order(READY)
    change(message)
    with pytest.raises(ValueError):
        joint_points(message)
