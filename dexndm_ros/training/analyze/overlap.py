# SPDX-License-Identifier: Apache-2.0
"""How far the histories of two datasets overlap, joint by joint, finger by finger, and for the whole hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from dexndm_ros.training.analyze.histories import GROUPS, Histories, features

__all__ = ["Overlap", "embed", "measure_overlap", "overlap_of"]

Array = NDArray[np.float64]
Halves = tuple[Histories, Histories]

COVERED = 0.95
"""Share of the data's own second half that counts as covered by its first; gives the radius."""
_TREES = 100
_LEAF = 5
"""Least windows in a leaf."""
_PERPLEXITY = 30.0
_ITERATIONS = 500


@dataclass(frozen=True)
class Overlap:
    """Of one group of joints.

    Attributes:
        coverage: share of the other dataset's histories that have one of the data within the radius in which 95 % of
            the data's own other half have one; 0.95 = covered like the data itself.
        distance: median distance of the other's histories to the nearest of the data, root mean square over the numbers
            of a history, each in units of its spread over the data.
        distance_ratio: median distance of the other's histories to the nearest of the data, over the same of the
            data's own other half; 1 = as near.
        auc: area under the ROC curve of a classifier that tells the two apart by angles and targets, on trajectories
            it has not seen; 0.5 = it cannot, 1 = always.
        auc_fine: the same of one that sees the changes between angles and the distances to the targets too.
    """

    coverage: float
    distance: float
    distance_ratio: float
    auc: float
    auc_fine: float


def overlap_of(data: Halves, other: Halves, joints: tuple[int, ...], seed: int) -> Overlap:
    """Measure one group.

    Distances are Euclidean between whole histories of angles and targets, each number divided by its spread over the
    data. The classifier (extremely randomised trees) learns from the first halves and is measured on the second
    ones; this is a classifier two-sample test (Lopez-Paz and Oquab, 2017).

    Args:
        data: both halves of the first dataset.
        other: both halves of the second.
        joints: of the group.
        seed: of the classifier.
    """
    raw = [[half.raw(joints) for half in halves] for halves in (data, other)]
    fine = [[_fine(half, joints) for half in halves] for halves in (data, other)]
    reference = raw[0][0]
    spread = _spread(reference)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(reference / spread)
    own, others = (search.kneighbors(each[1] / spread)[0][:, 0] for each in raw)
    # "higher": of the data's own half, at least this share is within the radius, also where there are few.
    radius = np.quantile(own, COVERED, method="higher")
    return Overlap(
        coverage=float(np.mean(others <= radius)),
        distance=float(np.median(others) / np.sqrt(reference.shape[1])),
        distance_ratio=float(np.median(others) / max(float(np.median(own)), 1e-12)),
        auc=_auc(raw[0], raw[1], seed),
        auc_fine=_auc(fine[0], fine[1], seed),
    )


def _fine(histories: Histories, joints: tuple[int, ...]) -> Array:
    """Trees look at one number at a time: changes and distances have to be numbers of their own."""
    return features(histories)[:, list(joints)].reshape(len(histories), -1)


def _auc(data: Sequence[Array], other: Sequence[Array], seed: int) -> float:
    """Learnt from the first halves, measured on the second ones."""
    x = [np.concatenate(both) for both in zip(data, other, strict=True)]
    y = [np.repeat([0, 1], [len(a), len(b)]) for a, b in zip(data, other, strict=True)]
    trees = ExtraTreesClassifier(
        _TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=seed, n_jobs=-1
    )
    trees.fit(x[0], y[0])
    trees.n_jobs = (
        1  # threads would add up the trees' votes in any order, and so to other last digits
    )
    scores = trees.predict_proba(x[1])[:, 1]
    return float(roc_auc_score(y[1], scores))


def _spread(rows: Array) -> Array:
    return np.maximum(rows.std(axis=0), 1e-6)


def measure_overlap(
    data: Halves, other: Halves, seed: int, tick: Callable[[str], None]
) -> dict[str, Overlap]:
    """Every group of ``GROUPS``, by name; ``tick`` is called after each with its name."""
    found = {}
    for name, joints in GROUPS.items():
        found[name] = overlap_of(data, other, joints, seed)
        tick(f"overlap, {name}")
    return found


def embed(
    data: Histories, other: Histories, joints: tuple[int, ...], seed: int
) -> tuple[Array, Array]:
    """t-SNE of the histories of both together, as in the paper's figures.

    Returns:
        Places in the plane, (N, 2) of the data and (M, 2) of the other.
    """
    rows = np.concatenate([data.raw(joints), other.raw(joints)])
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    plane = TSNE(
        perplexity=perplexity, init="pca", max_iter=_ITERATIONS, random_state=seed
    ).fit_transform(rows / _spread(rows))
    return plane[: len(data)], plane[len(data) :]
