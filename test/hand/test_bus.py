# SPDX-License-Identifier: Apache-2.0
"""The bus against sixteen emulated servos: states, goals, registers, and what single motors do wrong."""

import os
import struct
import threading
import time

import numpy as np
import pytest

from dexndm_ros.hand.bus import BusConfig, DynamixelBus
from dexndm_ros.hand.errors import (
    HandBusError,
    NoReplyError,
    PortBusyError,
    PortLostError,
    StatusError,
)
from dexndm_ros.hand.units import VELOCITY_UNIT_RAD_S
from dexndm_ros.hand.wire import BROADCAST_ID, crc16, instruction_packet
from dexndm_ros.sim.rig import RigConfig
from support.pty_peer import PtyPeer

POSE = np.arange(16) * 0.01


def fast_reply(records):
    """The common reply of all motors; ``records`` are (error, current, velocity, position)."""
    size = 1 + 14 * len(records)
    packet = b"\xff\xff\xfd\x00" + struct.pack("<BHB", BROADCAST_ID, size, 0x55)
    for k, (error, *state) in enumerate(records):
        packet += struct.pack("<BBhii", error, k, *state)
        packet += struct.pack("<H", crc16(packet))
    return packet


def test_all_motors_are_found(bus):
    assert bus.ping_all() == {k: (1240, 52) for k in range(16)}
    assert bus.fast_read


def test_goals_reach_their_motors_and_states_come_back_in_order(bus, rig, wait_until):
    bus.sync_write("operating_mode", 5)
    bus.sync_write("torque_enable", 1)
    bus.write_goal_positions(POSE)
    wait_until(lambda: np.abs(bus.read_state().position_rad - POSE).max() < 0.005)
    goals = [servo.get("goal_position") for servo in rig.bank.servos]
    assert goals == [2048 + round(0.01 * k * 4096 / (2 * np.pi)) for k in range(16)]


def test_signs_units_and_alerts():
    state = [(0, -1, -3, 2048), (0x80, -200, 60000, 0), (0, 32767, -2, -1), (0, 1, 1, 4096)]
    with (
        PtyPeer(lambda _: [fast_reply(state)]) as peer,
        DynamixelBus(BusConfig(peer.path, motor_ids=(0, 1, 2, 3), reply_timeout_s=5.0)) as bus,
    ):
        reading = bus.read_state()
    assert reading.complete
    np.testing.assert_allclose(reading.current_a, [-0.001, -0.2, 32.767, 0.001])
    np.testing.assert_allclose(
        reading.velocity_rad_s, VELOCITY_UNIT_RAD_S * np.array([-3, 60000, -2, 1])
    )
    np.testing.assert_allclose(
        reading.position_rad, np.array([0, -2048, -2049, 2048]) * 2 * np.pi / 4096
    )
    assert reading.alert.tolist() == [False, True, False, False]


def test_a_reading_is_stamped_in_the_middle_of_the_read(bus):
    before, system_before = time.monotonic_ns(), time.time_ns()
    reading = bus.read_state()
    assert before < reading.monotonic_ns < time.monotonic_ns()
    assert system_before < reading.stamp_ns < time.time_ns()


@pytest.mark.parametrize(
    "goal",
    [
        np.zeros(15),
        np.zeros(17),
        np.full(16, np.nan),
        np.r_[np.zeros(15), np.inf],
        np.full(16, 7.0),
    ],
)
def test_goals_that_are_no_pose_are_not_sent(bus, rig, goal):
    with pytest.raises(ValueError, match="16 finite angles"):
        bus.write_goal_positions(goal)
    bus.ping(0)
    assert all(servo.get("goal_position") == 2048 for servo in rig.bank.servos)


def test_registers_are_read_and_written_with_their_sign(bus):
    bus.write_register(3, "goal_current", -200)
    assert bus.read_register(3, "goal_current") == -200
    bus.sync_write("homing_offset", {3: -7, 4: 9})
    assert [bus.read_register(k, "homing_offset") for k in (2, 3, 4)] == [0, -7, 9]
    bus.sync_write("led", [k % 2 for k in range(16)])
    assert [bus.read_table(k)["led"] for k in range(16)] == [k % 2 for k in range(16)]
    # The value itself looks like a packet header: stuffed on the way out and on the way back.
    bus.write_register(5, "operating_mode", 4)
    bus.write_register(5, "goal_position", -513)
    assert bus.read_block(5, 116, 4) == struct.pack("<i", -513)


def test_a_motor_that_refuses_says_why(bus):
    bus.write_register(2, "torque_enable", 1)
    with pytest.raises(StatusError, match=r"motor 2 refused operating_mode = 5: access error"):
        bus.write_register(2, "operating_mode", 5)
    with pytest.raises(StatusError, match="data range"):
        bus.write_register(2, "position_p_gain", 16384)
    with pytest.raises(ValueError, match="can only be read"):
        bus.write_register(2, "present_position", 0)
    with pytest.raises(ValueError, match="unknown register"):
        bus.read_register(2, "present_positon")


def test_a_motor_that_is_not_there_is_named(rig, open_bus):
    rig.inject("silent_motor", 6)
    bus = open_bus(rig.port, reply_timeout_s=0.02)
    with pytest.raises(NoReplyError, match="motor 6 did not answer a ping"):
        bus.ping(6)
    assert sorted(bus.ping_all()) == [k for k in range(16) if k != 6]


@pytest.mark.parametrize("motor", [0, 7, 15])
def test_a_silent_motor_leaves_the_others_alone(make_rig, open_bus, wait_until, motor):
    rig = make_rig(position_rad=POSE.copy())
    bus = open_bus(rig.port, probe_period_s=0.1)
    assert bus.read_state().complete
    rig.inject("silent_motor", motor)
    others = np.arange(16) != motor
    for _ in range(20):
        reading = bus.read_state()
        assert reading.valid.tolist() == others.tolist()
        assert np.isnan(reading.position_rad[motor])
        assert np.isnan(reading.velocity_rad_s[motor])
        assert np.isnan(reading.current_a[motor])
        np.testing.assert_allclose(reading.position_rad[others], POSE[others], atol=0.001)
    assert bus.silent == (motor,)
    assert bus.lost_reads.tolist() == [20 * (k == motor) for k in range(16)]
    assert reading.retries == 0
    rig.inject("clear")
    wait_until(lambda: bus.read_state().complete)
    assert bus.silent == ()
    assert bus.fast_read


def test_vectors_keep_their_order_when_a_suspect_is_asked_last(make_rig, open_bus):
    rig = make_rig(position_rad=POSE.copy())
    bus = open_bus(rig.port, drop_after=100)
    rig.inject("silent_motor", 2)
    for _ in range(3):
        assert not bus.read_state().valid[2]
    rig.inject("clear")
    for _ in range(3):
        reading = bus.read_state()
        assert reading.complete
        np.testing.assert_allclose(reading.position_rad, POSE, atol=0.001)


def test_motors_that_come_back_together_are_back_within_cycles(rig, open_bus, wait_until):
    bus = open_bus(rig.port, probe_period_s=0.2)
    for k in range(4, 16):
        rig.inject("silent_motor", k)
    wait_until(lambda: bus.read_state().valid.sum() == 4 and len(bus.silent) == 12)
    rig.inject("clear")
    wait_until(lambda: bus.read_state().valid.sum() > 4)
    for _ in range(12):  # the first one that answers gives the others their turn at once
        reading = bus.read_state()
    assert reading.complete


def test_two_silent_motors(rig, open_bus, wait_until):
    bus = open_bus(rig.port, probe_period_s=0.1)
    rig.inject("silent_motor", 3)
    rig.inject("silent_motor", 9)
    for _ in range(10):
        valid = bus.read_state().valid
    assert np.flatnonzero(~valid).tolist() == [3, 9]
    rig.inject("clear")
    wait_until(lambda: bus.read_state().complete)


@pytest.mark.parametrize("fault", ["lost_reply", "corrupt_crc"])
@pytest.mark.parametrize("motor", [-1, 5])
def test_lost_and_damaged_replies_are_asked_for_again_in_the_same_cycle(
    rig, open_bus, fault, motor
):
    bus = open_bus(rig.port, reply_timeout_s=0.05, gap_s=0.02)
    rig.inject(fault, motor, probability=0.05)
    stale = worst = retries = 0
    for _ in range(150):
        reading = bus.read_state()
        np.testing.assert_array_equal(reading.position_rad[reading.valid], 0.0)
        retries += reading.retries
        stale = 0 if reading.complete else stale + 1
        worst = max(worst, stale)
    assert retries > 0
    assert worst <= 2
    assert bus.fast_read


def test_old_firmware_is_read_by_plain_sync_read(rig, open_bus):
    for servo in rig.bank.servos:
        servo.set("firmware_version", 45)
    bus = open_bus(rig.port)
    bus.ping_all()
    assert not bus.fast_read
    assert bus.read_state().complete


def test_a_motor_that_never_answers_fast_reads_switches_them_off(open_bus, rig, monkeypatch):
    # The emulated firmware is made to miss the instruction, as that of a motor below 46 does.
    handler = rig.bus._handler
    monkeypatch.delitem(handler._broadcasts, 0x8A)
    bus = open_bus(rig.port, reply_timeout_s=0.01)
    for _ in range(25):
        assert bus.read_state().complete
    assert not bus.fast_read


def test_an_unplugged_hand_reads_as_nobody_and_comes_back(rig, open_bus, wait_until):
    bus = open_bus(rig.port, reply_timeout_s=0.01, probe_period_s=0.02)
    rig.inject("unplugged")
    for _ in range(5):
        reading = bus.read_state()
        assert not reading.valid.any()
        assert np.isnan(reading.position_rad).all()
    assert bus.silent == ()  # nobody is to blame, so nobody is left out when the cable is back
    rig.inject("clear")
    wait_until(lambda: bus.read_state().complete)


def test_a_port_that_vanishes_is_reported_once_and_may_be_opened_again(
    open_bus, make_rig, tmp_path
):
    first = make_rig()
    link = tmp_path / "port"
    link.symlink_to(first.port)
    bus = open_bus(str(link))
    assert bus.read_state().complete
    first.close()
    with pytest.raises(PortLostError, match="check the USB cable"):
        for _ in range(3):
            bus.read_state()
    assert not bus.is_open
    with pytest.raises(HandBusError, match="open the bus first"):
        bus.write_goal_positions(np.zeros(16))
    link.unlink()
    link.symlink_to(make_rig().port)
    bus.open()
    assert bus.read_state().complete


def test_two_buses_cannot_share_a_port(bus):
    with pytest.raises(PortBusyError):
        DynamixelBus(bus.config).open()


def test_a_hand_may_be_a_few_motors_in_any_order(rig, open_bus):
    bus = open_bus(rig.port, motor_ids=(9, 2))
    rig.bank.servos[9].set("homing_offset", 0)
    bus.sync_write("operating_mode", 5)
    bus.write_goal_positions([0.5, -0.25])
    assert bus.read_register(9, "goal_position") == 2048 + 326
    assert bus.read_register(2, "goal_position") == 2048 - 163
    assert bus.read_state().position_rad.shape == (2,)


def test_threads_take_turns(bus):
    """The cycle and the services share one wire: nobody ever gets another's answer."""
    answers = []

    def read(motor_id):
        answers.extend(bus.read_register(motor_id, "id") == motor_id for _ in range(30))

    threads = [threading.Thread(target=read, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    answers.extend(bus.read_state().complete for _ in range(30))
    for thread in threads:
        thread.join()
    assert len(answers) == 150
    assert all(answers)


def test_garbage_instead_of_replies_is_nobody(open_bus):
    with PtyPeer(lambda request: [os.urandom(300), request, os.urandom(5)]) as peer:
        bus = open_bus(peer.path, reply_timeout_s=0.01, gap_s=0.005)
        for _ in range(10):
            assert not bus.read_state().valid.any()
        with pytest.raises(NoReplyError):
            bus.ping(0)


def test_a_reply_in_pieces_is_one_reply(open_bus):
    reply = fast_reply([(0, k, -k, 2048 + k) for k in range(16)])
    pieces = [reply[at : at + 7] for at in range(0, len(reply), 7)]
    with PtyPeer(lambda _: pieces) as peer:
        reading = open_bus(peer.path).read_state()
    assert reading.complete
    np.testing.assert_allclose(reading.current_a, 0.001 * np.arange(16))


def test_a_late_fast_reply_is_not_taken_for_the_retrys_answer(open_bus):
    """The first reply comes after the time-out, in front of the answer to the retry."""
    late = fast_reply([(0, 0, 0, 0)] * 2)

    def answer(request):
        if request[7] == 0x82:
            yield late
            for k in (1, 0):
                data = struct.pack("<hii", 0, 0, 2048 + k)
                yield instruction_packet(k, 0x55, b"\0" + data)

    with PtyPeer(answer) as peer:
        bus = open_bus(peer.path, motor_ids=(0, 1), reply_timeout_s=0.05)
        reading = bus.read_state()
    assert reading.complete
    np.testing.assert_allclose(reading.position_rad, np.array([0, 1]) * 2 * np.pi / 4096)


@pytest.mark.parametrize(
    "bad",
    [
        {"motor_ids": ()},
        {"motor_ids": (1, 1)},
        {"motor_ids": (253,)},
        {"gap_s": 0.0},
        {"reply_timeout_s": float("nan")},
        {"retries": -1},
        {"drop_after": 0},
    ],
)
def test_a_config_that_is_no_bus_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        BusConfig("/dev/null", **bad)


def test_other_models_and_return_delays_do_not_matter_to_reads(make_rig, open_bus):
    rig = make_rig(RigConfig(return_delay_us=500, other_models={4: 1200}))
    bus = open_bus(rig.port)
    assert bus.ping(4) == (1200, 52)
    assert bus.read_state().complete
