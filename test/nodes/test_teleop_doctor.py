# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds out about nodes that run."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dexndm_msgs")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from dexndm_ros.doctor_cli import main
from dexndm_ros.hand.doctor import Level
from dexndm_ros.nodes._teleop_doctor import examine_graph
from support.oculus_app import make_adb
from support.ros import Graph, NodeProcess, node_spec

pytestmark = pytest.mark.ros

COMMAND = "virtual_arm/joint_trajectory"


@pytest.fixture
def graph():
    with Graph("stand_in_for_the_arm") as made:
        yield made


def errors(findings):
    return [finding.found for finding in findings if finding.level is Level.ERROR]


def whats(findings):
    return {finding.what for finding in findings}


def looked(true):
    """What the doctor sees; on a starved machine the graph shows itself late, and it is asked again."""
    for _ in range(4):
        seen = examine_graph()
        if true(*seen):
            break
    return seen


def test_the_running_page_and_arm_are_asked_and_a_second_publisher_is_found(graph, tmp_path):
    joints = graph.publisher(JointState, "virtual_arm/joint_states")
    heard = graph.listen(JointTrajectory, COMMAND)
    adb = make_adb(tmp_path, [])
    page = node_spec("quest_bridge", port=0, directory=str(tmp_path / "kept"), adb=str(adb))
    arm = node_spec("arm_bridge", profile="virtual")
    with NodeProcess(page, tmp_path), NodeProcess(arm, tmp_path):
        graph.until(lambda: graph.node.count_publishers(COMMAND), "the bridge")
        graph.until(lambda: graph.node.count_publishers("teleop/status"), "the page")
        settings, findings = looked(lambda page, arm: page and "arm profile" in whats(arm))
        assert (settings.running, settings.port) == (True, 0)
        assert settings.directory == str(tmp_path / "kept")
        assert errors(findings) == []
        assert "heard by /stand_in_for_the_arm" in [finding.found for finding in findings]

        graph.publisher(JointTrajectory, COMMAND)
        (found,) = errors(looked(lambda page, arm: errors(arm))[1])
        assert found == "/stand_in_for_the_arm publishes too: both move the arm"
    assert joints and not len(heard)


def test_before_a_start_the_arm_that_is_named_is_compared(graph, tmp_path):
    profile = tmp_path / "own.yaml"
    profile.write_text(
        "command: pose\ncommand_topic: /own/target\nbase_frame: fr3_link0\n"
        "state: {pose_topic: /own/pose, robot_topic: ''}\n"
    )
    pose = graph.publisher(PoseStamped, "/own/pose")
    told = PoseStamped()
    told.header.frame_id = "world"
    graph.node.create_timer(0.02, lambda: pose.publish(told))
    settings, findings = examine_graph(str(profile))
    assert settings is None
    assert errors(findings) == ["nobody listens", "/own/pose is in world"]


def test_where_nothing_runs_it_says_so_and_checks_the_shipped_profiles(graph):
    settings, findings = examine_graph()
    assert settings is None
    assert [finding.level for finding in findings] == [Level.OK, Level.NOTE]
    assert "dexndm doctor --arm" in findings[1].cure


def test_the_command_tells_of_page_and_arm_and_fails_for_what_is_wrong(tmp_path, capsys):
    pytest.importorskip("cryptography")
    from dexndm_ros.teleop.web import CERTIFICATE_FILE
    from dexndm_ros.teleop.web.addresses import lasting_names
    from dexndm_ros.teleop.web.certificate import keep_certificate

    file = tmp_path / CERTIFICATE_FILE
    keep_certificate(file, lasting_names())
    words = ["--page-directory", str(tmp_path), "--page-port", "0", "--arm", "virtual"]
    assert main(words) == 1  # nothing runs that would move this arm
    told = capsys.readouterr().out
    assert "command topic /virtual_arm/joint_trajectory: nobody listens" in told
    assert "port of the page: any that is free" in told
    assert "[ ok ] certificate: good until" in told
    file.chmod(0o640)
    main(words)
    assert "others could read its key (mode 640)" in capsys.readouterr().out
