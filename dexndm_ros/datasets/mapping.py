# SPDX-License-Identifier: Apache-2.0
"""What the topics of another driver mean: a small YAML file, so that bags of plain JointState become episodes too.

state:                       # measured joints, sensor_msgs/msg/JointState
  topic: /leap_hand/joint_states
  effort: current_a          # what its effort is: current_a or ignore
command:                     # targets: sensor_msgs/msg/JointState or std_msgs/msg/Float64MultiArray
  topic: /cmd_leap
order: menagerie             # of vectors without names: motor, isaac_gym, menagerie, isaac_lab
joints: {joint_0: index_mcp_side}  # their name -> ours, where names differ
unit: rad                    # or deg
offset_rad: -3.14159265      # added to every angle (LEAP_Hand_API: flat hand = pi), or a list of 16
wrist: palm_down             # a name or x,y,z,w
axis: +z                     # or stop
episode_s: 20                # cut into episodes of so many seconds
task: cylinder
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, ORDERS
from dexndm_ros.policy.wrist import parse_axis, parse_wrist

__all__ = ["CommandMapping", "MappingError", "StateMapping", "TopicMapping"]

_EFFORT = ("current_a", "ignore")
_UNITS = {"rad": 1.0, "deg": float(np.pi / 180.0)}


class MappingError(ValueError):
    """A mapping file that cannot be used; the message names the key, what it is and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class StateMapping:
    """The topic of the measured joints; see the module."""

    topic: str
    effort: str = "ignore"


@dataclass(frozen=True, kw_only=True)
class CommandMapping:
    """The topic of the targets; see the module."""

    topic: str


@dataclass(frozen=True, kw_only=True)
class TopicMapping:
    """A mapping file.

    Attributes:
        state: topic of the measured joints.
        command: topic of the targets.
        order: of vectors without names, a key of ``hand.joints.ORDERS``.
        joints: (their name, our name), where the names differ.
        unit: "rad" or "deg", of both topics.
        offset_rad: added to every angle after the unit, one number or 16 in motor order.
        wrist: palm in the world, xyzw.
        wrist_name: as it was written.
        axis: rotation axis, palm frame, (0, 0, 0) = none.
        episode_s: length of the episodes that a bag is cut into.
        task: LeRobot's task.
    """

    state: StateMapping
    command: CommandMapping
    order: str = "motor"
    joints: tuple[tuple[str, str], ...] = ()
    unit: str = "rad"
    offset_rad: tuple[float, ...] = (0.0,)
    wrist: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    wrist_name: str = "palm_down"
    axis: tuple[float, ...] = (0.0, 0.0, 0.0)
    episode_s: float = 20.0
    task: str = field(default="move the hand")

    @property
    def scale(self) -> float:
        """Radians in a unit."""
        return _UNITS[self.unit]

    def columns_of(self, names: tuple[str, ...], what: str) -> list[int]:
        """Where each of our joints, in motor order, stands among these names.

        Raises:
            MappingError: a joint of ours is missing, or stands there twice.
        """
        theirs = dict(self.joints)
        ours = [theirs.get(name, name) for name in names]
        missing = [name for name in JOINT_NAMES if name not in ours]
        if missing:
            raise MappingError(
                f"{what} has the joints {', '.join(names) or '(no names)'}; not among them: {', '.join(missing)}; "
                "name them in the mapping file under joints (their name: our name)"
            )
        twice = sorted({name for name in JOINT_NAMES if ours.count(name) > 1})
        if twice:
            raise MappingError(f"{what} has more than one joint for {', '.join(twice)}")
        return [ours.index(name) for name in JOINT_NAMES]

    @classmethod
    def load(cls, path: str | Path) -> TopicMapping:
        """Read a file.

        Raises:
            MappingError: it is not one.
            OSError: it cannot be read.
        """
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise MappingError(f"{path} is no YAML: {error}") from error
        try:
            return cls.parse(content)
        except MappingError as error:
            raise MappingError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, content: Any) -> TopicMapping:
        """From what a YAML file holds; see the module.

        Raises:
            MappingError: a key or a value that is not allowed.
        """
        known = {each.name for each in fields(cls)} - {"wrist_name"}
        given = dict(_keys(content, known, "the file", required={"state", "command"}))
        state = _keys(given.pop("state"), {"topic", "effort"}, "state", required={"topic"})
        command = _keys(given.pop("command"), {"topic"}, "command", required={"topic"})
        for what, topic in (("state", state["topic"]), ("command", command["topic"])):
            if not isinstance(topic, str) or not topic:
                raise MappingError(f"{what}.topic is {topic!r}; it must be a topic's name")
        _one_of("state.effort", state.get("effort", "ignore"), _EFFORT)
        _one_of("unit", given.get("unit", "rad"), tuple(_UNITS))
        _one_of("order", given.get("order", "motor"), tuple(ORDERS))
        episode_s = given.get("episode_s", 20.0)
        if (
            isinstance(episode_s, bool)
            or not isinstance(episode_s, (int, float))
            or not episode_s > 0
        ):
            raise MappingError(f"episode_s is {episode_s!r}; it must be seconds above 0")
        wrist_name = str(given.pop("wrist", "palm_down"))
        axis = str(given.pop("axis", "stop"))
        try:
            wrist = tuple(float(x) for x in parse_wrist(wrist_name))
            direction = tuple(float(x) for x in parse_axis(axis))
        except ValueError as error:
            raise MappingError(str(error)) from error
        return cls(
            state=StateMapping(**state),
            command=CommandMapping(**command),
            order=str(given.get("order", "motor")),
            joints=_joints(given.get("joints") or {}),
            unit=str(given.get("unit", "rad")),
            offset_rad=_offset(given.get("offset_rad", 0.0)),
            wrist=wrist,
            wrist_name=wrist_name,
            axis=direction,
            episode_s=float(episode_s),
            task=str(given.get("task", "move the hand")),
        )


def _keys(content: Any, known: set[str], what: str, required: set[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise MappingError(
            f"{what} is {content!r}; it must have the keys {', '.join(sorted(known))}"
        )
    if unknown := sorted(str(key) for key in set(content) - known):
        raise MappingError(
            f"{what} has the unknown key {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    if missing := sorted(required - set(content)):
        raise MappingError(f"{what} lacks {', '.join(missing)}")
    return content


def _one_of(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise MappingError(f"{key} is {value!r}; allowed: {', '.join(allowed)}")


def _joints(content: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(content, dict):
        raise MappingError(f"joints is {content!r}; it must be their name: our name")
    for theirs, ours in content.items():
        if ours not in JOINT_NAMES:
            raise MappingError(
                f"joints: {theirs} is mapped to {ours!r}, which is no joint of ours: {', '.join(JOINT_NAMES)}"
            )
    return tuple((str(theirs), str(ours)) for theirs, ours in sorted(content.items(), key=str))


def _offset(value: Any) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    try:
        offset = tuple(float(number) for number in numbers)
    except (TypeError, ValueError):
        offset = ()
    if len(offset) not in (1, JOINT_COUNT) or not np.isfinite(offset).all():
        raise MappingError(f"offset_rad is {value!r}; it must be a number or {JOINT_COUNT} of them")
    return offset
