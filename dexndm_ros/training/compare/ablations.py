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

from dexndm_ros.training.compare.config import Recipe
from dexndm_ros.training.compare.methods import WAVES, Method, through_dynamics
from dexndm_ros.training.compare.pipeline import Pipeline
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.stages import Stage

__all__ = ["ABLATIONS", "Ablation", "Studies", "ablation_name", "study_stages"]

_NEXT_JOINT = tuple((joint + 1) % 16 for joint in range(16))
_NEXT_FINGER = tuple((joint + 4) % 16 for joint in range(16))


@dataclass(frozen=True)
class Ablation:
    """One change.

    Attributes:
        words: what is different.
        changes: fields of the recipe.
    """

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
    Ablation("as in the comparison", {}),
    Ablation("without pretraining", {"pretrain": False}),
    Ablation("without noise on the targets", {"sigma_rad": 0.0}),
    Ablation("noise of 0.005 rad", {"sigma_rad": 0.005}),
    Ablation("noise of 0.02 rad", {"sigma_rad": 0.02}),
    Ablation("load on every trajectory", {"free_share": 0.0}),
    Ablation("without load", {"load": 0.0}),
    Ablation("half the load", {"load": 0.5}),
    Ablation("base waves replayed", {"library": WAVES}),
    Ablation("history of 5 ticks", {"window": 5}),
    Ablation("history of 20 ticks", {"window": 20}),
)
CURVE_STRUCTURES = ("joint", "hand")
_TRANSFERS = {
    "from nothing": None,
    "from the next joint": _NEXT_JOINT,
    "from the next finger": _NEXT_FINGER,
}


def ablation_name(row: Ablation) -> str:
    """Of a row in the table."""
    return row.words


def study_stages(pipeline: Pipeline) -> dict[str, Stage]:
    """Dynamics models of the curve and of the transfer study, by what is asked of them."""
    stages = {}
    for count in pipeline.config.budget.curve:
        for structure in CURVE_STRUCTURES:
            recipe = Recipe(pretrain=False, trajectories=count)
            stages[f"curve/{structure}/{count}"] = pipeline.dynamics(structure, recipe)
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
