# SPDX-License-Identifier: Apache-2.0
"""What a Franka arm says of itself, in words, and what a person then does about it.

Numbers and names are those of ``franka_msgs/FrankaRobotState``. Nothing here recovers anything: that is a person's
decision, and three steps of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

__all__ = ["RECOVERY", "RobotMode", "mode_name", "robot_fault"]

RECOVERY = (
    "send the goal {} to /action_server/error_recovery (franka_msgs/action/ErrorRecovery)",
    "set the hardware component FrankaHardwareInterface active (ros2 control set_hardware_component_state)",
    "switch the controller on again (ros2 control switch_controllers --activate)",
    "release the right grip and press it again",
)
"""What brings the arm back after a reflex, in this order."""


class RobotMode(IntEnum):
    """``robot_mode``."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    AUTOMATIC_ERROR_RECOVERY = 6


_STEPS = ", then ".join(RECOVERY)
_WORDS = {
    RobotMode.OTHER: "the arm is in no mode that moves: see its Desk",
    RobotMode.GUIDING: "the arm is being guided by hand: let go of its buttons",
    RobotMode.REFLEX: f"the arm stopped itself (reflex): {_STEPS}",
    RobotMode.USER_STOPPED: "the arm's user stop is pressed: release it",
    RobotMode.AUTOMATIC_ERROR_RECOVERY: "the arm is recovering from an error: wait",
}


def robot_fault(mode: int, errors: Sequence[str]) -> str:
    """Why the arm may not be moved and, after a colon, what a person does about it; empty = it may.

    Args:
        mode: ``robot_mode``.
        errors: names of the ``current_errors`` that are set.
    """
    if mode in (RobotMode.IDLE, RobotMode.MOVE) and not errors:
        return ""
    known = mode in set(RobotMode)
    unknown = (
        f"the arm's mode {mode} is not known: see its Desk, and which franka_msgs is installed"
    )
    words = _WORDS.get(RobotMode(mode), "") if known else unknown
    if errors and (not words or mode == RobotMode.REFLEX):
        named = ", ".join(error.replace("_", " ") for error in errors)
        words = f"the arm reports {named}: {_STEPS}"
    return words


def mode_name(mode: int) -> str:
    """The mode as ``franka_msgs`` names it, or its number."""
    return RobotMode(mode).name if mode in set(RobotMode) else str(mode)
