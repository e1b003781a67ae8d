# SPDX-License-Identifier: Apache-2.0
"""The Dynamixel SDK's port and packet handler, mended where a control loop cannot live with them.

What differs from dynamixel-sdk 4.1.0: a reply is waited for by poll() instead of a busy loop; time-outs
follow the adapter's own latency timer (the SDK allows 34 ms for every miss); the clock is monotonic;
packets that need byte stuffing are sent stuffed; noise on the line cannot keep a read alive for ever; the
port is opened once, at its speed, for this process alone; and an exception leaves no port "in use".
Everything else (instructions, results, group classes) is the SDK's own and works on these two classes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from pathlib import Path

import serial
from dynamixel_sdk import (
    COMM_PORT_BUSY,
    COMM_RX_CORRUPT,
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    COMM_TX_ERROR,
    COMM_TX_FAIL,
    PortHandler,
    Protocol2PacketHandler,
)

from dexndm_ros.hand.errors import (
    HandBusError,
    PortBusyError,
    PortMissingError,
    PortPermissionError,
)
from dexndm_ros.hand.ports import holders, is_pseudo_terminal, latency_timer_ms
from dexndm_ros.hand.wire import BROADCAST_ID, StatusPacket, crc16, instruction_packet, take_status

__all__ = ["HandPacketHandler", "HandPortHandler"]

_WRITE_WAIT_MS = 100
_MAX_PACKET = 1024


class HandPortHandler(PortHandler):
    """A port that waits instead of spinning.

    Args:
        port_name: device path.
        baudrate: bits per second.
        reply_timeout_s: how long a reply may take beyond its time on the wire and the adapter's latency.
    """

    def __init__(self, port_name: str, baudrate: int, reply_timeout_s: float) -> None:
        super().__init__(port_name)
        self.baudrate = baudrate
        self.is_open: bool = False
        self.tx_time_per_byte: float = 10_000.0 / baudrate
        self.received = bytearray()
        self.latency_ms: int | None = None
        self.low_latency = False
        self._reply_timeout_s = reply_timeout_s
        self._poll = select.poll()
        self._fd = -1

    # --- opening and closing ---

    def openPort(self) -> bool:  # noqa: N802
        """Open the port for this process alone.

        Raises:
            HandBusError: missing, busy or forbidden port, or a speed it cannot do.
        """
        if self.getCFlagBaud(self.baudrate) <= 0:
            raise HandBusError(
                f"{self.baudrate} baud is not a speed of the Dynamixel SDK; "
                "LEAP hands use 4000000 (LEAP_Hand_API's C++ client: 1000000)"
            )
        return bool(self.setBaudRate(self.baudrate))

    def setupPort(self, cflag_baud: int) -> bool:  # noqa: N802
        """Open the device; called by the SDK's setBaudRate."""
        if self.is_open:
            self.closePort()
        name = self.port_name
        if not Path(name).exists():
            raise PortMissingError(name)
        real = not is_pseudo_terminal(name)
        try:
            self.ser = serial.Serial(name, cflag_baud, timeout=0, exclusive=True)
        except serial.SerialException as error:
            raise _open_error(name, error) from error
        except termios.error as error:  # the device went while pyserial was setting it up
            raise HandBusError(f"cannot open {name}: {error}; check the USB cable") from error
        # A stock SDK program takes no lock, so on a real device we look who has it open. A pty's other
        # end may keep it open itself (that is how an emulator survives our close): there the lock decides.
        if real and (others := holders(name)):
            self.closePort()
            raise PortBusyError(name, others)
        self._fd = self.ser.fileno()
        self.is_open = True
        if real:
            # Keeps programs out that do not ask for the lock. Not on a pty: there the flag would outlive us.
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._fd, termios.TIOCEXCL)
            with contextlib.suppress(OSError, ValueError, NotImplementedError):
                self.ser.set_low_latency_mode(True)
                self.low_latency = True
        self.latency_ms = latency_timer_ms(name)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.tx_time_per_byte = 10_000.0 / self.baudrate  # ms; the SDK's unit
        self.is_using = False
        self.clearPort()
        return True

    def closePort(self) -> None:  # noqa: N802
        """Close; harmless when it is closed already, or the device has gone."""
        self.is_open = False
        self.is_using = False
        self._fd = -1
        if self.ser is not None:
            with contextlib.suppress(OSError, serial.SerialException):
                self.ser.close()
            self.ser = None

    # --- bytes ---

    @property
    def latency_s(self) -> float:
        """Time the adapter may hold a reply back, s; 0 where nothing is known (a pty)."""
        return (self.latency_ms or 0) * 1e-3

    def clearPort(self) -> None:  # noqa: N802
        """Throw away what has been received: late replies of an earlier request."""
        self.received.clear()
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:  # not an OSError, unlike what every other call raises
            raise OSError(*error.args) from error

    def writePort(self, packet: bytes) -> int:  # noqa: N802
        """Write the whole packet; the kernel's buffer takes it at once unless the port is stuck."""
        view = memoryview(bytes(packet))
        sent = 0
        while sent < len(view):
            try:
                sent += os.write(self._fd, view[sent:])
            except BlockingIOError:
                _, ready, _ = select.select([], [self._fd], [], _WRITE_WAIT_MS * 1e-3)
                if not ready:
                    return sent
        return sent

    def wait_bytes(self, timeout_s: float) -> bytes:
        """Wait for bytes and return all there are; empty when none come in time.

        Raises:
            OSError: the port has gone.
        """
        # poll() counts in milliseconds, rounding up; a deadline in the past still looks once.
        if not self._poll.poll(max(0.0, timeout_s) * 1e3):
            return b""
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError(errno.EIO, "the device has hung up")
        return data

    def readPort(self, length: int) -> bytes:  # noqa: N802
        """Up to ``length`` bytes; waits for the first of them until the packet's time is over."""
        if not self.received:
            self.received += self.wait_bytes(self.remaining_s())
        data = bytes(self.received[:length])
        del self.received[:length]
        return data

    # --- time ---

    def getCurrentTime(self) -> float:  # noqa: N802
        """Monotonic milliseconds."""
        return time.monotonic_ns() * 1e-6

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Start the clock for a reply of this many bytes."""
        self.packet_start_time = self.getCurrentTime()
        self.packet_timeout = 1e3 * self.reply_time_s(packet_length)

    def reply_time_s(self, length: int) -> float:
        """Longest time a reply of ``length`` bytes may take, s."""
        return self.tx_time_per_byte * 1e-3 * length + self.latency_s + self._reply_timeout_s

    def remaining_s(self) -> float:
        """Time left for the reply, s."""
        left_ms = float(self.packet_timeout) - (
            self.getCurrentTime() - float(self.packet_start_time)
        )
        return max(0.0, left_ms * 1e-3)


def _open_error(port: str, error: serial.SerialException) -> HandBusError:
    code = error.errno
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return PortMissingError(port)
    if code in (errno.EACCES, errno.EPERM):
        return PortPermissionError(port)
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return PortBusyError(port, holders(port))
    return HandBusError(f"cannot open {port}: {error}; is it a serial port?")


def _expected_data(txpacket: list[int]) -> int | None:
    """Bytes of data that the answer to an instruction carries; None = it depends."""
    match txpacket[7]:
        case 0x01:  # ping: model number, firmware version
            return 3
        case 0x02 | 0x82:  # read, sync read: as many as asked for
            return txpacket[10] | txpacket[11] << 8
        case 0x03 | 0x04 | 0x05 | 0x06 | 0x08 | 0x10:  # writes and the like: none
            return 0
    return None


class HandPacketHandler(Protocol2PacketHandler):
    """The SDK's Protocol 2.0 with sound sending and receiving underneath."""

    def __init__(self) -> None:
        super().__init__()
        self._expected: int | None = None

    def updateCRC(self, crc_accum: int, data_blk_ptr: bytes, data_blk_size: int) -> int:  # noqa: N802
        """CRC-16, two bytes a step."""
        return crc16(bytes(data_blk_ptr[:data_blk_size]), crc_accum)

    def txPacket(self, port: HandPortHandler, txpacket: list[int]) -> int:  # noqa: N802
        """Stuff, add the CRC and send."""
        if port.is_using:
            return int(COMM_PORT_BUSY)
        if len(txpacket) > _MAX_PACKET:
            return int(COMM_TX_ERROR)
        # The SDK's layout: header (4), ID, length (2), instruction, parameters, CRC (2).
        packet = instruction_packet(txpacket[4], txpacket[7], bytes(txpacket[8:-2]))
        self._expected = _expected_data(txpacket)
        port.is_using = True
        try:
            port.clearPort()
            if port.writePort(packet) == len(packet):
                return int(COMM_SUCCESS)
        except BaseException:
            port.is_using = False
            raise
        port.is_using = False
        return int(COMM_TX_FAIL)

    def rxPacket(self, port: HandPortHandler, fast_option: bool) -> tuple[list[int], int]:  # noqa: N802
        """The next status packet, as the SDK's list of bytes, unstuffed but for fast replies."""
        any_byte = bool(port.received)
        try:
            while True:
                status = take_status(port.received, unstuff=not fast_option)
                if status is not None and self._answers(status, fast_option):
                    body = bytes((0x55, status.error)) + status.data
                    length = len(body) + 2
                    head = (0xFF, 0xFF, 0xFD, 0, status.motor_id, length & 0xFF, length >> 8)
                    return [*head, *body, 0, 0], int(COMM_SUCCESS)
                if status is not None:
                    continue
                # The time that is left shrinks whatever comes in: babble cannot keep this loop alive.
                remaining_s = port.remaining_s()
                data = port.wait_bytes(remaining_s) if remaining_s > 0 else b""
                if not data:
                    return [], int(COMM_RX_CORRUPT if any_byte else COMM_RX_TIMEOUT)
                any_byte = True
                port.received += data
        finally:
            port.is_using = False

    def _answers(self, status: StatusPacket, fast: bool) -> bool:
        """Whether a packet can be the answer to the last request, not a late one to an earlier."""
        if (status.motor_id == BROADCAST_ID) != fast:
            return False
        refused = not fast and status.error & 0x7F
        return bool(refused) or self._expected in (None, len(status.data))

    def ping_with_firmware(
        self, port: HandPortHandler, motor_id: int
    ) -> tuple[list[int], int, int]:
        """Ping; (model low, model high, firmware), result, error. The SDK's ping drops the firmware."""
        txpacket = [0] * 10
        txpacket[4], txpacket[5], txpacket[7] = motor_id, 3, 1
        rxpacket, result, error = self.txRxPacket(port, txpacket)
        return (rxpacket or [])[9:12], result, error
