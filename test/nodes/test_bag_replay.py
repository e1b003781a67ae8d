# SPDX-License-Identifier: Apache-2.0
"""The node in its own process: what was recorded is heard again, once, in order, byte for byte, and moves nothing."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import HandCommand, HandState, ReplayStep
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import QuaternionStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from dexndm_ros.nodes._qos import LATCHED, control_watch
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.respawn import REFUSED
from support.bags import CLOSING, START_NS, hand_state
from support.replayed import COMMAND, STEP, TOPICS, RawEars, write_run
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros

DEEP = QoSProfile(depth=1000)
ALL = (
    (HandState, "/hand/state", DEEP),
    (JointState, "/joint_states", DEEP),
    (HandCommand, "/hand/command", DEEP),
    (ReplayStep, "/replay/step", DEEP),
    (QuaternionStamped, "/wrist/orientation", LATCHED),
)


class Replay:
    """The node, its status and its services."""

    def __init__(self, graph: Graph, folder, ears, **parameters) -> None:
        self.graph, self.ears = graph, ears
        self.values: dict[str, str] = {}
        self.message = ""
        graph.node.create_subscription(DiagnosticArray, "/diagnostics", self._status, 10)
        self.services = {
            name: graph.node.create_client(Trigger, f"bag_replay/{name}")
            for name in ("pause", "resume", "step", "tick", "restart")
        }
        self.parameters = graph.node.create_client(SetParameters, "bag_replay/set_parameters")
        values = {"bag": str(folder / "e1"), "delay_s": 0.2, **parameters}
        self.process = NodeProcess(node_spec("bag_replay", **values), folder / "logs")

    def _status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "bag_replay":
                self.values = {pair.key: pair.value for pair in status.values}
                self.message = status.message

    def until(self, condition, what: str) -> None:
        """Wait for something, while the node lives."""
        met = []

        def met_or_over() -> bool:
            met.append(condition())  # asked once at each look: it may be a call
            return met[-1] or self.process.ended()

        self.graph.until(met_or_over, what)
        assert met[-1], self.process.log

    def until_heard(self) -> None:
        """Whoever listens in this test is known to the node."""

        def known() -> bool:
            counts = {k: v for k, v in self.values.items() if k.startswith("listeners of")}
            wanted = [n for n in self.ears.heard if f"listeners of {n}" in counts]
            return bool(wanted) and all(int(counts[f"listeners of {n}"]) for n in wanted)

        self.until(known, "the listeners to be known")

    def ask(self, name: str) -> str:
        """Call a service; again only when the answer says that it was too early."""
        answers = []

        def answered() -> bool:
            answers.append(self._call(self.services[name], Trigger.Request()))
            return answers[-1].success or "after its start" not in answers[-1].message

        self.until(answered, name)
        self.success = answers[-1].success
        return answers[-1].message

    def set(self, name: str, value: float) -> str:
        told = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=told)])
        return self._call(self.parameters, request).results[0].reason

    def _call(self, client, request):
        """By a client that was there from the start: the first answer to a new one may be lost."""
        self.until(client.service_is_ready, client.srv_name)
        future = client.call_async(request)
        self.until(future.done, f"an answer from {client.srv_name}")
        return future.result()


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture
def start(graph, tmp_path):
    """Start the node with the ears of a test; a bag "e1" lies in the folder."""
    started = []

    def start(heard=ALL, **parameters):
        replay = Replay(graph, tmp_path, RawEars(graph, heard), **parameters)
        started.append(replay.process)
        replay.process.__enter__()
        return replay

    yield start
    for process in started:
        process.__exit__(None, None, None)


def heard_all(replay, written, but=()):
    wanted = {name: list(data) for name, data in written.items() if name not in but}
    replay.graph.until(
        lambda: all(len(replay.ears.heard[name]) >= len(data) for name, data in wanted.items()),
        "all messages",
    )
    for name, data in wanted.items():
        assert same(replay.ears.heard[name], data), name


def same(heard, data):
    """Whether all bytes are the same; the middleware fills the last word up with zeros."""
    return len(heard) == len(data) and all(
        h[: len(d)] == d and h[len(d) :] in (b"", b"\0", b"\0\0", b"\0\0\0")
        for h, d in zip(heard, data, strict=True)
    )


def test_everything_but_commands_is_heard_once_in_order_and_byte_for_byte(start, tmp_path) -> None:
    written = write_run(tmp_path)
    replay = start(paused=True)
    replay.until_heard()
    assert not any(data for name, data in replay.ears.heard.items() if name != "/wrist/orientation")
    assert replay.ask("resume") == "playing"
    assert replay.process.wait() == 0
    heard_all(replay, written, but=[COMMAND.name])
    assert replay.ears.heard[COMMAND.name] == []
    assert "/hand/command is left out: a command" in replay.process.log
    assert f"played {50 + 10 + 10 + 1} messages" in replay.process.log


def test_recorded_quality_of_service_is_offered_again(start, tmp_path) -> None:
    write_run(tmp_path)
    watch = ((HandState, "/hand/state", control_watch()),)  # asks for a deadline
    replay = start(watch, paused=True)
    replay.until_heard()
    replay.ask("step")
    replay.ask("step")
    replay.until(lambda: replay.ears.heard["/hand/state"], "a state")
    # It was played before this one listened.
    late = RawEars(replay.graph, [(QuaternionStamped, "/wrist/orientation", LATCHED)])
    replay.until(lambda: late.heard["/wrist/orientation"], "what is latched")


def test_steps_and_ticks_come_one_by_one_and_the_rate_can_be_set(start, tmp_path) -> None:
    written = write_run(tmp_path)
    replay = start(paused=True)
    replay.until_heard()
    states = replay.ears.heard["/hand/state"]
    assert replay.ask("step").startswith("/wrist/orientation at 0.000000")
    assert replay.ask("step").startswith("/hand/state at 0.000001")
    replay.until(lambda: len(states) == 1, "a state")
    assert "up to /replay/step" in replay.ask("tick")
    replay.until(lambda: len(replay.ears.heard[STEP.name]) == 1, "a tick")
    replay.until(lambda: len(states) == 5, "the states before the tick")
    assert replay.ears.heard["/joint_states"] == []
    assert "allowed: 0.001 to 1000" in replay.set("rate", 0.0)
    assert "at the start only" in replay.set("start_s", 3.0)
    assert replay.set("rate", 500.0) == ""
    assert replay.ask("restart") == "at the start"
    replay.ask("resume")
    assert replay.process.wait() == 0
    replay.graph.until(lambda: len(states) == 5 + len(written["/hand/state"]), "all of it")
    assert states[5:] == written["/hand/state"]


def test_start_duration_topics_and_names_are_as_asked(start, tmp_path) -> None:
    written = write_run(tmp_path)
    replay = start(
        ((HandState, "/was/hand/state", DEEP), (QuaternionStamped, "/wrist/orientation", LATCHED)),
        paused=True,
        topics="hand/state /wrist/orientation",
        remap="/hand/state:=/was/hand/state",
        start_s=0.020,
        duration_s=0.0201,
    )
    replay.until_heard()
    replay.until(lambda: replay.ears.heard["/wrist/orientation"], "what holds at the start")
    replay.ask("resume")
    assert replay.process.wait() == 0
    states = replay.ears.heard["/was/hand/state"]
    replay.graph.until(lambda: len(states) >= 11, "the states")
    assert states == written["/hand/state"][10:21]


def test_clock_tells_the_recorded_time(start, graph, tmp_path) -> None:
    write_run(tmp_path)
    clock = graph.listen(Clock, "/clock", 100)
    replay = start(paused=True, clock_hz=50.0)
    replay.until_heard()
    for _ in range(8):
        last = replay.ask("step")
    at_ns = START_NS + round(float(last.split()[-2]) * 1e9)
    replay.until(
        lambda: (
            clock.messages
            and abs(clock.last.clock.sec * 10**9 + clock.last.clock.nanosec - at_ns) < 2000
        ),
        "the time of the last step",
    )


def test_clock_is_set_back_where_it_was_set_back(start, graph, tmp_path) -> None:
    writer = EpisodeWriter(tmp_path, "e1", {}, TOPICS)
    for k in range(6):
        at_ns = START_NS + k * 10_000_000 - (5_000_000_000 if k >= 3 else 0)
        writer.add("/hand/state", hand_state(k), at_ns, at_ns, k + 1)
    writer.finish({}, CLOSING)
    clock = graph.listen(Clock, "/clock", 100)
    replay = start(((HandState, "/hand/state", DEEP),), paused=True, clock_hz=50.0)
    replay.until_heard()
    for _ in range(5):
        replay.ask("step")
    told_ns = START_NS + 40_000_000 - 5_000_000_000
    replay.until(
        lambda: (
            clock.messages and clock.last.clock.sec * 10**9 + clock.last.clock.nanosec == told_ns
        ),
        "the recorded time",
    )
    assert "was set back by about 4.99 s" in replay.process.log
    assert [data for data in replay.ears.heard["/hand/state"]] == [hand_state(k) for k in range(5)]


def test_commands_are_played_to_whom_they_were_allowed_to(start, tmp_path) -> None:
    written = write_run(tmp_path)
    replay = start(paused=True, publish_commands=True, allow_listeners="test_node")
    replay.until_heard()
    replay.ask("resume")
    assert replay.process.wait() == 0
    heard_all(replay, written)


class Hand:
    """A node that obeys commands, and looks like nothing in the graph: it publishes nothing."""

    def __init__(self, graph: Graph, name: str, topic: str, kind=HandCommand) -> None:
        self.node = Node(name, context=graph.context)
        self.obeyed: list[bytes] = []
        self.node.create_subscription(kind, topic, self.obeyed.append, 10, raw=True)
        self._executor = graph._executor
        self._executor.add_node(self.node)

    def close(self) -> None:
        """May be called twice."""
        if self.node in self._executor.get_nodes():
            self._executor.remove_node(self.node)
            self.node.destroy_node()


@pytest.fixture
def hand(graph):
    """Starts hands."""
    hands = []

    def start(name="leaphand_node", topic="hand/command", kind=HandCommand):
        hands.append(Hand(graph, name, topic, kind))
        return hands[-1]

    yield start
    for each in hands:
        each.close()


MAY_MOVE = "listens to /hand/command and may move motors"


@pytest.mark.parametrize("name", ["leaphand_node", "forward_position_controller", "recorder"])
def test_commands_are_refused_while_anybody_listens_who_is_not_allowed_to(
    start, hand, tmp_path, name
) -> None:
    write_run(tmp_path)
    obeys = hand(name)
    # It may take the middleware seconds to see the listener; nothing reaches it before that.
    replay = start((), publish_commands=True, allow_listeners="test_node other", loop=True)
    replay.graph.until(lambda: f"/{name} {MAY_MOVE}" in replay.process.log, "the refusal")
    assert "another ROS_DOMAIN_ID" in replay.process.log
    assert "--allow-listener" in replay.process.log
    assert obeys.obeyed == []


def test_a_listener_that_comes_while_it_plays_gets_nothing_and_playing_pauses(
    start, hand, graph, tmp_path
) -> None:
    write_run(tmp_path)
    replay = start(publish_commands=True, allow_listeners="/test_node", loop=True, rate=0.2)
    replay.until(lambda: replay.ears.heard[COMMAND.name], "commands to be played")
    obeys = hand()
    moves = f"/leaphand_node {MAY_MOVE}"
    replay.until(lambda: moves in replay.message, "the pause")
    assert moves in replay.ask("resume")
    assert not replay.success
    assert obeys.obeyed == []
    obeys.close()
    # Nothing goes on by itself.
    replay.until(lambda: replay.message == "paused", "the trouble to be gone")
    replay.until(lambda: replay.ask("resume") == "playing", "to go on")


@pytest.mark.parametrize("by_ros", [False, True])
def test_joint_states_do_not_become_commands_by_another_name(
    start, hand, graph, tmp_path, by_ros
) -> None:
    write_run(tmp_path)
    obeys = hand(topic="cmd_leap", kind=JointState)
    if by_ros:
        spec = node_spec("bag_replay", bag=str(tmp_path / "e1"), delay_s=0.2)
        spec = dataclasses.replace(spec, remaps=(("/joint_states", "/cmd_leap"),))
        process = NodeProcess(spec, tmp_path / "logs")
        with process:
            assert process.wait() == REFUSED
            assert "/joint_states would be played as /cmd_leap" in process.log
    else:
        replay = start((), remap="/joint_states:=/cmd_leap")
        assert replay.process.wait() == 0
        assert "/joint_states is left out: a command" in replay.process.log
    assert obeys.obeyed == []


def test_beside_a_live_publisher_of_the_same_topic_nothing_is_played(
    start, graph, tmp_path
) -> None:
    write_run(tmp_path)
    graph.publisher(HandState, "hand/state")
    replay = start((), loop=True)
    graph.until(
        lambda: "/test_node publishes /hand/state as well" in replay.process.log, "the refusal"
    )


def test_a_split_bag_is_one(start, tmp_path) -> None:
    """Two files of one recording, and no metadata.yaml."""
    bag = tmp_path / "e1"
    bag.mkdir()
    whole = write_run(tmp_path / "whole", "w", 40)
    first = write_run(tmp_path / "first", "f", 20)
    cut = sum(len(data) for data in first.values())
    write_run(tmp_path / "second", "s", 40, first=cut)
    shutil.copy(tmp_path / "first" / "f" / "f_0.mcap", bag / "x_0.mcap")
    shutil.copy(tmp_path / "second" / "s" / "s_0.mcap", bag / "x_1.mcap")
    replay = start(paused=True)
    replay.until_heard()
    replay.ask("resume")
    assert replay.process.wait() == 0
    heard_all(replay, whole, but=[COMMAND.name])


def test_of_a_torn_bag_what_is_whole_is_played_and_the_rest_is_told(start, tmp_path) -> None:
    written = write_run(tmp_path, states=400)
    file = tmp_path / "e1" / "e1_0.mcap"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    replay = start(paused=True)
    replay.until_heard()
    replay.set("rate", 100.0)
    replay.ask("resume")
    assert replay.process.wait() == 0
    states = replay.ears.heard["/hand/state"]
    replay.graph.until(lambda: states, "states")
    assert states == written["/hand/state"][: len(states)]
    assert len(states) < 400
    assert "the bag is not whole, what is whole is played" in replay.process.log


def test_what_cannot_be_played_ends_it_with_one_sentence(start, tmp_path) -> None:
    write_run(tmp_path)
    replay = start((), topics="/hand/stat")
    assert replay.process.wait() == REFUSED
    assert "did you mean /hand/state?" in replay.process.log
    assert "Traceback" not in replay.process.log
