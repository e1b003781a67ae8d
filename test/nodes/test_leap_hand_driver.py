# SPDX-License-Identifier: Apache-2.0
"""The driver in its own process, a virtual hand in another, and the test as the rest of the graph."""

import contextlib
import functools
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

import rclpy
from dexndm_msgs.msg import HandCommand, HandHealth, HandState, RotationProgress
from dexndm_msgs.srv import InjectFault
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.nodes._qos import LATCHED, control_publisher
from dexndm_ros.nodes.leap_hand_driver import LeapHandDriver
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import RigConfig, ServoRig
from support.pty_peer import PtyPeer
from support.ros import Graph, NodeProcess, fill, node_spec

pytestmark = pytest.mark.ros

PERIOD_S = 0.02
HELD = (HandState.MODE_HOLDING, HandState.MODE_RAMPING, HandState.MODE_ACTIVE)


@pytest.fixture(scope="module")
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture(scope="module")
def hand_files(tmp_path_factory):
    """A world without an object, and where the port of the virtual hand is."""
    folder = tmp_path_factory.mktemp("hand")
    world = folder / "empty.yaml"
    world.write_text("object: {kind: none}\n")
    return world, folder / "port"


@contextlib.contextmanager
def virtual_hand(graph, hand_files):
    world, link = hand_files
    spec = node_spec("virtual_leap_hand", link=str(link), world=str(world))
    progress = graph.listen(RotationProgress, "rotation/progress")
    with NodeProcess(spec, link.parent) as process:
        graph.until(lambda: len(progress) or process.ended(), "the virtual hand")
        assert not process.ended(), process.log
        yield process
        if not process.ended():
            process.stop()


@pytest.fixture(scope="module")
def shared_hand(graph, hand_files):
    with virtual_hand(graph, hand_files):
        yield str(hand_files[1])


@pytest.fixture
def port(graph, shared_hand):
    """The port of a virtual hand without faults."""
    inject(graph, "clear")
    yield shared_hand
    inject(graph, "clear")


@pytest.fixture
def start(graph, tmp_path):
    """Start drivers; what is left of them is killed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**parameters):
            # A busy machine may keep the virtual hand from running for longer than a cable is silent.
            parameters = {"lost_s": 2.0, "bus_watchdog_s": 2.0} | parameters
            return stack.enter_context(
                NodeProcess(node_spec("leap_hand_driver", **parameters), tmp_path)
            )

        yield make
    graph.forget()


class Hand:
    """A running driver, seen from the graph."""

    def __init__(self, graph, process):
        self.graph = graph
        self.process = process
        self.states = graph.listen(HandState, "hand/state", 2000)
        self.health = graph.listen(HandHealth, "hand/health")
        self.diagnostics = graph.listen(DiagnosticArray, "/diagnostics", 50)
        self.until(lambda: len(self.states), "a hand state")
        self.until(lambda: len(self.health), "a health message")

    @functools.cached_property
    def commands(self):
        return self.graph.publisher(HandCommand, "hand/command", control_publisher(50.0))

    def until(self, condition, what):
        value = self.graph.until(lambda: self.process.ended() or condition(), what)
        assert not self.process.ended(), self.process.log
        return value

    def until_mode(self, *modes):
        self.until(lambda: self.states.last.mode in modes, f"mode {modes}")

    def until_fault(self, words):
        self.until(lambda: len(self.health) and words in self.health.last.fault, f"{words!r}")

    def status(self, name):
        return next(
            s for s in self.diagnostics.last.status if s.name == f"leap_hand_driver: {name}"
        )

    def until_status(self, name, level, words):
        def told():
            with contextlib.suppress(IndexError, StopIteration):
                status = self.status(name)
                return status.level == level and words in status.message

        self.until(told, f"{words!r} of {name} in /diagnostics")

    def call(self, name):
        return self.graph.call(Trigger, f"hand/{name}")

    @contextlib.contextmanager
    def stream(self, position_of, source="test", commands=None):
        """Publish commands at 50 Hz while in the block."""
        publisher = commands or self.commands
        self.until(lambda: publisher.get_subscription_count() > 0, "the driver's subscription")
        message, seq = HandCommand(), [0]

        def tell():
            publisher.publish(fill(message, position_of(seq[0]), seq[0], source))
            seq[0] += 1

        timer = self.graph.node.create_timer(PERIOD_S, tell)
        try:
            yield seq
        finally:
            self.graph.node.destroy_timer(timer)


def inject(graph, fault, motor=-1, probability=1.0, duration_s=0.0):
    request = InjectFault.Request(
        fault=fault, motor=motor, probability=probability, duration_s=duration_s
    )
    response = graph.call(InjectFault, "sim/inject_fault", request)
    assert response.success, response.message
    return response.message


def registers(port, name):
    """One register of every motor, read past a driver that has ended."""
    with DynamixelBus(BusConfig(port, reply_timeout_s=0.2, gap_s=0.1)) as bus:
        return [bus.read_register(k, name) for k in range(16)]


def change_state(graph, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return graph.call(ChangeState, "leap_hand_driver/change_state", request).success


def sentence(process):
    """What the person at the terminal reads last."""
    assert process.wait() == 1, process.log
    assert "Traceback" not in process.log
    lines = [line for line in process.log.splitlines() if "FATAL" in line or "ERROR" in line]
    assert len(lines) == 1, process.log
    return lines[0]


# --- motion ---------------------------------------------------------------------------------------


def test_from_enabling_to_following_nothing_jumps_and_each_state_names_its_command(
    graph, port, start
):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_mode(*HELD)
    first = len(hand.states)
    # Each command's value tells its number: 1 mrad a command, from 0.5 rad.
    with hand.stream(lambda seq: [0.5 + 0.001 * min(seq, 300)] * 16) as count:
        hand.until_mode(HandState.MODE_ACTIVE)
        active_from = count[0]
        hand.until(lambda: count[0] > active_from + 100, "a hundred commands")
    states = list(hand.states.messages)[first:]
    assert [s.mode for s in states if s.mode == HandState.MODE_RAMPING]

    moved = np.diff([s.command for s in states], axis=0)
    stamps = np.array([s.header.stamp.sec + 1e-9 * s.header.stamp.nanosec for s in states])
    # The ramp's 1 rad/s, at most 50 ms of it a cycle; messages may be missing in between.
    allowed = np.maximum(np.diff(stamps), 0.05) * 1.0 + 0.01
    assert (np.abs(moved).max(axis=1) <= allowed).all()

    named = [s for s in states if s.mode == HandState.MODE_ACTIVE and s.command_source == "test"]
    assert len(named) > 50
    for state in named[10:]:
        assert state.command[0] == pytest.approx(0.5 + 0.001 * state.command_seq, abs=1e-9)
    assert (np.diff([s.command_seq for s in named]) >= 0).all()
    assert named[-1].position[2] == pytest.approx(named[-1].command[2], abs=0.15)


def test_a_stale_command_holds_and_a_new_one_ramps_again(graph, port, start):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    with hand.stream(lambda seq: [0.3] * 16):
        hand.until_mode(HandState.MODE_ACTIVE)
    hand.until_mode(HandState.MODE_HOLDING)
    assert hand.states.last.command_source == ""
    with hand.stream(lambda seq: [0.6] * 16):
        hand.until_mode(HandState.MODE_RAMPING)
        hand.until_mode(HandState.MODE_ACTIVE)


def test_a_hand_that_nobody_commands_relaxes_and_says_why(graph, port, start):
    hand = Hand(graph, start(port=port, enable_on_activate=True, relax_after_s=1.0, health_hz=5.0))
    hand.until_mode(HandState.MODE_RELAXED)
    hand.until_status("guard", DiagnosticStatus.WARN, "held 1 s without a command")
    assert hand.health.last.fault == ""
    assert hand.call("enable").success
    hand.until_mode(HandState.MODE_HOLDING)
    hand.until_mode(HandState.MODE_RELAXED)


def test_400_hz_keeps_its_slots_and_joint_states_stay_at_their_own_rate(graph, port, start):
    hand = Hand(graph, start(port=port, rate_hz=400.0, joint_states_hz=50.0))
    joints = graph.listen(JointState, "joint_states", 100)
    hand.until(lambda: len(hand.health) >= 2, "two health messages")
    first, before = hand.states.last, hand.health.last.missed_cycles
    hand.until(lambda: hand.states.last.seq > first.seq + 800, "800 cycles")
    last = hand.states.last
    heard = len(hand.health)
    hand.until(lambda: len(hand.health) >= heard + 2, "health that is newer than the last state")
    seconds = last.header.stamp.sec - first.header.stamp.sec
    seconds += 1e-9 * (last.header.stamp.nanosec - first.header.stamp.nanosec)
    # Slots run and slots skipped together are 400 a second, on a machine of any speed.
    skipped = hand.health.last.missed_cycles - before
    assert last.seq - first.seq <= 400 * seconds * 1.02 + 2
    assert last.seq - first.seq + skipped >= 400 * seconds * 0.98 - 2
    names = [message.name for message in joints.messages]
    assert list(names[0]) == list(JOINT_NAMES)
    assert len(names) < len(hand.states) / 4


# --- bad commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.nan, "must be a finite angle"),
        (np.inf, "must be a finite angle"),
        (-np.inf, "must be a finite angle"),
        (9.0, "its limits"),
    ],
)
def test_a_bad_command_moves_nothing_and_health_says_why(graph, port, start, bad, words):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_mode(*HELD)
    before = hand.states.last.command.copy()
    with hand.stream(lambda seq: [0.0] * 7 + [bad] + [0.0] * 8, source="broken"):
        hand.until(lambda: hand.health.last.rejected_commands > 5, "rejections")
        hand.until_status("guard", DiagnosticStatus.WARN, "refused")
    reason = hand.health.last.last_rejection
    assert words in reason
    assert "middle_dip (motor 7)" in reason
    assert "broken" in reason
    np.testing.assert_array_equal(hand.states.last.command, before)
    assert hand.states.last.mode == HandState.MODE_HOLDING


@pytest.mark.parametrize("length", [0, 1, 15, 17])
def test_a_command_of_another_length_moves_nothing_and_health_says_why(graph, port, start, length):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_mode(*HELD)
    before = hand.states.last.command.copy()
    with hand.stream(lambda seq: [0.3] * length, source="short"):
        hand.until(lambda: hand.health.last.rejected_commands > 5, "rejections")
    assert f"({length},)" in hand.health.last.last_rejection
    np.testing.assert_array_equal(hand.states.last.command, before)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("keyboard", "2 sources (keyboard, policy)"),
        ("policy", "two publishers call themselves policy"),
    ],
)
def test_two_publishers_stop_the_motion_until_one_is_alone(graph, port, start, second, words):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    other = graph.publisher(HandCommand, "hand/command")
    with hand.stream(lambda seq: [0.3] * 16, source="policy"):
        hand.until_mode(HandState.MODE_ACTIVE)
        with hand.stream(lambda seq: [-0.1] * 16, source=second, commands=other):
            hand.until_mode(HandState.MODE_HOLDING)
            hand.until(lambda: words in hand.health.last.last_rejection, "why")
        hand.until_mode(HandState.MODE_ACTIVE)


def test_commands_to_a_relaxed_hand_are_refused_with_the_cure(graph, port, start):
    hand = Hand(graph, start(port=port))
    with hand.stream(lambda seq: [0.3] * 16):
        hand.until(
            lambda: len(hand.health) and "hand/enable" in hand.health.last.last_rejection, "why"
        )
    assert hand.states.last.mode == HandState.MODE_RELAXED


def test_a_publisher_that_goes_away_is_told_by_the_middleware(graph, port, start):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    with Graph("mortal") as mortal:
        commands = mortal.publisher(HandCommand, "hand/command", control_publisher(50.0))
        with hand.stream(lambda seq: [0.3] * 16, commands=commands):
            hand.until_mode(HandState.MODE_ACTIVE)

            def watched():
                values = {v.key: v.value for v in hand.status("commands").values}
                return values["live publishers"] == "1"

            hand.until(watched, "the watch on the publisher")
    hand.until_mode(HandState.MODE_HOLDING)
    hand.until_status("commands", DiagnosticStatus.WARN, "died or hangs")


# --- a hand that cannot be started ----------------------------------------------------------------


def test_a_missing_port_ends_the_driver_with_one_sentence(start, tmp_path):
    text = sentence(start(port=str(tmp_path / "nothing")))
    assert "does not exist: plug the U2D2 in" in text


def test_a_busy_port_ends_the_second_driver_and_leaves_the_first_alone(
    graph, port, start, tmp_path
):
    hand = Hand(graph, start(port=port))
    with NodeProcess(node_spec("leap_hand_driver", port=port), tmp_path / "second") as second:
        text = sentence(second)
    assert "is in use by" in text
    before = hand.states.last.seq
    hand.until(lambda: hand.states.last.seq > before, "more states")


def test_a_port_that_is_no_terminal_is_refused(start, tmp_path):
    path = tmp_path / "file"
    path.write_text("not a port")
    assert str(path) in sentence(start(port=str(path)))


def test_a_silent_motor_ends_the_driver_and_is_named(graph, port, start):
    inject(graph, "silent_motor", 5)
    text = sentence(start(port=port))
    assert "motor 5 did not answer" in text


def test_a_motor_of_another_model_ends_the_driver_and_is_named(start, tmp_path):
    with ServoRig(JointPlant(), tmp_path / "port", RigConfig(other_models={3: 1200})):
        text = sentence(start(port=str(tmp_path / "port")))
    assert "motor 3: model 1200" in text
    assert "drives model 1240 only" in text


def test_garbage_on_the_bus_ends_the_driver(start):
    noise = np.random.default_rng(1).bytes(200)
    with PtyPeer(lambda request: [noise]) as peer:
        assert "did not answer" in sentence(start(port=peer.path))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rate_hz": 5000.0}, "20 to 500 Hz"),
        ({"profile": "huge"}, "known profiles: full, lite"),
        ({"bus_watchdog_s": 60.0}, "bus_watchdog_s"),
        ({"realtime.cpus": "all"}, "core numbers"),
        ({"command_period_s": 0.0}, "command_period_s"),
        ({"relax_after_s": -1.0}, "relax_after_s"),
        ({"health_hz": 0.0}, "0.1 to 20 Hz"),
        ({"health_poll_hz": 0.0}, "at least 1 Hz"),
    ],
)
def test_a_wrong_parameter_ends_the_driver_with_what_is_allowed(start, parameters, words):
    assert words in sentence(start(port="/dev/null", **parameters))


# --- ways out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_driver_with_torque_off(graph, port, start, number):
    driver = start(port=port, enable_on_activate=True)
    hand = Hand(graph, driver)
    with hand.stream(lambda seq: [0.4] * 16):
        hand.until_mode(HandState.MODE_ACTIVE)
        assert driver.stop(number) == 0
    assert registers(port, "torque_enable") == [0] * 16
    assert "Traceback" not in driver.log


def test_after_sigkill_the_bus_watchdog_stops_the_motors(graph, port, start):
    driver = start(port=port, enable_on_activate=True, bus_watchdog_s=1.0)
    hand = Hand(graph, driver)
    progress = graph.listen(RotationProgress, "rotation/progress")
    with hand.stream(lambda seq: [0.4] * 16):
        hand.until_mode(HandState.MODE_ACTIVE)
        driver.signal(signal.SIGKILL)
        driver.wait()
    # The bus must stay silent meanwhile: the virtual hand's own messages are the clock, 20 a second.
    count = len(progress)
    graph.until(lambda: len(progress) > count + 40, "two seconds of the virtual hand")
    assert registers(port, "bus_watchdog") == [-1] * 16
    # A driver started again finds its way out of it.
    again = Hand(graph, start(port=port, enable_on_activate=True))
    again.until_mode(*HELD)


def test_lifecycle_transitions_switch_off_and_wrong_ones_are_survived(graph, port, start):
    driver = start(port=port, autostart=False, enable_on_activate=True)

    def state():
        return graph.call(GetState, "leap_hand_driver/get_state").current_state.id

    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not graph.call(Trigger, "hand/enable").success
    assert not change_state(graph, Transition.TRANSITION_ACTIVATE)
    assert change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    hand = Hand(graph, driver)
    hand.until_mode(*HELD)
    assert change_state(graph, Transition.TRANSITION_DEACTIVATE)
    assert "not active" in graph.call(Trigger, "hand/enable").message
    assert change_state(graph, Transition.TRANSITION_CLEANUP)
    assert registers(port, "torque_enable") == [0] * 16

    inject(graph, "silent_motor", 2)
    assert not change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    hand.until_status("driver", DiagnosticStatus.ERROR, "motor 2 did not answer")
    inject(graph, "clear")

    # From active straight to the end.
    assert change_state(graph, Transition.TRANSITION_CONFIGURE)
    assert change_state(graph, Transition.TRANSITION_ACTIVATE)
    assert change_state(graph, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert registers(port, "torque_enable") == [0] * 16
    assert driver.stop() == 0


def test_an_error_in_the_bus_thread_ends_the_node_with_torque_off(graph, tmp_path):
    with ServoRig(JointPlant(), tmp_path / "port") as rig:
        words = [f"port:={tmp_path / 'port'}", "lost_s:=2.0", "enable_on_activate:=true"]
        rclpy.init(args=["--ros-args", *(word for text in words for word in ("-p", text))])
        try:
            node = LeapHandDriver()
            node.begin()
            assert [servo.get("torque_enable") for servo in rig.bank.servos] == [1] * 16
            assert node.failure() == ""
            # Pulled from under the bus thread: its next publish raises.
            for publisher in list(node.publishers):
                if publisher.topic_name == "/hand/state":
                    publisher.destroy()
            graph.until(node.failure, "the end of the bus thread")
            assert "the torque is off" in node.failure()
            assert [servo.get("torque_enable") for servo in rig.bank.servos] == [0] * 16
            node.close()
            node.destroy_node()
        finally:
            rclpy.try_shutdown()


# --- faults -------------------------------------------------------------------------------------------


def test_an_overload_is_told_with_its_cure_and_recovered_by_service(graph, port, start):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_mode(*HELD)
    inject(graph, "overload", 6)
    hand.until_mode(HandState.MODE_FAULT)
    hand.until_fault("motor 6 has shut down: overload")
    hand.until_status("guard", DiagnosticStatus.ERROR, "hand/recover")
    hand.until_status("motor 6 middle_pip", DiagnosticStatus.ERROR, "call hand/recover")
    refused = hand.call("enable")
    assert not refused.success
    assert "hand/recover" in refused.message
    inject(graph, "clear")
    recovered = hand.call("recover")
    assert recovered.success, recovered.message
    hand.until_mode(HandState.MODE_RELAXED)
    enabled = hand.call("enable")
    assert enabled.success, enabled.message
    hand.until_mode(HandState.MODE_HOLDING)
    assert hand.call("relax").success
    hand.until_mode(HandState.MODE_RELAXED)


def test_a_driver_that_meets_a_shut_down_motor_starts_in_fault_and_recovers(graph, port, start):
    inject(graph, "overload", 4)
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_fault("motor 4")
    inject(graph, "clear")
    assert hand.call("recover").success
    assert hand.call("enable").success


def test_lost_replies_cost_no_state_its_truth(graph, port, start):
    hand = Hand(graph, start(port=port, enable_on_activate=True))
    hand.until_mode(*HELD)
    inject(graph, "lost_reply", probability=0.01)
    inject(graph, "corrupt_crc", probability=0.01)
    first = len(hand.states)
    hand.until(lambda: len(hand.states) > first + 200, "two hundred states")
    assert hand.states.last.mode == HandState.MODE_HOLDING
    for state in hand.states.messages[first:]:
        assert np.abs(state.position).max() < 2.5


def test_an_unplugged_hand_is_a_fault_and_is_recovered_when_it_is_back(
    graph, hand_files, tmp_path, start
):
    files = (hand_files[0], tmp_path / "port")
    spec = node_spec("virtual_leap_hand", link=str(files[1]), world=str(files[0]))
    with NodeProcess(spec, tmp_path / "first") as first:
        driver = start(port=str(files[1]), enable_on_activate=True, port_wait_s=60.0)
        hand = Hand(graph, driver)
        hand.until_mode(*HELD)
        first.signal(signal.SIGKILL)
        first.wait()
        hand.until_fault("check the USB cable")
        hand.until_status("bus", DiagnosticStatus.ERROR, "no motor answers")
    refused = hand.call("recover")
    assert not refused.success
    with NodeProcess(spec, tmp_path / "second") as second:
        graph.until(lambda: hand.call("recover").success, "the hand's return")
        hand.until_mode(HandState.MODE_RELAXED)
        assert hand.call("enable").success
        hand.until_mode(HandState.MODE_HOLDING)
        assert driver.stop() == 0
        assert second.stop() == 0


# --- what else is on the graph --------------------------------------------------------------------------


def test_diagnostics_health_and_description_are_there_for_a_late_listener(graph, port, start):
    hand = Hand(graph, start(port=port))
    description = graph.listen(String, "robot_description", LATCHED)
    hand.until(lambda: len(description), "the URDF")
    assert all(f'"{name}"' in description.last.data for name in JOINT_NAMES)

    hand.until_status("bus", DiagnosticStatus.OK, "Hz")
    names = [status.name for status in hand.diagnostics.last.status]
    assert len(names) == 19
    assert f"leap_hand_driver: motor 13 {JOINT_NAMES[13]}" in names
    assert {status.hardware_id for status in hand.diagnostics.last.status} == {port}
    hand.until(lambda: np.isfinite(hand.health.last.temperature).all(), "all temperatures")
    health = hand.health.last
    assert all(health.responding)
    assert health.fault == ""
    assert (health.voltage > 4.0).all()
    assert health.bus_hz > 0
