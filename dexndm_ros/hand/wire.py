# SPDX-License-Identifier: Apache-2.0
"""Dynamixel Protocol 2.0 as the driver speaks it: instruction packets out, status packets in.

Pure functions over bytes. A cycle sends 124 bytes and receives 232, so the cyclic redundancy check and
the parsing are written for speed: a table step for two bytes, and numpy for the sixteen records.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BROADCAST_ID",
    "MAX_ID",
    "FastReply",
    "StatusPacket",
    "crc16",
    "fast_reply_length",
    "fast_sync_read_packet",
    "instruction_packet",
    "parse_fast_reply",
    "sync_read_packet",
    "take_status",
]

BROADCAST_ID = 0xFE
MAX_ID = 0xFC
STATUS = 0x55
SYNC_READ = 0x82
FAST_SYNC_READ = 0x8A

_HEADER = b"\xff\xff\xfd\x00"
_HEADER_SIZE = 7
_MAX_LENGTH = 1024
# Of a fast reply, everything before the first record: header, 254, length, 0x55.
_FAST_HEADER_SIZE = 8
# Of a record beside its data: error, ID, and the CRC of everything sent so far.
_FAST_RECORD_EXTRA = 4


def _crc_table(bits: int) -> list[int]:
    """CRC register after ``bits`` zero bits, for each value of its top ``bits`` bits."""
    register = np.arange(1 << bits, dtype=np.uint32) << (16 - bits)
    for _ in range(bits):
        register = np.where(register & 0x8000, register << 1 ^ 0x8005, register << 1) & 0xFFFF
    table: list[int] = register.tolist()
    return table


_BYTE_TABLE = _crc_table(8)
_WORD_TABLE = _crc_table(16)


def crc16(data: bytes | bytearray, seed: int = 0) -> int:
    """CRC-16 of Protocol 2.0 (polynomial 0x8005, not reflected).

    Args:
        data: bytes to add.
        seed: CRC of the bytes before.
    """
    crc = seed
    odd = len(data) & 1
    if odd:
        crc = (crc << 8 & 0xFF00) ^ _BYTE_TABLE[crc >> 8 ^ data[0]]
    table = _WORD_TABLE
    for word in struct.unpack_from(f">{len(data) >> 1}H", data, odd):
        crc = table[crc ^ word]
    return crc


def instruction_packet(motor_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet: header, stuffed body, CRC."""
    body = bytes((instruction,)) + parameters
    body = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    packet = _HEADER + struct.pack("<BH", motor_id, len(body) + 2) + body
    return packet + struct.pack("<H", crc16(packet))


@lru_cache(maxsize=128)
def sync_read_packet(address: int, length: int, motor_ids: tuple[int, ...]) -> bytes:
    """Request of a plain sync read: one status packet a motor comes back."""
    return instruction_packet(
        BROADCAST_ID, SYNC_READ, struct.pack("<HH", address, length) + bytes(motor_ids)
    )


@lru_cache(maxsize=128)
def fast_sync_read_packet(address: int, length: int, motor_ids: tuple[int, ...]) -> bytes:
    """Request of a fast sync read: one common status packet comes back."""
    return instruction_packet(
        BROADCAST_ID, FAST_SYNC_READ, struct.pack("<HH", address, length) + bytes(motor_ids)
    )


def fast_reply_length(length: int, count: int) -> int:
    """Bytes of the common status packet of ``count`` motors with ``length`` bytes of data each."""
    return _FAST_HEADER_SIZE + count * (length + _FAST_RECORD_EXTRA)


@dataclass(frozen=True, slots=True)
class StatusPacket:
    """One status packet.

    Attributes:
        motor_id: who answered.
        error: error byte; bit 7 is the alert.
        data: parameters after the error byte, unstuffed.
    """

    motor_id: int
    error: int
    data: bytes


def take_status(buffer: bytearray, *, unstuff: bool = True) -> StatusPacket | None:
    """Take the first whole, undamaged status packet out of a receive buffer.

    Whatever stands before it (noise, damaged or foreign packets) goes too. None: nothing whole yet; the
    buffer is kept but for bytes that can never become a packet. A body cannot hold a header (stuffing),
    so a whole packet inside an unfinished one proves that the outer header was noise.

    Args:
        buffer: received bytes; what is used up is deleted.
        unstuff: remove the stuffing; False for the replies of fast reads, which are never stuffed.
    """
    keep_from = -1
    at = buffer.find(_HEADER)
    while at >= 0:
        if len(buffer) - at < _HEADER_SIZE:
            keep_from = at if keep_from < 0 else keep_from
            break
        length = buffer[at + 5] | buffer[at + 6] << 8
        end = at + _HEADER_SIZE + length
        if 4 <= length <= _MAX_LENGTH:
            if end > len(buffer):
                keep_from = at if keep_from < 0 else keep_from
            elif (
                buffer[at + 7] == STATUS
                and buffer[end - 2] | buffer[end - 1] << 8 == crc16(buffer[at : end - 2])
            ):  # fmt: skip
                motor_id = buffer[at + 4]
                body = bytes(buffer[at + 8 : end - 2])
                if unstuff:
                    body = body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
                del buffer[:end]
                return StatusPacket(motor_id, body[0], body[1:])
        at = buffer.find(_HEADER, at + 1)
    if keep_from < 0:  # the beginning of a header may stand at the very end
        keep_from = max(0, len(buffer) - len(_HEADER) + 1)
    del buffer[:keep_from]
    return None


@dataclass(frozen=True, slots=True)
class FastReply:
    """What could be had from the common reply of a fast sync read.

    Attributes:
        slots: index in the list of motors asked, of each record below; rising.
        records: the verified records, fields ``error``, ``id``, ``data`` (uint8 x length), ``crc``.
        complete: every motor's record is there and verified.
    """

    slots: list[int]
    records: NDArray[np.void]
    complete: bool


@lru_cache(maxsize=8)
def _record_dtype(length: int) -> np.dtype[np.void]:
    return np.dtype(
        [("error", "u1"), ("id", "u1"), ("data", "u1", (length,)), ("crc", "<u2")]
    )  # fmt: skip


def parse_fast_reply(buffer: bytes | bytearray, motor_ids: Sequence[int], length: int) -> FastReply:
    """Find the common status packet of a fast sync read in a buffer, whole or in part.

    Each record ends with the CRC of all bytes sent up to it, so the last CRC verifies everything. Where
    that fails, records are verified one by one, each from the CRC sent with the one before: a damaged
    record costs itself (and its neighbour, when the CRC was hit), not everything behind it.

    Args:
        buffer: received bytes.
        motor_ids: motors asked, in order.
        length: bytes of data a motor.
    """
    count = len(motor_ids)
    size = length + _FAST_RECORD_EXTRA
    dtype = _record_dtype(length)
    header = _HEADER + struct.pack("<BHB", BROADCAST_ID, 1 + count * size, STATUS)
    at = buffer.find(header)
    if at < 0:
        return FastReply([], np.empty(0, dtype), False)
    end = at + _FAST_HEADER_SIZE + count * size
    if len(buffer) >= end:
        packet = bytes(buffer[at:end])
        records = np.frombuffer(packet, dtype, count, _FAST_HEADER_SIZE)
        # The two CRC bytes as they stand in the stream, low byte first.
        if crc16(packet[:-2]) == packet[-2] | packet[-1] << 8 and records["id"].tolist() == list(
            motor_ids
        ):
            return FastReply(list(range(count)), records, True)
    return _salvage(bytes(buffer[at : at + count * size + _FAST_HEADER_SIZE]), motor_ids, length)


def _salvage(packet: bytes, motor_ids: Sequence[int], length: int) -> FastReply:
    size = length + _FAST_RECORD_EXTRA
    slot_of = {motor_id: k for k, motor_id in enumerate(motor_ids)}
    slots: list[int] = []
    good = b""
    crc = crc16(packet[:_FAST_HEADER_SIZE])
    next_slot = 0
    for at in range(_FAST_HEADER_SIZE, len(packet) - size + 1, size):
        record = packet[at : at + size]
        slot = slot_of.get(record[1], -1)
        sent_crc = record[-2] | record[-1] << 8
        # IDs rise in list order; a silent motor may be skipped, an earlier one cannot come back.
        if crc16(record[:-2], crc) == sent_crc and slot >= next_slot:
            slots.append(slot)
            good += record
            next_slot = slot + 1
        crc = crc16(record[-2:], sent_crc)
    return FastReply(slots, np.frombuffer(good, _record_dtype(length)), False)
