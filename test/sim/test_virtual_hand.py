# SPDX-License-Identifier: Apache-2.0
"""The whole virtual hand in real time, driven through its port by the plain SDK; and its command."""

import os
import signal
import subprocess
import sys
import time

import dynamixel_sdk as sdk
import numpy as np
import pytest
from dynamixel_sdk import port_handler

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD
from dexndm_ros.hand.units import per_joint_gains, ticks_from_rad
from dexndm_ros.policy.wrist import AxisError
from dexndm_ros.sim import virtual_hand_cli
from dexndm_ros.sim.faults import FaultError
from dexndm_ros.sim.handover import ObjectPhase
from dexndm_ros.sim.virtual_hand import VirtualHand
from dexndm_ros.sim.worlds import ObjectConfig, World, WorldError


def wait_for(condition, seconds=60.0):
    """Poll for something that happens in another thread, generously."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)


class Program:
    """Somebody else's program at the port."""

    def __init__(self, path):
        self.port = sdk.PortHandler(str(path))
        assert self.port.openPort()
        assert self.port.setBaudRate(4_000_000)
        self.packets = sdk.PacketHandler(2.0)

    def sync_write(self, address, size, values):
        group = sdk.GroupSyncWrite(self.port, self.packets, address, size)
        for k, value in enumerate(values):
            group.addParam(k, int(value).to_bytes(size, "little", signed=True))
        assert group.txPacket() == sdk.COMM_SUCCESS

    def bring_up(self):
        self.sync_write(11, 1, [5] * 16)
        self.sync_write(84, 2, per_joint_gains(800))
        self.sync_write(80, 2, per_joint_gains(200))
        self.sync_write(102, 2, [500] * 16)
        self.sync_write(64, 1, [1] * 16)

    def go(self, pose):
        self.sync_write(116, 4, ticks_from_rad(pose))


@pytest.fixture
def program(hand, monkeypatch):
    monkeypatch.setattr(port_handler, "LATENCY_TIMER", 1000)
    program = Program(hand.port)
    yield program
    program.port.closePort()


@pytest.fixture
def hand(tmp_path):
    with VirtualHand(link=tmp_path / "leap") as hand:
        yield hand


def test_an_episode_from_handing_over_to_falling(hand, program):
    program.bring_up()
    hand.set_axis([0.0, 0.0, 1.0])
    wait_for(lambda: hand.snapshot().phase is ObjectPhase.HELD)
    assert hand.progress().episode == 0
    program.go(CANONICAL_POSE_RAD)
    wait_for(lambda: hand.snapshot().phase is ObjectPhase.FREE)
    wait_for(lambda: hand.progress().time_s > 0.5)
    first = hand.progress()
    assert (first.episode, first.fallen) == (1, False)
    view = hand.snapshot()
    np.testing.assert_allclose(view.goal_rad, CANONICAL_POSE_RAD, atol=1e-3)
    assert view.torque_on.all()
    assert view.object_position_m.shape == (3,)
    assert view.object_xyzw.shape == (4,)
    hand.reset(seed=7)
    wait_for(lambda: hand.snapshot().phase is ObjectPhase.WAITING)  # the fingers stand in its place
    program.go(np.zeros(16))
    wait_for(lambda: hand.snapshot().phase is ObjectPhase.HELD)
    program.go(CANONICAL_POSE_RAD)
    wait_for(lambda: hand.progress().episode == 2)


def test_resets_do_not_move_the_hand(hand, program):
    program.bring_up()
    pose = np.zeros(16)
    pose[[1, 5, 9]] = 1.2
    program.go(pose)
    wait_for(lambda: hand.snapshot().position_rad[1] > 1.0)
    wait_for(lambda: np.abs(hand.snapshot().velocity_rad_s).max() < 0.005)
    before = hand.snapshot()
    hand.reset()
    wait_for(lambda: hand.snapshot().time_s > before.time_s + 0.2)
    np.testing.assert_allclose(hand.snapshot().position_rad, before.position_rad, atol=0.03)


def test_bad_axes_faults_and_worlds_are_refused(hand, tmp_path):
    with pytest.raises(AxisError):
        hand.set_axis([0.0, 0.0, 2.0])
    with pytest.raises(FaultError):
        hand.inject("sabotage")
    with pytest.raises(WorldError):
        VirtualHand(tmp_path / "none.yaml")
    assert "motor 3, until cleared" in hand.inject("silent_motor", 3)


def test_a_world_without_object_has_none():
    world = World(object=ObjectConfig(kind="none"))
    with VirtualHand(world) as hand:
        wait_for(lambda: hand.snapshot().time_s > 0.1)
        view = hand.snapshot()
        assert (view.object_position_m, view.phase) == (None, None)
        hand.reset()
        assert hand.port.startswith("/dev/pts/")


def test_the_lite_world_has_lite_motors():
    world = World.from_dict({"servo": {"motor": "xl330_m288"}})
    with VirtualHand(world) as hand:
        assert hand.rig.bank.servos[4].get("model_number") == 1200


# --- the command ---


def start_command(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "dexndm_ros.sim.virtual_hand_cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_cleans_up(tmp_path, monkeypatch, number):
    monkeypatch.setattr(port_handler, "LATENCY_TIMER", 1000)
    link = tmp_path / "leap"
    process = start_command("--link", link)
    assert f"port {link}, world nominal" in process.stdout.readline()
    program = Program(link)
    assert program.packets.ping(program.port, 15) == (1240, sdk.COMM_SUCCESS, 0)
    program.port.closePort()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), (out, err)
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("--world", "no_such_world"), 1, "no_such_world"),
        (("--fault", "sabotage"), 2, "unknown fault 'sabotage'"),
        (("--fault", "lost_reply:x"), 2, "give KIND, or KIND:MOTOR:PROBABILITY:SECONDS"),
        (("--axis", "sideways"), 2, "sideways"),
        (("--axis", "0,0,2"), 2, "length 2"),
    ],
)
def test_the_command_says_what_is_wrong(capsys, words, status, complaint):
    assert virtual_hand_cli.main(words) == status
    assert complaint in capsys.readouterr().err


def test_the_command_refuses_a_path_that_is_taken(tmp_path, capsys):
    taken = tmp_path / "file"
    taken.write_text("mine")
    assert virtual_hand_cli.main(["--link", str(taken)]) == 1
    assert "exists and is not a link" in capsys.readouterr().err
    assert taken.read_text() == "mine"
