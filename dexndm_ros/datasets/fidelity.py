# SPDX-License-Identifier: Apache-2.0
"""Whether a replayed trajectory is what it claims: clean targets of the library, noise of the seed, their sum sent."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.assemble import Cut
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.tables import size
from dexndm_ros.replay.library import TrajectoryLibrary
from dexndm_ros.replay.noise import NoiseConfig, NoiseError, executed, noise
from dexndm_ros.replay.trajectory import STEPS, LibraryError

__all__ = ["check_fidelity"]

Vectors = NDArray[np.float64]


def check_fidelity(
    cut: Cut, custom: Mapping[str, str], library: Path | None, library_sha256: str
) -> Iterator[Finding]:
    """Compare to the last bit; rows that are missing are not looked at.

    Args:
        cut: a replay or a policy's run.
        custom: what the bag says of itself.
        library: file of the clean targets; None = they are not compared.
        library_sha256: of that file.
    """
    ticks = cut.ticks
    if cut.kind == "replay":
        yield from _sums(cut)
        yield from _noise(cut, custom)
        if library is not None:
            yield from _clean(cut, custom, library, library_sha256)
    commands = cut.tables.get("command")
    if commands is None or not size(commands) or cut.kind == "joint_state":
        return
    numbers = commands["seq"].astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    place = np.minimum(np.searchsorted(numbers[order], ticks.command_seq), len(order) - 1)
    index = order[place]
    found = numbers[index] == ticks.command_seq
    if ticks.source:
        found &= commands["source"][index] == ticks.source
    wrong = _differ(commands["position"][index[found]], ticks.target[found])
    yield from _tell(
        wrong, np.flatnonzero(found), "the command's position is not the step's target"
    )


def _sums(cut: Cut) -> Iterator[Finding]:
    ticks = cut.ticks
    with np.errstate(invalid="ignore"):
        wanted = executed(ticks.clean, ticks.noise)
    yield from _tell(_differ(wanted, ticks.target), None, "target is not clean target + noise")


def _noise(cut: Cut, custom: Mapping[str, str]) -> Iterator[Finding]:
    try:
        config = NoiseConfig(float(custom["noise_probability"]), float(custom["noise_sigma_rad"]))
        drawn = noise(config, int(cut.rows["seed"][0]), STEPS)
    except (KeyError, ValueError, NoiseError):
        return  # a bag that does not say how its noise was drawn
    number = cut.ticks.number
    inside = (number >= 0) & (number < STEPS)
    wrong = _differ(drawn[number[inside]], cut.ticks.noise[inside])
    yield from _tell(wrong, np.flatnonzero(inside), "noise is not what the seed gives")


@functools.lru_cache(maxsize=2)
def _library(path: Path) -> TrajectoryLibrary:
    return TrajectoryLibrary(path)


def _clean(cut: Cut, custom: Mapping[str, str], path: Path, sha256: str) -> Iterator[Finding]:
    if custom.get("library_sha256", sha256) != sha256:
        yield finding(
            "fidelity",
            1,
            "flagged",
            f"recorded with another library (sha256 {custom['library_sha256'][:12]}) than {path.name} "
            f"({sha256[:12]}): its clean targets were not compared",
        )
        return
    number = int(cut.rows["trajectory"][0])
    try:
        clean: Any = _library(path).trajectory(number).targets_rad
    except LibraryError as error:
        yield finding("fidelity", 1, "dropped", f"trajectory {number}: {error}")
        return
    inside = (cut.ticks.number >= 0) & (cut.ticks.number < len(clean))
    wrong = _differ(clean[cut.ticks.number[inside]], cut.ticks.clean[inside])
    yield from _tell(wrong, np.flatnonzero(inside), "clean target is not the library's")


def _differ(a: Vectors, b: Vectors) -> NDArray[np.bool_]:
    """Rows that differ in any bit."""
    left = np.ascontiguousarray(a, dtype=np.float64).view(np.uint64)
    right = np.ascontiguousarray(b, dtype=np.float64).view(np.uint64)
    return np.asarray((left != right).any(axis=1))


def _tell(wrong: NDArray[np.bool_], rows: NDArray[np.intp] | None, what: str) -> Iterator[Finding]:
    if count := int(wrong.sum()):
        first = int(np.argmax(wrong))
        row = first if rows is None else int(rows[first])
        yield finding(
            "fidelity", count, "dropped", f"{what}: in {count} of the rows, first in row {row}"
        )
