# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real ``launch`` and ``launch_ros``, where there are any."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")
# The folder launch/ of this repository answers to that name too; launch_ros is only the real one.
pytest.importorskip("launch_ros", reason="launch_ros comes with a full ROS only, not as a wheel")

from dexndm_msgs.msg import HandState, ReplayStatus
from geometry_msgs.msg import PoseStamped

from dexndm_ros.bringup import SYSTEMS
from dexndm_ros.processes import node_environment
from dexndm_ros.respawn import REFUSED, RespawnRule
from dexndm_ros.teleop.rehearsal import Step, write_session
from support.replayed import write_run
from support.ros import PATIENCE_S, Graph
from support.tiny_policy import leap_spec, write_tiny_policy

pytestmark = pytest.mark.ros

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
PROGRAM = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
given = [word.split(":=", 1) for word in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=given)]))
sys.exit(service.run())
"""


# A system of one process that writes a line and dies, under the real launch.
MORTAL = """
import sys
from pathlib import Path
from launch import LaunchDescription, LaunchService
from dexndm_ros import launching
from dexndm_ros.bringup import ProcessSpec
launching._RESPAWN_DELAY_S = 0.01
spec = ProcessSpec("mortal", "support.mortal", "mortal", {"code": int(sys.argv[1])}, respawn=True)
service = LaunchService()
service.include_launch_description(LaunchDescription([launching._node(spec)]))
sys.exit(service.run())
"""


CAMPAIGN = """
name: small
orientation: palm_up
library: "waves:sine:5"
count: 5
hand_load: free
disk: {pause_gb: 0.001, resume_gb: 0.002}
"""


def command(name, **arguments):
    words = [f"{key}:={value}" for key, value in arguments.items()]
    return [sys.executable, "-c", PROGRAM, str(LAUNCH / f"{name}.launch.py"), *words]


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))


@pytest.fixture
def world(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("object: {kind: none}\n")
    return path


def test_every_system_has_a_launch_file_and_every_launch_file_a_system():
    assert {path.name.removesuffix(".launch.py") for path in LAUNCH.iterdir()} == set(SYSTEMS)


def test_the_demo_comes_up_moves_and_ends_with_torque_off(tmp_path, world):
    policy = write_tiny_policy(tmp_path / "tiny.onnx", spec=leap_spec())
    log = tmp_path / "launch.log"
    words = command(
        "rotation_demo", world=world, policy=policy, port=tmp_path / "port", sim="true", axis="-z"
    )
    with Graph() as graph, log.open("w") as output:
        states = graph.listen(HandState, "hand/state", 10)
        launch = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, env=node_environment()
        )
        try:
            graph.until(
                lambda: (
                    launch.poll() is not None
                    or (states.messages and states.last.mode == HandState.MODE_ACTIVE)
                ),
                "the policy to move the hand",
            )
            assert launch.poll() is None, log.read_text()
            assert states.last.command_source == "rotation_policy"
            launch.send_signal(signal.SIGINT)
            launch.wait(PATIENCE_S)
        finally:
            launch.kill()
            launch.wait()
    text = log.read_text()
    assert text.count("process has finished cleanly") == 3, text
    assert "could not be switched off" not in text
    assert not (tmp_path / "port").is_symlink()


def test_teleoperation_comes_up_follows_a_recorded_operator_and_ends_in_order(tmp_path, world):
    policy = write_tiny_policy(tmp_path / "tiny.onnx", spec=leap_spec())
    session, log = tmp_path / "session.jsonl.gz", tmp_path / "launch.log"
    press = (Step(0.5), Step(0.5, grip=True), Step(1.0, grip=True, by_m=(0.0, 0.03, 0.0)))
    write_session(session, press * 30)
    words = command(
        "teleop",
        source="recording",
        recording=session,
        world=world,
        policy=policy,
        port=tmp_path / "port",
        sim="true",
    )
    with Graph() as graph, log.open("w") as output:
        measured = graph.listen(PoseStamped, "arm/measured_pose", 10)
        launch = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, env=node_environment()
        )

        def moved() -> bool:
            assert launch.poll() is None, log.read_text()
            y = [message.pose.position.y for message in measured.messages]
            return bool(y) and max(y) > min(y) + 0.02

        try:
            graph.until(moved, "the arm to follow the operator")
            launch.send_signal(signal.SIGINT)
            launch.wait(PATIENCE_S)
        finally:
            launch.kill()
            launch.wait()
    text = log.read_text()
    assert text.count("process has finished cleanly") == 5, text
    assert "could not be switched off" not in text


@pytest.mark.slow
def test_the_chaos_box_comes_up_and_replays_again_after_a_kill(tmp_path):
    campaign = tmp_path / "small.yaml"
    campaign.write_text(CAMPAIGN)
    log, out = tmp_path / "launch.log", tmp_path / "out"
    words = command(
        "chaos_box",
        campaign=campaign,
        out=out,
        port=tmp_path / "port",
        sim="true",
        dashboard="false",
    )
    with Graph() as graph, log.open("w") as output:
        states = graph.listen(ReplayStatus, "replay/status", 10)
        launch = subprocess.Popen(
            words, stdout=output, stderr=subprocess.STDOUT, env=node_environment()
        )

        def replaying():
            assert launch.poll() is None, log.read_text()
            return states.messages and states.last.state == ReplayStatus.STATE_RUNNING

        try:
            graph.until(replaying, "the replay")
            os.kill(node_pid("chaos_box_replay", launch.pid), signal.SIGKILL)
            graph.until(
                lambda: "chaos_box_replay is started again" in log.read_text(), "its next life"
            )
            states.messages.clear()
            graph.until(replaying, "the replay, again")
            launch.send_signal(signal.SIGINT)
            launch.wait(PATIENCE_S)
        finally:
            launch.kill()
            launch.wait()
    text = log.read_text()
    assert text.count("process has finished cleanly") == 4, text
    assert "could not be switched off" not in text
    assert (out / "campaign.sqlite").is_file()


def test_a_bag_is_played_and_the_launch_ends_with_it(tmp_path):
    write_run(tmp_path)
    words = command("bag_replay", bag=tmp_path / "e1", rate=5, clock=50)
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_S, env=node_environment()
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "played 71 messages" in text
    assert "process has finished cleanly" in text


def node_pid(name, parent):
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = f"dexndm_ros.nodes.{name}".encode() in (path / "cmdline").read_bytes().split(
                b"\0"
            )
            if mine and (path / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(parent):
                return int(path.name)
    raise AssertionError(f"{name} does not run")


def test_a_process_that_fails_ends_the_launch_and_says_why(tmp_path):
    words = command("leap_hand", port=tmp_path / "nothing", sim="false")
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_S, env=node_environment()
    )
    text = done.stdout + done.stderr
    assert "does not exist: plug the U2D2 in" in text
    assert "was required: shutting down launched system" in text


def test_a_wrong_argument_ends_the_launch_with_what_is_allowed():
    words = command("leap_hand", rate="fast")
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE_S, env=node_environment()
    )
    assert done.returncode == 1
    assert "rate is 'fast'; allowed: 20 to 500 Hz" in done.stdout + done.stderr


@pytest.mark.parametrize("code, lives", [(1, RespawnRule().budget + 1), (REFUSED, 1)])
def test_a_process_is_started_again_until_its_budget_is_spent(code, lives):
    done = subprocess.run(
        [sys.executable, "-c", MORTAL, str(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=node_environment() | {"PYTHONPATH": path_with_support()},
    )
    text = done.stdout + done.stderr
    assert text.count("here I live") == lives, text
    assert "mortal ended" in text or "was required" in text, text


def path_with_support():
    root = Path(__file__).resolve().parents[2]
    return os.pathsep.join([str(root / "test"), os.environ.get("PYTHONPATH", str(root))])
