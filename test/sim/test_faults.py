# SPDX-License-Identifier: Apache-2.0
"""Each injected fault, seen from the bus."""

import struct

import pytest

from dexndm_ros.sim.faults import FAULTS, Fault, FaultBoard, FaultError
from dexndm_ros.sim.protocol2 import BROADCAST_ID, Instruction, PacketParser, crc16, encode
from support.emulated import EmulatedHand, parse_status

FAST = encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, bytes([126, 0, 10, 0, *range(16)]))


@pytest.fixture
def hand():
    hand = EmulatedHand()
    hand.switch_on()
    hand.run(0.05)
    return hand


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("hiccup",), "unknown fault 'hiccup'; known: lost_reply"),
        (("overload", 16), "motor 16 does not exist; allowed 0..15, or -1"),
        (("overload", -2), "motor -2 does not exist"),
        (("lost_reply", 0, 1.5), "probability 1.5 must lie in 0..1"),
        (("lost_reply", 0, float("nan")), "probability nan"),
        (("lost_reply", 0, 0.0), "probability 0 never happens"),
        (("silent_motor", 0, 1.0, -1.0), "duration_s -1.0 must be"),
        (("silent_motor", 0, 1.0, float("inf")), "duration_s inf must be finite"),
    ],
)
def test_impossible_faults_are_refused_with_what_is_allowed(arguments, complaint):
    with pytest.raises(FaultError, match=complaint):
        Fault(*arguments)


@pytest.mark.parametrize("kind", [k for k in FAULTS if k != "clear"])
def test_every_fault_ends_with_clear(hand, kind):
    hand.inject(kind, -1)
    hand.run(0.05)
    hand.inject("clear")
    hand.run(0.05)
    hand.sync_write("led", dict.fromkeys(range(16), 1))
    assert all(hand.ask(k, Instruction.PING) is not None for k in range(16))
    for k in range(16):
        hand.ask(k, Instruction.REBOOT)
    hand.run(0.2)
    assert all(hand.read(k, "hardware_error_status").value == 0 for k in range(16))


def test_a_fault_ends_by_itself_after_its_duration(hand):
    hand.inject("silent_motor", 3, duration_s=0.5)
    assert hand.ask(3, Instruction.PING) is None
    hand.run(0.6)
    assert hand.ask(3, Instruction.PING) is not None


def test_lost_replies_follow_their_probability(hand):
    hand.inject("lost_reply", -1, probability=0.25)
    lost = sum(hand.ask(k % 16, Instruction.PING) is None for k in range(2000))
    assert 400 < lost < 600


def test_a_fast_reply_counts_as_one_reply(hand):
    hand.inject("lost_reply", -1, probability=0.25)
    lost = sum(hand.send(FAST) == [] for _ in range(2000))
    assert 400 < lost < 600


def test_a_lost_reply_of_one_motor_cuts_the_fast_reply_there(hand):
    hand.inject("lost_reply", 6)
    (reply,) = hand.send(FAST)
    assert len(reply.data) == 8 + 6 * 14


def test_a_lost_reply_means_the_request_was_obeyed(hand):
    hand.inject("lost_reply", 2)
    assert hand.write(2, "led", 1) is None
    assert hand.servos[2].get("led") == 1


def test_corrupted_answers_fail_their_crc(hand):
    hand.inject("corrupt_crc", -1)
    for k in range(16):
        (reply,) = hand.send(encode(k, Instruction.READ, struct.pack("<HH", 132, 4)))
        assert not any(p.crc_ok for p in PacketParser().feed(reply.data))
    (fast,) = hand.send(FAST)
    assert crc16(fast.data[:-2]) != struct.unpack("<H", fast.data[-2:])[0]


def test_corruption_of_one_motor_leaves_the_motors_before_it_intact(hand):
    hand.inject("corrupt_crc", 6)
    (reply,) = hand.send(FAST)
    good = [
        crc16(reply.data[: 8 + 14 * k + 12])
        == struct.unpack_from("<H", reply.data, 8 + 14 * k + 12)[0]
        for k in range(16)
    ]
    assert good[:6] == [True] * 6
    assert not good[15]
    assert hand.ask(5, Instruction.PING) is not None


def test_a_silent_motor_keeps_its_goal_and_obeys_nothing(hand):
    hand.inject("silent_motor", 5)
    hand.sync_write("goal_position", dict.fromkeys(range(16), 2300))
    hand.run(0.5)
    assert hand.servos[5].get("present_position") == pytest.approx(2048, abs=5)
    assert hand.servos[4].get("present_position") == pytest.approx(2300, abs=5)


def test_an_unplugged_hand_is_silent_and_its_motors_hold(hand):
    hand.inject("unplugged")
    assert all(hand.send(encode(k, Instruction.PING)) == [] for k in range(16))
    assert hand.send(FAST) == []
    assert hand.bank.torque_on.all()
    hand.inject("clear")
    assert parse_status(hand.send(encode(0, Instruction.PING))[0].data).error == 0


def test_a_motor_whose_cable_is_out_goes_limp_and_boots_when_it_is_back(hand):
    hand.inject("unplugged", 9, duration_s=0.3)
    hand.run(0.1)
    assert hand.ask(9, Instruction.PING) is None
    assert [k for k in range(16) if not hand.bank.torque_on[k]] == [9]
    hand.run(0.5)
    assert hand.read(9, "torque_enable").value == 0
    assert hand.read(9, "position_p_gain").value == 1100
    assert hand.bank.torque_on.sum() == 15


def test_an_overload_is_latched_until_a_reboot(hand):
    hand.inject("overload", 3)
    hand.run(0.05)
    assert hand.read(3, "hardware_error_status").value == 0x20
    assert hand.read(3, "torque_enable").value == 0
    assert not hand.bank.torque_on[3]
    answer = hand.write(3, "torque_enable", 1)
    assert answer.alert
    assert answer.number == 1
    hand.ask(3, Instruction.REBOOT)
    hand.run(0.2)
    assert hand.read(3, "hardware_error_status").value == 0
    assert hand.write(3, "torque_enable", 1).error == 0
    hand.run(0.05)
    assert hand.bank.torque_on[3]


def test_a_lasting_overload_returns_after_a_reboot(hand):
    hand.inject("overload", 3, duration_s=1.0)
    hand.run(0.05)
    hand.ask(3, Instruction.REBOOT)
    hand.run(0.2)
    assert hand.read(3, "hardware_error_status").value == 0x20
    hand.run(1.0)
    hand.ask(3, Instruction.REBOOT)
    hand.run(0.2)
    assert hand.read(3, "hardware_error_status").value == 0


def test_a_hot_motor_reports_its_temperature_and_switches_off(hand):
    hand.inject("hot_motor", 12)
    hand.run(0.05)
    assert hand.read(12, "present_temperature").value == 85
    assert hand.read(12, "hardware_error_status").value == 0x04
    assert [k for k in range(16) if not hand.bank.torque_on[k]] == [12]


def test_a_brown_out_shows_in_voltage_and_alert(hand):
    hand.inject("brown_out")
    hand.run(0.05)
    assert hand.read(0, "present_input_voltage").value == 32
    assert hand.read(0, "hardware_error_status").value == 0x01
    assert hand.bank.torque_on.all()  # the XC330's Shutdown register does not name the voltage
    hand.inject("clear")
    hand.run(0.05)
    assert hand.read(0, "present_input_voltage").value == 50


def test_a_brown_out_switches_the_lite_motors_off():
    hand = EmulatedHand(servo_options={"model_number": 1200})
    hand.switch_on()
    hand.inject("brown_out")
    hand.run(0.05)
    assert not hand.bank.torque_on.any()


def test_shutdown_names_which_errors_switch_off(hand):
    hand.write(1, "torque_enable", 0)
    hand.write(1, "shutdown", 0)
    hand.write(1, "torque_enable", 1)
    hand.inject("overload", 1)
    hand.run(0.05)
    assert hand.ask(1, Instruction.PING).alert
    assert hand.bank.torque_on[1]


def test_the_same_fault_again_replaces_the_first():
    now = [0.0]
    board = FaultBoard(lambda: now[0])
    board.inject(Fault("lost_reply", 2, 0.5, 10.0))
    board.inject(Fault("lost_reply", 2, 0.1, 20.0))
    assert [f.probability for f in board.active("lost_reply")] == [0.1]
    now[0] = 15.0
    assert board.active("lost_reply")
    now[0] = 21.0
    assert not board.active("lost_reply")
