# SPDX-License-Identifier: Apache-2.0
"""What is asked of ``dexndm rollouts``: the settings of both jobs, each checked before anything is simulated."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dexndm_ros.policy.wrist import WRISTS, axis_word, parse_axis
from dexndm_ros.replay.noise import NoiseConfig
from dexndm_ros.sim.load import LoadConfig
from dexndm_ros.sim.randomise import OBJECTS_ONLY, TABLE_14, Randomisation
from dexndm_ros.sim.shapes.families import parse_families
from dexndm_ros.sim.shapes.pieces import ShapeError
from dexndm_ros.sim.tasks import ROTATION_AXES

__all__ = ["ReplayConfig", "RolloutConfig", "SimulateConfig", "SimulateError", "on_any_machine"]

_MOST_EPISODES = 10_000_000
_DRAW: dict[str, Randomisation | None] = {
    "objects": OBJECTS_ONLY,
    "all": Randomisation(),
    "table_14": TABLE_14,
    "none": None,
}


class SimulateError(ValueError):
    """Simulated data that cannot be made; the message names the setting, what it is and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """What both jobs need.

    Attributes:
        out: the dataset's folder; it is made, or added to.
        world: world file or name.
        wrist: wrist orientations, comma separated, or "all" for the six; "" = the world's.
        physics: physics preset; "" = the world's.
        episodes: of each wrist (and axis).
        seed: of everything that is drawn, 0 to 2**63 - 1.
        block: episodes that are simulated together; a unit of work, of progress and of resuming.
        jobs: processes; 0 = one a core (of a cluster: of all its machines). The data do not depend on it.
        engine: processes of this machine, or a Ray cluster, whose machines all see dataset and policy under the same
            paths. The data do not depend on it.
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
    engine: Literal["local", "ray"] = "local"
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
        return tuple(WRISTS) if self.wrist == "all" else tuple(self.wrist.split(","))

    @property
    def processes(self) -> int | None:
        """How many; None = as many as the cluster has cores."""
        if self.engine == "ray":
            return self.jobs or None
        return self.jobs or len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class RolloutConfig(SimulateConfig):
    """Closed loop: a policy turns objects until they fall or the time is up.

    Attributes:
        policy: policy file, shipped name, or run folder of an oracle.
        residual: residual policy file; "" = none.
        axis: rotation axes in the palm frame, comma separated, or "all" for the 32 of the paper; one that is given by
            three numbers has spaces between them.
        draw: what differs between the worlds of the episodes: "objects", "all" (servo gains too), "table_14" (the same
            with the paper's ranges of mass and friction, and the centre of mass) or "none".
        objects: families (paper, Table 14) that are gone through in turn, comma separated, or "train", "test"; "" = the
            world's own object.
        draw_tasks: every episode draws its wrist and its axis from those named, and there are ``episodes`` in all;
            without, there are so many of each wrist and axis.
        noise_std: largest noise on an oracle's actions, in units of an action; each episode has its own share of it.
        survivors_only: only episodes that held the object to the end, as many as asked for; the others are counted.
    """

    policy: str = "cylinder_z"
    residual: str = ""
    axis: str = "+z"
    draw: Literal["objects", "all", "table_14", "none"] = "objects"
    objects: str = ""
    draw_tasks: bool = False
    noise_std: float = 0.0
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
        if not 0.0 <= self.noise_std <= 1.0:
            raise SimulateError(f"noise_std must be from 0 to 1, got {self.noise_std}")
        try:
            parse_families(self.objects)
        except ShapeError as error:
            raise SimulateError(str(error)) from error
        if self.objects and self.draw == "none":
            raise SimulateError(
                "objects are drawn from families, and draw is none: give draw objects, all or table_14"
            )

    @property
    def axes(self) -> tuple[str, ...]:
        """Each axis."""
        if self.axis == "all":
            return tuple(axis_word(axis) for axis in ROTATION_AXES)
        return tuple(self.axis.split(","))

    @property
    def family_names(self) -> tuple[str, ...]:
        """Each family."""
        return parse_families(self.objects)

    @property
    def randomisation(self) -> Randomisation | None:
        """Of the worlds; None = they are all as the world file has it."""
        ranges = _DRAW[self.draw]
        return ranges and replace(ranges, families=self.family_names)


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


def on_any_machine(config: RolloutConfig | ReplayConfig) -> RolloutConfig | ReplayConfig:
    """The same settings with paths that mean the same wherever a worker runs; names of shipped things stay names."""

    def whole(path: str) -> str:
        there = Path(path).is_file() or (Path(path) / "oracle.pt").is_file()
        return str(Path(path).absolute()) if there else path

    if isinstance(config, RolloutConfig):
        return replace(config, policy=whole(config.policy), residual=whole(config.residual))
    return replace(config, library=whole(config.library))


def _check_twice(name: str, values: tuple[str, ...]) -> None:
    if len(set(values)) < len(values):
        raise SimulateError(f"{name} names {', '.join(values)}: one of them is there twice")
