# SPDX-License-Identifier: Apache-2.0
"""What a replay asks of ledger and recorder, and what it is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.replay.ledger import Claim
from dexndm_ros.replay.player import Loaded
from dexndm_ros.replay.watch import TrajectoryNumbers

__all__ = ["Finished", "Job", "JobKind", "Recorded", "RunTick", "claim_of"]

Vector = NDArray[np.float64]


class JobKind(Enum):
    """What others are asked to do."""

    CLAIM = "claim"
    BEGIN = "begin"
    END = "end"
    DISCARD = "discard"
    FINISH = "finish"
    REJECT = "reject"
    RELEASE = "release"
    RESOLVE = "resolve"


@dataclass(frozen=True)
class Finished:
    """What is written down of a trajectory besides its bag.

    Attributes:
        started_ns: time of its first step, clock of the loop.
        duration_s: from its first step to the tick after its last.
        missed_ticks: slots skipped meanwhile.
        period_error_ms_p99: difference of the time between two of its ticks and the period; 99 % are below.
        numbers: what it did to the hand.
        skipped: its commands that were never in force.
    """

    started_ns: int
    duration_s: float
    missed_ticks: int
    period_error_ms_p99: float
    numbers: TrajectoryNumbers
    skipped: int = 0


@dataclass(frozen=True)
class Recorded:
    """How a recording ended; fields as in ``EpisodeRecorded.msg``."""

    episode: str
    session: str
    complete: bool
    reason: str
    path: str
    messages: int
    lost: int
    dropped: int
    bytes: int
    duration_s: float


@dataclass(frozen=True)
class Job:
    """One thing to do.

    Attributes:
        kind: what.
        loaded: the trajectory it is about; None for CLAIM.
        reason: why, for DISCARD, REJECT and RELEASE.
        finished: for FINISH.
        recorded: for FINISH, and for RELEASE where there is a bag.
    """

    kind: JobKind
    loaded: Loaded | None = None
    reason: str = ""
    finished: Finished | None = None
    recorded: Recorded | None = None


class RunTick(NamedTuple):
    """What to send.

    Attributes:
        target: (16,) rad; None = nothing.
        step: step of the trajectory ``loaded``; None = no step.
        loaded: the trajectory being replayed or ramped to.
        jobs: what to have done.
    """

    target: Vector | None
    step: int | None
    loaded: Loaded | None
    jobs: list[Job]


def claim_of(job: Job) -> Claim:
    """The ledger's claim that a job is about."""
    assert job.loaded is not None
    return job.loaded.claim
