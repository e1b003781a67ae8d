# SPDX-License-Identifier: Apache-2.0
"""What ``arm_bridge`` hears and tells, as messages; and packages that only a real arm's machine has."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import QuaternionStamped
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dexndm_ros.hand.doctor import Finding, Level
from dexndm_ros.nodes._run import NodeRefusedError
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from dexndm_ros.teleop.franka import mode_name
from dexndm_ros.teleop.trajectory import JointPoint

__all__ = [
    "arm_joints",
    "diagnostics",
    "optional_type",
    "robot_errors",
    "robot_values",
    "trajectory",
    "wrist",
]

_ERRORS = ("current_errors", "last_motion_errors")
_LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.NOTE: DiagnosticStatus.OK,
    Level.WARNING: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
}


def arm_joints(message: JointState) -> NDArray[np.float64] | None:
    """The arm's seven angles by their names, shape (7,); None where one is missing or no number."""
    told = dict(zip(message.name, message.position, strict=False))
    q = np.array([told.get(name, np.nan) for name in ARM_JOINT_NAMES])
    return q if np.isfinite(q).all() else None


def trajectory(points: Sequence[JointPoint]) -> JointTrajectory:
    """Points as a message; its stamp is zero, which means from now on."""
    message = JointTrajectory(joint_names=list(ARM_JOINT_NAMES))
    for point in points:
        seconds, nanoseconds = divmod(round(point.at_s * 1e9), 1_000_000_000)
        message.points.append(
            JointTrajectoryPoint(
                positions=point.q_rad.tolist(),
                velocities=point.v_rad_s.tolist(),
                time_from_start=Duration(sec=seconds, nanosec=nanoseconds),
            )
        )
    return message


def wrist(palm: Rotation, stamp: Any) -> QuaternionStamped:
    """The palm's orientation in the world, whose z is up."""
    message = QuaternionStamped()
    message.header.stamp, message.header.frame_id = stamp, "world"
    turn = message.quaternion
    turn.x, turn.y, turn.z, turn.w = palm.as_quat().tolist()
    return message


def diagnostics(
    fault: str, findings: Sequence[Finding], values: Mapping[str, str], stamp: Any
) -> DiagnosticArray:
    """Whether the arm may be moved, then everything that was looked at.

    Args:
        fault: why it may not; empty = it may.
        findings: of ``arm_checks``; a status each, with its cure among the values.
        values: of the arm itself, such as its mode.
        stamp: now.
    """
    level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK
    arm = DiagnosticStatus(level=level, name="arm_bridge: arm", message=fault or "it may be moved")
    arm.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    message = DiagnosticArray(status=[arm])
    message.header.stamp = stamp
    for found in findings:
        status = DiagnosticStatus(
            level=_LEVELS[found.level], name=f"arm_bridge: {found.what}", message=found.found
        )
        told = {"expected": found.expected, "cure": found.cure}
        status.values = [KeyValue(key=key, value=value) for key, value in told.items() if value]
        message.status.append(status)
    return message


def robot_values(message: Any) -> dict[str, str]:
    """What a ``franka_msgs/FrankaRobotState`` says of the robot's mode and errors, in words."""
    names = {key: ", ".join(robot_errors(getattr(message, key))) for key in _ERRORS}
    return {"robot_mode": mode_name(int(message.robot_mode)), **names}


def robot_errors(errors: Any) -> list[str]:
    """Names of what is set in a ``franka_msgs/Errors``."""
    return [name for name, kind in errors.get_fields_and_field_types().items()
            if kind == "boolean" and getattr(errors, name)]  # fmt: skip


def optional_type(module: str, name: str, needed_for: str) -> Any:
    """A message or service type of a package that not every machine has.

    Raises:
        NodeRefusedError: it is not here.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise NodeRefusedError(
            f"{needed_for} needs {module}: install ros-jazzy-{package}, or source the workspace that has it"
        ) from error
