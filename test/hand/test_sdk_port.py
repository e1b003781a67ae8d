# SPDX-License-Identifier: Apache-2.0
"""The SDK's port and packets with our repairs: bytes in pieces, noise, late and missing replies, bad ports."""

import errno
import os
import struct
import time

import pytest
from dynamixel_sdk import (
    COMM_PORT_BUSY,
    COMM_RX_CORRUPT,
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupSyncRead,
    GroupSyncWrite,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.errors import HandBusError, PortBusyError, PortMissingError
from dexndm_ros.hand.sdk_port import HandPacketHandler, HandPortHandler
from dexndm_ros.hand.wire import instruction_packet
from support.pty_peer import PtyPeer

PACKETS = HandPacketHandler()


def status(motor_id, data=b"", error=0):
    return instruction_packet(motor_id, 0x55, bytes((error,)) + data)


@pytest.fixture
def open_port():
    ports = []

    def make(path, timeout_s=2.0):
        port = HandPortHandler(path, 4_000_000, timeout_s)
        port.openPort()
        ports.append(port)
        return port

    yield make
    for port in ports:
        port.closePort()


def test_a_reply_in_single_bytes_behind_noise_is_read(open_port):
    reply = b"\xff\xff\xfd\x00\x01\xff" + status(1, struct.pack("<i", -7))
    with PtyPeer(lambda _: [bytes((b,)) for b in reply]) as peer:
        value, result, error = PACKETS.read4ByteTxRx(open_port(peer.path), 1, 132)
    assert (result, error) == (COMM_SUCCESS, 0)
    assert struct.unpack("<i", struct.pack("<I", value)) == (-7,)


def test_late_and_foreign_replies_are_not_taken_for_the_answer(open_port):
    def answer(_):
        yield status(2, b"\x01\0\0\0")  # another motor
        yield status(1)  # the answer to an earlier write
        yield status(1, b"\x02")  # the answer to an earlier, shorter read
        yield status(1, b"\x03\0\0\0")

    with PtyPeer(answer) as peer:
        assert PACKETS.read4ByteTxRx(open_port(peer.path), 1, 132)[:2] == (3, COMM_SUCCESS)


def test_what_arrived_before_the_request_is_thrown_away(open_port, wait_until):
    with PtyPeer(lambda _: [status(1, b"\x05")]) as peer:
        port = open_port(peer.path)
        peer.send(status(1, b"\x09"))
        wait_until(lambda: port.getBytesAvailable() > 0)
        assert PACKETS.read1ByteTxRx(port, 1, 146)[0] == 5


def test_error_bytes_reach_the_caller(open_port):
    with PtyPeer(lambda _: [status(1, b"", error=0x87)]) as peer:
        assert PACKETS.write1ByteTxRx(open_port(peer.path), 1, 11, 5) == (COMM_SUCCESS, 0x87)


def test_silence_ends_in_a_timeout_and_frees_the_port(open_port):
    with PtyPeer() as peer:
        port = open_port(peer.path, timeout_s=0.02)
        assert PACKETS.read4ByteTxRx(port, 1, 132)[1] == COMM_RX_TIMEOUT
        assert not port.is_using
        port.is_using = True
        assert PACKETS.read4ByteTxRx(port, 1, 132)[1] == COMM_PORT_BUSY


def test_waiting_does_not_spin(open_port):
    with PtyPeer() as peer:
        port = open_port(peer.path, timeout_s=0.3)
        busy = time.thread_time()
        PACKETS.read4ByteTxRx(port, 1, 132)
        # A busy loop would use all of the 300 ms.
        assert time.thread_time() - busy < 0.1


def test_endless_babble_does_not_hold_a_read(open_port):
    with PtyPeer(lambda _: (bytes((n % 255,)) * 64 for n in range(200_000))) as peer:
        port = open_port(peer.path, timeout_s=0.05)
        assert PACKETS.read4ByteTxRx(port, 1, 132)[1] == COMM_RX_CORRUPT


@given(garbage=st.binary(min_size=1, max_size=64))
@settings(max_examples=60)
def test_garbage_is_never_an_answer(garbage):
    with PtyPeer(lambda _: [garbage]) as peer:
        port = HandPortHandler(peer.path, 4_000_000, 0.005)
        port.openPort()
        try:
            _, result, _ = PACKETS.read4ByteTxRx(port, 1, 132)
        finally:
            port.closePort()
    assert result in (COMM_RX_CORRUPT, COMM_RX_TIMEOUT)


def test_what_looks_like_a_header_is_sent_stuffed(open_port):
    with PtyPeer(lambda _: [status(1)]) as peer:
        PACKETS.write4ByteTxRx(open_port(peer.path), 1, 116, 0x01FDFFFF)
        (sent,) = peer.requests
    assert sent == instruction_packet(1, 3, struct.pack("<HI", 116, 0x01FDFFFF))
    assert b"\xff\xff\xfd\xfd\x01" in sent


def test_the_sdks_own_group_classes_work_on_it(rig, open_port):
    port = open_port(rig.port)
    for fast in (False, True):
        group = GroupSyncRead(port, PACKETS, 132, 4)
        for k in range(16):
            group.addParam(k)
        result = group.fastSyncRead() if fast else group.txRxPacket()
        assert result == COMM_SUCCESS
        assert [group.getData(k, 132, 4) for k in range(16)] == [2048] * 16
    write = GroupSyncWrite(port, PACKETS, 65, 1)
    write.addParam(3, [1])
    assert write.txPacket() == COMM_SUCCESS
    assert PACKETS.read1ByteTxRx(port, 3, 65)[0] == 1
    assert PACKETS.ping(port, 5) == (1240, COMM_SUCCESS, 0)


def test_a_missing_port_is_called_missing(open_port, tmp_path):
    with pytest.raises(PortMissingError, match="does not exist"):
        open_port(str(tmp_path / "no_such_port"))


def test_a_port_in_use_is_called_busy_and_is_free_afterwards(rig, open_port):
    first = open_port(rig.port)
    with pytest.raises(PortBusyError, match="in use"):
        open_port(rig.port)
    first.closePort()
    assert PACKETS.ping(open_port(rig.port), 0)[1] == COMM_SUCCESS


def test_a_forbidden_port_is_called_forbidden(open_port, monkeypatch, rig):
    # Root may open everything, so the kernel's refusal has to be played.
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HandBusError, match="dialout"):
        open_port(rig.port)


def test_a_file_is_not_a_port(open_port, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(HandBusError, match="serial port"):
        open_port(str(path))


def test_an_impossible_speed_is_refused(rig):
    with pytest.raises(HandBusError, match="4500000 baud"):
        HandPortHandler(rig.port, 4_500_000, 0.1).openPort()


def test_a_port_that_hangs_up_raises_and_is_not_left_in_use(open_port):
    with PtyPeer() as peer:
        port = open_port(peer.path, timeout_s=30.0)
        peer.hang_up()
        with pytest.raises(OSError):
            PACKETS.read4ByteTxRx(port, 1, 132)
        assert not port.is_using


def test_a_port_that_hangs_up_during_a_reply_raises(open_port):
    with PtyPeer(lambda _: [b"\xff\xff\xfd\x00", None]) as peer:
        port = open_port(peer.path, timeout_s=30.0)
        with pytest.raises(OSError):
            PACKETS.read4ByteTxRx(port, 1, 132)
        assert not port.is_using
