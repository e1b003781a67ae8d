# SPDX-License-Identifier: Apache-2.0
"""Messages as the plain values that the dashboard's model takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dexndm_ros.dashboard.inputs import (
    DiagnosticSeen,
    EpisodeSeen,
    HandSeen,
    HealthSeen,
    RecorderSeen,
    StatusSeen,
    StepSeen,
)
from dexndm_ros.hand.joints import JOINT_COUNT

__all__ = [
    "diagnostics_seen",
    "episode_seen",
    "hand_seen",
    "health_seen",
    "recorder_seen",
    "status_seen",
    "step_seen",
]

_NOT_KNOWN = (math.nan,) * JOINT_COUNT


def status_seen(message: Any) -> StatusSeen:
    """A ReplayStatus."""
    return StatusSeen(
        campaign=message.campaign,
        state=message.state,
        done=message.done,
        rejected=message.rejected,
        total=message.total,
        trajectory=message.trajectory,
        step=message.step,
        entry=message.entry,
        attempt=message.attempt,
        eta_s=message.eta_s,
        duty_cycle=message.duty_cycle,
        reason=message.reason,
        faults=message.faults,
        warnings=tuple(message.warnings),
        directory=message.directory,
    )


def step_seen(message: Any, state: Any | None) -> StepSeen:
    """A ReplayStep with the newest HandState; None = none yet."""
    return StepSeen(
        trajectory=message.trajectory,
        entry=message.entry,
        attempt=message.attempt,
        step=message.step,
        target_rad=tuple(message.target.tolist()),
        position_rad=_NOT_KNOWN if state is None else tuple(state.position.tolist()),
    )


def hand_seen(message: Any) -> HandSeen:
    """A HandState."""
    return HandSeen(message.mode, tuple(message.current.tolist()))


def health_seen(message: Any) -> HealthSeen:
    """A HandHealth."""
    return HealthSeen(
        temperature_c=tuple(message.temperature.tolist()),
        voltage_v=tuple(message.voltage.tolist()),
        hardware_error=tuple(message.hardware_error.tolist()),
        responding=tuple(message.responding),
        lost_reads=int(message.lost_reads.sum()),
        bus_hz=message.bus_hz,
        fault=message.fault,
    )


def recorder_seen(message: Any) -> RecorderSeen:
    """A RecorderStatus."""
    return RecorderSeen(
        session=message.session,
        ready=message.ready,
        reason=message.reason,
        episode=message.episode,
        messages=message.messages,
        lost=message.lost,
        dropped=message.dropped,
        queue=message.queue,
        behind_s=message.behind_s,
        bytes=message.bytes,
        free_bytes=message.free_bytes,
    )


def episode_seen(message: Any) -> EpisodeSeen:
    """An EpisodeRecorded."""
    return EpisodeSeen(
        episode=message.episode,
        complete=message.complete,
        reason=message.reason,
        messages=message.messages,
        lost=message.lost,
        dropped=message.dropped,
        bytes=message.bytes,
        duration_s=message.duration_s,
    )


def diagnostics_seen(message: Any) -> Iterator[DiagnosticSeen]:
    """Each status of a DiagnosticArray."""
    for status in message.status:
        yield DiagnosticSeen(status.name, ord(status.level), status.message)
