# SPDX-License-Identifier: Apache-2.0
"""Events of a made-up run, whose values encode their own place in time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dexndm_ros.nodes._demo_events import (
    CommandSeen,
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_700_000_000 * SECOND


def state(seq: int, at_ns: int, command_seq: int = 0, source: str = "") -> StateSeen:
    return StateSeen(at_ns, seq, np.full(16, seq * 1e-3), command_seq, source, 2)


def step(seq: int, begin_ns: int, inference_ms: float = 1.0, **changes: Any) -> StepSeen:
    values: dict[str, Any] = {
        "stamp_ns": begin_ns + round(inference_ms * MS),
        "seq": seq,
        "observation_seq": 10 * seq,
        "observation_age_ms": 2.0,
        "inference_ms": inference_ms,
        "missed_ticks": 0,
        "running": True,
        "wrist_xyzw": (1.0, 0.0, 0.0, 0.0),
    }
    return StepSeen(**values | changes)


def command(seq: int, received_ns: int) -> CommandSeen:
    return CommandSeen(seq, received_ns)


def progress(at_ns: int, angle: float, time_s: float, episode: int = 1, **changes: Any):
    values: dict[str, Any] = {
        "stamp_ns": at_ns,
        "angle_rad": angle,
        "off_axis_rad": angle / 10,
        "time_s": time_s,
        "fallen": False,
        "episode": episode,
    }
    return ProgressSeen(**values | changes)


def health(bus_hz: float = 100.0, lost: int = 0, fault: str = "") -> HealthSeen:
    return HealthSeen(bus_hz, lost, fault)


def pose(at_ns: int, angle_rad: float) -> ObjectSeen:
    half = angle_rad / 2
    return ObjectSeen(at_ns, (-0.005, -0.04, -0.125), (0.0, 0.0, np.sin(half), np.cos(half)))


def play(run: Any, seconds: float, rate_rad_s: float = 1.0) -> None:
    """A flawless run: 20 ticks a second, joints read 2 ms before, command 3 ms after each begins."""
    run.on_health(health(lost=7))
    run.on_progress(progress(START, 0.0, 0.0))
    for k in range(round(20 * seconds) + 1):
        begin = START + k * 50 * MS
        run.on_state(state(10 * k, begin - 2 * MS, k - 1, "policy" if k else ""))
        run.on_command(command(k, begin + 3 * MS))
        run.on_step(step(k, begin))
        run.on_progress(progress(begin, rate_rad_s * k / 20, k / 20))
        run.on_object(pose(begin, rate_rad_s * k / 20))
    run.on_health(health(lost=9))
