# SPDX-License-Identifier: Apache-2.0
"""A real run, recorded: driver, rotation policy and recorder as processes, emulated servos on a pty."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dexndm_msgs.msg import EpisodeRecorded, HandCommand, HandState, PolicyStep, RotationCommand
from dexndm_msgs.srv import RecordEpisode
from geometry_msgs.msg import QuaternionStamped
from std_srvs.srv import Trigger

from dexndm_ros.nodes._qos import LATCHED, control_publisher
from dexndm_ros.nodes.episode_recorder import FINISHED_QOS
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import ServoRig
from support.ros import Graph, NodeProcess, fill, node_spec

FAST = {"open_s": 0.1, "place_s": 0.05, "close_s": 0.2, "settle_s": 0.2}


class RecordedRun:
    """What a test does with a hand whose policy runs and whose recorder listens."""

    def __init__(self, graph: Graph, bags: Path) -> None:
        self.graph = graph
        self.bags = bags
        self.states = graph.listen(HandState, "hand/state", 200)
        self.steps = graph.listen(PolicyStep, "policy/step", 200)
        self.finished = graph.listen(EpisodeRecorded, "recorder/finished", FINISHED_QOS)
        self._axis = graph.publisher(RotationCommand, "rotation/command")
        self._wrist = graph.publisher(QuaternionStamped, "wrist/orientation", LATCHED)

    def turn(self, x: float, y: float, z: float) -> None:
        """Choose a rotation axis, or zero."""
        message = RotationCommand()
        message.axis.x, message.axis.y, message.axis.z = float(x), float(y), float(z)
        self.graph.until(self._axis.get_subscription_count, "the policy to hear rotation/command")
        self._axis.publish(message)

    def hold_palm(self, x: float, y: float, z: float, w: float) -> None:
        """Tell the wrist's orientation."""
        message = QuaternionStamped()
        q = message.quaternion
        q.x, q.y, q.z, q.w = float(x), float(y), float(z), float(w)
        self._wrist.publish(message)

    def ticks(self, count: int, stopped: bool = False) -> None:
        """Wait for so many ticks from now on in which the policy ran, or did not."""
        begin = len(self.steps)
        self.graph.until(
            lambda: sum(_ran(s) != stopped for s in self.steps.messages[begin:]) >= count,
            f"{count} ticks",
        )

    def mode(self, *modes: int) -> None:
        """Wait for a mode of the hand."""
        self.graph.until(lambda: self.states.last.mode in modes, f"mode {modes}")

    def call(self, name: str) -> None:
        """Call a Trigger service."""
        answer = self.graph.call(Trigger, name)
        assert answer.success, answer.message

    def command(self, position: Any, source: str = "somebody", seq: int = 0) -> None:
        """Put one command of somebody else on the topic."""
        publisher = self.graph.publisher(HandCommand, "hand/command", control_publisher(20.0))
        self.graph.until(lambda: publisher.get_subscription_count() >= 2, "driver and recorder")
        publisher.publish(fill(HandCommand(), position, seq, source))

    @contextlib.contextmanager
    def recording(self, episode: str) -> Iterator[Path]:
        """Record what happens meanwhile; the bag is whole afterwards."""
        self._ask(RecordEpisode.Request.BEGIN, episode)
        yield self.bags / episode
        self._ask(RecordEpisode.Request.END, episode)
        self.graph.until(
            lambda: any(m.episode == episode for m in self.finished.messages), f"bag {episode}"
        )
        (result,) = [m for m in self.finished.messages if m.episode == episode]
        assert result.complete, result.reason

    def _ask(self, action: int, episode: str) -> None:
        def accepted() -> bool:
            request = RecordEpisode.Request(action=action, episode=episode)
            return bool(self.graph.call(RecordEpisode, "recorder/record", request).success)

        while not accepted():  # a publisher may not be heard yet
            self.graph.until(lambda: True, "")


def _ran(step: PolicyStep) -> bool:
    return (step.axis.x, step.axis.y, step.axis.z) != (0.0, 0.0, 0.0)


@contextlib.contextmanager
def recorded_run(
    folder: Path, policy: Path, residual: Path | None = None, **driver: Any
) -> Iterator[RecordedRun]:
    """All processes up, the torque on, the policy waiting for nothing.

    Args:
        folder: for port, logs and bags.
        policy: its file.
        residual: its file, or None.
        driver: parameters of the driver.
    """
    port, bags, logs = folder / "port", folder / "bags", folder / "logs"
    # A busy machine may keep the servos from running for longer than a cable is silent.
    patient = {"lost_s": 2.0, "bus_watchdog_s": 2.0, "port": str(port), **driver}
    policy_values = {"policy": str(policy), "residual": str(residual or ""), **FAST}
    specs = [
        node_spec("leap_hand_driver", **patient),
        node_spec("rotation_policy", **policy_values),
        node_spec("episode_recorder", directory=str(bags), min_free_gb=0.0),
    ]
    with Graph() as graph, contextlib.ExitStack() as stack:
        run = RecordedRun(graph, bags)
        stack.enter_context(ServoRig(JointPlant(), port))
        for spec in specs:
            stack.enter_context(NodeProcess(spec, logs))
        graph.until(lambda: len(run.states) and len(run.steps), "hand and policy")
        yield run
