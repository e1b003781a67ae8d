# SPDX-License-Identifier: Apache-2.0
"""The ablations of the paper's section 5 and Table 11, its data size curve, and its transfer study (Fig. 33).

An ablation is the joint-wise method with one thing about the data or the model changed: a row of a table here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dexndm_ros.training.compare.config import CompareConfig, Recipe
from dexndm_ros.training.compare.errors import CompareError
from dexndm_ros.training.compare.methods import WAVES, Method, through_dynamics
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Stage

__all__ = ["ABLATIONS", "Ablation", "Studies", "ablated_methods", "parse_ablations", "study_stages"]

_NEXT_JOINT = tuple((joint + 1) % 16 for joint in range(16))
_NEXT_FINGER = tuple((joint + 4) % 16 for joint in range(16))


@dataclass(frozen=True)
class Ablation:
    """One change.

    Attributes:
        name: to ask for it.
        words: what is different.
        changes: fields of the recipe.
    """

    name: str
    words: str
    changes: Mapping[str, Any]

    @property
    def method(self) -> Method:
        """The joint-wise method with it."""
        recipe = replace(Recipe(), **self.changes)
        return Method(self.words, partial(_deploy, recipe))


def _deploy(recipe: Recipe, pipeline: Pipeline) -> Any:
    return through_dynamics(pipeline, "joint", recipe=recipe)


ABLATIONS = (
    Ablation("same", "as in the comparison", {}),
    Ablation("no_pretraining", "without pretraining", {"pretrain": False}),
    Ablation("no_noise", "without noise on the targets", {"sigma_rad": 0.0}),
    Ablation("noise_5mrad", "noise of 0.005 rad", {"sigma_rad": 0.005}),
    Ablation("noise_20mrad", "noise of 0.02 rad", {"sigma_rad": 0.02}),
    Ablation("all_load", "load on every trajectory", {"free_share": 0.0}),
    Ablation("no_load", "without load", {"load": 0.0}),
    Ablation("half_load", "half the load", {"load": 0.5}),
    Ablation("waves", "base waves replayed", {"library": WAVES}),
    Ablation("window_5", "history of 5 ticks", {"window": 5}),
    Ablation("window_20", "history of 20 ticks", {"window": 20}),
)
CURVE, TRANSFER = "curve", "transfer"
CURVE_STRUCTURES = ("joint", "hand")
_TRANSFERS = {
    "from nothing": None,
    "from the next joint": _NEXT_JOINT,
    "from the next finger": _NEXT_FINGER,
}


def parse_ablations(text: str) -> tuple[str, ...]:
    """Names from "waves,curve", in the table's order; "all" = all of them.

    Raises:
        CompareError: a name that is none.
    """
    known = (*(row.name for row in ABLATIONS), CURVE, TRANSFER)
    names = set(known) if text == "all" else {word.strip() for word in text.split(",")} - {""}
    if unknown := sorted(names - set(known)):
        raise CompareError(f"ablation {unknown[0]!r} is none of {', '.join(known)}")
    return tuple(name for name in known if name in names)


def ablated_methods(config: CompareConfig) -> dict[str, Method]:
    """The rows that are asked for, by what the table calls them."""
    return {row.words: row.method for row in ABLATIONS if row.name in config.ablations}


def study_stages(pipeline: Pipeline) -> dict[str, Stage]:
    """Dynamics models of the curve and of the transfer study, by what is asked of them."""
    wanted = pipeline.config.ablations
    return (_curve_stages(pipeline) if CURVE in wanted else {}) | (
        _transfer_stages(pipeline) if TRANSFER in wanted else {}
    )


def _curve_stages(pipeline: Pipeline) -> dict[str, Stage]:
    stages = {}
    for count in pipeline.config.budget.curve:
        for structure in CURVE_STRUCTURES:
            recipe = Recipe(pretrain=False, trajectories=count)
            stages[f"curve/{structure}/{count}"] = pipeline.dynamics(structure, recipe)
    return stages


def _transfer_stages(pipeline: Pipeline) -> dict[str, Stage]:
    stages = {}
    for skip in (False, True):
        source = pipeline.transfer(None, (), skip)
        for name, joints in _TRANSFERS.items():
            stage = source if joints is None else pipeline.transfer(source, joints, skip)
            stages[f"transfer/{'with' if skip else 'without'} linear path/{name}"] = stage
    return stages


@dataclass
class Studies:
    """What the studies told.

    Attributes:
        curve: (model, trajectories of each wrist) to one-step errors on the task, mrad, one a pipeline.
        transfer: by name, one a pipeline: first loss, over that from nothing; epochs until the last loss from nothing.
        failed: by name, the reason.
    """

    curve: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    transfer: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def read(self, pipeline: Pipeline, stages: Mapping[str, Stage], runner: Runner) -> None:
        """Take in what a pipeline's stages left."""
        metrics = {}
        for name, stage in stages.items():
            if reason := runner.failure(stage):
                self.failed[name] = reason
                continue
            file = runner.folder(stage).out / "metrics.json"
            metrics[name] = json.loads(file.read_text(encoding="utf-8"))
        for name, found in metrics.items():
            kind, group, item = name.split("/")
            if kind == "curve":
                self._read_curve(group, int(item), found)
            elif (scratch := metrics.get(f"transfer/{group}/from nothing")) is not None:
                told = _compare_losses(scratch["history"], found["history"])
                self.transfer.setdefault(f"{group}, {item}", []).append(told)

    def _read_curve(self, structure: str, count: int, metrics: Mapping[str, Any]) -> None:
        (errors,) = [row for name, row in metrics["rms_mrad"].items() if name != "validation"]
        for model, error in errors.items():
            if structure == "joint" or model not in ("persistence", "ARX"):  # told once
                self.curve.setdefault((model, count), []).append(error)


def _compare_losses(
    scratch: list[dict[str, Any]], other: list[dict[str, Any]]
) -> tuple[float, float]:
    """First validation loss over that from nothing; the first epoch that is as good as its last, or infinity."""
    goal = min(row["val_loss"] for row in scratch)
    epochs = [row["epoch"] for row in other if row["val_loss"] <= goal]
    first = other[0]["val_loss"] / scratch[0]["val_loss"]
    return float(first), float(epochs[0]) if epochs else float("inf")
