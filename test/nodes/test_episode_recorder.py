# SPDX-License-Identifier: Apache-2.0
"""The node in its own process: what is published is in the bag or counted as lost, whatever happens to it."""

import signal
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import EpisodeRecorded, HandState, RecorderStatus, ReplayStep
from dexndm_msgs.srv import RecordEpisode
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import QuaternionStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import JointState

from dexndm_ros.nodes._qos import LATCHED, control_publisher
from dexndm_ros.nodes._recorder_topics import DEFAULT_TOPICS, TopicError, parse_topics
from dexndm_ros.nodes.episode_recorder import FINISHED_QOS
from dexndm_ros.recording.check import check_bag
from dexndm_ros.recording.partial import reason_of, recover
from dexndm_ros.recording.read import decode, messages
from support.ros import Graph, NodeProcess, node_spec
from support.small_disk import small_disk

__all__ = ["small_disk"]

pytestmark = pytest.mark.ros

BEGIN, END, DISCARD = (
    RecordEpisode.Request.BEGIN,
    RecordEpisode.Request.END,
    RecordEpisode.Request.DISCARD,
)
DEEP = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2000, reliability=ReliabilityPolicy.RELIABLE
)
BEST_EFFORT = QoSProfile(depth=2000, reliability=ReliabilityPolicy.BEST_EFFORT)


class Desk:
    """What a replay sees of the recorder."""

    def __init__(self, graph, directory):
        self.graph = graph
        self.directory = directory
        self.statuses = graph.listen(RecorderStatus, "recorder/status", 1)
        self.finished = graph.listen(EpisodeRecorded, "recorder/finished", FINISHED_QOS)

    def ask(self, action, episode="", **fields):
        request = RecordEpisode.Request(action=action, episode=episode, **fields)
        return self.graph.call(RecordEpisode, "recorder/record", request)

    def do(self, action, episode="", **fields):
        answer = self.ask(action, episode, **fields)
        assert answer.success, answer.message

    def refused(self, action, episode="", **fields):
        answer = self.ask(action, episode, **fields)
        assert not answer.success
        return answer.message

    def status(self, condition, what):
        begin = len(self.statuses)
        return self.graph.until(
            lambda: next((s for s in self.statuses.messages[begin:] if condition(s)), None), what
        )

    def ready(self):
        return self.status(lambda status: status.ready, "a recorder that is ready")

    def ending(self, episode):
        return self.graph.until(
            lambda: next((m for m in self.finished.messages if m.episode == episode), None),
            f"the end of {episode}",
        )

    def whole(self, episode):
        result = self.ending(episode)
        assert result.complete, result.reason
        found = check_bag(self.directory / episode)
        assert found.complete, found.reason
        assert (result.messages, result.bytes) == (found.messages, found.bytes)
        return found


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture
def desk(graph, tmp_path):
    return Desk(graph, tmp_path / "bags")


@pytest.fixture
def start(desk, tmp_path):
    """Start the node; ended with the test."""
    started = []

    def start(**parameters):
        values = {"directory": str(desk.directory), "min_free_gb": 0.0, **parameters}
        process = NodeProcess(
            node_spec("episode_recorder", **values), tmp_path / f"logs{len(started)}"
        )
        started.append(process)
        return process.__enter__()

    yield start
    for process in started:
        process.__exit__(None, None, None)


@pytest.fixture
def states(graph):
    """The hand's states, each with the next number in ``seq``."""
    return Source(graph, HandState, "hand/state", DEEP)


class Source:
    """Publishes messages that know their number."""

    def __init__(self, graph, kind, topic, qos):
        self._publisher = graph.publisher(kind, topic, qos)
        self._graph = graph
        self._kind = kind
        self.sent = 0

    def send(self, count):
        if not self.sent:
            self._graph.until(self._publisher.get_subscription_count, "somebody who listens")
        for _ in range(count):
            message = self._kind()
            if hasattr(message, "seq"):
                message.seq = self.sent
            else:
                message.step = self.sent
            self.sent += 1
            self._publisher.publish(message)


def numbers(path, topic, field="seq"):
    return [getattr(decode(m.type, m.data), field) for m in messages(path, topics=[topic])]


def test_what_was_published_between_begin_and_end_is_in_the_bag_and_nothing_else(
    desk, start, states, graph
):
    start()
    steps = Source(graph, ReplayStep, "replay/step", 50)
    joints = graph.publisher(JointState, "joint_states")
    desk.ready()
    graph.until(joints.get_subscription_count, "somebody who listens")
    states.send(7)  # belongs to nothing
    desk.do(BEGIN, "e000001_a1", keys=["campaign", "entry"], values=["night", "1"])
    for _ in range(40):
        steps.send(1)
        states.send(5)
        joints.publish(JointState(name=["a"], position=[1.0]))
    desk.do(END, "e000001_a1", topics=["replay/step", "hand/state"], counts=[40, 200])
    desk.do(BEGIN, "e000002_a1")  # at once, while the first is being verified
    states.send(60)
    steps.send(3)
    desk.do(END, "e000002_a1", topics=["replay/step"], counts=[3])
    first, second = desk.whole("e000001_a1"), desk.whole("e000002_a1")
    bag = desk.directory / "e000001_a1"
    assert numbers(bag, "hand/state") == list(range(7, 207))
    assert numbers(bag, "replay/step", "step") == list(range(40))
    assert first.counts["/joint_states"] == 40
    assert first.lost == second.lost == 0
    following = numbers(desk.directory / "e000002_a1", "hand/state")
    assert following == list(range(207, 267))
    custom = first.custom_data
    assert (custom["campaign"], custom["entry"]) == ("night", "1")
    assert custom["session"] == desk.statuses.last.session
    assert custom["software"].startswith("dexndm_ros ") and custom["host"] and custom["commit"]
    assert int(custom["started_monotonic_ns"]) < int(custom["ended_monotonic_ns"])


def test_times_and_numbers_are_the_middlewares_and_others_can_read_the_bag(
    desk, start, states, graph
):
    start()
    desk.ready()
    began_ns = time.time_ns()
    desk.do(BEGIN, "e1")
    states.send(100)
    desk.do(END, "e1", topics=["hand/state"], counts=[100])
    desk.whole("e1")
    found = list(messages(desk.directory / "e1", topics=["hand/state"]))
    assert [m.sequence for m in found] == list(range(1, 101))
    assert all(began_ns <= m.publish_ns <= m.log_ns <= time.time_ns() for m in found)
    with AnyReader([desk.directory / "e1"]) as reader:
        connection = next(c for c in reader.connections if c.topic == "/hand/state")
        assert connection.ext.offered_qos_profiles[0].reliability.name == "RELIABLE"
        read = [reader.deserialize(raw, connection.msgtype).seq
                for _, _, raw in reader.messages(connections=[connection])]  # fmt: skip
    assert read == list(range(100))


def test_bursts_at_many_times_the_real_rate_lose_nothing_unsaid(desk, start, states, graph):
    start()
    desk.ready()
    desk.do(BEGIN, "burst")
    for _ in range(20):
        states.send(250)
    desk.do(END, "burst")
    found = desk.whole("burst")
    in_bag = numbers(desk.directory / "burst", "hand/state")
    # What DDS lost at the very end cannot show as a gap; everything before it is counted.
    lost_inside = (in_bag[-1] + 1) - len(in_bag)
    assert found.lost == desk.ending("burst").lost == lost_inside
    assert len(in_bag) + found.lost == in_bag[-1] + 1 <= states.sent


def test_a_best_effort_publisher_is_heard_too(desk, start, graph):
    start()
    states = Source(graph, HandState, "hand/state", BEST_EFFORT)
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(20)
    desk.do(END, "e1", topics=["hand/state"], counts=[20])
    assert desk.whole("e1").counts["/hand/state"] == 20


def test_the_drivers_own_quality_of_service_is_heard(desk, start, graph):
    start()
    states = Source(graph, HandState, "hand/state", control_publisher(100.0))
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(1)
    desk.do(END, "e1", topics=["hand/state"], counts=[1])
    desk.whole("e1")


@pytest.mark.parametrize("durability", list(DurabilityPolicy)[1:3])
def test_the_wrist_stands_in_every_bag(desk, start, states, graph, durability):
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
    start()
    wrist = graph.publisher(QuaternionStamped, "wrist/orientation", qos)
    desk.ready()
    message = QuaternionStamped()
    message.quaternion.x = 0.6
    if qos.durability is LATCHED.durability:
        wrist.publish(message)
    else:
        graph.until(wrist.get_subscription_count, "a subscription that asks for less")
        wrist.publish(message)
    for episode in ("a", "b"):
        desk.do(BEGIN, episode)
        states.send(1)
        topics = ["wrist/orientation", "hand/state"]
        desk.do(END, episode, topics=topics, counts=[1, 1])
        desk.whole(episode)
        (found,) = messages(desk.directory / episode, topics=["wrist/orientation"])
        assert decode(found.type, found.data).quaternion.x == 0.6


def test_without_a_publisher_of_what_is_required_nothing_begins(desk, start, graph):
    start()
    status = desk.status(lambda status: status.reason, "a reason")
    assert not status.ready
    assert "nobody publishes /hand/state" in status.reason
    assert "nobody publishes /hand/state" in desk.refused(BEGIN, "e1")
    graph.publisher(JointState, "hand/state")
    wrong = desk.status(lambda status: "published as" in status.reason, "the wrong type")
    assert "/hand/state is published as sensor_msgs/msg/JointState" in wrong.reason
    assert not any(path.is_dir() for path in desk.directory.iterdir())


def test_refusals_say_why(desk, start, states):
    start()
    desk.ready()
    for name in ("../x", "", "a/b", ".", "x.part"):
        assert "letters, digits" in desk.refused(BEGIN, name)
    assert "1 keys, but 0 values" in desk.refused(BEGIN, "e1", keys=["a"])
    for key in ("session", "episode", "messages_lost"):
        assert key in desk.refused(BEGIN, "e1", keys=[key], values=["x"])
    assert "no episode is open" in desk.refused(END, "e1")
    assert "no episode is open" in desk.refused(DISCARD)
    assert "action 9 is none of" in desk.refused(9, "e1")
    desk.do(BEGIN, "e1")
    assert "e1 is open, not e2" in desk.refused(END, "e2")
    assert "e1 is open, not e2" in desk.refused(DISCARD, "e2")
    assert "1 topics, but 0 counts" in desk.refused(END, "e1", topics=["replay/step"])
    desk.do(END, "e1")
    desk.whole("e1")
    assert "never overwritten" in desk.refused(BEGIN, "e1")
    assert sorted(p.name for p in desk.directory.iterdir() if p.is_dir()) == ["e1"]


def test_too_few_messages_put_the_bag_aside(desk, start, states):
    start()
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(9)
    desk.do(END, "e1", topics=["hand/state"], counts=[10])
    result = desk.ending("e1")
    assert not result.complete
    assert result.reason == "/hand/state: 9 messages came, 10 were expected"
    assert result.path == str(desk.directory / "e1.partial")


def test_discard_and_interruption(desk, start, states):
    start()
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(3)
    desk.do(DISCARD, "", reason="the ball fell out")
    desk.do(BEGIN, "e2")
    desk.do(BEGIN, "e3")
    assert desk.ending("e1").reason == "the ball fell out"
    assert desk.ending("e2").reason == "interrupted: e3 began"
    assert reason_of(desk.directory / "e1.partial") == "the ball fell out"
    desk.status(lambda status: status.episode == "e3", "the third episode")


def test_killed_while_it_records_at_most_a_second_is_lost_and_the_rest_is_put_aside(
    desk, start, states
):
    process = start()
    session = desk.ready().session
    desk.do(BEGIN, "e000007_a1")
    sent_ns = []

    def send_one():
        states.send(1)
        sent_ns.append(time.time_ns())
        return sent_ns[-1] - sent_ns[0] > 2e9

    desk.graph.until(send_one, "two seconds of messages")
    process.signal(signal.SIGKILL)
    process.wait()
    assert (desk.directory / "e000007_a1.part").is_dir()
    start()
    desk.status(lambda status: status.session != session, "another session")
    assert not (desk.directory / "e000007_a1.part").exists()
    partial = desk.directory / "e000007_a1.partial"
    assert "died" in reason_of(partial)
    back = [m for m in recover(partial) if m.topic == "/hand/state"]
    assert [decode(m.type, m.data).seq for m in back] == list(range(len(back)))
    assert sent_ns[-1] - sent_ns[len(back) - 1] < 1e9
    desk.ready()
    desk.do(BEGIN, "e000007_a1")  # the same again
    states.send(5)
    desk.do(END, "e000007_a1", topics=["hand/state"], counts=[5])
    desk.whole("e000007_a1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_records_it_puts_aside_what_there_is(desk, start, states, number):
    process = start()
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(50)
    desk.status(lambda status: status.messages >= 50, "fifty messages written")
    assert process.stop(number) == 0, process.log
    assert sorted(p.name for p in desk.directory.iterdir() if p.is_dir()) == ["e1.partial"]
    assert reason_of(desk.directory / "e1.partial") == "the recorder was stopped"
    assert len([m for m in recover(desk.directory / "e1.partial")
                if m.topic == "/hand/state"]) == 50  # fmt: skip


def test_a_full_disk_costs_the_episode_and_room_brings_the_recorder_back(
    desk, start, states, small_disk
):
    start(directory=str(small_disk), flush_s=0.05, min_free_gb=0.0001)
    desk.directory = small_disk
    desk.ready()
    desk.do(BEGIN, "e1")
    states.send(10)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)
    result = desk.graph.until(
        lambda: states.send(1) or next(iter(desk.finished.messages), None), "the end of e1"
    )
    assert not result.complete
    assert "No space left" in result.reason
    status = desk.status(lambda status: not status.ready, "a recorder without room")
    assert "make room" in status.reason
    assert "make room" in desk.refused(BEGIN, "e2")
    assert "no episode is open" in desk.refused(END, "e1")
    filler.unlink()
    desk.ready()
    desk.do(BEGIN, "e2")
    states.send(5)
    desk.do(END, "e2")
    desk.whole("e2")


def test_two_recorders_in_one_directory_are_refused(desk, start, states):
    start()
    desk.ready()
    second = start()
    assert second.wait() == 1
    assert "another recorder writes" in second.log


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"directory": ""}, "parameter directory is empty"),
        ({"directory": "/proc/nowhere"}, "nowhere"),
        ({"queue_messages": 0}, "queue_messages"),
        ({"depth": 0}, "depth"),
        ({"topics": ["hand/state dexndm_msgs/msg/NoSuch"]}, "not installed"),
        ({"topics": ["hand/state"]}, "NAME TYPE"),
    ],
)
def test_settings_that_cannot_work_end_the_node_with_the_reason(start, wrong, why):
    process = start(**wrong)
    assert process.wait() == 1
    assert why in process.log


def test_diagnostics_tell_who_is_heard_and_what_is_wrong(desk, start, graph):
    arrays = graph.listen(DiagnosticArray, "/diagnostics")
    start()

    def level(wanted):
        return graph.until(
            lambda: next((s for array in arrays.messages for s in array.status
                          if s.name == "episode_recorder" and s.level == wanted), None),
            "diagnostics",
        )  # fmt: skip

    assert "nobody publishes /hand/state" in level(DiagnosticStatus.ERROR).message
    graph.publisher(HandState, "hand/state", DEEP)
    desk.ready()
    values = {item.key: item.value for item in level(DiagnosticStatus.OK).values}
    assert values["publishers of /hand/state"] == "1"
    assert values["lost"] == values["dropped"] == "0"


def test_lines_of_the_parameter_topics():
    specs = {spec.name: spec for spec in parse_topics(DEFAULT_TOPICS)}
    assert [name for name, spec in specs.items() if spec.required] == ["hand/state"]
    assert [name for name, spec in specs.items() if spec.latched] == ["wrist/orientation"]
    for lines in ([], [""], ["a"], ["a b/msg/C always"], ["a b/msg/C", "a b/msg/C"]):
        with pytest.raises(TopicError, match="topics"):
            parse_topics(lines)
