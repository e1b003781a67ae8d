# SPDX-License-Identifier: Apache-2.0
"""What of a bag is played, and what is refused: on bags that the recorder's own writer made."""

from __future__ import annotations

import re

import pytest

from dexndm_ros.bags.open import open_bag
from dexndm_ros.bags.types import BagError, TopicInfo
from dexndm_ros.playback.commands import is_command
from dexndm_ros.playback.opening import ReplayOptions, open_for_playing
from dexndm_ros.playback.player import PlaybackError
from dexndm_ros.playback.select import latched_depth, parse_remaps, select
from dexndm_ros.recording.read import decode
from support.nights import write_night
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
    ("topic", "kind"),
    [
        ("/hand/command", "dexndm_msgs/msg/HandCommand"),
        ("/left/anything", "dexndm_msgs/msg/HandCommand"),
        ("/rotation/command", "dexndm_msgs/msg/RotationCommand"),
        ("/arm/target_pose", "geometry_msgs/msg/PoseStamped"),
        ("/arm/pose", "geometry_msgs/msg/PoseStamped"),
        ("/cube/goal", "geometry_msgs/msg/PoseStamped"),
        ("/joint_commands", "sensor_msgs/msg/JointState"),
        ("/cmd_leap", "sensor_msgs/msg/JointState"),
        ("/leap_hand/cmdLeap2", "sensor_msgs/msg/JointState"),
        ("/allegroHand_0/joint_cmd", "sensor_msgs/msg/JointState"),
        ("/jointcmd", "sensor_msgs/msg/JointState"),
        ("/leap/desired", "sensor_msgs/msg/JointState"),
        ("/leap/joints", "sensor_msgs/msg/JointState"),
        ("/cmd/hand", "std_msgs/msg/String"),
        ("/handCtrl1", "std_msgs/msg/UInt8"),
        ("/HANDCmd", "std_msgs/msg/UInt8"),
        ("/arm/reference", "geometry_msgs/msg/PointStamped"),
        ("/drone/setpoint_raw", "some_msgs/msg/Thing"),
        ("/arm/action", "some_msgs/msg/Thing"),
        ("/cmd_vel", "geometry_msgs/msg/Twist"),
        ("/base/velocity", "geometry_msgs/msg/TwistStamped"),
        ("/arm/joint_trajectory", "trajectory_msgs/msg/JointTrajectory"),
        ("/servo_node/delta_twist_cmds", "geometry_msgs/msg/TwistStamped"),
        ("/forward_position_controller/commands", "std_msgs/msg/Float64MultiArray"),
        ("/hand/q", "std_msgs/msg/Float64MultiArray"),
        ("/hand/q", "std_msgs/msg/Float32MultiArray"),
        ("/anything", "leap_msgs/msg/ServoCommand"),
        ("/anything", "unitree_go/msg/LowCmd"),
        ("/anything", "ackermann_msgs/msg/AckermannDriveStamped"),
        ("/input", "sensor_msgs/msg/Joy"),
    ],
)
def test_what_may_make_something_move_is_a_command(topic, kind) -> None:
    assert is_command(topic, kind)


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("/hand/state", "dexndm_msgs/msg/HandState"),
        ("/hand/command", "dexndm_msgs/msg/HandState"),
        ("/joint_states", "sensor_msgs/msg/JointState"),
        ("/leap_ctrl/joint_states", "sensor_msgs/msg/JointState"),
        ("/hand/tactile", "std_msgs/msg/Float32MultiArray"),
        ("/sim/object", "geometry_msgs/msg/PoseStamped"),
        ("/cube/pose", "geometry_msgs/msg/PoseStamped"),
        ("/wrist/orientation", "geometry_msgs/msg/QuaternionStamped"),
        ("/policy/step", "dexndm_msgs/msg/PolicyStep"),
        ("/controller/state", "control_msgs/msg/JointTrajectoryControllerState"),
        ("/arm/_action/status", "action_msgs/msg/GoalStatusArray"),
        ("/arm/_action/feedback", "control_msgs/action/FollowJointTrajectory_FeedbackMessage"),
        ("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
        ("/camera/image", "sensor_msgs/msg/Image"),
        ("/tf", "tf2_msgs/msg/TFMessage"),
        ("/robot_description", "std_msgs/msg/String"),
    ],
)
def test_what_only_tells_how_things_are_is_no_command(topic, kind) -> None:
    assert not is_command(topic, kind)


@pytest.mark.parametrize(
    ("topic", "kind", "target", "played"),
    [
        ("/joint_states", "sensor_msgs/msg/JointState", "/cmd_leap", False),
        ("/joint_states", "sensor_msgs/msg/JointState", "/leap_in", False),
        ("/joint_states", "sensor_msgs/msg/JointState", "/was/joint_states", False),
        ("/wrist/orientation", "geometry_msgs/msg/QuaternionStamped", "/arm/q", False),
        ("/sim/object", "geometry_msgs/msg/PoseStamped", "/arm/target_pose", False),
        ("/sim/object", "geometry_msgs/msg/PoseStamped", "/arm/pose", False),
        ("/hand/command", "dexndm_msgs/msg/HandCommand", "/was/seen", False),
        ("/sim/object", "geometry_msgs/msg/PoseStamped", "/was/sim/object", True),
        ("/hand/state", "dexndm_msgs/msg/HandState", "/was/hand/state", True),
        ("/policy/step", "dexndm_msgs/msg/PolicyStep", "/was/policy/step", True),
        ("/joint_states", "sensor_msgs/msg/JointState", "/joint_states", True),
    ],
)
def test_under_another_name_only_what_cannot_be_a_command_is_played(
    topic, kind, target, played
) -> None:
    topics = {
        topic: TopicInfo(topic, kind, qos_text="- durability: transient_local\n  depth: 1\n"),
        "/hand/health": TopicInfo("/hand/health", "dexndm_msgs/msg/HandHealth"),
    }
    without = select(topics, remaps={topic: target})
    assert (target in {each.name for each in without.played}) is played
    assert all("publish_commands" in each.why for each in without.left_out)
    asked = {
        each.name: each for each in select(topics, remaps={topic: target}, commands=True).played
    }
    assert asked[target].command is not played
    # Who comes late must not be told to move by something old.
    assert asked[target].latched == (1 if played else 0)


def test_who_may_hear_commands_is_named_in_full(bag) -> None:
    options = ReplayOptions(bag=bag[0], publish_commands=True, allow_listeners="/a/b  c")
    assert options.listeners == {"/a/b", "/c"}
    with pytest.raises(PlaybackError, match="is no name of a node"):
        ReplayOptions(bag=bag[0], publish_commands=True, allow_listeners="/hand*")
    with pytest.raises(PlaybackError, match="publish_commands"):
        ReplayOptions(bag=bag[0], allow_listeners="/a")


def test_a_clock_that_was_set_is_told(tmp_path) -> None:
    (back,) = write_night(tmp_path / "back", trajectories=1, steps=40, clock_jump=((20, -5.0),))
    opened = open_for_playing(ReplayOptions(bag=str(back.path)))
    assert "set back by about 4.99 s" in opened.notes[0] and len(opened.notes) == 1
    states = [e for e in opened.timeline.entries(opened.begin_ns) if e.topic == "/hand/state"]
    seqs = [decode("dexndm_msgs/msg/HandState", e.data).seq for e in states]
    assert seqs == sorted(seqs)
    (forth,) = write_night(tmp_path / "forth", trajectories=1, steps=40, clock_jump=((20, 3600.0),))
    opened = open_for_playing(ReplayOptions(bag=str(forth.path)))
    assert opened.span.duration_s < 60.0
    assert "keep_holes" in opened.notes[0] and "3600 s" in opened.notes[0]
    kept = open_for_playing(ReplayOptions(bag=str(forth.path), keep_holes=True))
    assert kept.span.duration_s > 3600.0 and "waited for" in kept.notes[0]


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
