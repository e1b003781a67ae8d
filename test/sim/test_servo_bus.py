# SPDX-License-Identifier: Apache-2.0
"""The emulated bus through a real pty, with the plain dynamixel-sdk and with raw bytes."""

import os
import select
import struct
import time
from pathlib import Path

import dynamixel_sdk as sdk
import pytest
import serial
from dynamixel_sdk import port_handler
from hypothesis import given, settings
from hypothesis import strategies as st

from dexndm_ros.hand.units import ticks_from_rad
from dexndm_ros.sim.plant import JointPlant
from dexndm_ros.sim.protocol2 import Instruction, PacketParser, encode, encode_status
from dexndm_ros.sim.pty_port import PortLinkError, PtyPort
from dexndm_ros.sim.rig import RigConfig, ServoRig

IDS = range(16)


@pytest.fixture
def rig(tmp_path):
    with ServoRig(JointPlant(), tmp_path / "hand") as rig:
        yield rig


@pytest.fixture
def port(rig, monkeypatch):
    # A busy machine may stop the test for longer than the SDK waits: its time-out is not what is tested.
    monkeypatch.setattr(port_handler, "LATENCY_TIMER", 1000)
    port = sdk.PortHandler(rig.port)
    assert port.openPort()
    assert port.setBaudRate(4_000_000)
    yield port
    port.closePort()


@pytest.fixture
def packets():
    return sdk.PacketHandler(2.0)


def sync_write(port, packets, address, size, values):
    group = sdk.GroupSyncWrite(port, packets, address, size)
    for motor_id, value in zip(IDS, values, strict=True):
        assert group.addParam(motor_id, int(value).to_bytes(size, "little", signed=True))
    assert group.txPacket() == sdk.COMM_SUCCESS


def test_the_sdk_finds_all_motors(rig, port, packets):
    assert packets.ping(port, 7) == (1240, sdk.COMM_SUCCESS, 0)
    found, result = packets.broadcastPing(port)
    assert result == sdk.COMM_SUCCESS
    assert found == {k: [1240, 52] for k in IDS}


def test_the_sdk_reads_and_writes_and_sees_errors_by_number(port, packets):
    assert packets.write2ByteTxRx(port, 3, 84, 800) == (sdk.COMM_SUCCESS, 0)
    assert packets.read2ByteTxRx(port, 3, 84) == (800, sdk.COMM_SUCCESS, 0)
    assert packets.write1ByteTxRx(port, 3, 64, 1) == (sdk.COMM_SUCCESS, 0)
    assert packets.write1ByteTxRx(port, 3, 11, 5) == (sdk.COMM_SUCCESS, 7)
    assert packets.write4ByteTxRx(port, 3, 132, 5) == (sdk.COMM_SUCCESS, 7)
    assert packets.write2ByteTxRx(port, 3, 80, 20000) == (sdk.COMM_SUCCESS, 4)
    assert packets.write1ByteTxRx(port, 3, 116, 1) == (sdk.COMM_SUCCESS, 5)
    assert packets.write4ByteTxRx(port, 3, 116, 5000) == (sdk.COMM_SUCCESS, 6)
    assert packets.regWriteTxRx(port, 3, 65, 1, [1]) == (sdk.COMM_SUCCESS, 0)
    assert packets.action(port, 3) == sdk.COMM_SUCCESS


def test_action_reboot_clear_and_reset_through_the_sdk(rig, port, packets):
    assert packets.regWriteTxRx(port, 5, 65, 1, [1]) == (sdk.COMM_SUCCESS, 0)
    packets.action(port, 5)
    assert packets.clearMultiTurn(port, 5) == (sdk.COMM_SUCCESS, 0)
    assert packets.factoryReset(port, 5, 2) == (sdk.COMM_SUCCESS, 0)
    assert packets.reboot(port, 6) == (sdk.COMM_SUCCESS, 0)


def bring_up(port, packets):
    for address, size, value in ((11, 1, 5), (84, 2, 800), (80, 2, 200), (102, 2, 500), (64, 1, 1)):
        sync_write(port, packets, address, size, [value] * 16)


def wait_for(condition, seconds=20.0):
    """Poll for something that happens in another thread, generously."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("read", ["txRxPacket", "fastSyncRead"])
def test_the_sdk_group_classes_move_and_read_the_hand(rig, port, packets, read):
    bring_up(port, packets)
    goals = ticks_from_rad([0.05 * k for k in IDS])
    sync_write(port, packets, 116, 4, goals)
    group = sdk.GroupSyncRead(port, packets, 126, 10)
    for k in IDS:
        assert group.addParam(k)

    def arrived():
        assert getattr(group, read)() == sdk.COMM_SUCCESS
        positions = [group.getData(k, 132, 4) for k in IDS]
        return all(abs(p - g) <= 6 for p, g in zip(positions, goals, strict=True))

    wait_for(arrived)


@pytest.mark.parametrize("read", ["txRxPacket", "fastBulkRead"])
def test_the_sdk_bulk_classes(port, packets, read):
    write = sdk.GroupBulkWrite(port, packets)
    assert write.addParam(2, 84, 2, [0x20, 0x03])
    assert write.addParam(4, 65, 1, [1])
    assert write.txPacket() == sdk.COMM_SUCCESS
    bulk = sdk.GroupBulkRead(port, packets)
    assert bulk.addParam(2, 84, 2)
    assert bulk.addParam(4, 65, 1)
    assert getattr(bulk, read)() == sdk.COMM_SUCCESS
    assert (bulk.getData(2, 84, 2), bulk.getData(4, 65, 1)) == (800, 1)


def test_other_models_answer_with_their_number(tmp_path, monkeypatch):
    with ServoRig(JointPlant(), tmp_path / "x", RigConfig(other_models={9: 1200})) as rig:
        monkeypatch.setattr(port_handler, "LATENCY_TIMER", 1000)
        port = sdk.PortHandler(rig.port)
        assert port.openPort()
        assert sdk.PacketHandler(2.0).ping(port, 9)[0] == 1200
        port.closePort()


# --- raw bytes ---


def exchange(fd, data, expected, seconds=20.0):
    """Write bytes, read until so many have come; (answer, seconds until they were there)."""
    started = time.monotonic()
    os.write(fd, data)
    answer = b""
    while len(answer) < expected:
        ready, _, _ = select.select([fd], [], [], seconds)
        assert ready, f"only {len(answer)} of {expected} bytes came"
        answer += os.read(fd, 4096)
    return answer, time.monotonic() - started


@pytest.fixture
def raw(rig):
    fd = os.open(rig.port, os.O_RDWR | os.O_NOCTTY)
    yield fd
    os.close(fd)


def test_a_valid_packet_after_garbage_is_answered(raw):
    garbage = bytes(range(256)) + b"\xff\xff\xfd\x00\x03\x40\x00\x02" + b"\xff\xff\xfd"
    answer, _ = exchange(raw, garbage + encode(3, Instruction.PING), 14)
    (status,) = PacketParser().feed(answer)
    assert (status.motor_id, status.crc_ok) == (3, True)


@pytest.fixture(scope="module")
def abused(tmp_path_factory):
    """A hand that lives through all examples, and its port."""
    with ServoRig(JointPlant(), tmp_path_factory.mktemp("abused") / "hand") as rig:
        fd = os.open(rig.port, os.O_RDWR | os.O_NOCTTY)
        yield rig, fd
        os.close(fd)


junk = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"\xff\xff\xfd\x00", b"\xff\xff", b"\xff\xff\xfd\x00\xfe\x40\x00\x8a"])
    | st.builds(encode, st.integers(16, 253), st.integers(0, 255), st.binary(max_size=12)),
    max_size=6,
).map(b"".join)


@settings(max_examples=60)
@given(junk)
def test_no_bytes_stop_the_bus(abused, garbage):
    rig, fd = abused
    os.write(fd, garbage)
    os.write(fd, encode(11, Instruction.PING))
    expected = encode_status(11, 0, struct.pack("<HB", 1240, 52))
    answer = b""
    while expected not in answer:
        assert select.select([fd], [], [], 20.0)[0], "no answer to a valid packet"
        answer += os.read(fd, 4096)
    assert rig.running


def test_packets_written_in_pieces_are_answered(raw):
    ping = encode(3, Instruction.PING)
    for byte in ping[:-1]:
        os.write(raw, bytes((byte,)))
    answer, _ = exchange(raw, ping[-1:], 14)
    assert answer[4] == 3


def test_answers_come_no_earlier_than_the_wire_allows(tmp_path):
    config = RigConfig(baud=57_600, return_delay_us=500)
    with ServoRig(JointPlant(), tmp_path / "slow", config) as rig:
        fd = os.open(rig.port, os.O_RDWR | os.O_NOCTTY)
        request = encode(254, Instruction.SYNC_READ, bytes([126, 0, 10, 0, *IDS]))
        answer, seconds = exchange(fd, request, 16 * 21)
        os.close(fd)
    assert len(answer) == 16 * 21
    assert seconds >= (len(request) + len(answer)) * 10 / 57_600 + 16 * 500e-6


def test_requests_queue_on_the_wire(rig, raw):
    """A sync write and a read sent back to back take the time of both."""
    write = encode(
        254, 0x83, struct.pack("<HH", 116, 4) + b"".join(bytes((k, 0, 8, 0, 0)) for k in IDS)
    )
    read = encode(254, 0x8A, bytes([126, 0, 10, 0, *IDS]))
    fastest = min(exchange(raw, write + read, 232)[1] for _ in range(20))
    assert len(write) + len(read) + 232 == 356
    assert fastest >= 356 * 2.5e-6


def test_an_unplugged_hand_leaves_the_port_open_and_silent(rig, raw):
    rig.inject("unplugged")
    os.write(raw, encode(3, Instruction.PING))
    wait_for(lambda: rig.bus.busy_s > 0.0)  # heard on the wire, by nobody
    rig.inject("clear")
    answer, _ = exchange(raw, encode(4, Instruction.PING), 14)
    assert answer[4] == 4


def test_programs_may_come_and_go(rig):
    for _ in range(3):
        fd = os.open(rig.port, os.O_RDWR | os.O_NOCTTY)
        assert exchange(fd, encode(1, Instruction.PING), 14)[0][4] == 1
        os.close(fd)


# --- the port's link ---


def test_the_link_appears_whole_and_goes_with_the_hand(tmp_path):
    link = tmp_path / "leap"
    rig = ServoRig(JointPlant(), link)
    assert link.is_symlink()
    assert str(link.readlink()).startswith("/dev/pts/")
    rig.start()
    assert rig.running
    rig.close()
    rig.close()
    assert not link.is_symlink()
    assert list(tmp_path.iterdir()) == []
    assert not rig.running


def test_a_path_that_is_not_ours_is_left_alone(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(PortLinkError, match=r"notes.txt exists and is not a link; remove it"):
        PtyPort(file)
    assert file.read_text() == "mine"
    foreign = tmp_path / "usb"
    foreign.symlink_to("/dev/null")
    with pytest.raises(PortLinkError, match="is a link to /dev/null, not to a virtual hand"):
        PtyPort(foreign)
    with pytest.raises(PortLinkError, match=r"folder .*missing does not exist; create it"):
        PtyPort(tmp_path / "missing" / "port")


def test_a_running_hand_keeps_its_link(tmp_path):
    first = PtyPort(tmp_path / "hand")
    with pytest.raises(PortLinkError, match="another virtual hand is running there"):
        PtyPort(tmp_path / "hand")
    assert Path(first.path).exists()
    first.close()


def test_a_link_left_behind_by_a_killed_hand_is_replaced(tmp_path):
    link = tmp_path / "hand"
    link.symlink_to("/dev/pts/999999")
    port = PtyPort(link)
    assert str(link.readlink()) == port.device
    port.close()
    assert not link.is_symlink()


def test_a_left_behind_link_that_leads_to_a_strangers_terminal_is_replaced(tmp_path):
    master, slave = os.openpty()  # the kernel gave the dead hand's number away
    link = tmp_path / "hand"
    link.symlink_to(os.ttyname(slave))
    port = PtyPort(link)
    assert str(link.readlink()) == port.device
    port.close()
    os.close(master)
    os.close(slave)


def test_programs_may_take_the_port_exclusively_and_leave_the_hand_its_link(rig, tmp_path):
    with serial.Serial(rig.port, 4_000_000, timeout=20, exclusive=True) as port:
        port.write(encode(3, Instruction.PING))
        assert len(port.read(14)) == 14
    with pytest.raises(PortLinkError, match="another virtual hand is running there"):
        PtyPort(rig.port)


def test_closing_leaves_a_link_that_somebody_else_took_over(tmp_path):
    link = tmp_path / "hand"
    port = PtyPort(link)
    link.unlink()
    link.symlink_to("/dev/pts/999999")
    port.close()
    assert str(link.readlink()) == "/dev/pts/999999"
