# SPDX-License-Identifier: Apache-2.0
"""Dynamixel Protocol 2.0 packets: CRC, byte stuffing, encoding, and a parser that survives garbage.

This is the motors' side: instruction packets are parsed, status packets are built. Nothing here does I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

__all__ = [
    "ALERT",
    "BROADCAST_ID",
    "FAST_MOTORS_AT",
    "HEADER",
    "MAX_ID",
    "MAX_LENGTH",
    "FastStatus",
    "Instruction",
    "Packet",
    "PacketParser",
    "StatusError",
    "crc16",
    "encode",
    "encode_status",
    "stuff",
    "unstuff",
]

HEADER = b"\xff\xff\xfd\x00"
BROADCAST_ID = 0xFE
MAX_ID = 252
ALERT = 0x80
"""Bit 7 of a status packet's error byte: read Hardware Error Status (70)."""
MAX_LENGTH = 1024
"""Longest length field accepted; the real servos' receive buffer is no larger."""

FAST_MOTORS_AT = 8
"""Index of the first motor's error byte in a fast status packet."""

_HEADER_SIZE = 7  # header, reserved, ID, length
_BLOCK_OVERHEAD = 4  # error, ID, CRC


class Instruction(IntEnum):
    """Instruction codes; STATUS is what motors send."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class StatusError(IntEnum):
    """Error numbers of a status packet (low seven bits)."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


def _step_table(bits: int) -> list[int]:
    """CRC register after `bits` zero bits, for each value of its top `bits` bits (poly 0x8005)."""
    register = np.arange(1 << bits, dtype=np.uint32) << (16 - bits)
    for _ in range(bits):
        register = np.where(register & 0x8000, (register << 1) ^ 0x8005, register << 1) & 0xFFFF
    return [int(value) for value in register]


# Two bytes a step halves the Python loop, which is most of what a fast reply costs the emulator.
_BYTE_STEP = _step_table(8)
_WORD_STEP = _step_table(16)


def crc16(data: bytes | bytearray | memoryview, seed: int = 0) -> int:
    """CRC-16 of Protocol 2.0: polynomial 0x8005, not reflected, no final XOR.

    Args:
        data: bytes to add.
        seed: CRC of the bytes before; 0 at the start of a packet.
    """
    crc = seed
    if len(data) & 1:
        crc = ((crc << 8) & 0xFF00) ^ _BYTE_STEP[(crc >> 8) ^ data[0]]
        data = data[1:]
    step = _WORD_STEP
    for word in struct.unpack(f">{len(data) >> 1}H", data):
        crc = step[crc ^ word]
    return crc


def stuff(body: bytes) -> bytes:
    """Add an FD after each FF FF FD, so that a body never looks like a header."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def unstuff(body: bytes) -> bytes:
    """Undo `stuff`; a body that was (wrongly) sent unstuffed passes unchanged."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")


def encode(motor_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet: header, ID, length, stuffed body, CRC."""
    body = stuff(bytes((instruction,)) + parameters)
    packet = HEADER + struct.pack("<BH", motor_id, len(body) + 2) + body
    return packet + struct.pack("<H", crc16(packet))


def encode_status(motor_id: int, error: int, data: bytes = b"") -> bytes:
    """A status packet with its error byte."""
    return encode(motor_id, Instruction.STATUS, bytes((error,)) + data)


class FastStatus:
    """The one status packet that answers a fast sync or bulk read: motors chained, never stuffed.

    Header, 254, length, 0x55, then for each motor error, ID, data and a CRC over all bytes before it.

    Args:
        data_bytes: length of the data of each motor asked for, in order; the length field is sent before
            it shows that one further back stays silent.
    """

    def __init__(self, data_bytes: Sequence[int]) -> None:
        length = 1 + sum(data_bytes) + _BLOCK_OVERHEAD * len(data_bytes)
        self._packet = bytearray(
            HEADER + struct.pack("<BHB", BROADCAST_ID, length, Instruction.STATUS)
        )
        self._crc = crc16(self._packet)
        self._tail = b""
        self.motors = 0
        """Motors that have answered so far."""

    def add(self, motor_id: int, error: int, data: bytes) -> None:
        """Append the next motor's part."""
        block = bytes((error, motor_id)) + data
        self._crc = crc16(self._tail + block, self._crc)
        self._tail = struct.pack("<H", self._crc)
        self._packet += block + self._tail
        self.motors += 1

    def __bytes__(self) -> bytes:
        return bytes(self._packet)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as received.

    Attributes:
        motor_id: addressee, 254 = all.
        instruction: instruction code, not necessarily a known one.
        parameters: unstuffed.
        wire_bytes: bytes it took on the wire, garbage before it included.
        crc_ok: False when the CRC did not match; the other fields are then not to be trusted.
    """

    motor_id: int
    instruction: int
    parameters: bytes
    wire_bytes: int
    crc_ok: bool = True


class PacketParser:
    """Finds packets in a byte stream; keeps an unfinished one for the next call.

    Byte stuffing keeps headers out of bodies, so a whole packet that starts inside an unfinished or
    damaged one proves that the outer header was garbage: no time-out is needed to get back in step.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def reset(self) -> None:
        """Forget an unfinished packet."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Add received bytes.

        Returns:
            the packets that are complete now, in order; damaged ones have ``crc_ok`` False.
        """
        buffer = self._buffer + data if self._buffer else data
        packets: list[Packet] = []
        consumed = start = 0
        while True:
            at = buffer.find(HEADER, start)
            if at < 0:
                start = max(start, len(buffer) - _partial_header(buffer))
                break
            end = _packet_end(buffer, at)
            if end == 0:  # not a length a packet can have
                start = at + 1
                continue
            if end < 0 or end > len(buffer):
                inner = _whole_packet_after(buffer, at + 1)
                if inner < 0:
                    start = at
                    break
                start = inner
                continue
            crc_ok = _crc_matches(buffer, at, end)
            if not crc_ok and buffer.find(HEADER, at + 1, end + 3) >= 0:
                start = at + 1
                continue
            body = unstuff(buffer[at + _HEADER_SIZE : end - 2])
            if not crc_ok:  # its end may be the beginning of the next one
                end -= _partial_header(buffer[:end])
            packets.append(Packet(buffer[at + 4], body[0], body[1:], end - consumed, crc_ok))
            consumed = start = end
        self._buffer = buffer[start:]
        return packets


def _packet_end(buffer: bytes, at: int) -> int:
    """Index after the packet whose header stands at `at`; -1 = length unknown yet, 0 = impossible."""
    if len(buffer) - at < _HEADER_SIZE:
        return -1
    length = buffer[at + 5] | buffer[at + 6] << 8
    if not 3 <= length <= MAX_LENGTH:
        return 0
    return at + _HEADER_SIZE + length


def _crc_matches(buffer: bytes, at: int, end: int) -> bool:
    return crc16(buffer[at : end - 2]) == buffer[end - 2] | buffer[end - 1] << 8


def _whole_packet_after(buffer: bytes, start: int) -> int:
    """Index of the first complete, undamaged packet from `start` on, or -1."""
    at = buffer.find(HEADER, start)
    while at >= 0:
        end = _packet_end(buffer, at)
        if 0 < end <= len(buffer) and _crc_matches(buffer, at, end):
            return at
        at = buffer.find(HEADER, at + 1)
    return -1


def _partial_header(buffer: bytes) -> int:
    """Number of bytes at the end that may be the beginning of a header."""
    return next((n for n in (3, 2, 1) if buffer[-n:] == HEADER[:n]), 0)
