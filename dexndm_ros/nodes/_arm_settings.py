# SPDX-License-Identifier: Apache-2.0
"""The parameters of ``arm_bridge``, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from scipy.spatial.transform import Rotation

from dexndm_ros.policy.wrist import WristError, parse_wrist
from dexndm_ros.teleop.profiles import ArmProfile, load_profile
from dexndm_ros.teleop.wrist import WristConfig, WristSource

__all__ = ["PARAMETERS", "ArmSettings", "declare_parameters", "read_settings"]

PARAMETERS: tuple[tuple[str, Any, str], ...] = (
    ("profile", "crisp", "controller of the arm: a name in config/teleop, or a YAML file"),
    ("wrist.source", "arm", "who tells wrist/orientation: arm, imu, fixed, or none = another node"),
    ("wrist.base", "0,0,0,1", "arm: rotation of its base in the world (z up), x,y,z,w"),
    ("wrist.imu_topic", "imu/data", "imu: sensor_msgs/Imu with an orientation"),
    ("wrist.imu_mount", "0,0,0,1", "imu: its rotation in the palm frame, x,y,z,w"),
    ("wrist.imu_stale_s", WristConfig().imu_stale_s, "imu: a message older than this is not used, s"),
    ("wrist.fixed", "palm_up", "fixed: the palm in the world, a name or x,y,z,w"),
)  # fmt: skip


@dataclass(frozen=True)
class ArmSettings:
    """The parameters, checked; ``imu_topic`` as given."""

    profile: ArmProfile
    wrist: WristConfig
    imu_topic: str


def declare_parameters(node: Node) -> None:
    """Declare all of them, with their meaning for ``ros2 param describe``."""
    for name, default, text in PARAMETERS:
        node.declare_parameter(name, default, ParameterDescriptor(description=text))


def read_settings(node: Node) -> ArmSettings:
    """The parameters as they are now.

    Raises:
        SettingsError: there is no such profile, or it cannot be used.
        ValueError: another value that is not allowed; names it.
    """
    value = {name: node.get_parameter(name).value for name, _, _ in PARAMETERS}
    if value["wrist.source"] not in tuple(WristSource):
        allowed = ", ".join(WristSource)
        raise ValueError(f"parameter wrist.source is {value['wrist.source']!r}; allowed: {allowed}")
    return ArmSettings(
        load_profile(value["profile"]),
        WristConfig(
            source=WristSource(value["wrist.source"]),
            base=_rotation(value, "wrist.base"),
            imu_mount=_rotation(value, "wrist.imu_mount"),
            imu_stale_s=value["wrist.imu_stale_s"],
            fixed=_rotation(value, "wrist.fixed"),
        ),
        value["wrist.imu_topic"],
    )


def _rotation(value: dict[str, Any], name: str) -> Rotation:
    try:
        return Rotation.from_quat(parse_wrist(value[name]))
    except WristError as error:
        raise ValueError(f"parameter {name}: {error}") from error
