# SPDX-License-Identifier: Apache-2.0
"""Group instructions, silence, status return level, alert, and arbitrary traffic."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.sim.protocol2 import BROADCAST_ID, Instruction, PacketParser, crc16, encode
from support.emulated import EmulatedHand, parse_status

POSITION = struct.pack("<HH", 132, 4)
ALL = bytes(range(16))


@pytest.fixture
def hand():
    """A hand whose present positions encode their motor: 2048 + 10 k."""
    hand = EmulatedHand()
    for k, servo in enumerate(hand.servos):
        servo.set_present_position(2048 + 10 * k)
    return hand


def fast_blocks(reply, length):
    """(error, motor ID, value) of each motor in a fast reply, every cumulative CRC checked."""
    assert reply[:5] == b"\xff\xff\xfd\x00\xfe"
    blocks, at = [], 8
    while at < len(reply):
        error, motor_id = reply[at], reply[at + 1]
        end = at + 2 + length
        assert crc16(reply[:end]) == struct.unpack_from("<H", reply, end)[0]
        blocks.append((error, motor_id, int.from_bytes(reply[at + 2 : end], "little")))
        at = end + 2
    return blocks


def test_a_broadcast_ping_is_answered_by_all_in_order_of_id(hand):
    replies = hand.send(encode(BROADCAST_ID, Instruction.PING))
    assert [parse_status(r.data).motor_id for r in replies] == list(range(16))


def test_a_sync_read_answers_in_the_order_of_the_list(hand):
    order = bytes([3, 15, 0, 3])
    replies = hand.send(encode(BROADCAST_ID, Instruction.SYNC_READ, POSITION + order))
    answers = [parse_status(r.data) for r in replies]
    assert [(a.motor_id, a.value) for a in answers] == [(3, 2078), (15, 2198), (0, 2048)]


def test_a_silent_motor_costs_its_slot_in_a_sync_read(hand):
    hand.inject("silent_motor", 1)
    replies = hand.send(encode(BROADCAST_ID, Instruction.SYNC_READ, POSITION + bytes([0, 1, 2])))
    assert [bool(r.data) for r in replies] == [True, False, True]
    assert [r.wire_bytes for r in replies] == [15, 15, 15]


def test_a_fast_sync_read_is_one_packet_of_all(hand):
    (reply,) = hand.send(encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, POSITION + ALL))
    assert fast_blocks(reply.data, 4) == [(0, k, 2048 + 10 * k) for k in range(16)]
    assert len(reply.data) == 8 + 16 * 8
    assert struct.unpack_from("<H", reply.data, 5)[0] == len(reply.data) - 7


def test_a_fast_reply_is_never_stuffed(hand):
    hand.servos[0].set_present_position(0x00FDFFFF)
    (reply,) = hand.send(encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, POSITION + b"\0\1"))
    assert fast_blocks(reply.data, 4)[0] == (0, 0, 0x00FDFFFF)
    (plain,) = hand.send(encode(0, Instruction.READ, POSITION))
    assert len(plain.data) == 16
    assert parse_status(plain.data).value == 0x00FDFFFF


@pytest.mark.parametrize("silent", [0, 7, 15])
def test_a_fast_reply_ends_where_a_motor_is_silent(hand, silent):
    hand.inject("silent_motor", silent)
    replies = hand.send(encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, POSITION + ALL))
    if silent == 0:
        assert replies == []
        return
    (reply,) = replies
    assert [b[1] for b in fast_blocks(reply.data, 4)] == list(range(silent))
    assert struct.unpack_from("<H", reply.data, 5)[0] == 1 + 16 * 8  # promised before it showed


def test_bulk_reads_take_a_window_of_each_motor(hand):
    windows = struct.pack("<BHH", 2, 132, 4) + struct.pack("<BHH", 9, 146, 1)
    replies = hand.send(encode(BROADCAST_ID, Instruction.BULK_READ, windows))
    answers = [parse_status(r.data) for r in replies]
    assert [(a.motor_id, a.value) for a in answers] == [(2, 2068), (9, 28)]
    (fast,) = hand.send(encode(BROADCAST_ID, Instruction.FAST_BULK_READ, windows))
    assert fast_blocks(fast.data[:16], 4) == [(0, 2, 2068)]
    assert fast.data[16:19] == bytes([0, 9, 28])
    assert crc16(fast.data[:-2]) == struct.unpack("<H", fast.data[-2:])[0]


def test_group_writes_reach_each_motor_and_are_not_answered(hand):
    hand.sync_write("position_p_gain", {k: 700 + k for k in range(16)})
    assert [s.get("position_p_gain") for s in hand.servos] == [700 + k for k in range(16)]
    body = struct.pack("<BHHH", 3, 84, 2, 42) + struct.pack("<BHHB", 5, 65, 1, 1)
    assert hand.send(encode(BROADCAST_ID, Instruction.BULK_WRITE, body)) == []
    assert (hand.servos[3].get("position_p_gain"), hand.servos[5].get("led")) == (42, 1)


def test_broadcast_writes_are_obeyed_and_broadcast_reads_ignored(hand):
    assert hand.send(encode(BROADCAST_ID, Instruction.WRITE, b"\x41\x00\x01")) == []
    assert all(s.get("led") == 1 for s in hand.servos)
    assert hand.send(encode(BROADCAST_ID, Instruction.READ, POSITION)) == []


@pytest.mark.parametrize(
    ("level", "answers"), [(0, (True, False, False)), (1, (True, True, False)), (2, (True,) * 3)]
)
def test_status_return_level(hand, level, answers):
    hand.write(6, "status_return_level", level)
    ping = hand.ask(6, Instruction.PING)
    read = hand.read(6, "present_position")
    written = hand.write(6, "led", 1)
    assert tuple(a is not None for a in (ping, read, written)) == answers
    assert hand.servos[6].get("led") == 1


def test_return_delay_is_two_microseconds_a_step(hand):
    hand.write(6, "return_delay_time", 250)
    (reply,) = hand.send(encode(6, Instruction.PING))
    assert reply.delay_s == pytest.approx(500e-6)
    (fast,) = hand.send(encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, POSITION + b"\x06\x07"))
    assert fast.delay_s == pytest.approx(500e-6)


def test_the_alert_bit_rides_on_every_answer_of_a_motor_in_trouble(hand):
    hand.inject("overload", 4)
    hand.run(0.01)
    assert hand.ask(4, Instruction.PING).alert
    assert hand.read(4, "present_position").error == 0x80
    assert not hand.ask(3, Instruction.PING).alert
    (fast,) = hand.send(encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, POSITION + b"\x03\x04"))
    assert [b[0] for b in fast_blocks(fast.data, 4)] == [0, 0x80]


def test_a_damaged_request_is_answered_with_the_crc_error(hand):
    wire = bytearray(encode(8, Instruction.PING))
    wire[-1] ^= 4
    (reply,) = hand.send(bytes(wire))
    assert parse_status(reply.data).number == 3
    wire[4] = BROADCAST_ID
    assert hand.send(bytes(wire)) == []


def test_status_packets_and_strangers_are_ignored(hand):
    assert hand.send(encode(3, Instruction.STATUS, b"\0")) == []
    assert hand.send(encode(77, Instruction.PING)) == []
    assert hand.send(encode(3, Instruction.SYNC_READ, POSITION + ALL)) == []


def test_clear_forgets_turns_only_with_its_key(hand):
    assert hand.ask(3, Instruction.CLEAR, b"\x01DXL\x21").number == 4
    hand.servos[3].set_present_position(3 * 4096 + 5)
    assert hand.ask(3, Instruction.CLEAR, b"\x01DXL\x22").error == 0
    assert hand.read(3, "present_position").value == 5


group = st.sampled_from([0x82, 0x83, 0x8A, 0x92, 0x93, 0x9A])
single = st.sampled_from([*Instruction, 0x20, 0x77])


@given(
    st.lists(
        st.tuples(st.just(BROADCAST_ID), group, st.binary(max_size=60))
        | st.tuples(st.integers(0, 20) | st.just(BROADCAST_ID), single, st.binary(max_size=12)),
        max_size=8,
    )
)
def test_no_traffic_upsets_the_bus(packets):
    hand = EmulatedHand()
    for motor_id, instruction, parameters in packets:
        for reply in hand.send(encode(motor_id, instruction, parameters)):
            if reply.data:
                assert len(reply.data) == reply.wire_bytes
    hand.run(0.01)
    hand.now_s += 1.0
    alive = [k for k, servo in enumerate(hand.servos) if servo.motor_id == k]
    for k in alive:
        assert hand.ask(k, Instruction.PING).data == struct.pack("<HB", 1240, 52)


def test_answers_are_packets_the_parser_of_a_host_accepts(hand):
    replies = hand.send(
        encode(BROADCAST_ID, Instruction.SYNC_READ, struct.pack("<HH", 0, 148) + ALL)
    )
    stream = b"".join(r.data for r in replies)
    packets = PacketParser().feed(stream)
    assert [p.motor_id for p in packets] == list(range(16))
    assert all(len(p.parameters) == 149 for p in packets)
