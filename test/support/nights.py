# SPDX-License-Identifier: Apache-2.0
"""Nights in the Chaos Box and bags of other drivers, made without ROS; see ``bench.night_bags``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from bench.cdr_rows import Layout, message
from bench.night_bags import NightBag, NightConfig
from bench.night_bags import write_night as make_night
from bench.night_faults import Faults
from bench.night_policy import PolicyRun, PolicyRunConfig, write_policy_run
from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.recording.definitions import typestore
from dexndm_ros.replay.noise import NoiseConfig

__all__ = [
    "NightBag",
    "PolicyRun",
    "PolicyRunConfig",
    "write_joint_state_bag",
    "write_night",
    "write_older_night",
    "write_policy_run",
]

_JOINTS = "sensor_msgs/msg/JointState"
_START_NS = 1_795_000_000_000_000_000


def write_night(
    folder: Path,
    trajectories: int = 3,
    state_hz: float = 100.0,
    seed: int = 0,
    orientation: str = "palm_down",
    noise: bool = True,
    steps: int = 400,
    campaign: str = "night",
    faulty: Collection[int] | None = None,
    **faults: Any,
) -> list[NightBag]:
    """Bags of a night.

    Args:
        folder: of the bags.
        trajectories: rows of the plan, a bag each.
        state_hz: bus cycles a second.
        seed: of plan, noise and hand.
        orientation: wrist.
        noise: whether the targets have the usual noise.
        steps: recorded of each trajectory.
        campaign: its name.
        faulty: rows with the faults; None = all.
        faults: fields of ``bench.night_faults.Faults``.
    """
    config = NightConfig(
        campaign=campaign,
        orientation=orientation,
        trajectories=trajectories,
        seed=seed,
        noise=NoiseConfig() if noise else NoiseConfig(0.0, 0.0),
        state_hz=state_hz,
        joint_states_hz=min(50.0, state_hz),
        steps=steps,
    )
    rows = range(trajectories) if faulty is None else faulty
    return make_night(folder, config, dict.fromkeys(rows, Faults(**faults)))


def write_joint_state_bag(
    folder: Path,
    names: Sequence[str] = JOINT_NAMES,
    seconds: float = 5.0,
    rate_hz: float = 100.0,
    state_topic: str = "/joint_states",
    command_topic: str = "/joint_commands",
    storage: StoragePlugin = StoragePlugin.SQLITE3,
    version: int = 9,
    seed: int = 0,
    clock_back_s: float = 0.0,
) -> dict[str, Any]:
    """A bag as another vendor's driver and ``ros2 bag record`` leave it: JointState only, no numbers.

    Args:
        folder: the bag; must not exist.
        names: joints in the driver's order.
        seconds: length.
        rate_hz: of the states; commands come at 20 Hz.
        state_topic: measured angles.
        command_topic: targets, with no velocities.
        storage: of the bag.
        version: of metadata.yaml.
        seed: of the motion.
        clock_back_s: in the middle the system clock is set back so far, for headers and recorder.

    Returns:
        ``state_ns`` (n,), ``position`` (n, joints), ``command_ns`` (m,), ``command`` (m, joints), in the
        order of ``names``.
    """
    rng = np.random.default_rng(seed)
    count, wide = round(seconds * rate_hz), len(names)
    state_ns = _START_NS + (np.arange(count) * 1e9 / rate_hz).astype(np.int64)
    ticks = round(seconds * 20)
    command_ns = _START_NS + np.arange(ticks) * 50_000_000 + 1_000_000
    command = 0.5 + np.cumsum(rng.normal(0.0, 0.02, (ticks, wide)), axis=0)
    newest = np.maximum(np.searchsorted(command_ns, state_ns, "right") - 1, 0)
    position = command[newest] * 0.98
    back_ns, middle_ns = round(clock_back_s * 1e9), _START_NS + round(seconds * 5e8)

    def wall(true_ns: np.ndarray) -> np.ndarray:
        return true_ns - back_ns * (true_ns >= middle_ns)

    out = {
        "state_ns": wall(state_ns), "position": position, "command_ns": wall(command_ns), "command": command,
    }  # fmt: skip

    def rows(at_ns: np.ndarray, **columns: np.ndarray) -> np.ndarray:
        example = {name: np.zeros(wide) for name in columns}
        layout = Layout(_JOINTS, message(_JOINTS, name=list(names), **example))
        stamp = {"header__stamp__sec": at_ns // 10**9, "header__stamp__nanosec": at_ns % 10**9}
        return layout.rows(len(at_ns), **stamp, **columns)

    states = rows(
        wall(state_ns), position=position, velocity=np.gradient(position, axis=0) * rate_hz
    )
    commands = rows(wall(command_ns), position=command)
    with Writer(folder, version=version, storage_plugin=storage) as writer:
        topics = [
            writer.add_connection(name, _JOINTS, typestore=typestore())
            for name in (state_topic, command_topic)
        ]
        merged = [(int(t) + 300_000, 0, row) for t, row in zip(state_ns, states, strict=True)]
        merged += [(int(t) + 300_000, 1, row) for t, row in zip(command_ns, commands, strict=True)]
        for true_ns, which, row in sorted(merged, key=lambda each: each[:2]):
            log_ns = true_ns - back_ns * (true_ns - 300_000 >= middle_ns)
            writer.write(topics[which], log_ns, row.tobytes())
    return out


def write_older_night(folder: Path, kind: str, left_out: str) -> None:
    """One trajectory, with a message type as it was before it had a field.

    Args:
        folder: the bag; must not exist.
        kind: the type.
        left_out: its field.
    """
    (bag,) = write_night(folder.with_name(folder.name + "_now"), trajectories=1)
    known = typestore()
    older = get_typestore(Stores.EMPTY)
    fields = dict(known.fielddefs)
    constants, named = fields[kind]
    fields[kind] = (constants, [each for each in named if each[0] != left_out])
    older.register(fields)
    with AnyReader([bag.path]) as reader, Writer(folder, version=9) as writer:
        topics = {
            each.topic: writer.add_connection(each.topic, each.msgtype, typestore=older)
            for each in reader.connections
        }
        for connection, log_ns, raw in reader.messages():
            data = bytes(raw)
            if connection.msgtype == kind:
                message = known.deserialize_cdr(data, kind)
                values = {name: getattr(message, name) for name, _ in fields[kind][1]}
                data = bytes(older.serialize_cdr(older.types[kind](**values), kind))
            writer.write(topics[connection.topic], log_ns, data)
