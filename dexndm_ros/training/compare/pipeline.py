# SPDX-License-Identifier: Apache-2.0
"""The stages of one pipeline: one seed of data, initialisation and training, in one world.

What the nominal world gives (rollouts of the base, replays, models) is the same for every target world, and so are its
folders. Everything is a function of the settings; nothing runs here.
"""

from __future__ import annotations

from pathlib import Path

from dexndm_ros.paths import library_path, policy_path, world_path
from dexndm_ros.training.compare.choice import choice_rollouts, losses
from dexndm_ros.training.compare.config import CompareConfig, Recipe
from dexndm_ros.training.compare.stages import Made, Stage, Word

__all__ = ["Pipeline"]

_CLI = "dexndm_ros.cli"
_STEPS = 400
_REPLAY_S, _ROLLOUT_S, _FAST_ROLLOUT_S = 1 / 3000, 1 / 900, 1 / 2200
"""Seconds a transition takes to simulate, on one core."""
_TRAIN_S = {"joint": 2.5e-5, "finger": 2e-5, "hand": 1.2e-5}
"""Seconds a window and epoch takes to learn from, on one core."""
_START_S = 5.0
_FREE_SEED = 1000
"""Added for replays without load: other trajectories and other noise than those under load."""
_BLOCK = 32
"""Episodes that are simulated together; fewer where fewer are wanted."""
THREADS = ("--threads", "{threads}")
"""What most of our jobs take."""
_NOMINAL = Recipe()


class Pipeline:
    """One seed of everything.

    Args:
        config: of the comparison.
        seed: 0, 1, ...
    """

    def __init__(self, config: CompareConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.nominal, self.target = world_path("nominal"), config.world_file
        self._known: dict[Stage, Stage] = {}

    def rollouts(self) -> Stage:
        """The base policy in the nominal world: what a residual is trained on."""
        count = self.config.budget.rollouts
        return self._policy_rollouts(
            "rollouts", self.nominal, count, "fast", _FAST_ROLLOUT_S, "--survivors-only"
        )

    def task(self) -> Stage:
        """The base policy in the target world: tests dynamics models, and nothing is chosen by it."""
        return self._policy_rollouts(
            "task", self.target, self.config.budget.task, self.config.physics, _ROLLOUT_S
        )

    def _policy_rollouts(
        self, kind: str, world: Path, count: int, physics: str, cost_s: float, *more: str
    ) -> Stage:
        words: tuple[Word, ...] = (
            _CLI, "rollouts", "policy", "--out", "{out}", "--world", world, "--policy", self.base,
            "--wrist", ",".join(self.config.wrists), f"--axis={self.config.axis}", "--episodes", str(count),
            "--block", str(min(_BLOCK, count)), "--physics", physics, "--draw", "objects", "--seed", str(self.seed),
            "--no-report", *more,
        )  # fmt: skip
        total = count * len(self.config.wrists) * _STEPS
        return self._stage(kind, world.stem, words, "", ("--jobs", "{threads}"), total * cost_s)

    def replays(self, world: Path, recipe: Recipe) -> tuple[Stage, ...]:
        """Replays under random load and of a free hand, as many together as the budget or the recipe says.

        The nominal world's are always as many as the budget says: they cost nothing.
        """
        count = self.config.budget.trajectories
        if world == self.target and recipe.trajectories:
            count = recipe.trajectories
        free = round(recipe.free_share * count) if recipe.load else count
        parts = ((count - free, recipe.load, self.seed), (free, 0.0, self.seed + _FREE_SEED))
        return tuple(self._replays(world, recipe, *part) for part in parts if part[0])

    def _replays(self, world: Path, recipe: Recipe, count: int, load: float, seed: int) -> Stage:
        words = (
            _CLI, "rollouts", "replay", "--out", "{out}", "--world", world, "--library", _library(recipe),
            "--wrist", ",".join(self.config.wrists), "--episodes", str(count), "--seed", str(seed),
            "--noise.sigma-rad", str(recipe.sigma_rad), "--load.scale", str(load), "--no-report",
        )  # fmt: skip
        total = count * len(self.config.wrists) * _STEPS
        name = f"{world.stem}-{'load' if load else 'free'}"
        return self._stage("replays", name, words, "", ("--jobs", "{threads}"), total * _REPLAY_S)

    def dynamics(self, structure: str, recipe: Recipe = _NOMINAL) -> Stage:
        """A model of the target world's hand: tuned from the nominal one, tested on the task."""
        more: tuple[Word, ...] = ("--test", Made(self.task()))
        if recipe.pretrain:
            more += ("--init", Made(self.nominal_dynamics(structure, recipe)))
        count = recipe.trajectories or self.config.budget.trajectories
        return self._dynamics(self.target, structure, recipe, count, *more)

    def nominal_dynamics(self, structure: str, recipe: Recipe = _NOMINAL) -> Stage:
        """The same of the nominal world, by the same protocol: where tuning begins, and the other side of a pair."""
        return self._dynamics(self.nominal, structure, recipe, self.config.budget.trajectories)

    def _dynamics(
        self, world: Path, structure: str, recipe: Recipe, count: int, *more: Word
    ) -> Stage:
        budget = self.config.budget
        words: tuple[Word, ...] = (
            _CLI, "train", "dynamics", "--out", "{out}", "--data", *map(Made, self.replays(world, recipe)),
            "--network.structure", structure, "--network.window", str(recipe.window), "--epochs", str(budget.epochs),
            "--batch", str(budget.batch), "--seed", str(self.seed), *more,
        )  # fmt: skip
        windows = count * len(self.config.wrists) * _STEPS
        cost = windows * budget.epochs * _TRAIN_S[structure]
        name = f"{world.stem}-{structure}"
        return self._stage("dynamics", name, words, "dynamics.pt", THREADS, cost)

    def transfer(self, source: Stage | None, joints: tuple[int, ...], skip: bool) -> Stage:
        """Joint-wise models of the target world that begin with those of other joints, or with nothing."""
        budget = self.config.budget
        begin: tuple[Word, ...] = ("--warm-start-epochs", "0")
        if source is not None:
            begin = ("--init", Made(source), "--init-joints", *map(str, joints))
        words: tuple[Word, ...] = (
            _CLI, "train", "dynamics", "--out", "{out}", "--data", *map(Made, self.replays(self.target, _NOMINAL)),
            "--epochs", str(budget.epochs), "--batch", str(budget.batch), "--seed", str(self.seed),
            "--tune-learning-rate", "0.002", "--network.skip" if skip else "--network.no-skip", *begin,
        )  # fmt: skip
        windows = budget.trajectories * len(self.config.wrists) * _STEPS
        cost = windows * budget.epochs * _TRAIN_S["joint"]
        name = f"{self.target.stem}-transfer"
        return self._stage("dynamics", name, words, "dynamics.pt", THREADS, cost)

    def residual(self, structure: str, file: str = "", recipe: Recipe = _NOMINAL) -> Stage:
        """A residual through a model of the target world; its loss is chosen on grasps that no test uses.

        Args:
            structure: of the model.
            file: in the model's run folder; "" = the model itself.
            recipe: of the data and the model.
        """
        budget = self.config.budget
        words = (
            _CLI, "train", "residual", "--out", "{out}", "--data", Made(self.rollouts()),
            "--dynamics", Made(self.dynamics(structure, recipe), file),
            "--nominal", Made(self.nominal_dynamics(structure, recipe), file), "--base", self.base,
            "--epochs", str(budget.residual_epochs), "--seed", str(self.seed),
            "--select.world", self.target, "--select.wrist", ",".join(self.config.wrists),
            f"--select.axis={self.config.axis}", "--select.episodes", str(budget.select_episodes),
            "--select.physics", self.config.physics,
        )  # fmt: skip
        cost = losses() * budget.rollouts * budget.residual_epochs * 0.05
        cost += self._rollouts_s(choice_rollouts(budget.select_episodes))
        name = f"{self.target.stem}-{Path(file).stem or structure}"
        return self._stage("residual", name, words, "residual.onnx", THREADS, cost)

    def evaluation(
        self, policy: Word, residual: Word | None, wrist: str, world: Path | None = None
    ) -> Stage:
        """The test: the same objects and grasps for whatever is tested."""
        world = world or self.target
        words: tuple[Word, ...] = (
            "dexndm_ros.training.compare.evaluation", "--out", "{out}/episodes.npz", "--world", world,
            "--wrist", wrist, f"--axis={self.config.axis}", "--episodes", str(self.config.episodes),
            "--seed", str(self.seed), "--physics", self.config.physics, "--policy", policy,
        )  # fmt: skip
        if residual is not None:
            words += ("--residual", residual)
        cost = self._rollouts_s(self.config.episodes) / len(self.config.wrists)
        name = f"{world.stem}-{wrist}"
        return self._stage("evaluation", name, words, "episodes.npz", THREADS, cost)

    @property
    def base(self) -> Path:
        """The base policy's file."""
        return policy_path(self.config.policy)

    def _rollouts_s(self, episodes: int) -> float:
        return episodes * len(self.config.wrists) * _STEPS * _ROLLOUT_S

    def stage(
        self,
        kind: str,
        name: str,
        words: tuple[Word, ...],
        product: str,
        cost_s: float,
        free: tuple[str, ...] = THREADS,
    ) -> Stage:
        """A stage of the target world."""
        return self._stage(kind, f"{self.target.stem}-{name}", words, product, free, cost_s)

    def _stage(
        self, kind: str, name: str, words: tuple[Word, ...], product: str, free: tuple[str, ...], cost_s: float
    ) -> Stage:  # fmt: skip
        stage = Stage(kind, f"{kind}-{name}-s{self.seed}", words, product, free, _START_S + cost_s)
        # One object each, whose fingerprint is reckoned once.
        return self._known.setdefault(stage, stage)


def _library(recipe: Recipe) -> Word:
    """A file, whose contents count, or base waves, which their words say."""
    waves = recipe.library.split(":")[0] == "waves"
    return recipe.library if waves else library_path(recipe.library)
