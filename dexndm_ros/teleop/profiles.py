# SPDX-License-Identifier: Apache-2.0
"""Which controller moves the arm, and what it wants to hear: one YAML file a controller in ``config/teleop``.

Every profile gets the same limited pose; a profile says on which topic, in which form, in which frame, and what the
controller does that surprises people. ``arm_checks`` compares it with what really runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.paths import share_dir
from dexndm_ros.teleop.chain import PALM_ON_FLANGE
from dexndm_ros.teleop.errors import SettingsError
from dexndm_ros.teleop.fr3 import BASE_FRAME
from dexndm_ros.teleop.ik import IkConfig
from dexndm_ros.teleop.limiter import LimiterConfig
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.settings import read_settings

__all__ = [
    "SEMANTIC",
    "ArmProfile",
    "CommandKind",
    "ControllerConfig",
    "StateConfig",
    "ToolConfig",
    "load_profile",
]


def _vector3(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _vector4(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x, y, z, w = values.tolist()
    return x, y, z, w


SEMANTIC = "robot_description_semantic"
"""The parameter in which MoveIt's nodes hold the SRDF."""


class CommandKind(StrEnum):
    """What is published."""

    POSE = "pose"
    JOINTS = "joints"

    @property
    def message(self) -> str:
        """Its ROS type."""
        return {
            "pose": "geometry_msgs/msg/PoseStamped",
            "joints": "trajectory_msgs/msg/JointTrajectory",
        }[self.value]


@dataclass(frozen=True)
class ControllerConfig:
    """The controller, and what it needs before it moves.

    Attributes:
        name: in the controller manager; empty = it is a node of its own (MoveIt Servo).
        types: plugin types that understand the command; empty = any.
        frame_parameter: of its node, must name ``ArmProfile.base_frame``; empty = it has none.
        node: that moves the arm, where it is no controller of a manager; empty = see ``name``.
        tool_parameter: of its node, must name ``ToolConfig.frame``; empty = it has none.
        group_parameter: of its node, names the group of ``robot_description_semantic`` whose tip must be
            ``ToolConfig.frame``; empty = it has none.
        alone: it obeys nobody while two publishers are on its topic.
        error_clip_m: it cuts off targets farther away than this; 0 = it does not.
        timeout_s: it stops by itself after so long without a message; 0 = it holds the last one.
        command_type_service: must be called before it listens; empty = none.
        command_type: what is asked for there.
        status_topic: where it says why it stands; empty = nowhere.
    """

    name: str = ""
    types: tuple[str, ...] = ()
    frame_parameter: str = ""
    tool_parameter: str = ""
    group_parameter: str = ""
    node: str = ""
    alone: bool = False
    error_clip_m: float = 0.0
    timeout_s: float = 0.0
    command_type_service: str = ""
    command_type: int = 0
    status_topic: str = ""

    @property
    def owner(self) -> str:
        """The node that has the parameters; empty = none is known."""
        return self.name or self.node

    @property
    def asked(self) -> frozenset[str]:
        """Names of the parameters that are compared."""
        semantic = SEMANTIC if self.group_parameter else ""
        names = (self.frame_parameter, self.tool_parameter, self.group_parameter, semantic)
        return frozenset(names) - {""}


@dataclass(frozen=True)
class StateConfig:
    """Where the arm tells how it stands.

    Attributes:
        pose_topic: PoseStamped of the tool in the base frame, published best effort.
        joints_topic: JointState, for the pose where nobody publishes it (mock hardware) and for joint commands.
        robot_topic: FrankaRobotState; empty = the arm tells no mode and no errors.
        stale_s: a pose older than this is not known.
    """

    pose_topic: str = "franka_robot_state_broadcaster/current_pose"
    joints_topic: str = "franka/joint_states"
    robot_topic: str = "franka_robot_state_broadcaster/robot_state"
    stale_s: float = 0.1


@dataclass(frozen=True)
class ToolConfig:
    """The frame that follows the operator: the palm, as it is screwed on.

    Attributes:
        frame: its name in the robot's description, for controllers that move a frame they are told by name.
        position_m: in the flange's frame.
        rotation_xyzw: in the flange's frame, unit quaternion.
    """

    frame: str = ""
    position_m: tuple[float, float, float] = _vector3(PALM_ON_FLANGE.position_m)
    rotation_xyzw: tuple[float, float, float, float] = _vector4(PALM_ON_FLANGE.xyzw)

    def __post_init__(self) -> None:
        """Refuse what is no rotation."""
        self.pose()

    def pose(self) -> Pose:
        """The tool on the flange."""
        return Pose.of(self.position_m, self.rotation_xyzw)


@dataclass(frozen=True)
class ArmProfile:
    """How one kind of controller is driven.

    Attributes:
        command: what is published.
        command_topic: where; resolved in the node's namespace.
        base_frame: ``header.frame_id`` of what is published and of what is measured.
        rate_hz: messages a second.
        target_stale_s: a target older than this is not followed.
        lead_s: for joints: how far ahead the trajectory's first point is.
        controller: the controller.
        state: the arm's topics.
        tool: what is moved.
        limits: what the pose keeps to.
        ik: how joints follow it; for joints alone.
    """

    command: CommandKind
    command_topic: str
    base_frame: str = BASE_FRAME
    rate_hz: float = 100.0
    target_stale_s: float = 0.15
    lead_s: float = 0.05
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    state: StateConfig = field(default_factory=StateConfig)
    tool: ToolConfig = field(default_factory=ToolConfig)
    limits: LimiterConfig = field(default_factory=LimiterConfig)
    ik: IkConfig = field(default_factory=IkConfig)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if not self.command_topic:
            raise ValueError("command_topic must not be empty")
        if not 10.0 <= self.rate_hz <= 1000.0:
            raise ValueError(f"rate_hz must be 10..1000, got {self.rate_hz}")
        for name, period_s in (("limits", self.limits.period_s), ("ik", self.ik.period_s)):
            if abs(period_s * self.rate_hz - 1.0) > 1e-6:
                raise ValueError(f"{name}.period_s {period_s} is not 1 / rate_hz {self.rate_hz}")
        for name in ("lead_s", "target_stale_s"):
            if not 0.0 < getattr(self, name) <= 0.5:
                raise ValueError(
                    f"{name} must be above 0 and at most 0.5, got {getattr(self, name)}"
                )
        if (
            self.controller.tool_parameter or self.controller.group_parameter
        ) and not self.tool.frame:
            raise ValueError(
                "tool.frame must name the palm's link in the robot's description: "
                "the controller moves a frame that it is told by name"
            )
        clip_m = self.controller.error_clip_m
        if clip_m and self.limits.leash_m > clip_m:
            raise ValueError(
                f"limits.leash_m {self.limits.leash_m} is longer than controller.error_clip_m {clip_m}: "
                "the controller would cut targets off"
            )
        timeout_s = self.controller.timeout_s
        if timeout_s and timeout_s * self.rate_hz < 3.0:
            raise ValueError(
                f"rate_hz {self.rate_hz} is too slow for controller.timeout_s {timeout_s}"
            )


def load_profile(name: str | os.PathLike[str]) -> ArmProfile:
    """A profile by its name in config/teleop ("crisp"), or from a YAML file.

    Raises:
        SettingsError: there is none, or it cannot be used; the message names the shipped ones or the key.
    """
    given = Path(name).expanduser()
    shipped = share_dir() / "config" / "teleop"
    file = given if given.is_file() else shipped / f"{given}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
        raise SettingsError(
            f"no arm profile {os.fspath(name)!r}; shipped ones: {names}, or give a YAML file"
        )
    return read_settings(ArmProfile, file)
