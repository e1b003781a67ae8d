# SPDX-License-Identifier: Apache-2.0
"""Bags of made-up episodes, and a dataset that grows by them as a conversion makes it grow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.dataset_plan import write_file_job
from dexndm_ros.datasets.episode import BagResult, Episode, Finding
from dexndm_ros.datasets.part import part_name, write_part
from dexndm_ros.datasets.store import Building, Committed
from support.datasets import numbered_episode

__all__ = ["add_bags", "bag_of", "noisy_episode", "tree"]


def noisy_episode(identity: str, rows: int, seed: int = 0) -> Episode:
    """An episode whose joints wander."""
    random = np.random.default_rng(seed)
    episode = numbered_episode(identity, rows, 0, facts={"trajectory": seed, "lag": 1.5})
    for name in ("observation.state", "action", "observation.current"):
        walk = random.normal(0, 0.02, (rows, 16)).cumsum(axis=0)
        episode.columns[name][...] = walk.astype(np.float32)
    still = ("observation.velocity", "observation.command", "observation.temperature")
    for name in (*still, "observation.wrist", "action.clean"):
        episode.columns[name][...] = 0.5
    episode.columns["observation.stamp_ns"][...] = 10**18 + np.arange(rows) * 50_000_000
    return episode


def bag_of(name: str, episodes: Sequence[Episode], findings: Sequence[Finding] = ()) -> BagResult:
    """What a converter might have to say about a bag of these."""
    return BagResult(
        name=name,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        bytes=1000 + len(name),
        messages={"/hand/state": 10 * sum(map(len, episodes))},
        episodes=tuple(episodes),
        findings=tuple(findings),
        provenance={"software": "dexndm_ros 0.1.0", "campaign": "night", "drift": float("nan")},
    )


def add_bags(
    dataset: Path,
    bags: Sequence[BagResult],
    config: ConvertConfig | None = None,
    report: Callable[[Path], object] | None = None,
) -> Committed:
    """Parts, data files and commit, one after the other."""
    with Building(dataset, config or ConvertConfig()) as building:
        parts = [building.parts / part_name(each.sha256) for each in bags]
        for path, each in zip(parts, bags, strict=True):
            write_part(path, each)
        plan = building.plan(parts)
        files = [write_file_job(task) for task in plan.tasks_to_do]
        return building.commit(plan, files, report)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
