# SPDX-License-Identifier: Apache-2.0
"""Packets as the manual and our own measurements give them, and a parser that garbage cannot fool."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexndm_ros.hand.wire import (
    BROADCAST_ID,
    StatusPacket,
    crc16,
    fast_reply_length,
    fast_sync_read_packet,
    instruction_packet,
    parse_fast_reply,
    sync_read_packet,
    take_status,
)

IDS = tuple(range(16))


def bitwise_crc(data, crc=0):
    """The definition, a bit at a time."""
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def status(motor_id, data=b"", error=0):
    body = (bytes((0x55, error)) + data).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    packet = b"\xff\xff\xfd\x00" + struct.pack("<BH", motor_id, len(body) + 2) + body
    return packet + struct.pack("<H", bitwise_crc(packet))


def fast_reply(ids=IDS, length=10, error=0):
    """A reply whose data encodes motor and byte: motor k carries k, k+1, ..."""
    size = 1 + len(ids) * (length + 4)
    packet = b"\xff\xff\xfd\x00" + struct.pack("<BHB", BROADCAST_ID, size, 0x55)
    for k in ids:
        packet += bytes((error, k)) + bytes((16 * k + j) % 256 for j in range(length))
        packet += struct.pack("<H", bitwise_crc(packet))
    return packet


@pytest.mark.parametrize(
    ("packet", "golden"),
    [
        (instruction_packet(1, 1), "FF FF FD 00 01 03 00 01 19 4E"),
        (
            instruction_packet(1, 2, struct.pack("<HH", 132, 4)),
            "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15",
        ),
        (
            instruction_packet(1, 3, struct.pack("<HI", 116, 512)),
            "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
        ),
        (instruction_packet(1, 8), "FF FF FD 00 01 03 00 08 2F 4E"),
        (
            fast_sync_read_packet(132, 4, (3, 7, 4)),
            "FF FF FD 00 FE 0A 00 8A 84 00 04 00 03 07 04 20 F2",
        ),
        (
            fast_sync_read_packet(126, 10, IDS),
            "FF FF FD 00 FE 17 00 8A 7E 00 0A 00 "
            "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 69 75",
        ),
    ],
)
def test_requests_are_the_golden_bytes(packet, golden):
    assert packet == bytes.fromhex(golden)


@pytest.mark.parametrize(
    ("golden", "expected"),
    [
        (
            "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D",
            StatusPacket(1, 0, b"\x06\x04\x26"),
        ),
        (
            "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0",
            StatusPacket(1, 0, b"\xa6\0\0\0"),
        ),
        (  # current -1, velocity -3: the data itself looks like a header and is stuffed
            "FF FF FD 00 01 0F 00 55 00 FF FF FD FD FF FF FF 00 08 00 00 49 F0",
            StatusPacket(1, 0, struct.pack("<hii", -1, -3, 2048)),
        ),
    ],
)
def test_replies_are_read_as_the_golden_bytes_mean(golden, expected):
    buffer = bytearray.fromhex(golden)
    assert take_status(buffer) == expected
    assert not buffer


def test_the_golden_fast_reply():
    golden = bytes.fromhex(
        "FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08 00 07 1F 08 00 00 16 CA 00 04 FF 03 00 00 D1 9E"
    )
    assert len(golden) == fast_reply_length(4, 3)
    reply = parse_fast_reply(golden, (3, 7, 4), 4)
    assert reply.complete
    assert reply.records["data"].copy().view("<i4").ravel().tolist() == [166, 2079, 1023]


def test_requests_are_stuffed():
    packet = instruction_packet(1, 3, b"\x74\x00\xff\xff\xfd\xff")
    assert packet[5:7] == struct.pack("<H", 10)
    assert b"\xff\xff\xfd\xfd\xff" in packet
    assert packet[-2:] == struct.pack("<H", bitwise_crc(packet[:-2]))


def test_plain_and_fast_sync_reads_differ_in_the_instruction_only():
    assert sync_read_packet(126, 10, IDS)[7] == 0x82
    assert sync_read_packet(126, 10, IDS)[8:-2] == fast_sync_read_packet(126, 10, IDS)[8:-2]


@given(st.binary(max_size=300), st.integers(0, 0xFFFF))
def test_crc_is_the_definition(data, seed):
    assert crc16(data, seed) == bitwise_crc(data, seed)
    assert crc16(bytearray(data), seed) == bitwise_crc(data, seed)


noise = st.lists(
    st.sampled_from([b"\xff", b"\xfd", b"\x00", b"\xff\xff\xfd\x00", b"\x55", b"\x01", b"\x0f\x00"])
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)


@given(noise, st.integers(0, 252), st.binary(max_size=40), noise, st.integers(1, 7))
def test_a_packet_is_found_in_noise_however_it_arrives(before, motor_id, data, after, chunk):
    buffer = bytearray()
    stream = before + status(motor_id, data, error=0x80) + after
    found = []
    for at in range(0, len(stream), chunk):
        buffer += stream[at : at + chunk]
        while (packet := take_status(buffer)) is not None:
            found.append(packet)
    assert found == [StatusPacket(motor_id, 0x80, data)]


@given(st.binary(max_size=400))
def test_garbage_is_survived_and_does_not_pile_up(data):
    buffer = bytearray(data)
    while take_status(buffer) is not None:
        pass
    parse_fast_reply(data, IDS, 10)
    assert len(buffer) <= 1031


@given(st.integers(0, 1855), st.integers(0, 20))
def test_one_flipped_bit_never_gives_a_wrong_record_and_costs_two_at_most(bit, shift):
    truth = fast_reply()
    damaged = bytearray(b"\xff" * shift + truth)
    damaged[shift + bit // 8] ^= 1 << bit % 8
    reply = parse_fast_reply(damaged, IDS, 10)
    assert not reply.complete
    if bit >= 64:  # behind the header
        assert len(reply.slots) >= 14
    for slot, record in zip(reply.slots, reply.records, strict=True):
        assert record["id"] == slot
        assert bytes(record["data"]) == bytes((16 * slot + j) % 256 for j in range(10))


@given(st.integers(0, 232))
def test_a_reply_that_ends_early_gives_the_whole_records_before_the_end(length):
    reply = parse_fast_reply(fast_reply()[:length], IDS, 10)
    assert reply.slots == list(range(max(0, length - 8) // 14))
    assert reply.complete == (length == 232)


def test_records_behind_a_gap_are_kept():
    """Motors 3 and 4 say nothing and the others close ranks; the header promised sixteen."""
    present = [k for k in IDS if k not in (3, 4)]
    packet = bytearray(fast_reply()[:8])
    for k in present:
        packet += bytes((0, k)) + bytes(10)
        packet += struct.pack("<H", bitwise_crc(packet))
    reply = parse_fast_reply(packet, IDS, 10)
    assert reply.slots == present
    assert not reply.complete


def test_the_wrong_motors_are_not_taken_for_the_right_ones():
    reply = parse_fast_reply(fast_reply(ids=(0, 1, 3, 2)), (0, 1, 2, 3), 10)
    assert reply.slots == [0, 1, 3]
    assert not parse_fast_reply(fast_reply(ids=(4, 5)), (0, 1), 10).slots


def test_error_bytes_come_through():
    reply = parse_fast_reply(fast_reply(error=0x80), IDS, 10)
    np.testing.assert_array_equal(reply.records["error"], 0x80)
