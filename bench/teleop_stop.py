# SPDX-License-Identifier: Apache-2.0
"""From the end of ``quest_bridge``, or of the headset's data, to the arm's last command and the hand's hold.

The three nodes are processes as on a robot, with the times of a real arm; arm and hand are stand-ins that hear what
they are told. In each run the operator holds the grip, moves, and holds the button of an axis.
"""

from __future__ import annotations

import math
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.result import Check, Options, Result, quantiles
from bench.teleop_stand_in import ARM_PROFILE, StandIn, standing_in
from dexndm_ros.bringup import system
from dexndm_ros.paths import policy_path
from dexndm_ros.process_spec import ParameterValue, ProcessSpec
from dexndm_ros.processes import Processes
from dexndm_ros.teleop.gates import GateConfig
from dexndm_ros.teleop.limiter import LimiterConfig
from dexndm_ros.teleop.profiles import ArmProfile, CommandKind
from dexndm_ros.teleop.recording import SampleWriter
from dexndm_ros.teleop.sample import Hand, Sample

__all__ = ["run"]

_FRAME_S = 1.0 / 90.0
_GRIP_AFTER_S, _HELD_S = 3.0, 8.0
_MOVED_S = 1.0  # before anything is ended
_STILL_S = 1.0  # without a command: the arm rests
_HELD_STEPS = 10  # without a turn: the hand holds
_APART_S = 0.5
_REAL = {"arm": "crisp", "port": "/dev/leap_hand"}
_SHORT = {"open_s": 0.2, "place_s": 0.1, "close_s": 0.2, "settle_s": 0.2}

PROFILE = ArmProfile(CommandKind.POSE, "target_pose")
LEASE_S = next(
    float(spec.parameters["command_lease_s"])
    for spec in system("teleop", _REAL)
    if spec.name == "rotation_policy"
)
LIMITS = LimiterConfig()
BRAKING_S = max(
    LIMITS.speed_m_s / LIMITS.stop_m_s2, LIMITS.turn_rad_s / LIMITS.turn_acceleration_rad_s2
)
PERIOD_S, STEP_S = 1.0 / PROFILE.rate_hz, 1.0 / 20.0
SILENT_S = GateConfig().stale_s


@dataclass(frozen=True)
class _Way:
    """How it ends.

    Attributes:
        name: for the table.
        end: what ends it; None = the headset's data end by themselves.
        arm_s: by when the arm's last command must have come,
        hand_s: and the hand hold, by the settings.
    """

    name: str
    end: signal.Signals | None
    arm_s: float
    hand_s: float


_ARM_S = PROFILE.target_stale_s + BRAKING_S + 2 * PERIOD_S
WAYS = (
    _Way("kill -9 of quest_bridge", signal.SIGKILL, _ARM_S, LEASE_S + STEP_S),
    _Way("quest_bridge stopped (SIGSTOP)", signal.SIGSTOP, _ARM_S, LEASE_S + STEP_S),
    _Way(
        "the headset falls silent", None, SILENT_S + BRAKING_S + 3 * PERIOD_S,
        SILENT_S + STEP_S + 2 * PERIOD_S,
    ),
)  # fmt: skip


def run(options: Options) -> Result:
    """End it again and again in each way."""
    times = 1 if options.quick else options.episodes
    rows, checks = [], []
    with tempfile.TemporaryDirectory(prefix="dexndm-bench-") as name, standing_in() as robot:
        folder = Path(name)
        session = _session(folder / "operator.jsonl")
        with Processes(_robot_processes(folder), folder / "robot") as processes:
            for way in WAYS:
                arm_ms, hand_ms = _measure(way, times, robot, processes, session, folder, options)
                for part, values, limit_s in (
                    ("arm's last command", arm_ms, way.arm_s),
                    ("hand holds", hand_ms, way.hand_s),
                ):
                    label = f"{way.name}: {part}"
                    p50, p95 = quantiles(values, 0.5, 0.95)
                    rows.append([label, p50, p95, max(values), 1e3 * limit_s, len(values)])
                    checks.append(Check(f"{label}, p95 (ms)", p95, 1e3 * limit_s))
    return Result(
        "From the end of the operator's side to an arm that rests and fingers that hold",
        ["ms", "p50", "p95", "worst", "by the settings", "times"],
        rows,
        checks,
        [
            f"targets are followed for {1e3 * PROFILE.target_stale_s:.0f} ms, then the arm brakes for at most "
            f"{1e3 * BRAKING_S:.0f} ms; an axis is lent for {1e3 * LEASE_S:.0f} ms and told every 100 ms; "
            f"a headset is silent after {1e3 * SILENT_S:.0f} ms",
            "the hand's time is that of the last policy/step in which the policy ran, told 20 times a second",
            "silence counts from the last sample that quest_bridge told",
        ],
        {"lease_s": LEASE_S, "target_stale_s": PROFILE.target_stale_s, "stale_s": SILENT_S},
    )


def _session(path: Path) -> Path:
    """The operator lets go for a while, then holds grip and X and moves to and fro; then there is nothing."""
    writer = SampleWriter(path)
    left = Hand((0.4, 0.2, 1.1), (0.0, 0.0, 0.0, 1.0))
    for seq in range(round((_GRIP_AFTER_S + _HELD_S) / _FRAME_S)):
        at_s = seq * _FRAME_S
        held_s = max(0.0, at_s - _GRIP_AFTER_S)
        pressed = frozenset({"X"} if held_s else ())
        place = (0.4, -0.2 + 0.08 * math.sin(2.0 * held_s), 1.1)
        right = Hand(place, (0.0, 0.0, 0.0, 1.0), squeeze=1.0 if held_s else 0.0)
        left = Hand(left.position_m, left.rotation_xyzw, buttons=pressed)
        writer.write(Sample(seq + 1, at_s, at_s, "recording", right=right, left=left))
    writer.close()
    return path


def _robot_processes(folder: Path) -> list[ProcessSpec]:
    profile = folder / "profile.yaml"
    profile.write_text(ARM_PROFILE, encoding="utf-8")
    policy: dict[str, ParameterValue] = {
        "policy": str(policy_path("cylinder_z")),
        "axis": "stop",
        "command_lease_s": LEASE_S,
        **_SHORT,
    }
    return [_node("arm_bridge", profile=str(profile)), _node("rotation_policy", **policy)]


def _node(name: str, **parameters: ParameterValue) -> ProcessSpec:
    return ProcessSpec(name, f"dexndm_ros.nodes.{name}", name, parameters)


def _measure(
    way: _Way,
    times: int,
    robot: StandIn,
    processes: Processes,
    session: Path,
    folder: Path,
    options: Options,
) -> tuple[list[float], list[float]]:
    """Milliseconds to the arm's last command and to the last turn of the fingers."""
    draw, arm_ms, hand_ms = random.Random(options.seed), list[float](), list[float]()
    spec = _node("quest_bridge", source="recording", recording=str(session))
    while len(arm_ms) < times:
        for ended in processes.poll():
            raise RuntimeError(ended.reason)
        with Processes([spec], folder / "quest") as quest:
            begun_s = _until_it_works(robot)
            if (
                begun_s is None
            ):  # a busy machine was in the way: the operator's grip must be pressed anew
                continue
            since_s = _end(way, quest, robot, draw)
            if since_s is None:
                continue
            robot.until(_rests(robot), "arm and hand to rest")
            arm_ms.append(1e3 * max(0.0, robot.commanded_s - since_s))
            hand_ms.append(1e3 * max(0.0, robot.turned_s - since_s))
        time.sleep(_APART_S)
    return arm_ms, hand_ms


def _until_it_works(robot: StandIn) -> float | None:
    """Wait until the arm follows and the fingers turn; when that was, or None where it does not come to it."""
    begin_s = time.monotonic()

    def works() -> bool:
        now_s = time.monotonic()
        return now_s - robot.commanded_s < 0.1 and now_s - robot.turned_s < 0.2

    while not works():
        over = robot.sample_s > begin_s and time.monotonic() - robot.sample_s > 2.0
        if over or time.monotonic() - begin_s > 60.0:
            return None
        time.sleep(0.02)
    return time.monotonic()


def _end(way: _Way, quest: Processes, robot: StandIn, draw: random.Random) -> float | None:
    """End it in the middle of the motion; since when. None where it had ended by itself."""
    if way.end is None:
        robot.until(lambda: time.monotonic() - robot.sample_s > _STILL_S, "the end of the samples")
        return robot.sample_s if robot.commanded_s > robot.sample_s - 0.2 else None
    time.sleep(_MOVED_S + draw.random())
    if time.monotonic() - robot.commanded_s > 0.1:
        return None
    since_s = time.monotonic()
    os.kill(quest.pids["quest_bridge"], way.end)
    return since_s


def _rests(robot: StandIn) -> Callable[[], bool]:
    return lambda: robot.held >= _HELD_STEPS and time.monotonic() - robot.commanded_s > _STILL_S
