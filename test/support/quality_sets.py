# SPDX-License-Identifier: Apache-2.0
"""Episodes whose hand answers in a known way, for the quality report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.episode import Episode, Finding, Verdict
from dexndm_ros.datasets.features import empty_columns
from dexndm_ros.hand.joints import CANONICAL_POSE_RAD

__all__ = ["NIGHT_NS", "TICK_NS", "answering_episode", "rows_of"]

NIGHT_NS = 1_795_000_000_000_000_000
TICK_NS = 50_000_000


def answering_episode(
    identity: str,
    seed: int = 0,
    rows: int = 120,
    answer_ticks: int = 2,
    offset_rad: float = 0.0,
    centre_rad: NDArray[np.float64] = CANONICAL_POSE_RAD,
    findings: Sequence[Finding] = (),
    verdict: Verdict = "keep",
    **facts: Any,
) -> Episode:
    """The joints do what they are told so many ticks later, ``offset_rad`` short of it.

    Args:
        identity: of the episode.
        seed: of the motion.
        rows: ticks.
        answer_ticks: state[t] = action[t - answer_ticks] - offset_rad.
        offset_rad: see above.
        centre_rad: the targets wander around it, (16,).
        findings: of the episode.
        verdict: of the episode.
        facts: over the usual ones.
    """
    rng = np.random.default_rng(seed)
    phase, period = rng.uniform(0, 2 * np.pi, 16), rng.uniform(9, 40, 16)
    ticks = np.arange(-answer_ticks, rows)
    target = centre_rad + 0.2 * np.sin(phase + 2 * np.pi * ticks[:, None] / period)
    columns = empty_columns(rows)
    columns["action"][...] = target[answer_ticks:]
    columns["action.clean"][...] = target[answer_ticks:]
    columns["observation.state"][...] = target[:rows] - offset_rad
    columns["observation.command"][...] = target[:rows]
    columns["observation.velocity"][...] = 0.0
    columns["observation.wrist"][...] = (0.0, 0.0, 0.0, 1.0)
    columns["observation.current"][...] = np.where(np.arange(rows)[:, None] % 2, 0.1, -0.1)
    columns["observation.temperature"][...] = 30.0 + np.arange(16)
    known = {
        "kind": "replay", "bag": f"bag of {identity}", "campaign": "night", "orientation": "palm_up",
        "trajectory": seed, "started_ns": NIGHT_NS + seed * 22_000_000_000, **facts,
    }  # fmt: skip
    columns["action.stamp_ns"][...] = known["started_ns"] + TICK_NS * np.arange(rows)
    columns["observation.stamp_ns"][...] = columns["action.stamp_ns"] - 4_000_000
    columns["valid"][...] = True
    return Episode(identity, "try", columns, known, tuple(findings), verdict)


def rows_of(episodes: Sequence[Episode], first: int = 0) -> dict[str, NDArray[Any]]:
    """The columns of these one after the other, with their numbers, as a data file has them."""
    lengths = [len(each) for each in episodes]
    columns = {
        name: np.concatenate([each.columns[name] for each in episodes])
        for name in episodes[0].columns
    }
    columns["episode_index"] = np.repeat(np.arange(first, first + len(episodes)), lengths)
    columns["index"] = np.arange(sum(lengths)) + sum(lengths[:1]) * first
    return columns
