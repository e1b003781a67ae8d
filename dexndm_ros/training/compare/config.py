# SPDX-License-Identifier: Apache-2.0
"""What is asked of ``dexndm evaluate --compare``, and how much work goes into it."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.paths import world_path
from dexndm_ros.policy.wrist import WRISTS, AxisError, parse_axis
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.compare.errors import CompareError

__all__ = ["BUDGETS", "Budget", "CompareConfig", "Recipe"]


@dataclass(frozen=True)
class Budget:
    """How much of everything.

    Attributes:
        trajectories: replays in the target world, of each wrist: what every method may learn from. A trajectory is
            20 s, 400 transitions.
        rollouts: of the base policy in the nominal world, of each wrist; survivors only.
        task: rollouts of the base policy in the target world, of each wrist; dynamics models are tested on them.
        epochs: of a dynamics model.
        batch: windows in its gradient step.
        residual_epochs: of a residual.
        select_episodes: rollouts of each wrist that a residual's loss is chosen by.
        probes: most trajectories that an identification looks at; more than its clips are cut from change nothing.
        clips: of 5 s that it is fitted to.
        retrain_steps: control steps of a policy that learns again in a corrected simulator.
        correction_steps: control steps in which UAN or ASAP learns its correction.
        curve: numbers of trajectories, of each wrist, of the data size curve.
    """

    trajectories: int
    rollouts: int
    task: int
    epochs: int
    batch: int
    residual_epochs: int
    select_episodes: int
    probes: int
    clips: int
    retrain_steps: int
    correction_steps: int
    curve: tuple[int, ...]


BUDGETS = {
    "small": Budget(
        trajectories=160, rollouts=128, task=32, epochs=10, batch=1024, residual_epochs=4, select_episodes=48,
        probes=12, clips=12, retrain_steps=400_000, correction_steps=400_000, curve=(20, 60, 160),
    ),
    "full": Budget(
        trajectories=2000, rollouts=512, task=64, epochs=20, batch=4096, residual_epochs=8, select_episodes=64,
        probes=24, clips=24, retrain_steps=2_000_000, correction_steps=2_000_000, curve=(20, 80, 200, 2000),
    ),
}  # fmt: skip
"""By name. Two wrists double the numbers of trajectories: 4,000 are the paper's. The shipped library has 128 of each
wrist, which are replayed again and again, with new noise and load each time."""


@dataclass(frozen=True)
class Recipe:
    """How data are collected and dynamics models made of them; an ablation changes one field.

    Attributes:
        pretrain: begin with the model of the nominal world; otherwise with nothing.
        sigma_rad: of the noise on replayed targets.
        load: factor on the random load; 0 = a free hand.
        free_share: of the trajectories that are replayed without load; the rest with it.
        library: what is replayed.
        window: ticks of history.
        trajectories: of each wrist, in the target world; 0 = the budget's.
    """

    pretrain: bool = True
    sigma_rad: float = 0.01
    load: float = 1.0
    free_share: float = 0.5
    library: str = "cylinder_z"
    window: int = 10
    trajectories: int = 0


@dataclass(frozen=True)
class CompareConfig:
    """One comparison in one world.

    Attributes:
        world: world file or name: the hand that the policy meets.
        out: folder of all stages and of the reports, shared by worlds.
        methods: names, in the table's order; direct transfer is always among them.
        wrists: wrist orientations.
        axis: rotation axis.
        policy: the base: shipped name or file.
        episodes: of each method, wrist and pipeline, the same ones for every method.
        pipelines: seeds of everything: data, initialisation, training, test.
        budget: how much work.
        physics: preset of the test.
        ablations: names of those of the paper's section 5 and of its studies.
        jobs: stages at once.
        threads: of each.
    """

    world: str
    out: Path
    methods: tuple[str, ...]
    wrists: tuple[str, ...] = ("palm_up", "palm_down")
    axis: str = "+z"
    policy: str = "cylinder_z"
    episodes: int = 128
    pipelines: int = 3
    budget: Budget = BUDGETS["small"]
    physics: str = "ref"
    ablations: tuple[str, ...] = ()
    jobs: int = 1
    threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        """Refuse what cannot be compared.

        Raises:
            CompareError: naming the setting and what is allowed.
        """
        counts = {
            "episodes": self.episodes,
            "pipelines": self.pipelines,
            "jobs": self.jobs,
            "threads": self.threads,
        }
        counts |= {
            name: n for name, n in dataclasses.asdict(self.budget).items() if name != "curve"
        }
        for name, count in counts.items():
            if count < 1:
                raise CompareError(f"{name} must be at least 1, got {count}")
        for wrist in self.wrists:
            if wrist not in WRISTS:
                raise CompareError(f"wrist {wrist!r} is none of {', '.join(WRISTS)}")
        try:
            turns = parse_axis(self.axis).any()
        except AxisError as error:
            raise CompareError(f"axis {self.axis!r}: {error}") from error
        if not turns:
            raise CompareError(f"axis {self.axis!r} turns nothing")

    def load_world(self) -> World:
        """The target world.

        Raises:
            WorldError: none. CompareError: it has nothing to turn.
        """
        world = World.load(self.world)
        if world.object.kind == "none":
            raise CompareError(
                f"world {world.name!r} has no object to turn; use one with an object"
            )
        return world

    @property
    def world_file(self) -> Path:
        """Its file."""
        return world_path(self.world)
