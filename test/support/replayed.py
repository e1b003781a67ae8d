# SPDX-License-Identifier: Apache-2.0
"""Bags to play, and ears that keep the bytes of what is played."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.recording.definitions import typestore
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.recording.metadata import Topic
from support.bags import (
    CLOSING,
    JOINTS,
    RELIABLE,
    START_NS,
    STATE,
    hand_state,
    joint_state,
)

LATCHED = {**RELIABLE, "durability": "transient_local", "depth": 0, "history": "unknown"}
DRIVER = {
    **RELIABLE,
    "deadline": {"sec": 0, "nsec": 20_000_000},
    "liveliness_lease_duration": {"sec": 0, "nsec": 500_000_000},
}
"""What the driver offers with its states."""
COMMAND = Topic("/hand/command", "dexndm_msgs/msg/HandCommand", (RELIABLE,))
STEP = Topic("/replay/step", "dexndm_msgs/msg/ReplayStep", (RELIABLE,))
WRIST = Topic("/wrist/orientation", "geometry_msgs/msg/QuaternionStamped", (LATCHED,))
TOPICS = (Topic(STATE.name, STATE.type, (DRIVER,)), JOINTS, COMMAND, STEP, WRIST)
PERIOD_NS = 2_000_000


def header(seq: int) -> Any:
    types = typestore().types
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](seq, 0), "palm")


def command(seq: int) -> bytes:
    """CDR of a HandCommand."""
    kind = typestore().types[COMMAND.type]
    message = kind(header(seq), seq, np.full(16, 0.01 * seq), "replay")
    return bytes(typestore().serialize_cdr(message, COMMAND.type))


def step(seq: int) -> bytes:
    """CDR of a ReplayStep."""
    store = typestore()
    values: dict[str, Any] = {}
    for name, (node, detail) in store.fielddefs[STEP.type][1]:
        values[name] = _blank(node, detail)
    values["header"], values["step"] = header(seq), seq
    return bytes(store.serialize_cdr(store.types[STEP.type](**values), STEP.type))


def _blank(node: Any, detail: Any) -> Any:
    if node.name == "ARRAY":
        return np.zeros(detail[1])
    if node.name == "BASE":
        return "" if detail[0] == "string" else 0
    return header(0)


def wrist(seq: int) -> bytes:
    """CDR of a QuaternionStamped."""
    types = typestore().types
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    return bytes(typestore().serialize_cdr(types[WRIST.type](header(seq), turn), WRIST.type))


def stream(states: int) -> Iterator[tuple[str, bytes, int]]:
    """A wrist; states every 2 ms, each fifth one followed by a command, a step and a joint state."""
    yield WRIST.name, wrist(7), START_NS
    for k in range(states):
        at_ns = START_NS + 1000 + k * PERIOD_NS
        yield STATE.name, hand_state(k), at_ns
        if k % 5 == 4:
            yield COMMAND.name, command(k // 5), at_ns + 100
            yield STEP.name, step(k // 5), at_ns + 200
            yield JOINTS.name, joint_state(k), at_ns + 300


def write_run(
    directory: Path, episode: str = "e1", states: int = 50, first: int = 0
) -> dict[str, list[bytes]]:
    """A bag of such a stream; returns the bytes of each topic.

    Args:
        directory: of the bag.
        episode: its name.
        states: how many the stream has.
        first: messages of the stream before this one are not in the bag.
    """
    writer = EpisodeWriter(directory, episode, {"campaign": "night"}, TOPICS)
    written: dict[str, list[bytes]] = {topic.name: [] for topic in TOPICS}
    for number, (topic, data, at_ns) in enumerate(stream(states)):
        if number >= first:
            written[topic].append(data)
            writer.add(topic, data, at_ns, at_ns - 500, len(written[topic]))
    writer.finish({}, CLOSING)
    return written


class RawEars:
    """Hears topics of a graph, and keeps each message's bytes."""

    def __init__(self, graph: Any, kinds: Sequence[tuple[Any, str, Any]]) -> None:
        self.heard: dict[str, list[bytes]] = {}
        self._lock = threading.Lock()
        for kind, topic, qos in kinds:
            kept = self.heard.setdefault(topic, [])
            graph.node.create_subscription(kind, topic, kept.append, qos, raw=True)
