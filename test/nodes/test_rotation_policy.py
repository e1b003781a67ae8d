# SPDX-License-Identifier: Apache-2.0
"""The node in its own process, talking to a hand of the test's: states out, commands in."""

import itertools
import signal
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

import rclpy
from dexndm_msgs.msg import HandCommand, HandState, PolicyStep, RotationCommand
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import QuaternionStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from dexndm_ros.hand.joints import (
    CANONICAL_POSE_RAD,
    JOINT_NAMES,
    LOWER_RAD,
    ORDERS,
    UPPER_RAD,
)
from dexndm_ros.nodes._qos import LATCHED, control_publisher, control_subscriber
from dexndm_ros.policy.controller import PolicyAction
from support.ros import Graph, NodeProcess, node_spec
from support.tiny_policy import leap_spec, residual_spec, write_tiny_policy

pytestmark = pytest.mark.ros

FAST = {"open_s": 0.1, "place_s": 0.05, "close_s": 0.1, "settle_s": 0.2}
SCALE = 1 / 24
AWAITED_MS = 50.0
"""A tick waits 3 ms for the state that is due; on a busy machine it wakes up later."""
ISAAC_NAMES = tuple(JOINT_NAMES[k] for k in ORDERS["isaac_gym"])


class Hand:
    """A hand that follows commands at once and tells its state at 100 Hz."""

    def __init__(self, graph):
        self.graph = graph
        self.q = np.linspace(0.0, 0.15, 16)
        self.mode = HandState.MODE_HOLDING
        self.alive = True
        self.steps = graph.listen(PolicyStep, "policy/step", 200)
        self.commands = graph.listen(HandCommand, "hand/command", control_subscriber())
        self.axis = graph.publisher(RotationCommand, "rotation/command")
        self._publisher = graph.publisher(HandState, "hand/state", control_publisher(100.0))
        graph.node.create_subscription(
            HandCommand, "hand/command", self._follow, control_subscriber()
        )
        self._seq = 0
        graph.node.create_timer(0.01, self._tell)

    def _follow(self, command):
        if self.mode != HandState.MODE_RELAXED:
            self.mode = HandState.MODE_ACTIVE
            self.q = np.array(command.position)

    def _tell(self):
        if not self.alive:
            return
        self._seq += 1
        message = HandState(seq=self._seq, position=self.q, mode=self.mode)
        message.header.stamp = self.graph.node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def turn(self, x, y, z):
        message = RotationCommand()
        message.axis.x, message.axis.y, message.axis.z = float(x), float(y), float(z)
        self.graph.until(self.axis.get_subscription_count, "the node to hear rotation/command")
        self.axis.publish(message)

    def until_step(self, condition, what):
        """The first step from now on that satisfies the condition."""
        begin = len(self.steps)
        return self.graph.until(
            lambda: next((s for s in self.steps.messages[begin:] if condition(s)), None), what
        )

    def until_runs(self):
        return self.until_step(ran, "the policy to run")


def ran(step):
    return (step.axis.x, step.axis.y, step.axis.z) != (0.0, 0.0, 0.0)


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture
def hand(graph):
    return Hand(graph)


@pytest.fixture
def start(tmp_path):
    """Start the node with a policy whose bias the test chooses; ended with the test."""
    started = []

    def start(bias=None, spec=None, **parameters):
        path = write_tiny_policy(tmp_path / "policy.onnx", bias=bias, spec=spec)
        values = {"policy": str(path), **FAST, **parameters}
        process = NodeProcess(node_spec("rotation_policy", **values), tmp_path / "logs")
        started.append(process)
        return process.__enter__()

    yield start
    for process in started:
        process.__exit__(None, None, None)


def test_the_start_sequence_then_the_policy_and_a_step_for_each_tick(hand, start):
    delta = np.linspace(-0.5, 0.5, 16)
    start(bias=delta, wrist="palm_down", axis="-z")
    first = hand.until_runs()
    hand.until_step(lambda step: step.seq >= first.seq + 20, "twenty ticks of the policy")
    steps = hand.steps.messages

    seqs = [step.seq for step in steps]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert not any(step.stopped for step in steps if step.seq > first.seq)
    running = [step for step in steps if ran(step)]
    for before, step in itertools.pairwise(running):
        expected = np.clip(before.base_action + delta * SCALE, LOWER_RAD, UPPER_RAD)
        np.testing.assert_allclose(step.base_action, expected, atol=1e-6)
    for step in running:
        np.testing.assert_array_equal(step.target, step.base_action)
        assert not np.any(step.residual_action)
        assert (step.axis.x, step.axis.y, step.axis.z) == (0.0, 0.0, -1.0)
        assert (step.wrist.x, step.wrist.w) == (0.0, 1.0)
        assert step.observation_seq > 0
        assert -AWAITED_MS <= step.observation_age_ms < 1e4
        assert step.inference_ms > 0.0
        assert step.header.frame_id == "palm"
    by_seq = {command.seq: command for command in hand.commands.messages}
    shared = [step for step in running if step.seq in by_seq]
    assert shared
    for step in shared:
        np.testing.assert_array_equal(by_seq[step.seq].position, step.target)
        assert by_seq[step.seq].source == "rotation_policy"
        assert by_seq[step.seq].header.stamp == step.header.stamp


def test_the_residual_is_shown_and_added(hand, start, tmp_path):
    correction = np.linspace(-0.03, 0.03, 16)
    residual = write_tiny_policy(
        tmp_path / "residual.onnx", bias=correction, spec=residual_spec(0.05)
    )
    start(residual=str(residual))
    step = hand.until_runs()
    np.testing.assert_allclose(step.residual_action, correction, atol=1e-7)
    np.testing.assert_allclose(step.base_action, CANONICAL_POSE_RAD, atol=1e-7)
    np.testing.assert_allclose(step.target, CANONICAL_POSE_RAD + correction, atol=1e-6)


def test_a_refused_residual_leaves_the_base_action_and_is_told(hand, start, tmp_path):
    statuses = hand.graph.listen(DiagnosticArray, "/diagnostics")
    delta = np.linspace(-0.5, 0.5, 16)
    reason = "the hand answers a tick late"
    residual = write_tiny_policy(
        tmp_path / "residual.onnx", bias=np.full(16, 0.04), spec=residual_spec(refused=reason)
    )
    process = start(bias=delta, residual=str(residual))
    first = hand.until_runs()
    hand.until_step(lambda step: step.seq >= first.seq + 10, "ten ticks of the policy")
    running = [step for step in hand.steps.messages if ran(step)]
    for before, step in itertools.pairwise(running):
        expected = np.clip(before.base_action + delta * SCALE, LOWER_RAD, UPPER_RAD)
        np.testing.assert_allclose(step.base_action, expected, atol=1e-6)
        np.testing.assert_array_equal(step.target, step.base_action)
        assert not np.any(step.residual_action)

    def told():
        found = [array.status[0] for array in statuses.messages]
        return [status for status in found if reason in status.message]

    hand.graph.until(told, "the reason on /diagnostics")
    assert told()[-1].level == DiagnosticStatus.WARN
    values = {item.key: item.value for item in told()[-1].values}
    assert values["residual refused"] == reason
    assert values["residual"] == str(residual)  # a replay of the recording opens it by its path
    said = [line for line in process.log.splitlines() if reason in line]
    assert len(said) == 1
    assert "WARN" in said[0]


def test_zero_axis_stops_and_keeps_the_driver_fresh_and_a_new_axis_goes_on(hand, start):
    start(bias=np.full(16, 0.1))
    hand.until_runs()
    hand.turn(0, 0, 0)
    stopped = hand.until_step(lambda step: step.stopped, "a stop")
    later = hand.until_step(lambda step: step.seq >= stopped.seq + 5, "ticks while stopped")
    assert later.stopped
    np.testing.assert_array_equal(later.target, stopped.target)
    assert np.isfinite(later.target).all()
    hand.graph.until(lambda: hand.commands.last.seq >= stopped.seq + 5, "commands while stopped")
    hand.turn(1, 0, 0)
    assert hand.until_runs().axis.x == 1.0


def test_an_axis_that_is_lent_stops_when_it_is_not_told_again(hand, start):
    process = start(bias=np.full(16, 0.1), axis="stop", command_lease_s=0.5)

    def tell(z):
        message = RotationCommand()
        message.axis.z = z
        return lambda: hand.axis.publish(message)

    turning = hand.graph.node.create_timer(0.05, tell(1.0))
    hand.until_runs()
    hand.graph.node.destroy_timer(turning)
    stopped = hand.until_step(lambda step: step.stopped, "a stop")
    later = hand.until_step(lambda step: step.seq >= stopped.seq + 5, "ticks while stopped")
    np.testing.assert_array_equal(later.target, stopped.target)
    hand.graph.until(lambda: "not told again for over 0.5 s" in process.log, "the reason")

    turning = hand.graph.node.create_timer(0.05, tell(1.0))
    later = hand.until_step(lambda step: step.seq >= later.seq + 10, "ticks while it is told")
    assert later.stopped, "it went on although nobody had told it to stop"
    hand.graph.node.destroy_timer(turning)
    hand.turn(0, 0, 0)
    hand.graph.node.create_timer(0.05, tell(-1.0))
    assert hand.until_runs().axis.z == -1.0


def test_the_axis_of_the_parameter_needs_no_repetition_where_commands_do(hand, start):
    start(bias=np.full(16, 0.1), axis="+z", command_lease_s=0.05)
    first = hand.until_runs()
    later = hand.until_step(lambda step: step.seq >= first.seq + 20, "a second")
    assert ran(later)


@pytest.mark.parametrize("axis", [(0, 0, 2), (float("nan"), 0, 0), (1, 1, 0)])
def test_an_axis_that_is_no_unit_vector_is_refused_with_its_reason(hand, start, axis):
    process = start(bias=np.full(16, 0.1))
    hand.until_runs()
    hand.turn(*axis)
    stopped = hand.until_step(lambda step: step.stopped, "a stop")
    later = hand.until_step(lambda step: step.seq >= stopped.seq + 3, "ticks while stopped")
    np.testing.assert_array_equal(later.target, stopped.target)
    hand.graph.until(lambda: "rotation/command refused" in process.log, "the reason in the log")
    hand.turn(0, 0, 1)
    hand.until_runs()


def test_a_stale_state_stops_then_ends_the_run_and_diagnostics_say_so(hand, start):
    statuses = hand.graph.listen(DiagnosticArray, "/diagnostics")
    start()
    hand.until_runs()
    hand.alive = False
    assert np.isfinite(hand.until_step(lambda step: step.stopped, "a stop").target).all()
    gone = hand.until_step(lambda step: np.isnan(step.target).all(), "the end of the run")
    assert gone.stopped

    def told():
        status = [array.status[0] for array in statuses.messages]
        return [s for s in status if s.level == DiagnosticStatus.ERROR]

    hand.graph.until(told, "an error on /diagnostics")
    assert "hand/state stopped coming" in told()[-1].message
    values = {item.key: item.value for item in told()[-1].values}
    assert values["phase"] == "halted"
    assert float(values["period_ms_p50"]) > 0


def test_not_a_number_in_the_state_stops(hand, start):
    process = start()
    hand.until_runs()
    hand._follow = lambda command: None
    hand.q = np.where(np.arange(16) == 5, np.nan, hand.q)
    hand.mode = HandState.MODE_ACTIVE
    stopped = hand.until_step(lambda step: step.stopped, "a stop")
    assert np.isfinite(stopped.target).all()
    hand.graph.until(lambda: "not finite" in process.log, "the reason in the log")


def test_a_relaxed_hand_is_left_alone_until_policy_restart(hand, start):
    start()
    hand.until_runs()
    hand.mode = HandState.MODE_RELAXED
    hand.until_step(lambda step: np.isnan(step.target).all(), "the end of the run")
    hand.mode = HandState.MODE_HOLDING
    seq = hand.steps.last.seq
    later = hand.until_step(lambda step: step.seq >= seq + 10, "more ticks")
    assert np.isnan(later.target).all()
    assert hand.graph.call(Trigger, "policy/restart").success
    opening = hand.until_step(lambda step: not step.stopped, "the start sequence")
    assert not ran(opening)
    hand.until_runs()


def test_the_wrist_topic_overrides_the_parameter_latched_or_streamed(hand, start):
    start(wrist="palm_up")
    assert hand.until_runs().wrist.x == 1.0
    half = np.sqrt(0.5)
    for qos, x in ((LATCHED, half), (10, -half)):
        publisher = hand.graph.publisher(QuaternionStamped, "wrist/orientation", qos)
        message = QuaternionStamped()
        message.quaternion.x, message.quaternion.w = x, half
        hand.graph.until(publisher.get_subscription_count, "the node to hear the wrist")

        def heard(step, x=x, publisher=publisher, message=message) -> bool:
            publisher.publish(message)  # again: the node may have matched later than we have
            return abs(step.wrist.x - x) < 1e-6

        hand.until_step(heard, "the wrist")
    message.quaternion.w = 5.0
    publisher.publish(message)
    hand.until_step(lambda step: step.stopped, "a stop")


def test_a_wrist_that_is_told_no_more_stops_the_fingers(hand, start):
    process = start()
    hand.until_runs()
    publisher = hand.graph.publisher(QuaternionStamped, "wrist/orientation", 10)
    message = QuaternionStamped()
    message.quaternion.x = message.quaternion.w = np.sqrt(0.5)
    hand.graph.until(publisher.get_subscription_count, "the node to hear the wrist")
    timer = hand.graph.node.create_timer(0.02, lambda: publisher.publish(message))
    hand.until_step(lambda step: abs(step.wrist.w - np.sqrt(0.5)) < 1e-6, "the wrist")
    hand.until_runs()
    hand.graph.node.destroy_timer(timer)
    hand.until_step(lambda step: step.stopped, "a stop")
    hand.graph.until(lambda: "wrist/orientation is told no more" in process.log, "the reason")
    hand.graph.node.create_timer(0.02, lambda: publisher.publish(message))
    hand.until_runs()


def test_a_second_who_tells_axes_is_named(hand, start):
    process = start()
    hand.until_runs()
    assert "publish rotation/command" not in process.log
    hand.graph.publisher(RotationCommand, "rotation/command")
    hand.graph.until(lambda: "2 publish rotation/command (/test_node" in process.log, "a warning")


def test_missed_ticks_are_counted(hand, start):
    process = start()
    hand.until_runs()
    process.signal(signal.SIGSTOP)
    seen = hand.steps.last.seq
    heard = len(hand.steps)
    begin = hand._seq
    hand.graph.until(lambda: hand._seq >= begin + 40, "time to pass")
    process.signal(signal.SIGCONT)
    after = hand.graph.until(
        lambda: next((s for s in hand.steps.messages[heard:] if s.seq > seen + 1), None),
        "ticks after the pause",
    )
    assert after.missed_ticks >= 3
    assert after.seq - seen < 10  # skipped, not caught up


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": leap_spec(history_length=30)}, "field 'history_length'"),
        ({"spec": leap_spec(joint_names=ISAAC_NAMES)}, "field 'joint_names'"),
        ({"spec": leap_spec(rate_hz=50.0)}, "field 'rate_hz'"),
        ({"spec": residual_spec()}, "field 'kind'"),
        ({"rate_hz": 10.0}, "field 'rate_hz'"),
        ({"policy": "/nowhere/policy.onnx"}, "field 'file'"),
        ({"policy": ""}, "parameter policy is empty"),
        ({"axis": "up"}, "rotation axis 'up'"),
        ({"axis": "0,0,2"}, "length 2"),
        ({"wrist": "sideways"}, "palm_up, palm_down"),
        ({"open_s": -1.0}, "open_s"),
        ({"command_lease_s": -1.0}, "command_lease_s"),
    ],
)
def test_what_cannot_be_honoured_ends_the_process_with_the_reason(start, change, said):
    process = start(**change)
    assert process.wait() == 1
    assert said in process.log


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_a_truncated_policy_file_ends_the_process_with_the_reason(start, hand, tmp_path, kept):
    whole = write_tiny_policy(tmp_path / "whole.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(whole[: int(kept * len(whole))])
    process = start(policy=str(cut))
    assert process.wait() == 1
    assert str(cut) in process.log
    assert "field 'file'" in process.log or "field 'metadata'" in process.log
    assert "Traceback" not in process.log
    assert not len(hand.commands)


def test_under_a_lifecycle_manager(hand, start, tmp_path):
    process = start(autostart=False, policy=str(tmp_path / "later.onnx"))

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return hand.graph.call(ChangeState, "rotation_policy/change_state", request).success

    def state():
        return hand.graph.call(GetState, "rotation_policy/get_state").current_state.id

    assert not change(Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert "field 'file'" in process.log
    write_tiny_policy(tmp_path / "later.onnx")
    for _ in range(2):  # all the way round, twice
        assert change(Transition.TRANSITION_CONFIGURE)
        assert not hand.graph.call(Trigger, "policy/restart").success
        assert change(Transition.TRANSITION_ACTIVATE)
        hand.until_runs()
        assert change(Transition.TRANSITION_DEACTIVATE)
        seq = hand.commands.last.seq
        assert change(Transition.TRANSITION_CLEANUP)
        assert hand.commands.last.seq <= seq + 1
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert process.stop() == 0


class CirclePolicy:
    """A policy of another kind: no file, no delta."""

    refused = ""

    def __init__(self):
        self.spec = leap_spec(kind="base")
        self.steps = 0

    def reset(self, q, target):
        self.steps = 0

    def step(self, q, wrist_xyzw, axis):
        self.steps += 1
        target = CANONICAL_POSE_RAD + 0.1 * np.sin(self.steps / 5)
        return PolicyAction(target, np.zeros(16), target)


def test_another_kind_of_policy_fits_the_seat(hand):
    from dexndm_ros.nodes.rotation_policy import RotationPolicyNode

    arguments = ["--ros-args", "-p", "policy:=circle"]
    for name, value in FAST.items():
        arguments += ["-p", f"{name}:={value}"]
    rclpy.init(args=arguments)
    loaded = []
    node = RotationPolicyNode(load=lambda *given: loaded.append(given) or CirclePolicy())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()

    def spin():
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        node.begin()
        step = hand.until_runs()
        np.testing.assert_allclose(step.target, CANONICAL_POSE_RAD + 0.1 * np.sin(0.2))
        assert str(loaded[0][0]) == "circle"
        assert not node.failure()
    finally:
        node.close()
        ended.set()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
