# SPDX-License-Identifier: Apache-2.0
"""The topics of a bag that a dataset is made of, as tables, a stretch of the bag at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.bags.columns import ColumnError, columns
from dexndm_ros.bags.open import Bag, RawBatch
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.datasets.tables import Table, rows, size
from dexndm_ros.hand.joints import JOINT_COUNT

__all__ = [
    "ARM_JOINT_TOPICS",
    "BagRefusedError",
    "Loss",
    "Roles",
    "Streams",
    "find_roles",
    "of_length",
]

ARM_JOINT_TOPICS = ("arm/joint_states", "franka/joint_states", "virtual_arm/joint_states")
"""Ends of names under which an arm tells its joints: never the hand's."""


class BagRefusedError(ValueError):
    """A bag that no dataset can be made of; the message says what it has and what it would need."""


_FIELDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    # role: (end of the topic's name, type, fields)
    "state": (
        "hand/state",
        "dexndm_msgs/msg/HandState",
        (
            "header.stamp",
            "seq",
            "position",
            "velocity",
            "current",
            "command",
            "command_seq",
            "command_source",
            "mode",
            "monotonic_ns?",
        ),
    ),
    "command": (
        "hand/command",
        "dexndm_msgs/msg/HandCommand",
        ("header.stamp", "seq", "position", "source"),
    ),
    "step": (
        "replay/step",
        "dexndm_msgs/msg/ReplayStep",
        (
            "header.stamp",
            "campaign",
            "trajectory",
            "step",
            "entry",
            "attempt",
            "seed",
            "clean_target",
            "noise",
            "target",
            "command_seq",
        ),
    ),
    "policy": (
        "policy/step",
        "dexndm_msgs/msg/PolicyStep",
        (
            "header.stamp",
            "seq",
            "observation_seq",
            "axis",
            "wrist",
            "base_action",
            "residual_action",
            "target",
            "stopped",
        ),
    ),
    "health": ("hand/health", "dexndm_msgs/msg/HandHealth", ("header.stamp", "temperature")),
    "wrist": (
        "wrist/orientation",
        "geometry_msgs/msg/QuaternionStamped",
        ("header.stamp", "quaternion"),
    ),
    "joints": ("joint_states", "sensor_msgs/msg/JointState", ("header.stamp", "name", "position")),
}
_OF_ARM = tuple(f"/{name}" for name in ARM_JOINT_TOPICS)
_FEW = 64
_FAR = 100_000
_ANEW = 1000
_FALLS = 8
"""So often one publisher's numbers may fall in a bag: messages that came late, or its restarts."""
_JOINT_STATE = "sensor_msgs/msg/JointState"
_ARRAY = "std_msgs/msg/Float64MultiArray"
_FOREIGN = {
    _JOINT_STATE: ("header.stamp", "name", "position", "velocity", "effort"),
    _ARRAY: ("data",),
}


@dataclass(frozen=True)
class Roles:
    """Which topic plays which part.

    Attributes:
        topics: role -> full topic name.
        fields: role -> fields to decode.
        others: topics that nothing is made of.
    """

    topics: Mapping[str, str]
    fields: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...]


def find_roles(bag: Bag, mapping: TopicMapping | None) -> Roles:
    """Which topics of a bag are what.

    Raises:
        BagRefusedError: two topics for one part, another type than it must have, or none to make episodes of.
    """
    topics: dict[str, str] = {}
    fields: dict[str, tuple[str, ...]] = {}
    for role, (ending, kind, wanted) in _FIELDS.items():
        named = [t for t in bag.topics.values() if f"/{t.name}".endswith("/" + ending)]
        if role == "joints":
            named = [t for t in named if not f"/{t.name}".endswith(_OF_ARM)]
        if wrong := [t for t in named if t.type != kind]:
            if role == "joints":
                continue  # looked at beside hand/state only
            raise BagRefusedError(
                f"{bag.name}: {wrong[0].name} has type {wrong[0].type}, it must be {kind}; "
                "rename the topic, or leave the bag out"
            )
        if len(named) > 1:
            names = ", ".join(sorted(t.name for t in named))
            raise BagRefusedError(
                f"{bag.name} has {len(named)} topics for {ending} ({names}): which hand is meant cannot be told; "
                "record each hand in a bag of its own"
            )
        if named and named[0].count != 0:
            topics[role], fields[role] = named[0].name, wanted
    if not {"step", "policy"} & set(topics) and mapping is not None:
        _add_foreign(bag, mapping, topics, fields)
    elif not {"step", "policy"} & set(topics):
        if bag.topics and all(topic.count == 0 for topic in bag.topics.values()):
            raise BagRefusedError(
                f"{bag.name} has no messages: the recorder was stopped before anything came"
            )
        raise BagRefusedError(
            f"{bag.name} has neither replay/step nor policy/step with messages in it (its topics: "
            f"{', '.join(sorted(bag.topics)) or 'none'}); for a bag of another driver give a mapping file (--mapping)"
        )
    elif "state" not in topics:
        raise BagRefusedError(
            f"{bag.name} has no messages of hand/state: nobody knows what the hand did"
        )
    known = set(topics.values())
    return Roles(topics, fields, tuple(sorted(set(bag.topics) - known)))


def _add_foreign(
    bag: Bag, mapping: TopicMapping, topics: dict[str, str], fields: dict[str, tuple[str, ...]]
) -> None:
    for role, topic, kinds in (
        ("foreign_state", mapping.state.topic, (_JOINT_STATE,)),
        ("foreign_command", mapping.command.topic, (_JOINT_STATE, _ARRAY)),
    ):
        info = bag.topics.get("/" + topic.lstrip("/")) or bag.topics.get(topic)
        if info is None:
            raise BagRefusedError(
                f"{bag.name} has no topic {topic}, which the mapping file names; "
                f"its topics: {', '.join(sorted(bag.topics)) or 'none'}"
            )
        if info.type not in kinds:
            raise BagRefusedError(
                f"{bag.name}: {info.name} has type {info.type}, it must be {' or '.join(kinds)}"
            )
        topics[role], fields[role] = info.name, _FOREIGN[info.type]


@dataclass
class Loss:
    """What a publisher's numbers tell, over the whole bag.

    Attributes:
        messages: counted, by topic.
        lost: numbers that are missing, by topic.
        unknown: topics whose messages have no numbers, or those of several publishers.
    """

    messages: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    _last: dict[str, int] = field(default_factory=dict)
    _falls: dict[str, int] = field(default_factory=dict)

    def observe(self, batch: RawBatch) -> None:
        """Messages of one topic, in order."""
        topic, numbers = batch.topic, batch.sequence
        self.messages[topic] = self.messages.get(topic, 0) + len(numbers)
        if not len(numbers):
            return
        if not numbers.any():
            self.unknown.add(topic)
            return
        before = self._last.get(topic)
        steps = np.diff(numbers, prepend=numbers[0] if before is None else before)
        self._falls[topic] = self._falls.get(topic, 0) + int((steps < 0).sum())
        if self._falls[topic] > _FALLS:  # several publishers take turns: their numbers tell nothing
            self.unknown.add(topic)
            self.lost.pop(topic, None)
            return
        # Started anew: the count begins at 1 again, or it is another publisher's, far away.
        anew = (np.abs(steps) > _FAR) | ((steps < 0) & ((numbers == 1) | (steps < -_ANEW)))
        bounds = [0, *np.flatnonzero(anew).tolist(), len(numbers)]
        for begin, end in itertools.pairwise(bounds):
            if begin == end:
                continue
            part = numbers[begin:end]
            first, last = int(part.min()), int(part.max())
            if begin == 0 and before is not None and not anew[0]:
                first = min(first, before + 1)
            # One that came late is not missing: it is the range that counts, not the steps.
            missing = last - first + 1 - _distinct(part)
            self.lost[topic] = self.lost.get(topic, 0) + max(0, missing)
            self._last[topic] = last


def _distinct(numbers: NDArray[np.int64]) -> int:
    rising = np.diff(numbers) > 0
    return len(numbers) if rising.all() else len(np.unique(numbers))


class Streams:
    """Reads a bag once.

    Args:
        bag: to be read.
        roles: what of it.

    Attributes:
        loss: filled while reading.
        bad: messages that are none of their type, by topic.
    """

    def __init__(self, bag: Bag, roles: Roles) -> None:
        self.loss = Loss()
        self.bad: dict[str, int] = {}
        self._bag = bag
        self._roles = roles

    def stretches(self) -> Iterator[dict[str, Table]]:
        """Tables by role, one dict a stretch of the bag.

        Raises:
            BagRefusedError: a message type without the fields that are needed.
        """
        role_of = {topic: role for role, topic in self._roles.topics.items()}
        place = 0
        for batches in self._bag.batches():
            tables: dict[str, Table] = {}
            for topic, batch in batches.items():
                self.loss.observe(batch)
                if (role := role_of.get(topic)) is not None and len(batch.log_ns):
                    tables[role] = {**self._table(role, batch, place)}
            place += max((len(batch.buffer) for batch in batches.values()), default=0)
            yield tables

    def _table(self, role: str, batch: RawBatch, place: int) -> Table:
        info = self._bag.topics[batch.topic]
        if role == "joints":  # names are compared, and a few of them tell
            batch = batch.first(_FEW)
        try:
            found = columns(batch, info, self._roles.fields[role])
        except ColumnError as error:
            raise BagRefusedError(
                f"{self._bag.name}: {batch.topic}: {error}; the bag is of another version of {info.type}"
            ) from error
        if len(found.bad):
            self.bad[batch.topic] = self.bad.get(batch.topic, 0) + len(found.bad)
        whole = found.rows
        stamps: NDArray[np.int64] = found.pop("header.stamp", batch.publish_ns[whole])
        table: Table = {"stamp_ns": stamps, "log_ns": batch.log_ns[whole], **found}
        if "name" in found:
            table = {**table, "name": _each_row(found["name"], len(stamps))}
        if role.startswith("foreign"):
            table = {**table, "place": batch.begin[whole] + place}
        if role == "state":
            table = {**table, "publication": batch.sequence[whole]}
        return self._sixteen(table, batch.topic) if role == "command" else table

    def _sixteen(self, commands: Table, topic: str) -> Table:
        """Commands of sixteen angles; the driver refuses any other, so that they were never in force."""
        kept = of_length(commands, "position", JOINT_COUNT)
        if odd := size(commands) - size(kept):
            self.bad[topic] = self.bad.get(topic, 0) + odd
        return kept


def _each_row(names: Sequence[tuple[str, ...]], count: int) -> NDArray[np.object_]:
    """Names of every message; where all are the same, the reader gives them once."""
    column = np.empty(count, dtype=object)
    for k in range(count):
        column[k] = names[k if len(names) > 1 else 0]
    return column


def of_length(table: Table, name: str, length: int) -> Table:
    """The messages whose field has so many numbers."""
    column: Any = table[name]
    if column.dtype != object:
        return table if column.shape[1] == length else rows(table, slice(0, 0))
    right = np.array([len(each) == length for each in column], dtype=bool)
    kept = dict(rows(table, right))
    for other, values in kept.items():
        if values.dtype == object and other != "name":
            alike = all(len(each) == len(values[0]) for each in values)
            kept[other] = np.array(list(values), dtype=np.float64) if alike else values
    kept[name] = np.array(list(kept[name]), dtype=np.float64).reshape(-1, length)
    return kept
