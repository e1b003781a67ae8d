# SPDX-License-Identifier: Apache-2.0
"""The topics of a demonstration besides the hand's: the operator's controllers and choices, and the arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dexndm_ros.bags.open import Bag
from dexndm_ros.bags.types import TopicInfo
from dexndm_ros.datasets.streams import ARM_JOINT_TOPICS, BagRefusedError, Roles
from dexndm_ros.datasets.tables import Table, size
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES

__all__ = ["KIND", "ROLES", "arm_by_name", "with_operator"]

KIND = "demonstration"
"""What the recorded bag calls itself in its custom data (``kind``), and its episodes their kind."""

_SIDES = ("left", "right")
_POSE = ("geometry_msgs/msg/PoseStamped", ("header.stamp", "pose.position", "pose.orientation"))
_CONTROLLERS = (
    "header.stamp",
    *(f"{side}.{part}" for side in _SIDES for part in ("position", "orientation")),
    *(f"{side}_{part}" for side in _SIDES for part in ("valid", "trigger", "grip")),
    *(f"button_{name}" for name in "abxy"),
)
ROLES: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    # role: (ends of the topic's name, the first that has messages is taken; type; fields)
    "controllers": (("teleop/controllers",), "dexndm_msgs/msg/ControllerState", _CONTROLLERS),
    "operator": (("teleop/status",), "dexndm_msgs/msg/TeleopStatus", ("header.stamp", "engaged")),
    "arm_target": (("arm/target_pose",), *_POSE),
    "arm_pose": (("arm/measured_pose",), *_POSE),
    "arm_command": (("arm/commanded_pose",), *_POSE),
    "arm_joints": (
        ARM_JOINT_TOPICS,
        "sensor_msgs/msg/JointState",
        ("header.stamp", "name", "position"),
    ),
    "axis": (("rotation/command",), "dexndm_msgs/msg/RotationCommand", ("header.stamp", "axis")),
}
"""None of them has to be there but the controllers."""


def with_operator(bag: Bag, roles: Roles) -> Roles:
    """The roles of a bag with those of the operator and the arm.

    Raises:
        BagRefusedError: it is no demonstration, or a topic has another type, or is there twice.
    """
    topics, fields = dict(roles.topics), dict(roles.fields)
    for role, (endings, kind, wanted) in ROLES.items():
        found = _named(bag, endings, kind)
        if found is not None:
            topics[role], fields[role] = found.name, wanted
    missing = [
        name
        for role, name in (("policy", "policy/step"), ("controllers", "teleop/controllers"))
        if role not in topics
    ]
    if missing:
        raise BagRefusedError(
            f"{bag.name} is no demonstration: it has no messages of {' nor of '.join(missing)}; record with the topics "
            "of config/demonstrations.yaml, or leave out --demonstrations"
        )
    others = tuple(sorted(set(roles.others) - set(topics.values())))
    return replace(roles, topics=topics, fields=fields, others=others)


def _named(bag: Bag, endings: tuple[str, ...], kind: str) -> TopicInfo | None:
    """The topic with messages that has the first of these names which is there."""
    for ending in endings:
        named = [t for t in bag.topics.values() if f"/{t.name}".endswith("/" + ending)]
        if wrong := [t for t in named if t.type != kind]:
            raise BagRefusedError(
                f"{bag.name}: {wrong[0].name} has type {wrong[0].type}, it must be {kind}; "
                "rename the topic, or leave the bag out"
            )
        full = [topic for topic in named if topic.count != 0]
        if len(full) > 1:
            names = ", ".join(sorted(topic.name for topic in full))
            raise BagRefusedError(
                f"{bag.name} has {len(full)} topics for {ending} ({names}): which is meant cannot be told; "
                "record each arm in a bag of its own"
            )
        if full:
            return full[0]
    return None


def arm_by_name(tables: dict[str, Table]) -> dict[str, Table]:
    """Tables of a stretch, the arm's joints put in their order by name: ``angles``, (n, 7) rad, NaN = not named.

    Other joints of the same message, such as a gripper's, are left out.
    """
    table = tables.get("arm_joints")
    if table is None:
        return tables
    angles = np.full((size(table), len(ARM_JOINT_NAMES)), np.nan)
    rows: dict[tuple[str, ...], list[int]] = {}
    position: Any = table["position"]
    for row, names in enumerate(table["name"]):
        if len(names) == len(position[row]):
            rows.setdefault(tuple(names), []).append(row)
    for names, index in rows.items():
        told = np.stack([position[row] for row in index])
        for place, name in enumerate(ARM_JOINT_NAMES):
            if name in names:
                angles[index, place] = told[:, names.index(name)]
    plain = {"stamp_ns": table["stamp_ns"], "log_ns": table["log_ns"], "angles": angles}
    return {**tables, "arm_joints": plain}
