# SPDX-License-Identifier: Apache-2.0
"""The node in its own process, driven by a recorded operator."""

from __future__ import annotations

import math
import re
import resource
import signal
import urllib.request
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from dexndm_msgs.msg import ControllerState, RotationCommand, TeleopStatus
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Log
from scipy.spatial.transform import Rotation
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dexndm_ros.dashboard.access import keep_token
from dexndm_ros.nodes._qos import LATCHED
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.recording import SampleWriter, read_samples
from dexndm_ros.teleop.web import CERTIFICATE_FILE, TOKEN_FILE
from dexndm_ros.teleop.web.certificate import describe
from support.adb import Adb
from support.oculus_app import make_adb
from support.operator import Operator, controller
from support.ros import ROSOUT, Graph, NodeProcess, node_spec
from support.webxr import RawPage

pytestmark = pytest.mark.ros

ARM = (0.5, 0.1, 0.4)


@pytest.fixture
def graph():
    with Graph() as made:
        yield made


@pytest.fixture
def session(tmp_path):
    """Again and again for a minute: grip and X are pressed, 10 cm forward in a second, both released.

    Where a machine is too busy to be on time, the gates stop one of these motions; the next begins anew.
    """
    operator, path = Operator(left=controller()), tmp_path / "session.jsonl"
    writer = SampleWriter(path)

    def frames(count: int, step_m: float = 0.0) -> None:
        for _ in range(count):
            operator.move((step_m, 0.0, 0.0))
            writer.write(operator.frame())

    for _ in range(24):
        operator.left = replace(operator.left, buttons=frozenset())
        operator.squeeze(0.0)
        frames(45)
        operator.left = replace(operator.left, buttons=frozenset({"X"}))
        operator.squeeze(1.0)
        frames(45)
        frames(90, 0.1 / 90)
        frames(45)
    writer.close()
    return path


class Arm:
    """Says where it is, 50 times a second, until it is told not to."""

    def __init__(self, graph, frame) -> None:
        self.message = PoseStamped()
        self.message.header.frame_id = frame
        p = self.message.pose.position
        p.x, p.y, p.z = ARM
        publisher = graph.publisher(PoseStamped, "arm/measured_pose")
        self.timer = graph.node.create_timer(0.02, lambda: publisher.publish(self.message))


def test_a_recorded_operator_drives_the_arm_until_the_arm_has_a_fault(
    graph, session, tmp_path
) -> None:
    arm = Arm(graph, frame="fr3_link0")
    targets = graph.listen(PoseStamped, "arm/target_pose")
    axes = graph.listen(RotationCommand, "rotation/command")
    hands = graph.listen(ControllerState, "teleop/controllers")
    states = graph.listen(TeleopStatus, "teleop/status")
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    fault = graph.publisher(String, "arm/fault", LATCHED)
    copy = tmp_path / "copy.jsonl"
    spec = node_spec("quest_bridge", source="recording", recording=str(session), record=str(copy))
    with NodeProcess(spec, tmp_path) as node:
        at_end = ARM[0] + 0.095
        graph.until(lambda: len(targets) and targets.last.pose.position.x > at_end, "the motion")
        first, last = targets.messages[0], targets.last
        assert first.header.frame_id == "fr3_link0"
        assert (first.pose.position.x, first.pose.position.y, first.pose.position.z) == ARM
        assert last.pose.position.y == pytest.approx(ARM[1], abs=1e-6)
        graph.until(lambda: any(state.engaged for state in states.messages), "words of it")
        assert all(state.engaged != bool(state.reason) for state in states.messages)
        assert 0.0 <= states.last.latency_ms_p50 <= states.last.latency_ms_p95
        pressed = [hand for hand in hands.messages if hand.right_grip == 1.0]
        assert pressed
        assert all(hand.right_valid and hand.button_x for hand in pressed)
        seqs = [hand.seq for hand in hands.messages]
        assert seqs == sorted(set(seqs))
        graph.until(lambda: len(axes) and axes.last.axis.z == 1.0, "the axis of X")
        assert axes.last.header.frame_id == "palm"
        graph.until(lambda: axes.last.axis.z == 0.0, "its end")

        fault.publish(String(data="the robot is in REFLEX: recover it"))
        graph.until(lambda: "REFLEX" in states.last.reason, "the hold")
        held, count = len(targets), len(states)
        graph.until(lambda: len(states) > count + 30, "three seconds, with a press in them")
        assert len(targets) <= held + 1  # one may have been under way
        assert states.last.reason == "the robot is in REFLEX: recover it"
        graph.until(
            lambda: any("REFLEX" in part.message for part in diagnostics.last.status), "diagnostics"
        )
        assert arm.timer
        assert node.stop(signal.SIGINT) == 0
    recorded = list(read_samples(copy))
    assert len(recorded) > 45
    assert {sample.source for sample in recorded} == {"recording"}


def test_a_full_disk_ends_the_recording_and_nothing_else(graph, session, tmp_path) -> None:
    arm = Arm(graph, frame="fr3_link0")
    targets = graph.listen(PoseStamped, "arm/target_pose")
    states = graph.listen(TeleopStatus, "teleop/status")
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    taken = tmp_path / "mine.jsonl"
    taken.write_text("somebody's")
    spec = node_spec("quest_bridge", source="recording", recording=str(session), record=str(taken))
    with NodeProcess(spec, tmp_path) as node:
        graph.until(lambda: len(targets), "the arm to follow")
        assert "mine-2.jsonl" in node.log
        # A file may grow no further: the disk is full, as far as the node can tell.
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
        graph.until(lambda: "the recording ended after" in node.log, "words")
        graph.until(
            lambda: any(
                pair.key == "recording" and "File too large" in pair.value
                for part in diagnostics.last.status
                for pair in part.values
            ),
            "diagnostics",
        )
        count, told = len(states), len(targets)
        graph.until(lambda: len(states) > count + 10 and len(targets) > told + 10, "more of it")
        assert arm.timer
        assert node.stop(signal.SIGINT) == 0
    assert taken.read_text() == "somebody's"
    assert list(read_samples(tmp_path / "mine-2.jsonl"))


def test_an_axis_by_orientation_is_turned_into_the_palms_frame(graph, tmp_path) -> None:
    """A turn about the controller's x, of more than start_deg, in a palm that stands a quarter turn about z to it."""
    path, operator = tmp_path / "session.jsonl", Operator()
    writer = SampleWriter(path)
    for k in range(1800):
        turn = Rotation.from_euler("x", min(k % 180, 90) * 0.5, degrees=True)
        held = Pose(np.array([0.4, 0.2, 1.0]), turn)
        operator.left = controller(held, trigger=float(k % 180 > 0))
        writer.write(operator.frame())
    writer.close()
    axes = graph.listen(RotationCommand, "rotation/command")
    spec = node_spec(
        "quest_bridge",
        source="recording",
        recording=str(path),
        **{
            "axis.mode": "orientation",
            "axis.start_deg": 20.0,
            "axis.stop_deg": 10.0,
            "axis.palm_xyzw": [0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)],
        },
    )
    with NodeProcess(spec, tmp_path) as node:

        def chosen() -> list[float]:
            axis = axes.last.axis
            return [round(part, 3) for part in (axis.x, axis.y, axis.z)]

        graph.until(lambda: len(axes) and chosen() == [0.0, 1.0, 0.0], "the axis")
        assert node.stop(signal.SIGINT) == 0


def test_without_an_arm_it_says_so_and_tells_no_target(graph, session, tmp_path) -> None:
    targets = graph.listen(PoseStamped, "arm/target_pose")
    states = graph.listen(TeleopStatus, "teleop/status")
    Arm(graph, frame="world")  # of another frame: as good as none
    spec = node_spec(
        "quest_bridge", source="recording", recording=str(session), base_frame="fr3_link0"
    )
    with NodeProcess(spec, tmp_path) as node:
        graph.until(
            lambda: len(states) and "arm's pose is not known" in states.last.reason, "the reason"
        )
        graph.until(lambda: "see base_frame" in node.log, "a word about the frame")
        assert not len(targets)


def test_a_recording_that_waits_begins_when_asked_and_not_without_an_arm(
    graph, session, tmp_path
) -> None:
    hands = graph.listen(ControllerState, "teleop/controllers")
    states = graph.listen(TeleopStatus, "teleop/status")
    spec = node_spec("quest_bridge", source="recording", recording=str(session), wait=True)
    with NodeProcess(spec, tmp_path) as node:
        graph.until(lambda: len(states), "words")
        refused = graph.call(Trigger, "teleop/play")
        assert not refused.success
        assert "arm's pose is not known" in refused.message
        assert "no headset" in graph.call(Trigger, "teleop/set_forward").message
        assert not len(hands)
        arm = Arm(graph, frame="fr3_link0")
        graph.until(lambda: graph.call(Trigger, "teleop/play").success, "the beginning")
        graph.until(lambda: len(hands) > 20, "the operator")
        forward = []
        graph.until(
            lambda: (
                forward.append(graph.call(Trigger, "teleop/set_forward")) or forward[-1].success
            ),
            "forward, while the grip is released",
        )
        assert arm.timer
        assert node.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"source": "psychic"}, "allowed: webxr, oculus_reader, recording"),
        ({"source": "recording", "recording": "/nowhere.jsonl"}, "cannot be read"),
        ({"source": "oculus_reader", "adb": "/no/adb"}, "install it"),
        ({"record": "/no/folder/mine.jsonl"}, "cannot be written"),
        ({"source": "recording", "scale": math.nan}, "scale"),
        ({"source": "recording", "axis.mode": "both"}, "axis mode"),
        ({"source": "recording", "axis.start_deg": 5.0}, "stop_rad < start_rad"),
        ({"source": "recording", "axis.palm_xyzw": [1.0, 1.0, 0.0, 0.0]}, "unit quaternion"),
        ({"source": "recording", "jump_deg": -1.0}, "jump_rad"),
        ({"source": "webxr", "tls": True, "directory": ""}, "directory"),
        (
            {"source": "webxr", "directory": "/dev/null/x"},
            "give another in the parameter directory",
        ),
        ({"source": "webxr", "wait": True}, "only source recording can wait"),
    ],
)
def test_what_cannot_work_ends_with_one_sentence(tmp_path, parameters, words) -> None:
    with NodeProcess(node_spec("quest_bridge", **parameters), tmp_path) as node:
        assert node.wait() != 0
        assert words in node.log
        assert "Traceback" not in node.log


def test_the_page_is_served_and_says_why_nothing_moves(graph, tmp_path) -> None:
    pytest.importorskip("cryptography")
    states = graph.listen(TeleopStatus, "teleop/status")
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    adb = make_adb(tmp_path, [])
    spec = node_spec("quest_bridge", port=0, directory=str(tmp_path / "kept"), adb=str(adb))
    with NodeProcess(spec, tmp_path) as node:
        graph.until(lambda: len(states), "words")
        assert states.last.reason == "no headset is connected"
        told = re.compile(r"teleoperation: (http://localhost:\d+/)\n")
        address = graph.until(lambda: told.search(node.log), "the address")
        with urllib.request.urlopen(address[1], timeout=30) as page:
            assert b"<html" in page.read()
        graph.until(lambda: len(diagnostics), "diagnostics")
        usb = {part.key: part.value for part in diagnostics.last.status[0].values}["usb"]
        assert "headset" in usb
        assert (tmp_path / "kept" / "teleop.token").stat().st_mode & 0o077 == 0
        assert node.stop(signal.SIGINT) == 0


def test_the_token_goes_to_a_headset_on_usb_and_to_no_log(graph, tmp_path, monkeypatch) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "logs"))
    told = graph.listen(Log, "/rosout", ROSOUT)
    adb, kept = Adb(tmp_path), tmp_path / "kept"
    spec = node_spec("quest_bridge", port=0, directory=str(kept), adb=str(adb.path))
    with NodeProcess(spec, tmp_path) as node:
        typed = adb.folder / "typed"
        graph.until(lambda: typed.exists() and "exit" in typed.read_text(), "the page to open")
        token = keep_token(kept / TOKEN_FILE)
        assert f"#token={token}" in typed.read_text()
        graph.until(
            lambda: any("teleoperation: http" in each.msg for each in told.messages), "the log"
        )
        code = re.search(r"pairing code of the page: (\d{8})\n", node.log)[1]
        page = RawPage(int(re.search(r"localhost:(\d+)/", node.log)[1]))
        page.say(pair=code)
        assert page.hear("token") == token
        page.close()
        assert node.stop(signal.SIGINT) == 0
        assert token not in node.log
    assert not any(token in each.msg or code in each.msg for each in told.messages)
    files = [file for file in (tmp_path / "logs").rglob("*") if file.is_file()]
    assert files, "the node writes a log file, which is what is looked at here"
    for file in files:
        text = file.read_text(errors="replace")
        assert token not in text and code not in text
    assert adb.rules() == []


def test_on_the_network_the_log_tells_what_a_headset_opens_and_compares(graph, tmp_path) -> None:
    pytest.importorskip("cryptography")
    kept = tmp_path / "kept"
    spec = node_spec("quest_bridge", port=0, host="0.0.0.0", tls=True, usb=False, directory=str(kept))  # fmt: skip
    with NodeProcess(spec, tmp_path) as node:
        graph.until(lambda: "SHA-256" in node.log, "the fingerprint")
        assert describe(kept / CERTIFICATE_FILE).fingerprint in node.log
        assert "a new certificate was made: there was none" in node.log
        assert re.search(
            r"teleoperation: https://\S+\.local:\d+/\n|teleoperation: https://\S+ or ", node.log
        )
        assert node.stop(signal.SIGINT) == 0


def test_an_adb_that_hangs_does_not_spoil_the_end(graph, tmp_path) -> None:
    pytest.importorskip("cryptography")
    adb, copy = Adb(tmp_path), tmp_path / "copy.jsonl"
    spec = node_spec(
        "quest_bridge", port=0, directory=str(tmp_path / "kept"), adb=str(adb.path), record=str(copy)
    )  # fmt: skip
    with NodeProcess(spec, tmp_path) as node:
        graph.until(adb.rules, "the rule")
        (adb.folder / "hanging").write_text("")
        graph.until(lambda: (adb.folder / "hangs").exists(), "adb to hang")
        assert node.stop(signal.SIGINT) == 0
        assert "Traceback" not in node.log and "Timeout" not in node.log
