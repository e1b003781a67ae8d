# SPDX-License-Identifier: Apache-2.0
"""What was measured: every episode of every method, and the table's rows that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.training.compare.evaluation import Outcomes
from dexndm_ros.training.compare.methods import DIRECT, Deployed
from dexndm_ros.training.compare.runner import Runner
from dexndm_ros.training.compare.statistics import Ratio, Spread, ratio, spread

__all__ = [
    "BOTH",
    "METRICS",
    "NOMINAL",
    "Measured",
    "Row",
    "Verdict",
    "rows_of",
    "shared",
    "verdict_of",
]

Array = NDArray[np.float64]
METRICS = ("rotation_rad", "held_s", "off_axis_rad_s", "survived")
"""RotR, TTF, RotP and survival."""
BOTH = "all wrists"
NOMINAL = "nominal hand"
"""Row of direct transfer where there is no gap: how much there is to close."""


@dataclass(frozen=True)
class Verdict:
    """What is to be tested of a method in one pipeline.

    Attributes:
        deployed: what runs; a residual that was refused has gone.
        note: for the table: which loss, why refused, or why it failed.
        failed: nothing to test.
    """

    deployed: Deployed
    note: str = ""
    failed: bool = False


def verdict_of(runner: Runner, deployed: Deployed) -> Verdict:
    """Look at what training left: a residual that its own file refuses is not tested again, it is direct transfer."""
    for stage in deployed.stages:
        if reason := runner.failure(stage):
            return Verdict(deployed, f"failed: {reason}", failed=True)
    if deployed.residual is None:
        return Verdict(deployed)
    folder = runner.folder(deployed.residual.stage).out
    refused = open_model(folder / deployed.residual.file).spec.refused
    if refused:
        return Verdict(Deployed(deployed.policy, None, deployed.model), f"refused: {refused}")
    chosen = _read(folder / "metrics.json").get("chosen", "")
    return Verdict(deployed, f"loss {chosen}" if chosen else "")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@dataclass
class Measured:
    """One method.

    Attributes:
        name: of the method.
        words: what it is.
        notes: by pipeline.
        episodes: by pipeline: of each wrist, in order; only pipelines that have them all.
        errors: by pipeline: one-step errors (mrad) of its dynamics model and of those beside it, by data.
    """

    name: str
    words: str
    notes: dict[int, str] = field(default_factory=dict)
    episodes: dict[int, list[Outcomes]] = field(default_factory=dict)
    errors: dict[int, dict[str, dict[str, float]]] = field(default_factory=dict)

    def values(self, metric: str, pipelines: Sequence[int], wrists: slice) -> Array:
        """(pipelines, wrists, episodes)."""
        return np.array([[getattr(t, metric) for t in self.episodes[p][wrists]] for p in pipelines])


@dataclass(frozen=True)
class Row:
    """A method at one wrist, or at all of them.

    Attributes:
        method: name.
        wrist: name, or ``BOTH``.
        pipelines: whose episodes are in it.
        metrics: mean and standard deviation over pipelines, by metric.
        rotation: RotR over that of direct transfer in the same pipelines; None where there is nothing to compare with.
        held: TTF likewise.
        rotation_to_joint: RotR over that of the joint-wise method.
    """

    method: str
    wrist: str
    pipelines: tuple[int, ...]
    metrics: Mapping[str, Spread]
    rotation: Ratio | None
    held: Ratio | None
    rotation_to_joint: Ratio | None = None


def rows_of(measured: Mapping[str, Measured], wrists: Sequence[str]) -> list[Row]:
    """Each wrist's rows, then those of all wrists together; a method without episodes has none."""
    parts = {wrist: slice(k, k + 1) for k, wrist in enumerate(wrists)}
    if len(wrists) > 1:
        parts[BOTH] = slice(None)
    return [
        _row(each, measured, wrist, part)
        for wrist, part in parts.items()
        for each in measured.values()
        if each.episodes
    ]


def shared(measured: Mapping[str, Measured]) -> dict[str, Measured]:
    """The methods that have episodes, with those pipelines only that all of them have: what may be ranked."""
    some = {name: each for name, each in measured.items() if each.episodes and each.name != NOMINAL}
    both = set.intersection(*(set(each.episodes) for each in some.values())) if some else set()
    return {
        name: replace(each, episodes={p: each.episodes[p] for p in sorted(both)})
        for name, each in some.items()
    }


def _row(each: Measured, all_of: Mapping[str, Measured], wrist: str, part: slice) -> Row:
    pipelines = tuple(sorted(each.episodes))
    if each.name == NOMINAL:  # another world, other grasps: nothing to be paired with
        all_of = {}
    metrics = {name: spread(each.values(name, pipelines, part)) for name in METRICS}
    return Row(
        each.name,
        wrist,
        pipelines,
        metrics,
        _ratio(each, all_of.get(DIRECT), "rotation_rad", part),
        _ratio(each, all_of.get(DIRECT), "held_s", part),
        _ratio(each, all_of.get("joint"), "rotation_rad", part),
    )


def _ratio(each: Measured, other: Measured | None, metric: str, part: slice) -> Ratio | None:
    shared = sorted(set(each.episodes) & set(other.episodes)) if other else []
    if other is None or not shared:
        return None
    return ratio(each.values(metric, shared, part), other.values(metric, shared, part))
