# SPDX-License-Identifier: Apache-2.0
"""Which topics tell a machine to move.

A recording must never move a motor by surprise. Commands are therefore withheld unless asked for, and then played
only to nodes that were named. Where type and name leave it open, a topic counts as a command: one that is withheld
by mistake is told of and can be asked for; one that is played by mistake moves something.
"""

from __future__ import annotations

import re

__all__ = ["cannot_command", "is_command", "is_shared"]

_NEVER = frozenset(
    f"{package}/msg/{name}"
    for package, names in {
        "action_msgs": "GoalStatusArray",
        "dexndm_msgs": "EpisodeRecorded HandHealth HandState PolicyStep RecorderStatus ReplayStatus ReplayStep "
        "RotationProgress TeleopStatus",
        "diagnostic_msgs": "DiagnosticArray DiagnosticStatus",
        "lifecycle_msgs": "TransitionEvent",
        "rcl_interfaces": "Log ParameterEvent",
        "rosgraph_msgs": "Clock",
        "sensor_msgs": "BatteryState CameraInfo CompressedImage FluidPressure Image Imu LaserScan MagneticField "
        "PointCloud2 Range Temperature",
        "statistics_msgs": "MetricsMessage",
        "tf2_msgs": "TFMessage",
        "visualization_msgs": "ImageMarker Marker MarkerArray",
    }.items()
    for name in names.split()
)
"""Types that tell what was; nothing obeys them, whatever the topic is called."""
_ALWAYS = frozenset(
    f"dexndm_msgs/msg/{name}" for name in ("ControllerState", "HandCommand", "RotationCommand")
)
_PACKAGES = ("actuator_msgs/", "control_msgs/", "moveit_msgs/", "trajectory_msgs/")
_ARRAY = re.compile(r"std_msgs/msg/\w+MultiArray")
_POSES = frozenset(
    f"geometry_msgs/msg/{name}"
    for name in (
        "Pose",
        "PoseArray",
        "PoseStamped",
        "PoseWithCovariance",
        "PoseWithCovarianceStamped",
        "Transform",
        "TransformStamped",
    )
)

_COMMAND_WORDS = frozenset(
    [
        "action",
        "ctrl",
        "control",
        "desired",
        "goal",
        "jog",
        "joy",
        "ref",
        "reference",
        "servo",
        "target",
        "teleop",
    ]
)
_COMMAND_PARTS = ("cmd", "command", "ctrl", "setpoint", "setpt")
_TYPE_WORDS = _COMMAND_WORDS | frozenset(["accel", "drive", "trajectory", "twist", "wrench"])
_STATE_WORDS = frozenset(
    [
        "actual",
        "current",
        "estimate",
        "estimated",
        "feedback",
        "health",
        "measured",
        "odom",
        "sensor",
        "state",
        "status",
        "tactile",
    ]
)
_SEEN_WORDS = _STATE_WORDS | frozenset(
    [
        "ball",
        "camera",
        "cube",
        "cylinder",
        "detected",
        "detection",
        "marker",
        "object",
        "sim",
        "tag",
        "tracked",
    ]
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SHARED = {"/diagnostics", "/diagnostics_agg", "/rosout", "/parameter_events", "/tf", "/tf_static"}


def is_command(topic: str, kind: str) -> bool:
    """Whether a topic may tell something to move, as far as its type and name tell.

    Args:
        topic: full name.
        kind: "package/msg/Name".
    """
    if kind in _NEVER:
        return False
    if kind in _ALWAYS or _name_commands(topic):
        return True
    words = _words(kind.rsplit("/", 1)[-1])
    if words & _STATE_WORDS and kind != "sensor_msgs/msg/JointState":
        return False
    last = _words(topic.rsplit("/", 1)[-1])
    if kind.startswith(_PACKAGES) or kind == "sensor_msgs/msg/JointState" or _ARRAY.match(kind):
        # Made for commands, or used for both: hands are commanded by JointState and by arrays of numbers.
        return not last & _STATE_WORDS
    if kind in _POSES:
        return not _words(topic) & _SEEN_WORDS
    return bool(words & _TYPE_WORDS) or _has_part(words)


def cannot_command(kind: str, *topics: str) -> bool:
    """Whether a topic could not move anything whoever listens to it, and may therefore have any name.

    Args:
        kind: "package/msg/Name".
        topics: the names that it has: as recorded, and as played.
    """
    if kind in _NEVER:
        return True
    return kind in _POSES and not any(is_command(topic, kind) for topic in topics)


def is_shared(topic: str) -> bool:
    """Whether many nodes publish it side by side anyway."""
    return topic in _SHARED


def _name_commands(topic: str) -> bool:
    """Whether a name speaks of commands; "/x_ctrl/joint_states" is what a controller tells."""
    space, _, last = topic.rpartition("/")
    if _speaks(_words(last)):
        return True
    return _speaks(_words(space)) and not _words(last) & _STATE_WORDS


def _speaks(words: set[str]) -> bool:
    return bool(words & _COMMAND_WORDS) or _has_part(words)


def _has_part(words: set[str]) -> bool:
    return any(part in word for word in words for part in _COMMAND_PARTS)


def _words(name: str) -> set[str]:
    """Its words in lower case, cut at anything that is no letter and at capitals; also without a plural's s."""
    found = {word.lower() for word in _WORD.findall(name)}
    return found | {word[:-1] for word in found if word.endswith("s")}
