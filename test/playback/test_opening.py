# SPDX-License-Identifier: Apache-2.0
"""What of a bag is played, and what is refused: on bags that the recorder's own writer made."""

from __future__ import annotations

import re

import pytest

from dexndm_ros.bags.open import open_bag
from dexndm_ros.bags.types import BagError, TopicInfo
from dexndm_ros.playback.commands import is_command, moves_motors
from dexndm_ros.playback.opening import ReplayOptions, open_for_playing
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.playback.select import latched_depth, parse_remaps, select
from support.replayed import write_run


@pytest.fixture
def bag(tmp_path):
    """Path and content of a bag."""
    written = write_run(tmp_path)
    return str(tmp_path / "e1"), written


def test_the_timeline_of_a_bag_holds_every_message_of_what_is_played(bag) -> None:
    path, written = bag
    opened = open_for_playing(ReplayOptions(bag=path, publish_commands=True))
    entries = list(opened.timeline.entries())
    for name, data in written.items():
        assert [e.data for e in entries if e.topic == name] == data
    assert [e.time_ns for e in entries] == sorted(e.time_ns for e in entries)
    assert opened.selection.ticks == "/replay/step"
    assert opened.remaps == {name: name for name in written}


def test_commands_are_left_out_unless_asked_for_and_that_is_told(bag) -> None:
    path, written = bag
    opened = open_for_playing(ReplayOptions(bag=path))
    assert set(opened.remaps) == set(written) - {"/hand/command"}
    (left,) = opened.selection.left_out
    assert left.name == "/hand/command" and "publish_commands" in left.why


def test_start_and_duration_are_counted_from_the_first_message(bag) -> None:
    path, _ = bag
    opened = open_for_playing(ReplayOptions(bag=path, start_s=0.02, duration_s=0.01))
    assert opened.begin_ns - opened.span.first_ns == 20_000_000
    assert opened.end_ns - opened.begin_ns == 10_000_000
    assert next(opened.timeline.entries(opened.begin_ns)).held


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bag": ""}, "bag is empty"),
        ({"topics": "/hand/stat"}, "did you mean /hand/state?"),
        ({"topics": "/hand/command"}, "nothing is left to play: /hand/command: a command"),
        ({"remap": "/a=/b"}, "write FROM:=TO"),
        ({"remap": "/hand/stat:=/b"}, "did you mean /hand/state?"),
        ({"remap": "/hand/state:=/joint_states"}, "both be played as /joint_states"),
        ({"rate": -1.0}, "rate is -1; allowed"),
        ({"start_s": 99.0}, "the bag ends after"),
        ({"start_s": float("nan")}, "start_s is nan; allowed"),
        ({"duration_s": -1.0}, "duration_s is -1; allowed"),
        ({"clock_hz": 1e6}, "clock_hz is 1e+06; allowed"),
        ({"order": "alphabetical"}, "order is 'alphabetical'; allowed: log or publish"),
    ],
)
def test_what_cannot_be_played_is_refused_with_what_is_allowed(bag, options, words) -> None:
    with pytest.raises(PlaybackError, match=re.escape(words)):
        open_for_playing(ReplayOptions(**{"bag": bag[0], **options}))


def test_what_is_no_bag_is_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("no bag")
    for path in (tmp_path / "notes.txt", tmp_path / "nowhere"):
        with pytest.raises(BagError, match=re.escape(str(path))):
            open_for_playing(ReplayOptions(bag=str(path)))


def test_a_topic_that_cannot_be_published_here_is_left_out_with_the_reason(bag) -> None:
    opened = open_for_playing(
        ReplayOptions(bag=bag[0]), lambda info: "no such type" if "joint" in info.name else ""
    )
    assert "/joint_states" not in opened.remaps
    assert [each.why for each in opened.selection.left_out if each.name == "/joint_states"] == [
        "no such type"
    ]


def test_two_remaps_of_one_topic_are_refused() -> None:
    assert parse_remaps(["a/b:=c"]) == {"/a/b": "/c"}
    with pytest.raises(PlaybackError, match="twice"):
        parse_remaps(["/a:=/b", "a:=/c"])


def test_with_a_clock_of_its_own_the_recorded_one_is_left_out(bag) -> None:
    topics = dict(open_bag(bag[0]).topics)
    topics["/clock"] = TopicInfo("/clock", "rosgraph_msgs/msg/Clock")
    topics["/rosout"] = TopicInfo("/rosout", "rcl_interfaces/msg/Log")

    def played(**options) -> set[str]:
        return {each.name for each in select(topics, **options).played}

    assert "/clock" in played() and "/clock" not in played(clock=True)
    assert "/rosout" not in played() and "/rosout" in played(wanted=["rosout"])


@pytest.mark.parametrize(
    ("topic", "kind", "command"),
    [
        ("/hand/command", "dexndm_msgs/msg/HandCommand", True),
        ("/left/anything", "dexndm_msgs/msg/HandCommand", True),
        ("/rotation/command", "dexndm_msgs/msg/RotationCommand", True),
        ("/arm/target_pose", "geometry_msgs/msg/PoseStamped", True),
        ("/joint_commands", "sensor_msgs/msg/JointState", True),
        ("/cmd_vel", "geometry_msgs/msg/Twist", True),
        ("/arm/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", True),
        ("/servo_node/delta_twist_cmds", "geometry_msgs/msg/TwistStamped", True),
        ("/forward_position_controller/commands", "std_msgs/msg/Float64MultiArray", True),
        ("/hand/state", "dexndm_msgs/msg/HandState", False),
        ("/joint_states", "sensor_msgs/msg/JointState", False),
        ("/sim/object", "geometry_msgs/msg/PoseStamped", False),
        ("/wrist/orientation", "geometry_msgs/msg/QuaternionStamped", False),
        ("/policy/step", "dexndm_msgs/msg/PolicyStep", False),
        ("/controller/state", "control_msgs/msg/JointTrajectoryControllerState", False),
        ("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", False),
    ],
)
def test_what_makes_something_move_is_a_command(topic, kind, command) -> None:
    assert is_command(topic, kind) is command


def test_who_tells_joint_states_or_is_called_a_driver_has_motors() -> None:
    assert moves_motors("leap_hand_driver", [])
    assert moves_motors("some_hand", ["sensor_msgs/msg/JointState"])
    assert not moves_motors("episode_recorder", ["dexndm_msgs/msg/RecorderStatus"])
    assert not moves_motors("plotter", [])


@pytest.mark.parametrize(
    ("name", "qos_text", "depth"),
    [
        ("/a", "", 0),
        ("/tf_static", "", 1),
        ("/a", "- durability: transient_local\n  depth: 0\n", 1),
        ("/a", "- durability: transient_local\n  depth: 3\n- durability: volatile\n", 3),
        ("/a", "- durability: 1\n  depth: 1\n- durability: 1\n  depth: 1\n", 2),
        ("/a", "- durability: 2\n  depth: 5\n", 0),
    ],
)
def test_of_latched_topics_as_much_holds_as_their_publishers_kept(name, qos_text, depth) -> None:
    assert latched_depth(TopicInfo(name, "t", qos_text=qos_text)) == depth
