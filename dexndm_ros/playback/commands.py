# SPDX-License-Identifier: Apache-2.0
"""Which topics tell a machine to move, and which nodes would obey.

A recording must never move a motor by surprise. Commands are therefore withheld unless asked for, and then played
only where no driver is in the graph.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["STATE_TYPES", "is_command", "is_shared", "moves_motors"]

_COMMAND_TYPES = {
    "dexndm_msgs/msg/ControllerState",
    "dexndm_msgs/msg/HandCommand",
    "dexndm_msgs/msg/RotationCommand",
    "geometry_msgs/msg/Accel",
    "geometry_msgs/msg/AccelStamped",
    "geometry_msgs/msg/Twist",
    "geometry_msgs/msg/TwistStamped",
    "geometry_msgs/msg/Wrench",
    "geometry_msgs/msg/WrenchStamped",
    "trajectory_msgs/msg/JointTrajectory",
    "trajectory_msgs/msg/MultiDOFJointTrajectory",
}
_COMMAND_PACKAGES = ("control_msgs/", "moveit_msgs/", "trajectory_msgs/", "actuator_msgs/")
_STATE_WORDS = ("state", "states", "feedback", "status")
_COMMAND_WORDS = ("command", "cmd", "target", "goal", "setpoint", "desired", "jog", "servo")
STATE_TYPES = frozenset({"dexndm_msgs/msg/HandState", "sensor_msgs/msg/JointState"})
"""What a driver publishes of its joints."""
_DRIVER_WORDS = (
    "driver",
    "arm_bridge",
    "controller_manager",
    "move_group",
    "servo_node",
    "hardware",
)
_SHARED = {"/diagnostics", "/diagnostics_agg", "/rosout", "/parameter_events", "/tf", "/tf_static"}


def is_command(topic: str, kind: str) -> bool:
    """Whether a topic tells something to move, as far as its type and name tell.

    Args:
        topic: full name.
        kind: "package/msg/Name".
    """
    if kind in _COMMAND_TYPES:
        return True
    words = topic.lower().strip("/").replace("/", "_").split("_")
    if kind.startswith(_COMMAND_PACKAGES):
        return not any(word in _STATE_WORDS for word in words)
    if kind.startswith("dexndm_msgs/") or kind in STATE_TYPES - {"sensor_msgs/msg/JointState"}:
        return False  # ours are all known
    last = topic.lower().rsplit("/", 1)[-1].split("_")
    return any(word.rstrip("s") in _COMMAND_WORDS for word in last)


def is_shared(topic: str) -> bool:
    """Whether many nodes publish it side by side anyway."""
    return topic in _SHARED


def moves_motors(node: str, publishes: Collection[str]) -> bool:
    """Whether a node that listens to commands would obey them with motors.

    Args:
        node: its name.
        publishes: types of what it publishes.
    """
    return bool(STATE_TYPES & set(publishes)) or any(w in node.lower() for w in _DRIVER_WORDS)
