# SPDX-License-Identifier: Apache-2.0
"""What a loop is asked for: where, in which world, and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SIZES", "Half", "Settings", "Size", "halves"]

_FREE_SEED = 1_000_000
"""Added to the seed for what a free hand plays: other trajectories than under load."""


@dataclass(frozen=True)
class Size:
    """How much of everything; numbers of episodes are for each wrist.

    Attributes:
        rollouts: of the base policy in the nominal world.
        replays: in the nominal world under random load, for pretraining, and as many of a free hand.
        night: trajectories collected in the Chaos Box under load, and as many of a free hand; all of them simulated in
            the nominal world too.
        task: rollouts in the world, which the dynamics models are tested on.
        fit: words for `dexndm sysid fit`: how thoroughly the hand is identified.
        fit_s: how long that takes on two cores, s.
        select: episodes by which the residual is chosen among its losses.
        choose: episodes by which is chosen what is to run: inverse, residual, or the base alone.
        episodes: of the evaluation, a seed.
        seeds: of the evaluation.
        pretrain_epochs: on simulated data.
        tune_epochs: on the night.
        residual_epochs: of each loss.
        load: what the hand in the Chaos Box works against, where it is not free.
        speeds: how much faster than real time it lives; the next one where the machine does not keep up.
    """

    rollouts: int
    replays: int
    night: int
    task: int
    fit: tuple[str, ...]
    fit_s: float
    select: int
    choose: int
    episodes: int
    seeds: int
    pretrain_epochs: int
    tune_epochs: int
    residual_epochs: int
    load: str
    speeds: tuple[float, ...]


SIZES = {
    "tiny": Size(
        rollouts=8, replays=4, night=2, task=4,
        fit=("--clips", "4", "--seeds", "2", "--population", "4", "--generations", "4", "--rounds", "2"), fit_s=20.0,
        select=4, choose=4, episodes=4, seeds=1,
        pretrain_epochs=2, tune_epochs=5, residual_epochs=8, load="tied", speeds=(4.0, 2.0, 1.0, 0.5),
    ),
    "small": Size(
        rollouts=64, replays=64, night=24, task=16, fit=("--clips", "12"), fit_s=240.0,
        select=16, choose=32, episodes=16, seeds=3,
        pretrain_epochs=10, tune_epochs=60, residual_epochs=10, load="full", speeds=(3.0, 2.0, 1.0, 0.5),
    ),
}  # fmt: skip
"""``tiny`` shows that everything runs; its numbers mean nothing."""


@dataclass(frozen=True)
class Settings:
    """One loop.

    Attributes:
        out: folder of everything.
        world: world that stands for the hand, shipped name or file.
        size: a key of ``SIZES``.
        seed: of everything that is drawn, but for the objects and grasps of the evaluation.
    """

    out: Path
    world: str = "twin"
    size: str = "small"
    seed: int = 1


@dataclass(frozen=True)
class Half:
    """Half of what a hand plays open loop: under load, or free. Together they tell a model what is the load's doing.

    Attributes:
        name: end of the names of its steps.
        load: of its campaigns.
        seed: of its trajectories and their noise.
        box: words for the same load in ``dexndm rollouts replay``.
        random: words there for the load that stands for all loads.
        replay_s: that the simulation of a trajectory of the night takes under each wrist, s.
    """

    name: str
    load: str
    seed: int
    box: tuple[str, ...]
    random: tuple[str, ...]
    replay_s: float


def halves(settings: Settings) -> tuple[Half, Half]:
    """The loaded half and the free one."""
    load, free = SIZES[settings.size].load, ("--load.scale", "0")
    return (
        Half("loaded", load, settings.seed, ("--box", load), (), 2.0),
        Half("free", "free", settings.seed + _FREE_SEED, free, free, 0.15),
    )
