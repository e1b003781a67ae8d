# SPDX-License-Identifier: Apache-2.0
"""What sixteen servos on one bus do with an instruction packet. Pure: no I/O, no clock of its own.

A broadcast is obeyed without an answer (ping excepted). Unlike several real answers, which follow each
other on the wire, a fast read is one packet that the motors complete in turn: where one is silent, it ends.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dexndm_ros.sim.faults import ALL_MOTORS, FaultBoard
from dexndm_ros.sim.motors import MotorBank
from dexndm_ros.sim.protocol2 import (
    BROADCAST_ID,
    FAST_MOTORS_AT,
    FastStatus,
    Instruction,
    Packet,
    StatusError,
    encode_status,
)
from dexndm_ros.sim.servo import Servo

__all__ = ["InstructionHandler", "Reply"]

_LEVEL_READ, _LEVEL_ALL = 1, 2
_STATUS_OVERHEAD = 11  # a status packet without data
_LONGEST_FAST_READ = 900  # bytes of data; what the servos send must fit into their buffer


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer on the wire.

    Attributes:
        delay_s: the motor's return delay.
        wire_bytes: bytes the slot takes; also when nothing is sent, for the next motor waits it out.
        data: bytes sent; empty = silence.
    """

    delay_s: float
    wire_bytes: int
    data: bytes


class InstructionHandler:
    """Carries out instruction packets on a motor bank's servos.

    Args:
        bank: the motors.
        faults: injected faults.
    """

    def __init__(self, bank: MotorBank, faults: FaultBoard) -> None:
        self._bank = bank
        self._faults = faults
        self._servos = bank.servos
        self._number = {id(servo): k for k, servo in enumerate(bank.servos)}
        self._by_id = {servo.motor_id: servo for servo in bank.servos}
        self._broadcasts: dict[int, Callable[[bytes, float], list[Reply]]] = {
            Instruction.SYNC_READ: self._sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.FAST_SYNC_READ: self._fast_sync_read,
            Instruction.BULK_READ: self._bulk_read,
            Instruction.BULK_WRITE: self._bulk_write,
            Instruction.FAST_BULK_READ: self._fast_bulk_read,
        }

    def handle(self, packet: Packet, now_s: float) -> list[Reply]:
        """Carry out one packet.

        Args:
            packet: as parsed.
            now_s: monotonic time of its arrival.

        Returns:
            answers in the order in which they go on the wire.
        """
        if packet.instruction == Instruction.STATUS:
            return []
        if any(fault.motor == ALL_MOTORS for fault in self._faults.active("unplugged")):
            return []
        with self._bank.lock:
            self._bank.heard(now_s)
            if not packet.crc_ok:
                return self._answer_bad_crc(packet, now_s)
            group = self._broadcasts.get(packet.instruction)
            if group is not None:
                return group(packet.parameters, now_s) if packet.motor_id == BROADCAST_ID else []
            if packet.motor_id == BROADCAST_ID:
                return self._broadcast(packet, now_s)
            servo = self._reachable(packet.motor_id, now_s)
            return [] if servo is None else self._single(servo, packet, now_s)

    # --- one motor ---

    def _single(self, servo: Servo, packet: Packet, now_s: float) -> list[Reply]:
        delay_s, level, motor_id = servo.return_delay_s, servo.status_return_level, packet.motor_id
        error, data = self._execute(servo, packet.instruction, packet.parameters, now_s)
        if packet.instruction == Instruction.PING:
            needed = 0
        elif packet.instruction == Instruction.READ:
            needed = _LEVEL_READ
        else:
            needed = _LEVEL_ALL
        if level < needed:
            return []
        return [self._status(servo, error, data, delay_s, motor_id)]

    def _execute(
        self, servo: Servo, instruction: int, parameters: bytes, now_s: float
    ) -> tuple[StatusError, bytes]:
        """Carry out an instruction that one motor can be given; (error, data of the answer)."""
        none = b""
        match instruction:
            case Instruction.PING:
                return StatusError.NONE, struct.pack(
                    "<HB", servo.get("model_number"), servo.get("firmware_version")
                )
            case Instruction.READ:
                if len(parameters) != 4:
                    return StatusError.DATA_LENGTH, none
                return servo.read(*struct.unpack("<HH", parameters))
            case Instruction.WRITE | Instruction.REG_WRITE:
                if len(parameters) < 3:
                    return StatusError.DATA_LENGTH, none
                address = struct.unpack_from("<H", parameters)[0]
                if instruction == Instruction.REG_WRITE:
                    return servo.register_write(address, parameters[2:]), none
                return self._write(servo, address, parameters[2:]), none
            case Instruction.ACTION:
                error = servo.action()
                self._renumber()
                return error, none
            case Instruction.REBOOT:
                servo.reboot(now_s)
                return StatusError.NONE, none
            case Instruction.CLEAR:
                return servo.clear(parameters), none
            case Instruction.FACTORY_RESET:
                if len(parameters) != 1:
                    return StatusError.DATA_LENGTH, none
                error = servo.factory_reset(parameters[0], now_s)
                self._renumber()
                return error, none
        return StatusError.INSTRUCTION, none

    def _answer_bad_crc(self, packet: Packet, now_s: float) -> list[Reply]:
        servo = self._reachable(packet.motor_id, now_s)
        if servo is None or servo.status_return_level < _LEVEL_ALL:
            return []
        return [self._status(servo, StatusError.CRC, b"", servo.return_delay_s)]

    def _broadcast(self, packet: Packet, now_s: float) -> list[Reply]:
        if packet.instruction == Instruction.PING:
            return [
                reply
                for servo in sorted(self._servos, key=lambda s: s.motor_id)
                if self._reachable(servo.motor_id, now_s) is servo
                for reply in self._single(
                    servo, Packet(servo.motor_id, Instruction.PING, b"", packet.wire_bytes), now_s
                )
            ]
        all_of_it = packet.instruction == Instruction.FACTORY_RESET and packet.parameters == b"\xff"
        if packet.instruction == Instruction.READ or all_of_it:
            return []
        for servo in self._servos:
            if self._reachable(servo.motor_id, now_s) is servo:
                self._execute(servo, packet.instruction, packet.parameters, now_s)
        return []

    # --- groups ---

    def _sync_read(self, parameters: bytes, now_s: float) -> list[Reply]:
        return self._read_each(_sync_windows(parameters), now_s)

    def _bulk_read(self, parameters: bytes, now_s: float) -> list[Reply]:
        return self._read_each(_bulk_windows(parameters), now_s)

    def _fast_sync_read(self, parameters: bytes, now_s: float) -> list[Reply]:
        return self._read_chained(_sync_windows(parameters), now_s)

    def _fast_bulk_read(self, parameters: bytes, now_s: float) -> list[Reply]:
        return self._read_chained(_bulk_windows(parameters), now_s)

    def _sync_write(self, parameters: bytes, now_s: float) -> list[Reply]:
        if len(parameters) < 4:
            return []
        address, length = struct.unpack_from("<HH", parameters)
        step = length + 1
        for at in range(4, len(parameters) - length, step):
            servo = self._reachable(parameters[at], now_s)
            if servo is not None:
                self._write(servo, address, parameters[at + 1 : at + step])
        return []

    def _bulk_write(self, parameters: bytes, now_s: float) -> list[Reply]:
        at = 0
        while at + 5 <= len(parameters):
            motor_id, address, length = struct.unpack_from("<BHH", parameters, at)
            data = parameters[at + 5 : at + 5 + length]
            servo = self._reachable(motor_id, now_s)
            if servo is not None and len(data) == length:
                self._write(servo, address, data)
            at += 5 + length
        return []

    def _read_each(self, windows: list[tuple[int, int, int]], now_s: float) -> list[Reply]:
        """One status packet for each motor, in list order."""
        replies: list[Reply] = []
        for motor_id, address, length in windows:
            servo = self._reachable(motor_id, now_s)
            if servo is None or servo.status_return_level < _LEVEL_READ:
                replies.append(Reply(0.0, _STATUS_OVERHEAD + length, b""))
                continue
            error, data = servo.read(address, length)
            replies.append(self._status(servo, error, data, servo.return_delay_s))
        return replies

    def _read_chained(self, windows: list[tuple[int, int, int]], now_s: float) -> list[Reply]:
        """One status packet that each motor continues where the one before it stopped."""
        faults = self._faults
        sizes = [length for _, _, length in windows]
        first = self._reachable(windows[0][0], now_s) if windows else None
        if first is None or sum(sizes) > _LONGEST_FAST_READ:
            return []
        if faults.draw_exactly("lost_reply", ALL_MOTORS):
            return []
        packet = FastStatus(sizes)
        damaged: int | None = None
        for motor_id, address, length in windows:
            servo = self._reachable(motor_id, now_s)
            if servo is None or servo.status_return_level < _LEVEL_READ:
                break
            number = self._number[id(servo)]
            if faults.draw_exactly("lost_reply", number):
                break
            if faults.draw_exactly("corrupt_crc", number):
                damaged = len(bytes(packet))
            error, data = servo.read(address, length)
            packet.add(motor_id, error | servo.alert, data.ljust(length, b"\0"))
        if packet.motors == 0:
            return []
        reply = bytes(packet)
        if faults.draw_exactly("corrupt_crc", ALL_MOTORS):
            damaged = FAST_MOTORS_AT
        if damaged is not None:
            reply = faults.flip_bit(reply, damaged)
        return [Reply(first.return_delay_s, len(reply), reply)]

    # --- helpers ---

    def _reachable(self, motor_id: int, now_s: float) -> Servo | None:
        """The servo with this ID, if it is there, hears, and has booted."""
        servo = self._by_id.get(motor_id)
        if servo is None or not servo.hears(now_s):
            return None
        return None if self._faults.cut_off(self._number[id(servo)]) else servo

    def _write(self, servo: Servo, address: int, data: bytes) -> StatusError:
        error = servo.write(address, data)
        if address <= 7:  # it may have got another ID
            self._renumber()
        return error

    def _renumber(self) -> None:
        self._by_id = {servo.motor_id: servo for servo in self._servos}

    def _status(
        self, servo: Servo, error: int, data: bytes, delay_s: float, motor_id: int | None = None
    ) -> Reply:
        """A motor's status packet, or what injected faults leave of it."""
        sender = servo.motor_id if motor_id is None else motor_id
        packet = encode_status(sender, error | servo.alert, data)
        number = self._number[id(servo)]
        size = len(packet)
        if self._faults.draw("lost_reply", number):
            packet = b""
        elif self._faults.draw("corrupt_crc", number):
            packet = self._faults.flip_bit(packet, FAST_MOTORS_AT)
        return Reply(delay_s, size, packet)


def _sync_windows(parameters: bytes) -> list[tuple[int, int, int]]:
    """(motor ID, address, length) of each motor of a sync read; an ID listed twice counts once."""
    if len(parameters) < 5:
        return []
    address, length = struct.unpack_from("<HH", parameters)
    return [(motor_id, address, length) for motor_id in dict.fromkeys(parameters[4:])]


def _bulk_windows(parameters: bytes) -> list[tuple[int, int, int]]:
    """(motor ID, address, length) of each motor of a bulk read; an ID listed twice counts once."""
    windows: dict[int, tuple[int, int, int]] = {}
    for window in _records(parameters):
        windows.setdefault(window[0], window)
    return list(windows.values())


def _records(parameters: bytes) -> Iterator[tuple[int, int, int]]:
    whole = len(parameters) // 5 * 5
    return struct.iter_unpack("<BHH", parameters[:whole])
