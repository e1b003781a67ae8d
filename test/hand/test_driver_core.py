# SPDX-License-Identifier: Apache-2.0
"""The driver's loop against emulated servos on a pty, cycle by cycle, without ROS."""

import threading
import time

import numpy as np
import pytest

from dexndm_ros.hand import driver_core
from dexndm_ros.hand.cycle_times import CycleTimes
from dexndm_ros.hand.driver_core import DriverCore
from dexndm_ros.hand.driver_types import DriverConfig
from dexndm_ros.hand.guard import GuardConfig, Mode
from dexndm_ros.hand.health import HealthLimits
from dexndm_ros.hand.profile import PROFILES
from dexndm_ros.hand.startup import bring_up
from dexndm_ros.hand.units import rad_from_ticks
from dexndm_ros.sim.instructions import InstructionHandler
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.rig import RigConfig, ServoRig
from dexndm_ros.sim.servo_bus import ServoBus

FULL = PROFILES["full"]
FAR_NS = 10**9
PERIOD_S = 0.01
# An emulator in the same, perhaps busy, process: a motor counts as lost late, commands as stale late.
CONFIG = DriverConfig(
    guard=GuardConfig(stale_s=5.0), limits=HealthLimits(lost_s=1.0), health_poll_hz=1e6
)


class Driven:
    """A core cycled by hand; keeps what it publishes."""

    def __init__(self, bus, config=CONFIG, fault=""):
        self.cycles = []
        self.core = DriverCore(bus, FULL, config, self._keep, fault)

    def _keep(self, cycle):
        self.cycles.append(cycle._replace(command=np.array(cycle.command)))

    def run(self, count=1):
        for _ in range(count):
            self.core.cycle(time.monotonic_ns() + FAR_NS)
            time.sleep(PERIOD_S)

    def run_until(self, condition, what, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
            self.run()

    def ask(self, kind):
        request = self.core.request(kind)
        self.run_until(lambda: request.wait(0), f"an answer to {kind}")
        return request

    @property
    def mode(self):
        return self.core.output.mode


@pytest.fixture
def driven(rig, bus):
    bring_up(bus, FULL)
    return Driven(bus)


def torque(rig):
    return [servo.get("torque_enable") for servo in rig.bank.servos]


def goals(rig):
    return rad_from_ticks([servo.get("goal_position") for servo in rig.bank.servos])


def test_starts_relaxed_and_publishes_every_complete_read(rig, driven):
    driven.run(5)
    assert [cycle.seq for cycle in driven.cycles] == [1, 2, 3, 4, 5]
    assert {cycle.mode for cycle in driven.cycles} == {Mode.RELAXED}
    assert {cycle.command_source for cycle in driven.cycles} == {""}
    assert torque(rig) == [0] * 16


def test_enabling_holds_the_measured_pose(make_rig, open_bus):
    pose = 0.01 * np.arange(16.0)
    rig = make_rig(position_rad=pose)
    bus = open_bus(rig.port)
    bring_up(bus, FULL)
    driven = Driven(bus)
    request = driven.ask("enable")
    assert request.ok, request.text
    driven.run(3)
    assert torque(rig) == [1] * 16
    assert driven.mode is Mode.HOLDING
    np.testing.assert_allclose(goals(rig), pose, atol=0.004)


def test_the_command_of_a_state_is_the_one_in_force_when_it_was_read(rig, driven):
    driven.ask("enable")
    in_force = [(0, "")]
    for seq in range(60):
        # Values that encode their own number: 1 mrad a command, so that no limit changes them.
        driven.core.offer([0.001 * (seq + 1)] * 16, seq, "counter")
        driven.run()
        in_force.append((seq, "counter"))
    # Offered before a cycle, written at its end, in force at the read of the next.
    told = [(cycle.command_seq, cycle.command_source) for cycle in driven.cycles[-60:]]
    assert told == in_force[:60]
    active = [
        cycle for cycle in driven.cycles if cycle.mode is Mode.ACTIVE and cycle.command_source
    ]
    assert len(active) > 30
    for cycle in active[5:]:
        assert cycle.command == pytest.approx(0.001 * (cycle.command_seq + 1), abs=1e-12)


def test_the_first_approach_is_a_ramp_and_later_steps_are_limited(rig, driven):
    enabled_s = time.monotonic()
    driven.ask("enable")
    written = [goals(rig)]
    for seq in range(150):
        driven.core.offer([1.0 if seq < 120 else 0.2] * 16, seq, "leaper")
        driven.run()
        written.append(goals(rig))
        step = np.abs(written[-1] - written[-2]).max()
        if driven.mode is Mode.RAMPING:
            # 1 rad/s, never more than 50 ms of it in one cycle, and on the whole no faster than time.
            assert step <= 0.05 + 0.002
            assert written[-1].max() - written[0].max() <= time.monotonic() - enabled_s + 0.002
        assert step <= 0.15 + 0.002
    assert driven.mode is Mode.ACTIVE
    assert written[-1] == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ([np.nan] * 16, "must be a finite angle"),
        ([0.1] * 15, "shape"),
        ([9.0] * 16, "its limits"),
        ([np.inf] + [0.0] * 15, "must be a finite angle"),
    ],
)
def test_a_bad_command_moves_nothing_and_is_told(rig, driven, position, words):
    driven.ask("enable")
    driven.run(2)
    before = goals(rig)
    for seq in range(10):
        driven.core.offer(position, seq, "broken")
        driven.run()
    np.testing.assert_array_equal(goals(rig), before)
    report = driven.core.report()
    assert report.rejected == 10
    assert words in report.last_rejection
    assert "broken" in report.last_rejection


def test_two_sources_hold_the_hand_until_one_is_alone(rig, driven):
    driven.ask("enable")
    for seq in range(20):
        driven.core.offer([0.002 * seq] * 16, seq, "policy")
        driven.core.offer([-0.002 * seq] * 16, seq, "keyboard")
        driven.run()
    assert driven.mode is Mode.HOLDING
    assert "keyboard, policy" in driven.core.output.reason
    held = goals(rig)
    driven.run(5)
    np.testing.assert_array_equal(goals(rig), held)


def test_commands_before_enabling_are_refused_with_the_cure(rig, driven):
    driven.core.offer([0.1] * 16, 0, "eager")
    driven.run(2)
    assert "hand/enable" in driven.core.report().last_rejection
    assert torque(rig) == [0] * 16


def test_a_hand_that_held_for_long_without_a_command_lets_go(rig, bus):
    bring_up(bus, FULL)
    patient = DriverConfig(
        guard=GuardConfig(stale_s=5.0, relax_after_s=0.3), limits=CONFIG.limits, health_poll_hz=1e6
    )
    driven = Driven(bus, patient)
    assert driven.ask("enable").ok
    driven.run_until(lambda: driven.mode is Mode.RELAXED, "the end of its patience")
    assert torque(rig) == [0] * 16
    assert "held 0.3 s without a command" in driven.core.report().reason
    # That motors are limp now is no fault, also after their slow state has been read.
    driven.run(40)
    assert driven.mode is Mode.RELAXED
    assert driven.ask("enable").ok
    assert torque(rig) == [1] * 16


def test_a_silent_motor_ends_in_fault_with_torque_off_and_recovery_brings_it_back(rig, driven):
    driven.ask("enable")
    rig.inject("silent_motor", 5)
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    assert "5" in driven.core.output.reason
    assert "hand/recover" in driven.core.output.reason
    driven.run_until(lambda: sum(torque(rig)) <= 1, "torque off on the motors that listen")
    assert not driven.core.report().responding[5]

    refused = driven.ask("recover")
    assert not refused.ok
    assert "motor 5" in refused.text
    assert driven.mode is Mode.FAULT

    rig.inject("clear")
    request = driven.ask("recover")
    assert request.ok, request.text
    driven.run(3)
    assert driven.mode is Mode.RELAXED
    assert torque(rig) == [0] * 16
    assert driven.ask("enable").ok
    assert torque(rig) == [1] * 16


def test_no_state_is_published_while_a_motor_is_silent(rig, driven):
    driven.run(3)
    rig.inject("silent_motor", 3)
    driven.run(10)
    published = len(driven.cycles)
    rig.inject("clear")
    driven.run_until(lambda: len(driven.cycles) > published, "states")
    gaps = np.diff([cycle.seq for cycle in driven.cycles])
    assert gaps.max() >= 10
    assert all(cycle.reading.complete for cycle in driven.cycles)


def test_lost_and_damaged_replies_never_reach_a_state(rig, driven):
    driven.ask("enable")
    rig.inject("lost_reply", -1, 0.05)
    rig.inject("corrupt_crc", -1, 0.05)
    for seq in range(80):
        driven.core.offer([0.3] * 16, seq, "steady")
        driven.run()
    assert driven.mode is not Mode.FAULT
    assert len(driven.cycles) > 20
    for cycle in driven.cycles:
        assert np.isfinite(cycle.reading.position_rad).all()
        assert np.abs(cycle.reading.position_rad).max() < 0.5


def test_garbage_among_the_replies_never_reaches_a_state(rig, driven, monkeypatch):
    driven.ask("enable")
    send, noise = rig.bus._port.write, np.random.default_rng(3)

    def send_with_garbage(data):
        kind = noise.integers(4)
        garbage = noise.bytes(int(noise.integers(1, 40)))
        cut = int(noise.integers(len(data)))
        pieces = (data, garbage + data, data + garbage, data[:cut] + garbage + data[cut:])
        send(pieces[kind])

    monkeypatch.setattr(rig.bus._port, "write", send_with_garbage)
    seen = len(driven.cycles)
    for seq in range(80):
        driven.core.offer([0.3] * 16, seq, "steady")
        driven.run()
    monkeypatch.undo()
    for cycle in driven.cycles[seen:]:
        assert cycle.reading.complete
        assert np.abs(cycle.reading.position_rad).max() < 0.5
        assert np.abs(cycle.command).max() <= 0.3 + 1e-9
    if driven.mode is Mode.FAULT:  # too much of it: told, off, and mended as any fault
        assert "hand/recover" in driven.core.output.reason
        driven.run_until(lambda: torque(rig) == [0] * 16, "torque off")
        assert driven.ask("recover").ok
    else:
        assert driven.ask("relax").ok
    assert driven.ask("enable").ok


@pytest.mark.parametrize(
    ("fault", "words"), [("overload", "overload"), ("hot_motor", "overheating")]
)
def test_a_motor_that_shuts_down_is_a_fault_and_recovery_restarts_it(rig, driven, fault, words):
    driven.ask("enable")
    driven.run(3)
    rig.inject(fault, 7)
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    assert "motor 7" in driven.core.output.reason
    assert words in driven.core.output.reason
    driven.run_until(lambda: torque(rig) == [0] * 16, "torque off")
    rig.inject("clear")
    request = driven.ask("recover")
    assert request.ok, request.text
    assert rig.bank.servos[7].get("position_p_gain") == 800
    assert driven.ask("enable").ok


def test_a_motor_that_restarts_by_itself_is_a_fault(rig, driven):
    driven.ask("enable")
    driven.run_until(lambda: driven.core.report().polled_ns > 0, "a poll")
    rig.inject("unplugged", 9, duration_s=0.05)
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    assert "9" in driven.core.output.reason
    driven.run_until(lambda: torque(rig) == [0] * 16, "torque off")


@pytest.mark.parametrize(
    ("fault", "motor", "deaf"),
    [
        ("overload", 7, ()),
        ("hot_motor", 7, ()),
        ("silent_motor", 7, (7,)),
        ("unplugged", 7, (7,)),
        ("unplugged", -1, tuple(range(16))),
    ],
)
def test_the_cycle_that_finds_a_fault_ends_with_the_torque_off(rig, driven, fault, motor, deaf):
    """Whoever hears lets go in that very cycle, and the others in the first one in which they do."""
    assert driven.ask("enable").ok
    driven.run(3)
    rig.inject(fault, motor)
    cycles = 0
    while driven.mode is not Mode.FAULT:
        driven.core.cycle(time.monotonic_ns() + FAR_NS)
        cycles += 1
        assert cycles < 10_000
    assert [k for k, on in enumerate(torque(rig)) if on and k not in deaf] == []
    if not deaf:
        return
    # The bus stays usable meanwhile: no cycle waits for those that do not answer.
    driven.run(50)
    rig.inject("clear")
    if len(deaf) == 1 and fault == "unplugged":
        return  # it boots, and boots limp
    assert [torque(rig)[k] for k in deaf] == [1] * len(deaf)
    driven.run(1)
    assert torque(rig) == [0] * 16


def test_a_lost_port_is_a_fault_that_recovery_mends_once_it_is_back(tmp_path, open_bus):
    link = tmp_path / "hand"
    with ServoRig(JointPlant(), link):
        bus = open_bus(str(link))
        bring_up(bus, FULL)
        driven = Driven(bus)
        driven.ask("enable")
        driven.run(3)
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    assert str(link) in driven.core.output.reason
    assert "hand/recover" in driven.core.output.reason
    assert not driven.core.report().responding.any()
    refused = driven.ask("recover")
    assert not refused.ok
    assert "does not exist" in refused.text
    assert not driven.ask("relax").ok

    with ServoRig(JointPlant(), link) as rig:
        request = driven.ask("recover")
        assert request.ok, request.text
        driven.run(3)
        assert driven.mode is Mode.RELAXED
        assert driven.ask("enable").ok
        assert torque(rig) == [1] * 16
        assert driven.core.shut_down() == ""
        assert torque(rig) == [0] * 16


@pytest.fixture
def corded(tmp_path, open_bus, monkeypatch):
    """A rig behind a link, and its core, enabled; the port is tried again in every cycle."""
    monkeypatch.setattr(driver_core, "_REOPEN_S", PERIOD_S)
    with ServoRig(JointPlant(), tmp_path / "hand") as rig:
        bus = open_bus(rig.port)
        bring_up(bus, FULL)
        driven = Driven(bus)
        assert driven.ask("enable").ok
        driven.run(3)
        yield rig, driven


def pull_the_cable(rig, driven):
    """The port goes, the motors keep their power: their watchdogs stop them, the torque stays on."""
    rig.bus.close()
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    servos = rig.bank.servos
    driven.run_until(lambda: all(s.watchdog_tripped for s in servos), "the watchdogs")
    driven.run(5)
    assert torque(rig) == [1] * 16


def plug_in_again(rig):
    link = rig.port
    rig.bus = ServoBus(InstructionHandler(rig.bank, rig.faults), link=link)
    rig.bus.start()


@pytest.mark.parametrize("late", [(), (7,), tuple(range(16))], ids=["all", "but one", "nobody"])
def test_motors_found_holding_behind_a_lost_port_are_let_go_unasked(corded, late):
    """Also those that answer only some time after the port is back."""
    rig, driven = corded
    pull_the_cable(rig, driven)
    reason = driven.core.output.reason
    for motor in late:
        rig.inject("silent_motor", motor)
    plug_in_again(rig)
    prompt = [k for k in range(16) if k not in late]
    driven.run_until(lambda: not any(torque(rig)[k] for k in prompt), "torque off")
    driven.run_until(lambda: driven.core.report().responding[prompt].all(), "answers")
    if late:
        driven.run(5)
        assert [torque(rig)[k] for k in late] == [1] * len(late)
        rig.inject("clear")
        driven.run_until(lambda: torque(rig) == [0] * 16, "torque off")
    driven.run(20)
    assert driven.mode is Mode.FAULT
    assert driven.core.output.reason == reason
    assert torque(rig) == [0] * 16
    assert not driven.ask("enable").ok

    driven.run_until(lambda: driven.core.report().responding.all(), "all answers")
    request = driven.ask("recover")
    assert request.ok, request.text
    assert driven.ask("enable").ok
    driven.run(3)
    assert driven.mode is Mode.HOLDING


def test_a_port_may_be_lost_again_and_again(corded):
    rig, driven = corded
    for _ in range(3):
        pull_the_cable(rig, driven)
        plug_in_again(rig)
        driven.run_until(lambda: torque(rig) == [0] * 16, "torque off")
        rig.bus.close()
        driven.run_until(lambda: not driven.core.report().responding.any(), "the loss")
        plug_in_again(rig)
        driven.run_until(lambda: driven.core.report().responding.all(), "answers")
        assert driven.mode is Mode.FAULT
        assert driven.ask("recover").ok
        assert driven.ask("enable").ok
        driven.run(3)


def test_lost_reads_are_not_forgotten_with_the_port(corded):
    rig, driven = corded
    rig.inject("silent_motor", 4)
    driven.run_until(lambda: driven.core.report().lost_reads[4] > 0, "a lost read")
    pull_the_cable(rig, driven)
    lost = driven.core.report().lost_reads
    rig.inject("clear")
    plug_in_again(rig)
    driven.run_until(lambda: driven.core.report().responding.all(), "answers")
    assert (driven.core.report().lost_reads >= lost).all()


def test_the_end_opens_a_lost_port_once_more(corded):
    rig, driven = corded
    pull_the_cable(rig, driven)
    assert "does not exist" in driven.core.shut_down()
    plug_in_again(rig)
    assert driven.core.shut_down() == ""
    assert torque(rig) == [0] * 16


def test_requests_that_make_no_sense_are_refused_in_words(driven):
    driven.run()
    assert "nothing to recover" in driven.ask("recover").text
    assert driven.ask("enable").ok
    assert "on already" in driven.ask("enable").text
    assert "nothing to recover" in driven.ask("recover").text


def test_a_hand_that_starts_in_fault_does_not_enable_before_recovery(rig, bus):
    bring_up(bus, FULL)
    driven = Driven(bus, fault="motor 3 has shut down")
    driven.run(2)
    assert driven.mode is Mode.FAULT
    refused = driven.ask("enable")
    assert not refused.ok
    assert "hand/recover" in refused.text
    assert torque(rig) == [0] * 16
    assert driven.ask("recover").ok
    assert driven.ask("enable").ok


@pytest.mark.parametrize("during", ["holding", "ramping", "relaxed", "fault"])
def test_the_end_is_torque_off_whatever_the_hand_was_doing(rig, driven, during):
    if during != "relaxed":
        driven.ask("enable")
    if during == "ramping":
        driven.core.offer([1.0] * 16, 0, "policy")
        driven.run(3)
        assert driven.mode is Mode.RAMPING
    if during == "fault":
        rig.inject("silent_motor", 2)
        driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
        rig.inject("clear")
    assert driven.core.shut_down() == ""
    assert torque(rig) == [0] * 16
    assert driven.core.shut_down() == ""


def test_the_end_says_when_it_could_not_reach_the_motors(tmp_path, open_bus):
    link = tmp_path / "hand"
    with ServoRig(JointPlant(), link):
        bus = open_bus(str(link))
        bring_up(bus, FULL)
        driven = Driven(bus)
        driven.ask("enable")
    assert "could not be switched off" in driven.core.shut_down()


def test_a_request_left_over_at_the_end_is_answered(driven):
    driven.run()
    request = driven.core.request("enable")
    waiter = threading.Thread(target=request.wait, args=(30.0,))
    waiter.start()
    driven.core.shut_down()
    waiter.join()
    assert not request.ok
    assert "shutting down" in request.text


def test_lost_reads_count_from_activation_and_through_recovery(rig, bus):
    bring_up(bus, FULL)
    first = Driven(bus)
    rig.inject("silent_motor", 1)
    first.run(5)
    rig.inject("clear")
    driven = Driven(bus)
    assert driven.core.report().lost_reads.tolist() == [0] * 16
    driven.run(2)
    rig.inject("silent_motor", 4)
    driven.run_until(lambda: driven.mode is Mode.FAULT, "FAULT")
    lost = driven.core.report().lost_reads[4]
    assert lost >= 1
    rig.inject("clear")
    assert driven.ask("recover").ok
    assert driven.core.report().lost_reads[4] >= lost


def test_a_lite_hand_is_not_driven_as_a_full_one(make_rig, open_bus):
    rig = make_rig(RigConfig(model_number=1200))
    with pytest.raises(Exception, match="profile 'full' drives model 1240 only"):
        bring_up(open_bus(rig.port), FULL)


def test_cycle_times_are_those_since_the_last_look():
    times = CycleTimes(0)
    for milliseconds in (1, 2, 9):
        times.record(milliseconds * 10**6)
    summary = times.take(10**9)
    assert (summary.hz, summary.p50_ms, summary.max_ms) == (3.0, 2.0, 9.0)
    empty = times.take(2 * 10**9)
    assert empty.hz == 0.0
    assert np.isnan(empty.p50_ms)
