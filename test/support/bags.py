# SPDX-License-Identifier: Apache-2.0
"""Small episodes, recorded without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dexndm_ros.recording.check import LOSS_KEYS, SHARED_KEY
from dexndm_ros.recording.definitions import typestore
from dexndm_ros.recording.episode import EpisodeResult, EpisodeWriter
from dexndm_ros.recording.metadata import Topic

FOREVER = {"sec": 9223372036, "nsec": 854775807}
RELIABLE = {
    "history": "keep_last",
    "depth": 10,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": FOREVER,
    "lifespan": FOREVER,
    "liveliness": "automatic",
    "liveliness_lease_duration": FOREVER,
    "avoid_ros_namespace_conventions": False,
}
STATE = Topic("/hand/state", "dexndm_msgs/msg/HandState", (RELIABLE,))
JOINTS = Topic("/joint_states", "sensor_msgs/msg/JointState")
TOPICS = (STATE, JOINTS)
CLOSING = {**dict.fromkeys(LOSS_KEYS, "0"), SHARED_KEY: "[]"}
START_NS = 1_795_000_000_000_000_000


def hand_state(seq: int) -> bytes:
    """CDR of a HandState with this number."""
    store = typestore()
    types = store.types
    header = types["std_msgs/msg/Header"](
        types["builtin_interfaces/msg/Time"](seq // 100, seq % 100 * 10_000_000), "palm"
    )
    numbers = np.linspace(0.0, 1.0, 16) + seq
    message = types[STATE.type](
        header, seq, numbers, numbers, numbers, seq, "replay", numbers, 2,
        seq * 10_000_000, float(seq), float(seq),
    )  # fmt: skip
    return bytes(store.serialize_cdr(message, STATE.type))


def joint_state(seq: int) -> bytes:
    """CDR of a JointState of two joints."""
    store = typestore()
    types = store.types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](seq, 0), "")
    pair = np.array([seq, seq + 0.5])
    return bytes(
        store.serialize_cdr(types[JOINTS.type](header, ["a", "b"], pair, pair, pair), JOINTS.type)
    )


def stream(count: int) -> Iterator[tuple[str, bytes, int, int, int]]:
    """States at 100 Hz, and a joint state with every other one."""
    for k in range(count):
        now_ns = START_NS + k * 10_000_000
        yield STATE.name, hand_state(k), now_ns, now_ns - 1000, k + 1
        if k % 2 == 0:
            yield JOINTS.name, joint_state(k), now_ns + 1, now_ns - 1000, k // 2 + 1


def open_episode(directory: Path, episode: str = "e000001_a1", count: int = 40) -> EpisodeWriter:
    """An episode with so many states, on the disk and not finished."""
    writer = EpisodeWriter(directory, episode, {"campaign": "night", "seed": "007"}, TOPICS)
    for message in stream(count):
        writer.add(*message)
    writer.flush()
    return writer


def write_bag(directory: Path, episode: str = "e000001_a1", count: int = 40) -> EpisodeResult:
    """A finished bag."""
    return open_episode(directory, episode, count).finish({STATE.name: count}, CLOSING)
