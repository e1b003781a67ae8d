# SPDX-License-Identifier: Apache-2.0
"""What a healthy campaign tells the dashboard."""

from __future__ import annotations

import dataclasses
from typing import Any

from dexndm_ros.dashboard.inputs import HealthSeen, ReplayState, StatusSeen

_RUNNING = StatusSeen(
    campaign="palm_down_full",
    state=ReplayState.RUNNING,
    done=812,
    rejected=3,
    total=1400,
    trajectory=2217,
    step=120,
    entry=815,
    attempt=1,
    duty_cycle=0.9931,
    directory="/data/palm_down_full",
)


def running(**changes: Any) -> StatusSeen:
    """A campaign under way."""
    return dataclasses.replace(_RUNNING, **changes)


def healthy_hand(celsius: float) -> HealthSeen:
    """All motors answer; each is a tenth of a degree warmer than the one before."""
    return HealthSeen(
        temperature_c=tuple(celsius + 0.1 * k for k in range(16)),
        voltage_v=(5.0,) * 16,
        hardware_error=(0,) * 16,
        responding=(True,) * 16,
        bus_hz=100.0,
    )
