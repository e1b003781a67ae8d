# SPDX-License-Identifier: Apache-2.0
"""Packets against vectors of the manual, and against arbitrary bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.sim.protocol2 import (
    MAX_LENGTH,
    FastStatus,
    Instruction,
    PacketParser,
    crc16,
    encode,
    encode_status,
    stuff,
    unstuff,
)

# Bytes that headers are made of come up often, or the interesting cases would never be drawn.
nasty_bytes = st.lists(
    st.sampled_from([0xFF, 0xFD, 0x00, 0x01, 0x55, 0xFE]) | st.integers(0, 255), max_size=80
).map(bytes)

INSTRUCTIONS = {
    "ping 1": (encode(1, 1), "FF FF FD 00 01 03 00 01 19 4E"),
    "read": (encode(1, 2, bytes([132, 0, 4, 0])), "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15"),
    "write": (
        encode(1, 3, bytes([116, 0, 0, 2, 0, 0])),
        "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
    ),
    "reg write": (
        encode(1, 4, bytes([104, 0, 200, 0, 0, 0])),
        "FF FF FD 00 01 09 00 04 68 00 C8 00 00 00 AE 8E",
    ),
    "action": (encode(1, 5), "FF FF FD 00 01 03 00 05 02 CE"),
    "factory reset": (encode(1, 6, b"\x01"), "FF FF FD 00 01 04 00 06 01 A1 E6"),
    "reboot": (encode(1, 8), "FF FF FD 00 01 03 00 08 2F 4E"),
    "clear": (encode(1, 0x10, b"\x01DXL\x22"), "FF FF FD 00 01 08 00 10 01 44 58 4C 22 B1 DC"),
    "sync read": (
        encode(254, 0x82, bytes([132, 0, 4, 0, 1, 2])),
        "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA",
    ),
    "fast sync read": (
        encode(254, 0x8A, bytes([126, 0, 10, 0, *range(16)])),
        "FF FF FD 00 FE 17 00 8A 7E 00 0A 00 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 69 75",
    ),
    "bulk read": (
        encode(254, 0x92, bytes([1, 144, 0, 2, 0, 2, 146, 0, 1, 0])),
        "FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00 1A 05",
    ),
}
STATUSES = {
    "ping": (encode_status(1, 0, b"\x06\x04\x26"), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
    "read": (
        encode_status(1, 0, bytes([166, 0, 0, 0])),
        "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0",
    ),
    "write": (encode_status(1, 0), "FF FF FD 00 01 04 00 55 00 A1 0C"),
    "stuffed": (
        encode_status(1, 0, bytes.fromhex("ffff fdffffff 00080000")),
        "FF FF FD 00 01 0F 00 55 00 FF FF FD FD FF FF FF 00 08 00 00 49 F0",
    ),
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instruction_packets_match_the_manual(name):
    built, expected = INSTRUCTIONS[name]
    assert built == bytes.fromhex(expected)


@pytest.mark.parametrize("name", STATUSES)
def test_status_packets_match_the_manual(name):
    built, expected = STATUSES[name]
    assert built == bytes.fromhex(expected)


def test_a_fast_status_chains_cumulative_crcs():
    packet = FastStatus([4, 4, 4])
    for motor_id, position in ((3, 166), (7, 2079), (4, 1023)):
        packet.add(motor_id, 0, position.to_bytes(4, "little"))
    assert bytes(packet) == bytes.fromhex(
        "FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08 00 07 1F 08 00 00 16 CA 00 04 FF 03 00 00 D1 9E"
    )


def bitwise_crc(data, crc=0):
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


@given(st.binary(max_size=60), st.integers(0, 0xFFFF))
def test_crc_agrees_with_the_bitwise_definition(data, seed):
    assert crc16(data, seed) == bitwise_crc(data, seed)


@given(nasty_bytes)
def test_stuffing_hides_headers_and_comes_off_again(body):
    stuffed = stuff(body)
    assert unstuff(stuffed) == body
    assert b"\xff\xff\xfd\x00" not in stuffed


@given(st.integers(0, 254), st.integers(0, 255), nasty_bytes)
def test_packets_come_back_as_they_were_encoded(motor_id, instruction, parameters):
    wire = encode(motor_id, instruction, parameters)
    (packet,) = PacketParser().feed(wire)
    assert (packet.motor_id, packet.instruction, packet.parameters) == (
        motor_id,
        instruction,
        parameters,
    )
    assert packet.crc_ok
    assert packet.wire_bytes == len(wire)


@given(st.lists(nasty_bytes, max_size=6))
def test_arbitrary_bytes_never_crash_and_never_pile_up(chunks):
    parser = PacketParser()
    for chunk in chunks:
        parser.feed(chunk)
    assert len(parser._buffer) <= MAX_LENGTH + 7


headers_with_lies = st.builds(
    lambda head, motor, length, tail: head + bytes([motor, length & 255, length >> 8]) + tail,
    st.just(b"\xff\xff\xfd\x00"),
    st.integers(0, 254),
    st.integers(0, 2000),
    nasty_bytes,
)


@given(st.lists(nasty_bytes | headers_with_lies, max_size=4), st.integers(1, 9))
def test_a_packet_after_garbage_is_found_at_once(garbage, cut):
    parser = PacketParser()
    for chunk in garbage:
        parser.feed(chunk)
    ping = encode(5, Instruction.PING)
    found = parser.feed(ping[:cut]) + parser.feed(ping[cut:])
    assert any(p.crc_ok and (p.motor_id, p.instruction) == (5, Instruction.PING) for p in found)


@given(st.integers(0, 252), st.binary(min_size=2, max_size=20), st.data())
def test_a_damaged_packet_is_reported_as_damaged_and_the_next_is_read(motor_id, parameters, data):
    wire = bytearray(encode(motor_id, Instruction.WRITE, parameters))
    at = data.draw(st.integers(8, len(wire) - 1))
    wire[at] ^= 1 << data.draw(st.integers(0, 7))
    found = PacketParser().feed(bytes(wire) + encode(9, Instruction.PING))
    assert [p.crc_ok for p in found if p.motor_id == motor_id and p.instruction == 3] in (
        [False],
        [],
    )
    assert found[-1].crc_ok
    assert found[-1].motor_id == 9


def test_an_unstuffed_body_is_accepted_as_the_sdk_sends_it():
    body = bytes([2, 116, 0, 0xFF, 0xFF, 0xFD, 0x07])
    head = b"\xff\xff\xfd\x00\x01" + (len(body) + 2).to_bytes(2, "little") + body
    (packet,) = PacketParser().feed(head + crc16(head).to_bytes(2, "little"))
    assert packet.crc_ok
    assert packet.parameters == body[1:]


def test_packets_in_one_read_are_all_found_and_their_wire_bytes_add_up():
    wire = b"\x12\x34" + encode(1, 1) + encode(2, 1) + b"\xff\xff"
    parser = PacketParser()
    first, second = parser.feed(wire)
    assert (first.motor_id, second.motor_id) == (1, 2)
    assert (first.wire_bytes, second.wire_bytes) == (12, 10)
    (third,) = parser.feed(encode(3, 1))
    assert third.motor_id == 3


def test_a_header_that_begins_inside_a_damaged_packet_is_kept():
    parser = PacketParser()
    ping = encode(5, Instruction.PING)
    found = parser.feed(b"\xff\xff\xfd\x00\x01\x05\x00abc" + ping[:2]) + parser.feed(ping[2:])
    assert found[-1].crc_ok
    assert found[-1].motor_id == 5
