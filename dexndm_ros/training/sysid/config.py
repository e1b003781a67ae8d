# SPDX-License-Identifier: Apache-2.0
"""Settings of an identification."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.sim.worlds import PHYSICS_PRESETS
from dexndm_ros.training.sysid.errors import SysidError
from dexndm_ros.training.sysid.parameters import DEFAULT, parse_parameters

__all__ = ["SysidConfig"]


@dataclass(frozen=True)
class SysidConfig:
    """One identification.

    Attributes:
        out: run folder: world file, report, figures, journal. The same settings again go on where it stopped.
        data: dataset of a free hand that replayed probes, as ``dexndm convert`` makes it.
        twin: instead of data: a world file or name; its hand replays the probes in simulation.
        world: world to start from, and to change; its play and its registers are taken as they are.
        name: of the world that is written; "" = the base world's with ``_identified``.
        wrist: where the dataset does not say; of a twin: wrists, comma separated.
        parameters: what to identify: kp, kd, torque, friction, backlash, armature, delay, mass, offset.
        probes: probing trajectories of a twin.
        clip_s: seconds of a clip.
        skip_s: of its begin that do not count, for what came before is not known.
        clips: most that are taken, spread evenly over the data; 0 = all.
        held_out: share of the trajectories that is only judged on.
        seeds: searches, each on other two thirds of the clips; their spread is what the gate sees.
        searches: "joint" = a CMA-ES for each joint, "finger" = one for each finger (for fingers whose joints feel each
            other; needs four times the generations).
        population: candidates a generation and search.
        generations: of the first round; each later one has half as many. Least squares goes on from where it ends.
        rounds: most rounds; in each a joint's worst parameter is refused and the rest is fitted again.
        most_spread: a parameter whose estimates differ by more, relative to their mean, is refused.
        least_felt: a parameter is refused when the squared error rises by less than this share while it is changed by
            ``most_spread``, the others staying as they are.
        physics: preset of the fit; "" = the base world's, which the world file has in any case.
        contacts: fingers can touch each other.
        seed: of probes, draws and searches.
        threads: physics threads.
    """

    out: Path
    data: Path | None = None
    twin: str = ""
    world: str = "nominal"
    name: str = ""
    wrist: str = "palm_down,thumb_up"
    parameters: tuple[str, ...] = DEFAULT
    probes: int = 6
    clip_s: float = 5.0
    skip_s: float = 0.5
    clips: int = 12
    held_out: float = 0.2
    seeds: int = 3
    searches: str = "joint"
    population: int = 12
    generations: int = 40
    rounds: int = 4
    most_spread: float = 0.3
    least_felt: float = 0.05
    physics: str = ""
    contacts: bool = False
    seed: int = 0
    threads: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be identified with.

        Raises:
            SysidError: naming the setting and what is allowed.
        """
        if (self.data is None) == (not self.twin):
            raise SysidError("give either data (a dataset) or twin (a world), not both")
        parse_parameters(self.parameters)
        least = {
            "probes": 2,
            "seeds": 1,
            "population": 4,
            "generations": 1,
            "rounds": 1,
            "threads": 1,
        }
        for key, value in least.items():
            if getattr(self, key) < value:
                raise SysidError(f"{key} must be at least {value}, got {getattr(self, key)}")
        if self.clips < 0 or self.seed < 0:
            raise SysidError("clips and seed must not be negative")
        if self.searches not in ("joint", "finger"):
            raise SysidError(f"searches: {self.searches!r} is none of joint, finger")
        if "mass" in self.parameters and self.searches != "finger":
            raise SysidError(
                "masses need searches finger: a joint feels the weight of all links beyond it"
            )
        if not 0.0 <= self.skip_s < self.clip_s / 2:
            raise SysidError(f"skip_s must be from 0 to half of clip_s, got {self.skip_s}")
        if not 0.0 < self.held_out < 1.0 or not self.most_spread > 0.0 or self.least_felt < 0.0:
            raise SysidError(
                "held_out must be between 0 and 1, most_spread above 0, least_felt 0 or more"
            )
        if self.physics and self.physics not in PHYSICS_PRESETS:
            raise SysidError(f"physics: {self.physics!r} is none of {', '.join(PHYSICS_PRESETS)}")

    def fingerprint(self, more: str) -> str:
        """Of the settings that results follow from; ``more`` stands for the data and the world behind them."""
        values = dataclasses.asdict(self)
        for key in ("out", "threads", "name", "data", "twin", "world"):
            del values[key]
        return hashlib.sha256(
            (json.dumps(values, default=str, sort_keys=True) + more).encode()
        ).hexdigest()
