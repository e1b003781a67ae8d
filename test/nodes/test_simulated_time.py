# SPDX-License-Identifier: Apache-2.0
"""A virtual hand that lives faster than the wall, and the driver with use_sim_time on it."""

import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandHealth, HandState, RotationProgress
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dexndm_ros.nodes._qos import control_subscriber
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros

SPEED = 5.0


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


def seconds(stamp):
    return stamp.sec + 1e-9 * stamp.nanosec


def test_all_stamps_follow_clock(graph, tmp_path):
    world, link = tmp_path / "empty.yaml", tmp_path / "port"
    world.write_text("object: {kind: none}\n")
    clock = graph.listen(Clock, "/clock", control_subscriber())
    states = graph.listen(HandState, "hand/state", 2000)
    joints = graph.listen(JointState, "joint_states")
    health = graph.listen(HandHealth, "hand/health")
    progress = graph.listen(RotationProgress, "rotation/progress")
    hand = node_spec(
        "virtual_leap_hand", link=str(link), world=str(world), speed=SPEED, use_sim_time=True
    )
    driver = node_spec(
        "leap_hand_driver",
        port=str(link),
        port_wait_s=30.0,
        use_sim_time=True,
        lost_s=2.0,
        bus_watchdog_s=2.0,
        command_period_s=0.05 / SPEED,
        health_hz=SPEED,
    )
    with NodeProcess(hand, tmp_path / "hand"), NodeProcess(driver, tmp_path / "driver") as process:

        def ahead(inbox):
            """Ahead of the wall: no other clock is."""
            assert not process.ended(), process.log
            return len(inbox) and seconds(inbox.last.header.stamp) > time.time() + 10.0

        for inbox in (states, joints, progress, health):
            graph.until(lambda inbox=inbox: ahead(inbox), "a stamp in simulated time")
        told_s = seconds(clock.last.clock)
        assert told_s > time.time() + 10.0
        graph.until(lambda: seconds(states.last.header.stamp) > told_s, "a state after the clock's")
        begin = len(states)
        graph.until(lambda: len(states) >= begin + 100, "a hundred states")
    stamps = [seconds(s.header.stamp) for s in states.messages[begin:]]
    assert stamps == sorted(stamps)
    # Between the clock's messages too: the driver reads faster than they come.
    assert len(set(stamps)) == len(stamps)
    # Never further ahead than a silence of the clock is bridged (0.23 s of the wall's).
    assert stamps[0] > seconds(clock.messages[0].clock)
    assert stamps[-1] < seconds(clock.last.clock) + 0.25 * SPEED
