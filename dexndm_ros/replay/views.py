# SPDX-License-Identifier: Apache-2.0
"""What the supervisor of a replay sees, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decision", "HandMode", "HandView", "Intent", "RecorderView", "Seen", "State"]

Vector = NDArray[np.float64]


class HandMode(IntEnum):
    """Modes of the driver, as in ``HandState.msg``."""

    RELAXED = 0
    RAMPING = 1
    ACTIVE = 2
    HOLDING = 3
    FAULT = 4


class State(IntEnum):
    """As in ``ReplayStatus.msg``."""

    IDLE = 0
    RUNNING = 1
    PAUSED = 2
    COOLING = 3
    FAULT = 4
    DONE = 5


class Intent(Enum):
    """What the person in charge wants."""

    WAIT = "not started: call replay/start"
    RUN = ""
    PAUSE = "paused: call replay/resume to go on"
    STOP = "stopped: call replay/start to go on"


@dataclass(frozen=True)
class HandView:
    """The hand as last heard of; vectors (16,), motor order.

    Attributes:
        age_s: since the newest hand/state, wall time.
        mode: the driver's mode.
        position_rad: joint angles.
        velocity_rad_s: joint velocities.
        current_a: motor currents.
        temperature_c: motor temperatures; NaN = not known.
        fault: what hand/health says of a fault; '' = none.
    """

    age_s: float
    mode: HandMode
    position_rad: Vector
    velocity_rad_s: Vector
    current_a: Vector
    temperature_c: Vector
    fault: str = ""

    @property
    def hottest_c(self) -> float:
        """Temperature of the hottest motor; NaN = none known."""
        known = self.temperature_c[np.isfinite(self.temperature_c)]
        return float(known.max()) if known.size else math.nan


@dataclass(frozen=True)
class RecorderView:
    """The recorder as last heard of; fields as in ``RecorderStatus.msg``."""

    age_s: float
    session: str
    ready: bool
    reason: str
    behind_s: float
    free_bytes: float


@dataclass(frozen=True)
class Seen:
    """What the node knows at a tick.

    Attributes:
        now_s: monotonic wall time.
        clock: local date and time, for the schedule.
        hand: None = nothing heard yet.
        recorder: None likewise.
        refusal: why the hand must not be moved at all (another commander, another wrist); '' = nothing.
        starting: what is being waited for before the first trajectory; '' = nothing.
    """

    now_s: float
    clock: datetime
    hand: HandView | None
    recorder: RecorderView | None
    refusal: str = ""
    starting: str = ""


@dataclass(frozen=True)
class Decision:
    """What follows.

    Attributes:
        state: for ``replay/status``.
        code: which rule spoke; '' while running.
        reason: in words, with the cure.
        run: trajectories may begin.
        drop: the present trajectory ends at once; False lets it play to its end.
        blame: it is dropped for what it did to the hand, and that counts as a try.
        ask: driver service to call, or ''.
    """

    state: State
    code: str = ""
    reason: str = ""
    run: bool = False
    drop: bool = False
    blame: bool = False
    ask: str = ""
