# SPDX-License-Identifier: Apache-2.0
"""What is asked of ``dexndm rollouts``: the settings of both jobs, each checked before anything is simulated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dexndm_ros.policy.wrist import WRISTS, parse_axis
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.sim.load import LoadConfig

__all__ = ["ReplayConfig", "RolloutConfig", "SimulateConfig", "SimulateError"]

_MOST_EPISODES = 10_000_000


class SimulateError(ValueError):
    """Simulated data that cannot be made; the message names the setting, what it is and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """What both jobs need.

    Attributes:
        out: the dataset's folder; it is made, or added to.
        world: world file or name.
        wrist: wrist orientations, comma separated; "" = the world's.
        physics: physics preset; "" = the world's.
        episodes: of each wrist (and axis).
        seed: of everything that is drawn, 0 to 2**63 - 1.
        block: episodes that are simulated together; a unit of work, of progress and of resuming.
        jobs: processes; 0 = one a core. The data do not depend on it.
        report: write the quality report too.
    """

    out: Path
    world: str = "nominal"
    wrist: str = ""
    physics: Literal["", "fast", "ref", "balls"] = ""
    episodes: int = 256
    seed: int = 0
    block: int = 32
    jobs: int = 0
    report: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            SimulateError: naming the setting and what is allowed.
        """
        ranges = {
            "episodes": (1, _MOST_EPISODES),
            "seed": (0, 2**63 - 1),
            "block": (1, 1024),
            "jobs": (0, 4096),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise SimulateError(f"{name} must be from {least} to {most}, got {value}")
        for wrist in self.wrists:
            if wrist and wrist not in WRISTS:
                raise SimulateError(f"wrist {wrist!r} is none of {', '.join(WRISTS)}")
        _check_twice("wrist", self.wrists)

    @property
    def wrists(self) -> tuple[str, ...]:
        """Each wrist orientation."""
        return tuple(self.wrist.split(","))

    @property
    def processes(self) -> int:
        """How many."""
        return self.jobs or len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class RolloutConfig(SimulateConfig):
    """Closed loop: a policy turns objects until they fall or the time is up.

    Attributes:
        policy: policy file, shipped name, or run folder of an oracle.
        residual: residual policy file; "" = none.
        axis: rotation axes in the palm frame, comma separated.
        draw: what differs between the worlds of the episodes: "objects", "all" (servo gains too) or "none".
        survivors_only: only episodes that held the object to the end, as many as asked for; the others are counted.
    """

    policy: str = "cylinder_z"
    residual: str = ""
    axis: str = "+z"
    draw: Literal["objects", "all", "none"] = "objects"
    survivors_only: bool = False

    def __post_init__(self) -> None:
        """See the base class; also an axis that is none (``AxisError``)."""
        super().__post_init__()
        for axis in self.axes:
            if not parse_axis(axis).any():
                raise SimulateError(
                    f"axis {axis!r}: a policy that is to stop does nothing worth keeping"
                )
        _check_twice("axis", self.axes)

    @property
    def axes(self) -> tuple[str, ...]:
        """Each axis."""
        return tuple(self.axis.split(","))


@dataclass(frozen=True, kw_only=True)
class ReplayConfig(SimulateConfig):
    """Open loop: a library's targets plus noise, on a hand without object, or in the world's box.

    Attributes:
        library: trajectory library or base waves, as ``dexndm library inspect`` takes them.
        library_wrist: replay the trajectories of this wrist instead; "" = those of the hand's.
        noise: on the targets, as in a campaign.
        load: on the joints of a free hand; a box is a load of its own.
        box: in place of the world's object: "full" or "half" for balls, "tied" for one ball; "" = the world as it is.
        vary_gains: another pair of servo gains for every episode, as in training.
    """

    library: str = "cylinder_z"
    library_wrist: str = ""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    load: LoadConfig = field(default_factory=LoadConfig)
    box: Literal["", "full", "half", "tied"] = ""
    vary_gains: bool = False


def _check_twice(name: str, values: tuple[str, ...]) -> None:
    if len(set(values)) < len(values):
        raise SimulateError(f"{name} names {', '.join(values)}: one of them is there twice")
