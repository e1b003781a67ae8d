# SPDX-License-Identifier: Apache-2.0
"""The virtual hand's node in its own process: what only a simulation knows, and its services."""

import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import RotationProgress
from dexndm_msgs.srv import InjectFault
from geometry_msgs.msg import PoseStamped, QuaternionStamped
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.nodes._qos import LATCHED, control_subscriber
from dexndm_ros.policy.wrist import WRISTS
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture(scope="module")
def hand(graph, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hand")
    world = folder / "up.yaml"
    world.write_text("wrist: palm_up\n")
    link = folder / "deep" / "port"
    progress = graph.listen(RotationProgress, "rotation/progress")
    spec = node_spec("virtual_leap_hand", link=str(link), world=str(world), wrist="palm_down")
    with NodeProcess(spec, folder) as process:
        graph.until(lambda: len(progress) or process.ended(), "the virtual hand")
        assert not process.ended(), process.log
        yield link


def test_its_port_carries_sixteen_motors(hand):
    with DynamixelBus(BusConfig(str(hand), reply_timeout_s=0.2, gap_s=0.1)) as bus:
        assert sorted(bus.ping_all()) == list(range(16))


def test_it_tells_the_wrist_to_late_listeners_and_the_parameter_wins_over_the_world(graph, hand):
    wrist = graph.listen(QuaternionStamped, "wrist/orientation", LATCHED)
    graph.until(lambda: len(wrist), "the wrist")
    q = wrist.last.quaternion
    assert [q.x, q.y, q.z, q.w] == pytest.approx(WRISTS["palm_down"])


def test_it_tells_where_the_object_is_and_how_far_it_turned(graph, hand):
    poses = graph.listen(PoseStamped, "sim/object")
    progress = graph.listen(RotationProgress, "rotation/progress")
    graph.until(lambda: len(poses) and len(progress), "object and progress")
    pose = poses.last.pose
    q = pose.orientation
    assert poses.last.header.frame_id == "palm"
    assert np.linalg.norm([q.x, q.y, q.z, q.w]) == pytest.approx(1.0)
    assert abs(pose.position.x) < 1.0
    assert progress.last.episode == 0
    assert not progress.last.fallen


def test_faults_are_injected_by_service_and_wrong_ones_refused_in_words(graph, hand):
    def inject(**fields):
        return graph.call(InjectFault, "sim/inject_fault", InjectFault.Request(**fields))

    refused = inject(fault="hiccup", motor=-1)
    assert not refused.success
    assert "known: lost_reply" in refused.message
    assert not inject(fault="overload", motor=16).success
    assert inject(fault="silent_motor", motor=3).success
    with DynamixelBus(BusConfig(str(hand), reply_timeout_s=0.2, gap_s=0.1)) as bus:
        assert 3 not in bus.ping_all()
        assert inject(fault="clear", motor=-1).success
        assert 3 in bus.ping_all()


def test_it_tells_the_time(graph, hand):
    before_s = time.time()
    clock = graph.listen(Clock, "/clock", control_subscriber())
    graph.until(lambda: len(clock) >= 20, "/clock")
    told_s = [m.clock.sec + 1e-9 * m.clock.nanosec for m in clock.messages]
    assert told_s == sorted(told_s)
    # At the wall's own pace, simulated time is the wall's, less what the physics could not keep up with.
    assert abs(told_s[0] - before_s) < 60.0


def test_a_fast_hand_tells_a_fast_time(graph, tmp_path):
    world = tmp_path / "empty.yaml"
    world.write_text("object: {kind: none}\n")
    started_ns = time.time_ns()
    spec = node_spec("virtual_leap_hand", world=str(world), speed=8.0, use_sim_time=True)
    progress = graph.listen(RotationProgress, "rotation/progress")
    clock = graph.listen(Clock, "/clock", control_subscriber())
    with NodeProcess(spec, tmp_path) as process:

        def ahead_s():
            assert not process.ended(), process.log
            stamps = [s for s in map(seconds, clock.messages) if s > started_ns * 1e-9]
            return bool(stamps) and stamps[-1] - time.time()

        # It is ahead of the wall, and so are its stamps; how soon, the machine's load decides.
        graph.until(lambda: ahead_s() > 5.0, "simulated time to run ahead")
        graph.until(
            lambda: any(m.header.stamp.sec > time.time() + 2.0 for m in progress.messages),
            "stamps in simulated time",
        )


def seconds(message):
    return message.clock.sec + 1e-9 * message.clock.nanosec


def test_reset_is_a_service(graph, hand):
    assert graph.call(Trigger, "sim/reset").success


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"world": "atlantis"}, "atlantis"),
        ({"axis": "sideways"}, "sideways"),
        ({"axis": "0,0,2"}, "length 2"),
        ({"link": "/proc/port"}, "/proc/port"),
        ({"speed": 0.0}, "speed is 0.0; allowed: 0.01 to 100"),
    ],
)
def test_what_cannot_be_started_ends_with_one_sentence(tmp_path, parameters, words):
    with NodeProcess(node_spec("virtual_leap_hand", **parameters), tmp_path) as process:
        assert process.wait() == 1
    assert words in process.log
    assert "FATAL" in process.log
    assert "Traceback" not in process.log


def test_an_unknown_key_in_a_world_is_named(tmp_path):
    world = tmp_path / "typo.yaml"
    world.write_text("objekt: {kind: none}\n")
    with NodeProcess(node_spec("virtual_leap_hand", world=str(world)), tmp_path) as process:
        assert process.wait() == 1
    assert "unknown key 'objekt'" in process.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_takes_the_link_away(graph, tmp_path, number):
    world = tmp_path / "empty.yaml"
    world.write_text("object: {kind: none}\n")
    link = tmp_path / "port"
    spec = node_spec("virtual_leap_hand", link=str(link), world=str(world))
    with NodeProcess(spec, tmp_path) as process:
        graph.until(lambda: link.exists() or process.ended(), "the port")
        assert process.stop(number) == 0
    assert not link.is_symlink()
    assert "Traceback" not in process.log
