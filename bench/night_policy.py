# SPDX-License-Identifier: Apache-2.0
"""A bag of a policy's run, made without ROS: the real policy, its real session and the real guard on a made-up hand.

What ``rotation_policy`` and ``leap_hand_driver`` would have published, they decided: doing it again from the bag gives
the same numbers to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cdr_rows import message
from bench.night_bags import TOPICS
from bench.night_clock import BOOT_NS, Clock, wall_ns
from bench.night_motion import TICK_NS
from dexndm_ros.hand.guard import Guard, GuardOutput
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.hand.units import rad_from_ticks, ticks_from_rad
from dexndm_ros.paths import policy_path
from dexndm_ros.policy.controller import load_policy
from dexndm_ros.policy.observation import canonical_quaternion
from dexndm_ros.policy.onnx_file import fingerprint
from dexndm_ros.policy.session import HandSample, RotationSession, SessionConfig, SessionTick
from dexndm_ros.policy.spec import Seat
from dexndm_ros.policy.wrist import WRISTS
from dexndm_ros.recording.check import LOSS_KEYS, SHARED_KEY
from dexndm_ros.recording.definitions import typestore
from dexndm_ros.recording.episode import EpisodeWriter

__all__ = ["PolicyRun", "PolicyRunConfig", "write_policy_run"]

SOURCE = "rotation_policy"
_RISE_RAD_S = 25.0
_READ_NS, _DECIDE_NS, _TRAVEL_NS = 700_000, 1_500_000, 400_000
_TYPES = {topic.name: topic.type for topic in TOPICS}


@dataclass(frozen=True)
class PolicyRunConfig:
    """What was done.

    Attributes:
        policy: shipped name or file.
        axis: rotation axis, palm frame.
        wrist: by name.
        ticks: of the policy's clock, start sequence among them.
        stop: (tick, ticks): the axis is zero for a while; (0, 0) = never.
        state_hz: bus cycles a second.
        seed: of the hand's noise and the clocks' jitter.
        session: times of the start sequence.
        episode: name of the bag.
    """

    policy: str = "cylinder_z"
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)
    wrist: str = "palm_up"
    ticks: int = 120
    stop: tuple[int, int] = (0, 0)
    state_hz: float = 100.0
    seed: int = 0
    session: SessionConfig = field(
        default_factory=lambda: SessionConfig(open_s=0.3, place_s=0.1, close_s=0.3, settle_s=0.2)
    )
    episode: str = "run_000001"


@dataclass(frozen=True, eq=False)
class PolicyRun:
    """A bag, and what a reader of it must find.

    Attributes:
        path: its folder.
        ticks: what each tick decided.
        policy_sha256: of the policy file.
    """

    path: Path
    ticks: tuple[SessionTick, ...]
    policy_sha256: str


@dataclass
class _Hand:
    """Joints that follow, as in ``night_motion.response``, a cycle at a time."""

    rng: np.random.Generator
    decay: float
    inner: NDArray[np.float64] = field(default_factory=lambda: np.array(CANONICAL_POSE_RAD))
    angle: NDArray[np.float64] = field(default_factory=lambda: np.array(CANONICAL_POSE_RAD))
    moved: NDArray[np.float64] = field(default_factory=lambda: np.zeros(16))

    def read(self) -> NDArray[np.float64]:
        return rad_from_ticks(ticks_from_rad(self.angle + self.rng.normal(0.0, 4e-4, 16)))

    def follow(self, target: NDArray[np.float64] | None) -> None:
        if target is not None:
            self.inner = self.inner + (1 - self.decay) * (target - self.inner)
            self.moved = (1 - self.decay) * (self.inner - self.angle)
            self.angle = self.angle + self.moved


class _Bag:
    """Messages as they come, each with its times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._messages: list[tuple[int, int, str, bytes, int, int]] = []

    def add(self, topic: str, stamp_ns: int, at_ns: int, **values: Any) -> None:
        stamp = int(wall_ns(self._clock, stamp_ns))
        header = {"stamp": {"sec": stamp // 10**9, "nanosec": stamp % 10**9}}
        header |= values.pop("header", {})
        data = typestore().serialize_cdr(
            message(_TYPES[topic], header=header, **values), _TYPES[topic]
        )
        number = self._counts[topic] = self._counts.get(topic, 0) + 1
        self._messages.append(
            (at_ns + 300_000, len(self._messages), topic, bytes(data), at_ns, number)
        )

    def write(self, folder: Path, episode: str) -> Path:
        about = {"session": "5e55104d", "host": "bench", "software": "dexndm_ros 0.1.0", "commit": "0123456789ab",
                 "episode": episode, "started_wall_ns": str(wall_ns(self._clock, BOOT_NS)),
                 "started_monotonic_ns": str(BOOT_NS)}  # fmt: skip
        writer = EpisodeWriter(folder, episode, about, TOPICS)
        for log_ns, _, topic, data, publish_ns, number in sorted(self._messages):
            times = int(wall_ns(self._clock, log_ns)), int(wall_ns(self._clock, publish_ns))
            writer.add(topic, data, *times, number)
        closing = {**dict.fromkeys(LOSS_KEYS, "0"), SHARED_KEY: "[]", "loss_unknown": "[]"}
        done = writer.finish({}, closing)
        if not done.complete:
            raise RuntimeError(f"the bag could not be written: {done.reason}")
        return Path(done.path)


def write_policy_run(folder: Path, config: PolicyRunConfig | None = None) -> PolicyRun:
    """A bag with the start sequence and the run of a policy.

    Args:
        folder: of the bags.
        config: what was done.
    """
    config = config or PolicyRunConfig()
    rng = np.random.default_rng([config.seed, 2])
    file = policy_path(config.policy)
    session = RotationSession(
        load_policy(file, Seat(JOINT_NAMES, LOWER_RAD.tolist(), UPPER_RAD.tolist())), config.session
    )
    guard, bag = Guard(), _Bag(Clock())
    hand = _Hand(rng, float(np.exp(-_RISE_RAD_S / config.state_hz)))
    wrist = np.array(WRISTS[config.wrist])
    _say_once(bag, config, file, wrist)
    pose = hand.read()
    guard.enable(pose)
    period_ns = round(1e9 / config.state_hz)
    tick_ns = BOOT_NS + 100_000_000 + np.arange(config.ticks) * TICK_NS
    tick_ns += rng.exponential(40e3, config.ticks).astype(np.int64)
    samples: list[HandSample] = []
    commands: list[tuple[int, int, NDArray[np.float64]]] = []
    done: list[SessionTick] = []
    before = guard.tick(pose, BOOT_NS / 1e9)
    cycle = BOOT_NS // period_ns
    while len(done) < config.ticks:
        cycle += 1
        begin_ns = cycle * period_ns + int(rng.exponential(30e3))
        measured, decided_ns = hand.read(), begin_ns + _DECIDE_NS
        while commands and commands[0][0] <= decided_ns:
            arrived_ns, seq, target = commands.pop(0)
            guard.accept(target, seq, SOURCE, arrived_ns / 1e9)
        output = guard.tick(measured, decided_ns / 1e9)
        speed = np.round(hand.moved * config.state_hz, 3)
        times_ns = begin_ns + _READ_NS, decided_ns + 300_000
        samples.append(_state(bag, cycle, *times_ns, measured, speed, before))
        before = output
        hand.follow(output.target)
        while len(done) < config.ticks and tick_ns[len(done)] < (cycle + 1) * period_ns:
            number = len(done)
            sent = _tick(bag, config, session, number, int(tick_ns[number]), samples, wrist)
            done.append(sent)
            if sent.command is not None:
                late_ns = _TRAVEL_NS + int(rng.exponential(50e3))
                commands.append((int(tick_ns[number]) + late_ns, number, np.array(sent.command)))
    return PolicyRun(bag.write(folder, config.episode), tuple(done), fingerprint(file))


def _state(
    bag: _Bag, seq: int, read_ns: int, published_ns: int, measured: NDArray[np.float64],
    speed: NDArray[np.float64], before: GuardOutput,
) -> HandSample:  # fmt: skip
    command = measured if before.target is None else before.target
    bag.add("/hand/state", read_ns, published_ns, header={"frame_id": "palm"}, seq=seq, position=measured,
            velocity=speed, current=np.round(0.9 * (command - measured), 3), command=command,
            command_seq=before.command_seq, command_source=before.source, mode=int(before.mode),
            monotonic_ns=read_ns, decided_s=before.decided_s, arrived_s=before.arrived_s)  # fmt: skip
    stamp_ns = int(wall_ns(Clock(), read_ns))
    return HandSample(seq, measured, int(before.mode), published_ns + 300_000, stamp_ns)


def _tick(
    bag: _Bag, config: PolicyRunConfig, session: RotationSession, number: int, now_ns: int,
    samples: list[HandSample], wrist: NDArray[np.float64],
) -> SessionTick:  # fmt: skip
    """A tick of ``rotation_policy``, with the state that it would have heard."""
    del samples[:-4]
    sample = next((each for each in reversed(samples) if each.received_ns <= now_ns), None)
    first, ticks = config.stop
    axis = np.zeros(3) if first <= number < first + ticks else np.array(config.axis)
    if ticks and number in (first, first + ticks):
        asked: Mapping[str, float] = dict(zip("xyz", axis.tolist(), strict=True))
        bag.add("/rotation/command", now_ns - 5_000_000, now_ns - 4_900_000, axis=asked)
    result = session.tick(now_ns, sample, wrist, axis)
    sent_ns = now_ns + 600_000
    if result.command is not None:
        bag.add(
            "/hand/command",
            sent_ns,
            sent_ns + 50_000,
            seq=number,
            position=result.command,
            source=SOURCE,
        )
    ran = result.action is not None
    target = np.full(16, np.nan) if result.command is None else result.command
    quaternion = dict(zip("xyzw", canonical_quaternion(wrist).tolist(), strict=True))
    bag.add("/policy/step", sent_ns, sent_ns + 100_000, header={"frame_id": "palm"}, seq=number,
            observation_seq=0 if sample is None else sample.seq,
            axis=dict(zip("xyz", axis.tolist() if ran else (0.0, 0.0, 0.0), strict=True)), wrist=quaternion,
            base_action=result.action.base if result.action else target,
            residual_action=result.action.residual if result.action else np.zeros(16), target=target,
            observation_age_ms=float("nan") if sample is None else (now_ns - sample.received_ns) / 1e6 + 1.0,
            inference_ms=0.6, stopped=result.stopped)  # fmt: skip
    return result


def _say_once(bag: _Bag, config: PolicyRunConfig, file: Path, wrist: NDArray[np.float64]) -> None:
    """The latched wrist, and the diagnostics that name the policy's file."""
    quaternion = dict(zip("xyzw", wrist.tolist(), strict=True))
    bag.add(
        "/wrist/orientation", BOOT_NS, BOOT_NS, header={"frame_id": "world"}, quaternion=quaternion
    )
    health = {
        "temperature": np.full(16, 31.0),
        "voltage": np.full(16, 5.0),
        "responding": np.ones(16, bool),
    }
    for second in range(1 + config.ticks // 20):
        at_ns = BOOT_NS + 90_000_000 + second * 10**9
        bag.add("/hand/health", at_ns, at_ns, **health)
        values = {
            "policy": str(file.name),
            "policy sha256": fingerprint(file),
            "residual": "",
            "residual sha256": "",
        }
        pairs = [message("diagnostic_msgs/msg/KeyValue", key=k, value=v) for k, v in values.items()]
        status = message("diagnostic_msgs/msg/DiagnosticStatus", name=SOURCE, hardware_id="policy",
                         message="running", values=pairs)  # fmt: skip
        bag.add("/diagnostics", at_ns, at_ns, status=[status])
