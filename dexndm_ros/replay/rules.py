# SPDX-License-Identifier: Apache-2.0
"""Rules of a campaign: how it moves, when it rests, how hard it tries and when it warns.

What values are possible is checked by ``campaign.Campaign``, which holds one of each.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CoolingConfig",
    "DiskConfig",
    "JamConfig",
    "LoadCheckConfig",
    "MotionConfig",
    "NotifyConfig",
    "RecoveryConfig",
]


@dataclass(frozen=True)
class MotionConfig:
    """Speed of the motion between trajectories.

    Attributes:
        transition_rad_s: of the ramp from the end of one trajectory to the first pose of the next; 3.0 is the guard's
            limit of 0.15 rad a tick.
        approach_rad_s: of the first approach after a start or a pause.
    """

    transition_rad_s: float = 3.0
    approach_rad_s: float = 1.0


@dataclass(frozen=True)
class CoolingConfig:
    """When the hand rests.

    Attributes:
        pause_c: a motor this warm stops the replay and relaxes the hand.
        resume_c: it goes on when every motor is this cool again.
        current_a: mean |current| of one joint over the window that stops the replay.
        current_window_s: length of that window.
        rest_every: rest after so many trajectories; 0 = only when warm.
        rest_s: length of that rest.
    """

    pause_c: float = 58.0
    resume_c: float = 50.0
    current_a: float = 0.45
    current_window_s: float = 5.0
    rest_every: int = 0
    rest_s: float = 0.0


@dataclass(frozen=True)
class RecoveryConfig:
    """How hard the campaign tries before it gives up safely.

    Attributes:
        in_a_row: recoveries without a finished trajectory between them.
        budget: recoveries in one run of the campaign.
        backoff_s: wait before the first recovery; doubles with each that follows in a row.
        backoff_max_s: longest such wait.
        patience_s: time that the hand, the recorder or the bus may stay away.
    """

    in_a_row: int = 8
    budget: int = 200
    backoff_s: float = 2.0
    backoff_max_s: float = 60.0
    patience_s: float = 900.0


@dataclass(frozen=True)
class JamConfig:
    """When a finger counts as stuck.

    Attributes:
        error_rad: |target - position| above which a joint may be stuck.
        still_rad_s: it is, if it also moves slower than this,
        time_s: for this long.
        in_a_row: trajectories aborted so, one after the other, that stop the campaign.
    """

    error_rad: float = 0.5
    still_rad_s: float = 0.1
    time_s: float = 1.0
    in_a_row: int = 5


@dataclass(frozen=True)
class DiskConfig:
    """Free space where the bags go, in GB (1e9 bytes).

    Attributes:
        pause_gb: less than this pauses the replay.
        resume_gb: this much lets it go on.
    """

    pause_gb: float = 2.0
    resume_gb: float = 3.0


@dataclass(frozen=True)
class LoadCheckConfig:
    """When the currents say that the box is empty or the hand has slipped out of it (a warning).

    Attributes:
        window: trajectories that are compared at a time.
        min_ratio: least current spread, as a share of the campaign's first window.
        free_hand_a: known current spread of the free hand; 0 = unknown.
    """

    window: int = 10
    min_ratio: float = 0.5
    free_hand_a: float = 0.0


@dataclass(frozen=True)
class NotifyConfig:
    """Who is told when the campaign stops.

    Attributes:
        webhook: http(s) address that gets a POST with a JSON body; "" = nobody.
    """

    webhook: str = ""
