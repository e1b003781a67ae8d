# SPDX-License-Identifier: Apache-2.0
"""State-action histories: a sample of them, and what they look like in a plane (the paper's Figs. 4 and 15)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT

__all__ = ["HISTORY", "Histories", "compare", "project", "reached"]

HISTORY = 10
"""Ticks of a history: 0.5 s, as the joint-wise dynamics sees it."""
_MOST = 8_000
"""Histories kept; of more, as many evenly spread ones. Each takes 1,280 bytes."""
_ASKED = 500
"""Histories whose nearest neighbour is looked for."""
_CELLS = 40
"""Cells of the plane along each side."""


class Histories:
    """A sample of histories h = {q_j, a_j}, j = t-9..t. Which ones it holds follows from the rows' numbers alone.

    Args:
        rows: of the dataset; a good guess spares taking what is thrown away later.

    Attributes:
        seen: histories that were there to take.
    """

    def __init__(self, rows: int) -> None:
        self._kept = np.zeros((0, JOINT_COUNT, 2 * HISTORY), dtype=np.float32)
        self._episodes = np.zeros(0, dtype=np.int64)
        self._hashes = np.zeros(0, dtype=np.uint32)
        self._limit = min(2**32, 2**32 * _MOST // max(rows, 1))
        self.seen = 0

    def add(
        self,
        state: NDArray[np.floating],
        action: NDArray[np.floating],
        usable: NDArray[np.bool_],
        episode: NDArray[np.int64],
        index: NDArray[np.int64],
    ) -> None:
        """Take what is to be kept of the histories in these rows.

        Args:
            state: angles, (n, 16).
            action: targets, (n, 16).
            usable: rows that may be part of a history, (n,).
            episode: its number, (n,); a history never crosses from one into the next.
            index: number of the row in the dataset, (n,).
        """
        if len(index) < HISTORY:
            return
        run = np.cumsum(np.r_[0, usable])
        begin = np.flatnonzero(
            (run[HISTORY:] - run[:-HISTORY] == HISTORY)
            & (episode[HISTORY - 1 :] == episode[: len(episode) - HISTORY + 1])
        )
        self.seen += len(begin)
        # Multiplying spreads neighbours over all of 2^32, so that any limit takes an even share of all episodes.
        hashes = (index[begin].astype(np.uint64) * np.uint64(2654435761)).astype(np.uint32)
        take = hashes < self._limit
        begin, hashes = begin[take], hashes[take]
        rows = begin[:, None] + np.arange(HISTORY)
        found = np.concatenate([state[rows], action[rows]], axis=1).transpose(0, 2, 1)
        self._kept = np.concatenate([self._kept, found.astype(np.float32)])
        self._episodes = np.concatenate([self._episodes, episode[begin]])
        self._hashes = np.concatenate([self._hashes, hashes])
        while len(self._hashes) > _MOST:
            self._limit //= 2
            keep = self._hashes < self._limit
            self._kept, self._hashes = self._kept[keep], self._hashes[keep]
            self._episodes = self._episodes[keep]

    @property
    def sample(self) -> NDArray[np.float32]:
        """(m, 16, 20): of each joint ten angles and ten targets."""
        return self._kept

    @property
    def episodes(self) -> NDArray[np.int64]:
        """Which episode each of the sample is from, (m,)."""
        return self._episodes


def project(
    sample: NDArray[np.float32], other: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two principal components of both sets together.

    Args:
        sample: (m, k).
        other: (n, k), may be empty.

    Returns:
        (m, 2) and (n, 2).
    """
    both = np.concatenate([sample, other]).astype(np.float64)
    both -= both.mean(axis=0)
    _, vectors = np.linalg.eigh(both.T @ both)
    axes = vectors[:, -2:][:, ::-1]
    # The sign of an eigenvector is anybody's choice; the picture's is not.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    flat = both @ axes
    return flat[: len(sample)], flat[len(sample) :]


def reached(
    collected: NDArray[np.float32], task: NDArray[np.float32], episodes: NDArray[np.int64]
) -> float:
    """Share of the task's histories that have a collected one nearby.

    Nearby is what 99 % of the collected ones have: the distance to the closest one of another episode.

    Args:
        collected: (m, k).
        task: (n, k).
        episodes: of each collected one, (m,).

    Returns:
        NaN where all collected ones are of one episode.
    """
    if len(task) == 0 or len(np.unique(episodes)) < 2:
        return float("nan")
    some = slice(None, None, -(-len(collected) // _ASKED))
    usual = _nearest(collected[some], collected, episodes[some, None] == episodes)
    distance = _nearest(task[:: -(-len(task) // _ASKED)], collected, None)
    return float(np.mean(distance <= np.quantile(usual, 0.99)))


def _nearest(
    points: NDArray[np.float32], others: NDArray[np.float32], barred: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Squared distance of each point to the closest of the others."""
    squares = np.einsum("ik,ik->i", others, others) - 2.0 * (points @ others.T)
    if barred is not None:
        squares[barred] = np.inf
    found: NDArray[np.float32] = squares.min(axis=1) + np.einsum("ik,ik->i", points, points)
    return found


def compare(collected: Histories, task: Histories) -> dict[str, Any]:
    """Where the histories lie, each joint's and the whole hand's.

    Returns:
        ``views``: ``collected`` and ``task`` counts in 40 x 40 cells ((x, y), nested lists; None where there are
        none), and ``reached``, see :func:`reached`; None without both. Sixteen joints, then the whole hand; empty
        where there is nothing to see.
    """
    ours, theirs = collected.sample, task.sample
    views: list[dict[str, Any]] = []
    if len(ours) + len(theirs) >= 2 * HISTORY:
        joints = [(ours[:, k], theirs[:, k]) for k in range(JOINT_COUNT)]
        size = int(np.prod(ours.shape[1:]))  # -1 is not allowed where one of them is empty
        hand = (ours.reshape(len(ours), size), theirs.reshape(len(theirs), size))
        for here, there in (*joints, hand):
            share = reached(here, there, collected.episodes)
            views.append({**_view(here, there), "reached": share if len(theirs) else None})
    return {
        "ticks": HISTORY,
        "collected": collected.seen,
        "collected_sample": len(ours),
        "task": task.seen,
        "task_sample": len(theirs),
        "views": views,
    }


def _view(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, Any]:
    ours_flat, theirs_flat = project(ours, theirs)
    both = np.concatenate([ours_flat, theirs_flat])
    low, high = both.min(axis=0), both.max(axis=0)
    span = np.maximum(high - low, 1e-9)

    def cells(points: NDArray[np.float64]) -> list[list[int]] | None:
        inside = np.clip((points - low) / span * _CELLS, 0, _CELLS - 1).astype(np.int64)
        flat = inside[:, 0] * _CELLS + inside[:, 1]
        counts = np.bincount(flat, minlength=_CELLS * _CELLS).reshape(_CELLS, _CELLS)
        return counts.tolist() if len(points) else None

    return {"collected": cells(ours_flat), "task": cells(theirs_flat)}
