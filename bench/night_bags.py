# SPDX-License-Identifier: Apache-2.0
"""Bags of a night in the Chaos Box as ``episode_recorder`` leaves them, in a fraction of a second each, without ROS.

Targets are the shipped library's, noise and seeds the campaign's own, numbers and times kept as driver, replay and
recorder keep them; only the hand's answer is made up (``night_motion``). Equal arguments give equal messages.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cdr_rows import Layout, message
from bench.night_clock import BOOT_NS, Clock, wall_ns
from bench.night_faults import (
    Faults,
    Stream,
    damage_file,
    damage_messages,
    damage_motion,
    delay_passed_over,
    missing_cycles,
)
from bench.night_motion import TICK_NS, Commands, States, commands, states
from bench.night_slow import slow_streams
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.recording.check import LOSS_KEYS, SHARED_KEY
from dexndm_ros.recording.episode import EpisodeWriter
from dexndm_ros.recording.metadata import Topic
from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger_rows import Claim, PlanEntry
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.replay.plan import make_plan
from dexndm_ros.replay.player import Loaded, Player, load

__all__ = ["SOURCE", "TOPICS", "NightBag", "NightConfig", "write_bag", "write_night"]

SOURCE = "chaos_box_replay"
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
_QOS = {
    "history": "unknown", "depth": 0, "reliability": "reliable", "durability": "volatile", "deadline": _FOREVER,
    "lifespan": _FOREVER, "liveliness": "automatic", "liveliness_lease_duration": _FOREVER,
    "avoid_ros_namespace_conventions": False,
}  # fmt: skip
_LATCHED = {**_QOS, "durability": "transient_local"}
TOPICS = (
    Topic("/hand/state", "dexndm_msgs/msg/HandState", (_QOS,)),
    Topic("/hand/command", "dexndm_msgs/msg/HandCommand", (_QOS,)),
    Topic("/hand/health", "dexndm_msgs/msg/HandHealth", (_QOS,)),
    Topic("/joint_states", "sensor_msgs/msg/JointState", (_QOS,)),
    Topic("/replay/step", "dexndm_msgs/msg/ReplayStep", (_QOS,)),
    Topic("/replay/status", "dexndm_msgs/msg/ReplayStatus", (_QOS,)),
    Topic("/policy/step", "dexndm_msgs/msg/PolicyStep"),
    Topic("/rotation/command", "dexndm_msgs/msg/RotationCommand"),
    Topic("/wrist/orientation", "geometry_msgs/msg/QuaternionStamped", (_LATCHED,)),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", (_QOS,)),
)
"""What is recorded; nothing comes on the policy's topics."""
_TYPES = {topic.name: topic.type for topic in TOPICS}
_RAMP = 3
"""Commands of the ramp that are still recorded, and as many at the first pose."""
_RAMP_RAD_S = 1.0


@dataclass(frozen=True)
class NightConfig:
    """What was done in the night.

    Attributes:
        campaign: its name.
        orientation: wrist.
        trajectories: rows of the plan.
        seed: of plan and noise, and of the made-up hand.
        noise: on the targets.
        library: of the targets: a shipped library's name, or a file.
        selection: wrist whose trajectories are replayed.
        hand_load: for the record.
        state_hz: bus cycles a second.
        joint_states_hz: at most ``state_hz``.
        steps: that are recorded of each trajectory.
        session: of the recorder.
    """

    campaign: str = "night"
    orientation: str = "palm_down"
    trajectories: int = 3
    seed: int = 0
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    library: str = "cylinder_z"
    selection: str = "palm_down"
    hand_load: str = "full"
    state_hz: float = 100.0
    joint_states_hz: float = 50.0
    steps: int = 400
    session: str = "5e55104d"


@dataclass(frozen=True, eq=False)
class NightBag:
    """A bag, and what a reader of it must find.

    Attributes:
        path: its folder.
        claim: entry, attempt, trajectory and seed.
        axis: that the trajectory was made for.
        clean_rad: (steps, 16), as noise_rad and target_rad.
        command_seq: number of each step's command, (steps,).
        states: of the bag, after faults of the hand, before loss.
        commands: of the bag, before loss.
        lost: messages that the recorder would have counted as lost.
    """

    path: Path
    claim: Claim
    axis: tuple[float, float, float]
    clean_rad: NDArray[np.float64]
    noise_rad: NDArray[np.float64]
    target_rad: NDArray[np.float64]
    command_seq: NDArray[np.int64]
    states: States
    commands: Commands
    lost: int


def write_night(
    folder: Path, config: NightConfig | None = None, faults: Mapping[int, Faults] | None = None
) -> list[NightBag]:
    """All bags of a night, into ``folder`` as a recorder would.

    Args:
        folder: of the bags; made if missing.
        config: what was done.
        faults: by row of the plan.
    """
    config = config or NightConfig()
    return [
        write_bag(folder, config, entry, (faults or {}).get(entry, Faults()))
        for entry in range(config.trajectories)
    ]


def write_bag(
    folder: Path, config: NightConfig, entry: int, faults: Faults | None = None, attempt: int = 1
) -> NightBag:
    """One row's bag; does not depend on whether the others are written.

    Args:
        folder: of the bags.
        config: of the night.
        entry: row of the plan.
        faults: of this bag.
        attempt: at the row.
    """
    faults = faults or Faults()
    plan, library = _plan(config), _library(config.library)
    loaded = _load(library, config, plan[entry], attempt)
    start_rad = CANONICAL_POSE_RAD
    if entry:
        start_rad = _load(library, config, plan[entry - 1], 1).target_rad[config.steps - 1]
    steps = config.steps if faults.recorded_steps < 0 else faults.recorded_steps
    rng = np.random.default_rng([config.seed, entry, attempt])
    sent, seen = _motion(rng, config, entry, loaded, np.asarray(start_rad), steps, faults)
    return _write(folder, config, _Night(library.sha256, loaded, sent, seen, steps, faults))


@dataclass(frozen=True, eq=False)
class _Night:
    """What one bag is made of."""

    library_sha256: str
    loaded: Loaded
    sent: Commands
    seen: States
    steps: int
    faults: Faults


@functools.lru_cache(maxsize=8)
def _plan(config: NightConfig) -> list[PlanEntry]:
    campaign = Campaign(
        config.campaign, config.orientation, config.library, config.trajectories, config.seed,
        config.selection, noise=config.noise,
    )  # fmt: skip
    return make_plan(campaign, _library(config.library))


@functools.lru_cache(maxsize=2)
def _library(name: str) -> TrajectoryLibrary:
    return TrajectoryLibrary.open(name)


def _load(library: TrajectoryLibrary, config: NightConfig, row: PlanEntry, attempt: int) -> Loaded:
    trajectory = library.trajectory(row.trajectory)
    claim = Claim(row.entry, attempt, row.trajectory, row.seed)
    return load(claim, trajectory.targets_rad, config.noise, trajectory.axis)


def _motion(
    rng: np.random.Generator, config: NightConfig, entry: int, loaded: Loaded,
    start_rad: NDArray[np.float64], steps: int, faults: Faults,
) -> tuple[Commands, States]:  # fmt: skip
    player = Player(loaded, start_rad, _RAMP_RAD_S, TICK_NS / 1e9)
    ramp = [start_rad]
    while not player.ramped:
        ramp.append(player.tick(may_step=False).target)
    ramp = ramp[-_RAMP:] + [loaded.target_rad[0]] * _RAMP
    last = loaded.target_rad[min(steps, loaded.steps - 1)]
    target_rad = np.concatenate([ramp, loaded.target_rad[:steps], last[None]])
    for step in faults.wrong_target:
        target_rad[len(ramp) + step] += 0.01
    slot_ns = round((config.steps * 1.05 + 30) * TICK_NS)
    # The campaign's ticks keep their pace through the night, and so do the bus cycles.
    begin_ns = BOOT_NS + (entry + 1) * slot_ns
    first_seq = 1 + entry * (config.steps + 50)
    sent = commands(rng, begin_ns, first_seq, target_rad, len(ramp), steps)
    delay_passed_over(faults, sent)
    first_ns = int(sent.arrived_ns[0]) + 10_000_000
    last_ns = int(sent.sent_ns[-1]) + 45_000_000
    seen = states(rng, sent, config.state_hz, first_ns, last_ns)
    damage_motion(faults, sent, seen)
    return sent, seen


def _write(folder: Path, config: NightConfig, night: _Night) -> NightBag:
    sent, seen, faults = night.sent, night.seen, night.faults
    claim = night.loaded.claim
    whole = missing_cycles(faults, sent, seen)
    for name, values in vars(seen).items():
        setattr(seen, name, values[whole])
    steps = np.flatnonzero(sent.step >= 0)
    wall = _clock(sent, faults)
    streams = _streams(config, night, wall)
    slow = slow_streams(
        _TYPES, config.campaign, claim, WRISTS[config.orientation], config.trajectories,
        int(seen.read_ns[0]), int(seen.read_ns[-1]), BOOT_NS, wall,
    )  # fmt: skip
    streams.update({stream.topic: stream for stream in slow})
    lost = damage_messages(faults, streams, sent.sent_ns[steps])
    first_ns, last_ns = int(seen.read_ns[0]), int(seen.published_ns[-1])
    about = {
        "session": config.session, "host": "bench", "software": "dexndm_ros 0.1.0", "commit": "0123456789ab",
        "campaign": config.campaign, "orientation": config.orientation, "hand_load": config.hand_load,
        "library_sha256": night.library_sha256, "entry": str(claim.entry), "attempt": str(claim.attempt),
        "trajectory": str(claim.trajectory), "axis": " ".join(f"{x:g}" for x in night.loaded.axis),
        "seed": str(claim.seed), "noise_probability": str(config.noise.probability),
        "noise_sigma_rad": str(config.noise.sigma_rad), "episode": claim.episode,
        "started_wall_ns": str(wall_ns(wall, first_ns - 2_000_000)), "started_monotonic_ns": str(first_ns - 2_000_000),
    }  # fmt: skip
    closing = {
        "ended_wall_ns": str(wall_ns(wall, last_ns + 2_000_000)), "ended_monotonic_ns": str(last_ns + 2_000_000),
        **dict.fromkeys(LOSS_KEYS, "0"), SHARED_KEY: '["/diagnostics"]', "loss_unknown": "[]",
    }  # fmt: skip
    closing[LOSS_KEYS[0]] = str(lost)
    writer = EpisodeWriter(folder, claim.episode, about, TOPICS)
    for topic, data, log_ns, publish_ns, sequence in _in_order(streams, wall):
        writer.add(topic, data, log_ns, publish_ns, sequence)
    done = writer.finish({}, closing)
    if not done.complete:
        raise RuntimeError(f"the bag could not be written: {done.reason}")
    damage_file(faults, Path(done.path))
    return NightBag(
        Path(done.path), claim, night.loaded.axis, night.loaded.clean_rad[: night.steps],
        night.loaded.noise_rad[: night.steps], sent.target_rad[steps], sent.seq[steps], seen, sent, lost,
    )  # fmt: skip


def _clock(sent: Commands, faults: Faults) -> Clock:
    steps = sent.sent_ns[sent.step >= 0]
    return Clock.of([(int(steps[step]), jump_s) for step, jump_s in faults.clock_jump])


def _streams(config: NightConfig, night: _Night, wall: Clock) -> dict[str, Stream]:
    """The fast topics."""
    sent, seen, loaded = night.sent, night.seen, night.loaded
    rng = np.random.default_rng([config.seed, loaded.claim.entry, 1])
    out: dict[str, Stream] = {}

    def add(
        topic: str, example: Mapping[str, Any], published_ns: Any, sequence: Any, **columns: Any
    ) -> None:
        stamp_ns = wall_ns(wall, columns.pop("stamp_ns"))
        columns |= {
            "header__stamp__sec": stamp_ns // 10**9,
            "header__stamp__nanosec": stamp_ns % 10**9,
        }
        layout = Layout(_TYPES[topic], message(_TYPES[topic], **example))
        count = len(published_ns)
        log_ns = published_ns + 200_000 + rng.exponential(80e3, count).astype(np.int64)
        # What one publisher sends arrives in its order.
        log_ns = np.maximum.accumulate(log_ns)
        out[topic] = Stream(
            topic,
            layout.rows(count, **columns),
            log_ns,
            published_ns,
            np.asarray(sequence) & 0xFFFFFFFF,
        )

    count = len(seen.seq)
    palm = {"header": {"frame_id": "palm"}, "command_source": SOURCE, "mode": 2}
    add("/hand/state", palm, seen.published_ns, 1 + int(seen.seq[0]) + np.arange(count),
        stamp_ns=seen.read_ns, seq=seen.seq, position=seen.position_rad, velocity=seen.velocity_rad_s,
        current=seen.current_a, command_seq=sent.seq[seen.in_force], command=seen.command_rad,
        monotonic_ns=seen.read_ns, decided_s=seen.decided_ns / 1e9,
        arrived_s=sent.arrived_ns[seen.in_force] / 1e9)  # fmt: skip
    order = np.arange(16)
    if night.faults.permuted_joints:
        order = np.random.default_rng(7).permutation(16)
    joints = np.flatnonzero(seen.seq % math.ceil(config.state_hz / config.joint_states_hz) == 0)
    names = {
        "name": [JOINT_NAMES[k] for k in order], "position": np.zeros(16), "velocity": np.zeros(16),
    }  # fmt: skip
    add("/joint_states", names, seen.published_ns[joints] + 50_000, 1 + np.arange(len(joints)),
        stamp_ns=seen.read_ns[joints], position=seen.position_rad[joints][:, order],
        velocity=seen.velocity_rad_s[joints][:, order])  # fmt: skip
    own = slice(1, None)  # the first was sent before the recording began
    add("/hand/command", {"position": np.zeros(16), "source": SOURCE}, sent.sent_ns[own] + 60_000,
        sent.seq[own], stamp_ns=sent.sent_ns[own], seq=sent.seq[own], position=sent.target_rad[own])  # fmt: skip
    steps, claim = np.flatnonzero(sent.step >= 0), loaded.claim
    row = {"campaign": config.campaign, "trajectory": claim.trajectory, "entry": claim.entry,
           "attempt": claim.attempt, "seed": claim.seed}  # fmt: skip
    number = 1 + claim.entry * config.steps + np.arange(len(steps))
    add("/replay/step", row, sent.sent_ns[steps] + 130_000, number, stamp_ns=sent.sent_ns[steps],
        step=sent.step[steps], clean_target=loaded.clean_rad[: len(steps)],
        noise=loaded.noise_rad[: len(steps)], target=sent.target_rad[steps],
        command_seq=sent.seq[steps])  # fmt: skip
    return out


def _in_order(streams: Mapping[str, Stream], wall: Clock) -> Any:
    """Messages as they were received."""
    log_ns = np.concatenate([stream.log_ns for stream in streams.values()])
    which = np.repeat(np.arange(len(streams)), [len(stream.log_ns) for stream in streams.values()])
    index = np.concatenate([np.arange(len(stream.log_ns)) for stream in streams.values()])
    order = np.argsort(log_ns, kind="stable")
    names = list(streams)
    data = [[row.tobytes() for row in stream.rows] for stream in streams.values()]
    log_wall = [wall_ns(wall, stream.log_ns).tolist() for stream in streams.values()]
    publish_wall = [wall_ns(wall, stream.publish_ns).tolist() for stream in streams.values()]
    sequence = [stream.sequence.tolist() for stream in streams.values()]
    for k, i in zip(which[order].tolist(), index[order].tolist(), strict=True):
        yield names[k], data[k][i], log_wall[k][i], publish_wall[k][i], sequence[k][i]
