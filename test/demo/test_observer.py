# SPDX-License-Identifier: Apache-2.0
"""The observer on a real graph: every topic arrives as the plain value it stands for."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dexndm_msgs.msg import HandCommand, HandHealth, HandState, PolicyStep, RotationProgress
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from std_srvs.srv import Trigger

from dexndm_ros.demo.run import DemoRun
from dexndm_ros.nodes._qos import control_publisher
from dexndm_ros.nodes.demo_observer import DemoObserver
from support.ros import Graph, fill

pytestmark = pytest.mark.ros


class Memory:
    """A sink that keeps everything, by the name of the method called."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = {}

    def __getattr__(self, name: str):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *values: self.seen.setdefault(name, []).append(values)

    def last(self, name: str) -> tuple:
        return self.seen[name][-1]


def stamped(message: Any, seconds: int) -> Any:
    message.header.stamp.sec = seconds
    message.header.stamp.nanosec = 5
    return message


def heard(
    graph: Graph, memory: Memory, name: str, topic: str, message: Any, qos: Any = 10
) -> tuple:
    """Publish until the observer has it; discovery takes its time."""
    publisher = graph.publisher(type(message), topic, qos)

    def publish() -> bool:
        publisher.publish(message)
        return name in memory.seen

    graph.until(publish, f"{topic} to arrive")
    return memory.last(name)


def test_each_topic_becomes_its_plain_value() -> None:
    memory = Memory()
    with Graph() as graph, DemoObserver(memory):
        state = stamped(HandState(seq=7, command_seq=3, command_source="policy", mode=2), 11)
        state.position = [0.1 * k for k in range(16)]
        (seen,) = heard(graph, memory, "on_state", "hand/state", state, control_publisher(100))
        assert (seen.stamp_ns, seen.seq, seen.command_seq) == (11_000_000_005, 7, 3)
        assert seen.position_rad.tolist() == pytest.approx([0.1 * k for k in range(16)])

        before = time.time_ns()
        command = fill(HandCommand(), [0.0] * 16, 42, "policy")
        (seen,) = heard(graph, memory, "on_command", "hand/command", command, control_publisher(20))
        assert seen.seq == 42 and before < seen.received_ns < time.time_ns()

        step = stamped(PolicyStep(seq=42, observation_seq=7, inference_ms=1.5, missed_ticks=2), 12)
        step.axis.z = 1.0
        step.wrist.x = 1.0
        step.wrist.w = 0.0
        (seen,) = heard(graph, memory, "on_step", "policy/step", step)
        assert (seen.seq, seen.observation_seq, seen.missed_ticks, seen.running) == (42, 7, 2, True)
        assert seen.wrist_xyzw == (1.0, 0.0, 0.0, 0.0)

        progress = RotationProgress(angle=1.5, off_axis=0.2, time=3.0, fallen=True, episode=4)
        (seen,) = heard(graph, memory, "on_progress", "rotation/progress", stamped(progress, 13))
        assert (seen.angle_rad, seen.off_axis_rad, seen.time_s) == (1.5, 0.2, 3.0)
        assert seen.fallen and seen.episode == 4

        pose = stamped(PoseStamped(), 14)
        pose.pose.position.y = 0.5
        (seen,) = heard(graph, memory, "on_object", "sim/object", pose)
        assert seen.position_m == (0.0, 0.5, 0.0) and seen.xyzw == (0.0, 0.0, 0.0, 1.0)

        health = HandHealth(bus_hz=99.0, lost_reads=list(range(16)), fault="too hot")
        (seen,) = heard(graph, memory, "on_health", "hand/health", health)
        assert (seen.bus_hz, seen.lost_reads, seen.fault) == (99.0, 120, "too hot")

        status = DiagnosticStatus(name="driver", message="no port", level=DiagnosticStatus.ERROR)
        array = DiagnosticArray(status=[status])
        assert heard(graph, memory, "on_complaint", "/diagnostics", array) == ("driver", "no port")


@pytest.mark.parametrize("stopped, z", [(True, 1.0), (False, 0.0), (True, 0.0)])
def test_a_step_without_policy_is_told_apart(stopped, z) -> None:
    memory = Memory()
    with Graph() as graph, DemoObserver(memory):
        step = PolicyStep(stopped=stopped)
        step.axis.z = z
        (seen,) = heard(graph, memory, "on_step", "policy/step", step)
        assert not seen.running


def test_services_are_called_and_a_refusal_is_told() -> None:
    answers = iter([(True, "done"), (False, "not now")])

    def answer(_, response):
        response.success, response.message = next(answers)
        return response

    with Graph() as graph, DemoObserver(DemoRun(simulated=True)) as observer:
        graph.node.create_service(Trigger, "sim/reset", answer)
        assert observer.trigger("sim/reset") == ""
        assert observer.trigger("sim/reset") == "sim/reset: not now"


def test_it_can_be_entered_again_and_again() -> None:
    for _ in range(3):
        with DemoObserver(DemoRun(simulated=True)):
            pass
