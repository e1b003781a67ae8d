# SPDX-License-Identifier: Apache-2.0
"""Demonstrations made without ROS: a policy's run, with an operator and an arm whose numbers tell when they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.cdr_rows import message
from bench.night_bags import TOPICS
from bench.night_policy import PolicyRunConfig, write_policy_run
from dexndm_ros.bags.open import open_bag
from dexndm_ros.recording.check import LOSS_KEYS, SHARED_KEY
from dexndm_ros.recording.definitions import typestore
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.recording.metadata import Topic
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES
from support.golden import contents

__all__ = ["DEMONSTRATION", "Stream", "usual_streams", "write_demonstration"]

DEMONSTRATION = {"kind": "demonstration", "task": "turn the bulb"}
_MS = 1_000_000
_POSE = "geometry_msgs/msg/PoseStamped"


@dataclass
class Stream:
    """A topic's messages.

    Attributes:
        name: of the topic.
        type: of the messages.
        stamps_ns: when each was stamped, rising, system time.
        values: fields of the message with this number.
        late_ns: from the stamp to the recorder.
    """

    name: str
    type: str
    stamps_ns: Sequence[int]
    values: Any
    late_ns: int = 3 * _MS
    left_out: set[int] = field(default_factory=set)


def pose_of(k: int) -> dict[str, Any]:
    """A pose that tells its number: x = k."""
    turn = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    return {"position": {"x": float(k), "y": 0.1, "z": 0.2}, "orientation": turn}


def usual_streams(first_ns: int, last_ns: int) -> dict[str, Stream]:
    """Operator and arm at their rates, from half a second before to half a second after."""
    begin, end = first_ns - 500 * _MS, last_ns + 500 * _MS

    def at(rate_hz: float) -> list[int]:
        return np.arange(begin, end, round(1e9 / rate_hz)).tolist()

    names = ["gripper", *reversed(ARM_JOINT_NAMES)]
    streams = [
        Stream("/teleop/controllers", "dexndm_msgs/msg/ControllerState", at(90), _controllers),
        Stream(
            "/teleop/status", "dexndm_msgs/msg/TeleopStatus", at(10), lambda k: {"engaged": k % 4 > 1}
        ),
        Stream("/arm/measured_pose", _POSE, at(100), lambda k: {"pose": pose_of(k)}),
        Stream("/arm/commanded_pose", _POSE, at(100), lambda k: {"pose": pose_of(k)}),
        Stream("/arm/target_pose", _POSE, at(100), lambda k: {"pose": pose_of(k)}),
        Stream(
            "/virtual_arm/joint_states",
            "sensor_msgs/msg/JointState",
            at(50),
            lambda k: {"name": names, "position": [k + place / 10 for place in range(7, -1, -1)]},
        ),
        Stream(
            "/rotation/command",
            "dexndm_msgs/msg/RotationCommand",
            at(10),
            lambda k: {"axis": {"x": 0.0, "y": 0.0, "z": float(k % 3 - 1)}},
        ),
    ]  # fmt: skip
    return {stream.name: stream for stream in streams}


def _controllers(k: int) -> dict[str, Any]:
    return {
        "seq": k, "left": pose_of(k), "right": pose_of(1000 + k), "left_valid": True, "right_valid": True,
        "left_grip": 0.25, "right_grip": (k % 100) / 100, "button_a": k % 2 == 0, "button_y": True,
    }  # fmt: skip


def write_demonstration(
    folder: Path,
    change: Any = lambda streams: None,
    about: Mapping[str, str] = DEMONSTRATION,
    **run: Any,
) -> tuple[Path, dict[str, Stream]]:
    """A bag of a demonstration.

    Args:
        folder: of the bags.
        change: gets the streams before they are written, and may change them.
        about: custom data.
        run: of the policy's run, see ``PolicyRunConfig``.

    Returns:
        The bag, and the streams as they are in it.
    """
    config = PolicyRunConfig(**run)
    source = write_policy_run(folder / "hand", config).path
    hand = [each for each in contents(open_bag(source)) if each[0] != "/rotation/command"]
    stamps = [publish for topic, _, publish, _, _ in hand if topic == "/policy/step"]
    streams = usual_streams(min(stamps), max(stamps))
    change(streams)
    told = list(hand)
    for stream in streams.values():
        number = 0
        for k, stamp in enumerate(stream.stamps_ns):
            if k in stream.left_out:
                continue
            number += 1
            header = {"stamp": {"sec": stamp // 10**9, "nanosec": stamp % 10**9}}
            one = message(stream.type, header=header, **stream.values(k))
            data = bytes(typestore().serialize_cdr(one, stream.type))
            log_ns = stamp + stream.late_ns
            told.append((stream.name, log_ns, log_ns - 100_000, number, data))
    topics = [topic for topic in TOPICS if topic.name not in streams]
    topics += [Topic(stream.name, stream.type) for stream in streams.values()]
    data = {
        "session": "5e55104d",
        "started_wall_ns": str(min(stamps)),
        "episode": config.episode,
        **about,
    }
    writer = EpisodeWriter(folder, config.episode, data, topics)
    for topic, log_ns, publish_ns, number, data in sorted(told, key=lambda each: each[1]):
        writer.add(topic, data, log_ns, publish_ns, number)
    done = writer.finish({}, {**dict.fromkeys(LOSS_KEYS, "0"), SHARED_KEY: "[]"})
    assert done.complete, done.reason
    return Path(done.path), streams
