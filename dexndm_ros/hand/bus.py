# SPDX-License-Identifier: Apache-2.0
"""The hand's Dynamixel bus: fast state reads, goal writes, and single registers with their errors told.

Radians and amperes outside, ticks and milliamperes inside. Methods may be called from any thread; one
transaction at a time has the wire.
"""

from __future__ import annotations

import logging
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self

import numpy as np
from dynamixel_sdk import COMM_SUCCESS
from numpy.typing import ArrayLike, NDArray

from dexndm_ros.hand.bus_types import BusConfig, BusReading
from dexndm_ros.hand.control_table import FAST_STATE, REGISTERS, Register, decode, encode
from dexndm_ros.hand.errors import HandBusError, NoReplyError, PortLostError, StatusError
from dexndm_ros.hand.sdk_port import HandPacketHandler, HandPortHandler
from dexndm_ros.hand.state_reader import StateReader, StateReaderConfig
from dexndm_ros.hand.units import (
    CURRENT_UNIT_A,
    VELOCITY_UNIT_RAD_S,
    rad_from_ticks,
    ticks_from_rad,
)
from dexndm_ros.hand.wire import BROADCAST_ID, crc16, instruction_packet

__all__ = ["BusConfig", "BusReading", "DynamixelBus", "decode_window"]

_LOG = logging.getLogger(__name__)
_SYNC_WRITE = 0x83
_GOAL = REGISTERS["goal_position"]
_TABLE = (0, 148)
"""Everything up to the indirect addresses, which this driver does not use."""
_FAST_FIELDS = np.dtype([("current", "<i2"), ("velocity", "<i4"), ("position", "<i4")])
_MAX_GOAL_RAD = 2.0 * math.pi
_PATIENT_ROUNDS = 4
_ROUND_PAUSE_S = 0.05
_FAST_FIRMWARE = 46
"""X330 know fast sync read from this firmware on."""


class DynamixelBus:
    """Motors on one serial port.

    Args:
        config: port, speed, motors and patience.

    ``open`` raises a `HandBusError` that says what is wrong with the port. Later, `PortLostError` means
    that the port has gone (the bus is closed then, and may be opened again), `NoReplyError` that one
    motor stays silent, `StatusError` that it refuses. The alert bit alone raises nothing: see ``alert``.
    """

    def __init__(self, config: BusConfig) -> None:
        self.config = config
        self._lock = threading.RLock()
        self._port = HandPortHandler(config.port, config.baud, config.reply_timeout_s)
        self._packets = HandPacketHandler()
        self._firmware: dict[int, int] = {}
        self._rounds = 1
        self._reader = self._new_reader()
        self._goals, self._goal_view = _sync_write_template(_GOAL, config.motor_ids)

    def _new_reader(self) -> StateReader:
        config = self.config
        old = [k for k, firmware in self._firmware.items() if firmware < _FAST_FIRMWARE]
        return StateReader(
            self._port,
            config.motor_ids,
            StateReaderConfig(
                *FAST_STATE, gap_s=config.gap_s, retries=config.retries,
                drop_after=config.drop_after, probe_period_s=config.probe_period_s, fast=not old,
            ),
        )  # fmt: skip

    # --- the port ---

    def open(self) -> None:
        """Open the port for this process alone; forgets what was known of silent motors."""
        with self._lock:
            if not self._port.is_open:
                self._port.openPort()
                self._reader = self._new_reader()

    def close(self) -> None:
        """Close the port; motors keep doing what they do. May be called twice."""
        with self._lock:
            self._port.closePort()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return bool(self._port.is_open)

    @property
    def latency_timer_ms(self) -> int | None:
        """The adapter's latency timer; None where it has none."""
        return self._port.latency_ms

    @property
    def fast_read(self) -> bool:
        """Whether states come by fast sync read (firmware 46 and up)."""
        return self._reader.fast

    @property
    def silent(self) -> tuple[int, ...]:
        """Motors that stay silent and are asked only now and then."""
        return self._reader.dropped

    @property
    def lost_reads(self) -> NDArray[np.uint64]:
        """Cycles since opening in which a motor gave no sound reply, by motor."""
        return self._reader.lost.copy()

    @contextmanager
    def _wire(self) -> Iterator[HandPortHandler]:
        """Exclusive use of the open port; a port that fails is closed and reported as lost."""
        with self._lock:
            if not self._port.is_open:
                raise HandBusError(f"port {self.config.port} is not open: open the bus first")
            try:
                yield self._port
            except OSError as error:  # SerialException is one too
                self._port.closePort()
                raise PortLostError(self.config.port, error) from error

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Ask for lost replies longer: for setting up, when no cycle waits.

        A held-up machine loses all retries of a moment at once, so there are pauses between them.
        """
        self._rounds = _PATIENT_ROUNDS
        try:
            yield
        finally:
            self._rounds = 1

    # --- the cycle ---

    def read_state(self) -> BusReading:
        """Read position, velocity and current of all motors; missing ones are asked again at once."""
        with self._wire():
            was_fast = self._reader.fast
            cycle = self._reader.cycle()
            if was_fast and not self._reader.fast:
                _LOG.warning("a motor answers plain sync reads only: fast sync read switched off")
        system_ns, now_ns = time.time_ns(), time.monotonic_ns()
        monotonic_ns = (cycle.sent_ns + cycle.received_ns) // 2
        state = cycle.data.view(_FAST_FIELDS)[:, 0]
        position = rad_from_ticks(state["position"])
        velocity = state["velocity"] * VELOCITY_UNIT_RAD_S
        current = state["current"] * CURRENT_UNIT_A
        if not cycle.complete:
            for values in (position, velocity, current):
                values[~cycle.valid] = math.nan
        return BusReading(
            system_ns - (now_ns - monotonic_ns),
            monotonic_ns,
            position,
            velocity,
            current,
            cycle.valid,
            cycle.error >= 0x80,
            cycle.retries,
        )

    def write_goal_positions(self, position_rad: ArrayLike) -> None:
        """Send goals to all motors at once; nobody answers, so poll the bus watchdog for trouble.

        Args:
            position_rad: joint angles, one a motor, 0 = flat open.

        Raises:
            ValueError: not one finite angle within a turn for each motor.
        """
        angles = np.asarray(position_rad, dtype=np.float64)
        count = len(self.config.motor_ids)
        # Also keeps out every value whose bytes would need stuffing.
        if angles.shape != (count,) or not np.all(np.abs(angles) <= _MAX_GOAL_RAD):
            raise ValueError(
                f"goal positions must be {count} finite angles within +-2 pi, got {angles.tolist()}"
            )
        with self._wire() as port:
            self._goal_view["value"] = ticks_from_rad(angles)
            struct.pack_into("<H", self._goals, len(self._goals) - 2, crc16(self._goals[:-2]))
            self._send(port, bytes(self._goals))

    def sync_write(self, name: str, values: int | ArrayLike | Mapping[int, int]) -> None:
        """Write one register of several motors at once, without an answer.

        Args:
            name: register.
            values: one value for all, one a motor in order, or values by motor ID.
        """
        register = _writable(name)
        if not isinstance(values, Mapping):
            each = np.broadcast_to(np.asarray(values), (len(self.config.motor_ids),))
            values = dict(zip(self.config.motor_ids, each.tolist(), strict=True))
        parameters = struct.pack("<HH", register.address, register.size)
        for motor_id, value in values.items():
            parameters += bytes((motor_id,)) + encode(register, value)
        with self._wire() as port:
            self._send(port, instruction_packet(BROADCAST_ID, _SYNC_WRITE, parameters))

    @staticmethod
    def _send(port: HandPortHandler, packet: bytes) -> None:
        if port.writePort(packet) != len(packet):
            raise OSError("the port takes no more bytes")

    # --- single motors ---

    def ping(self, motor_id: int, attempts: int | None = None) -> tuple[int, int]:
        """Model number and firmware version of a motor; ``attempts`` as in ``read_block``."""
        with self._wire() as port:
            reply = self._ask(
                motor_id,
                "a ping",
                lambda: self._packets.ping_with_firmware(port, motor_id),
                attempts,
            )
        model, firmware = struct.unpack("<HB", bytes(reply[:3]))
        self._firmware[motor_id] = firmware
        return model, firmware

    def ping_all(self) -> dict[int, tuple[int, int]]:
        """(model number, firmware version) of each motor that answers, by ID.

        A held-up machine may lose all replies of one motor: those missing are asked again a little later.
        """
        found: dict[int, tuple[int, int]] = {}
        for attempt in range(_PATIENT_ROUNDS):
            if attempt:
                time.sleep(_ROUND_PAUSE_S)
            for motor_id in self.config.motor_ids:
                if motor_id not in found:
                    with suppress(NoReplyError):
                        found[motor_id] = self.ping(motor_id, 1 + self.config.retries)
            # Nobody at all is a matter of power or cable, not of bad luck.
            if len(found) in (0, len(self.config.motor_ids)):
                break
        found = dict(sorted(found.items(), key=lambda item: self.config.motor_ids.index(item[0])))
        with self._lock:
            self._reader = self._new_reader()
        return found

    def read_block(
        self, motor_id: int, address: int, length: int, attempts: int | None = None
    ) -> bytes:
        """Bytes of a window of one motor's control table.

        Args:
            motor_id: whom to ask.
            address: first byte.
            length: number of bytes.
            attempts: how often to ask before giving up; None = 1 + ``retries``, see ``patient``.
        """
        with self._wire() as port:
            data = self._ask(
                motor_id,
                f"a read of {length} bytes at {address}",
                lambda: self._packets.readTxRx(port, motor_id, address, length),
                attempts,
            )
        if len(data) != length:
            raise NoReplyError(motor_id, f"a read of {length} bytes at {address} in full")
        return bytes(data)

    def read_register(self, motor_id: int, name: str) -> int:
        """Value of one register, signed where it is."""
        register = _register(name)
        return decode(register, self.read_block(motor_id, register.address, register.size))

    def read_table(self, motor_id: int) -> dict[str, int]:
        """Every register from 0 to 147 in one read, by name."""
        return decode_window(*_TABLE, self.read_block(motor_id, *_TABLE))

    def write_register(self, motor_id: int, name: str, value: int) -> None:
        """Write one register; the motor's answer is checked."""
        register = _writable(name)
        data = list(encode(register, value))
        with self._wire() as port:

            def write() -> tuple[list[int], int, int]:
                return [], *self._packets.writeTxRx(
                    port, motor_id, register.address, register.size, data
                )

            self._ask(motor_id, f"{name} = {value}", write)

    def reboot(self, motor_id: int) -> None:
        """Restart a motor: torque off, RAM lost, deaf for a moment. Says nothing when it is silent."""
        with self._wire() as port:
            self._packets.reboot(port, motor_id)

    def clear_multi_turn(self, motor_id: int) -> None:
        """Forget whole turns: the position is within one turn afterwards. Torque must be off."""
        with self._wire() as port:
            self._ask(
                motor_id,
                "the clearing of turns",
                lambda: ([], *self._packets.clearMultiTurn(port, motor_id)),
            )

    def _ask(
        self,
        motor_id: int,
        what: str,
        transact: Callable[[], tuple[list[int], int, int]],
        attempts: int | None = None,
    ) -> list[int]:
        """Carry out a transaction (data, SDK result, error byte), again when the reply is lost."""
        for k in range(attempts or (1 + self.config.retries) * self._rounds):
            if k and k % (1 + self.config.retries) == 0:
                time.sleep(_ROUND_PAUSE_S)
            data, result, error = transact()
            if result == COMM_SUCCESS:
                if error & 0x7F:
                    raise StatusError(motor_id, what, error)
                return data
        raise NoReplyError(motor_id, what)


def decode_window(address: int, length: int, data: bytes) -> dict[str, int]:
    """Registers that lie whole within a window of the control table, by name."""
    return {
        name: decode(register, data[register.address - address : register.end - address])
        for name, register in REGISTERS.items()
        if register.address >= address and register.end <= address + length
    }


def _register(name: str) -> Register:
    if name not in REGISTERS:
        raise ValueError(f"unknown register {name!r}; see dexndm_ros.hand.control_table.REGISTERS")
    return REGISTERS[name]


def _writable(name: str) -> Register:
    register = _register(name)
    if not register.writable:
        raise ValueError(f"register {name} can only be read")
    return register


def _sync_write_template(
    register: Register, motor_ids: tuple[int, ...]
) -> tuple[bytearray, NDArray[np.void]]:
    """A sync write packet to be filled in: its bytes, and its records (``id``, ``value``)."""
    parameters = struct.pack("<HH", register.address, register.size)
    for motor_id in motor_ids:
        parameters += bytes((motor_id,)) + bytes(register.size)
    packet = bytearray(instruction_packet(BROADCAST_ID, _SYNC_WRITE, parameters))
    record = np.dtype([("id", "u1"), ("value", f"<i{register.size}")])
    return packet, np.frombuffer(packet, record, len(motor_ids), offset=12)
