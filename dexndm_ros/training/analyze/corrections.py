# SPDX-License-Identifier: Apache-2.0
"""How much a residual policy corrects each joint: from rollouts that carry it, or from its file over a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.windows import WindowDataset
from dexndm_ros.hand.joints import permutation
from dexndm_ros.policy.observation import HISTORY_LENGTH, ObservationHistory
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.training.analyze.config import AnalyzeError

__all__ = ["PAPER_MRAD", "Corrections", "measure_corrections"]

Array = NDArray[np.float64]

PAPER_MRAD: Array = (
    1e3
    * np.array([
        0.0075, 0.0104, 0.0074, 0.0043, 0.0116, 0.0093, 0.0089, 0.0061,
        0.0113, 0.0066, 0.0054, 0.0059, 0.0085, 0.0113, 0.0052, 0.0047,
    ])[permutation("isaac_gym", "motor")]
)  # fmt: skip
"""Table 8 of the paper, a real hand, (16,), motor order."""
_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Corrections:
    """Of each joint, mrad.

    Attributes:
        source: where they come from, in words.
        rows: ticks they were taken from.
        mean: mean magnitude, (16,).
        high: magnitude that 95 % are below, (16,).
        most: largest magnitude, (16,).
        bias: mean with its sign, (16,).
    """

    source: str
    rows: int
    mean: Array
    high: Array
    most: Array
    bias: Array


def measure_corrections(residual: Path, data: Path, seed: int, most: int) -> Corrections:
    """Magnitudes of a correction.

    Args:
        residual: dataset whose ``action.residual`` is taken, or a residual policy file, which is run over ``data``:
            on what was measured there, and on the targets before noise and correction.
        data: dataset, for a file.
        seed: of the draw of ticks.
        most: ticks that are drawn; all where there are fewer.

    Raises:
        AnalyzeError: neither file nor dataset, no correction in the dataset, or no rows with a rotation axis.
        PolicySpecError: no residual policy.
        DatasetError: no dataset.
    """
    if residual.is_dir():
        values = _of_rollouts(residual, seed, most)
        source = f"rollouts {residual.name}"
    elif residual.is_file():
        values = _of_file(residual, data, seed, most)
        source = f"{residual.name} over {data.name}"
    else:
        raise AnalyzeError(
            f"{residual} does not exist; give a residual policy file, or rollouts that were made with one"
        )
    size = np.abs(values)
    return Corrections(
        source,
        len(values),
        1e3 * size.mean(axis=0),
        1e3 * np.quantile(size, 0.95, axis=0),
        1e3 * size.max(axis=0),
        1e3 * values.mean(axis=0),
    )


def _drawn(
    folder: Path, length: int, columns: tuple[str, ...], seed: int, most: int
) -> dict[str, NDArray[np.generic]]:
    windows = WindowDataset(folder, length, columns)
    if not len(windows):
        raise AnalyzeError(f"{folder}: no {length} valid rows in a row; give longer episodes")
    order = np.random.default_rng(seed).permutation(len(windows))[:most]
    return windows.windows(windows.starts[np.sort(order)])


def _of_rollouts(folder: Path, seed: int, most: int) -> Array:
    values = _drawn(folder, 1, ("action.residual",), seed, most)["action.residual"][:, 0]
    if not values.any():
        raise AnalyzeError(
            f"{folder}: action.residual is zero everywhere; make rollouts with `dexndm rollouts policy --residual FILE`"
        )
    return values.astype(np.float64)


def _of_file(file: Path, data: Path, seed: int, most: int) -> Array:
    model = open_model(file)
    if model.spec.kind != "residual":
        raise AnalyzeError(
            f"{file} is a {model.spec.kind} policy; give the file of a residual policy"
        )
    columns = ("observation.state", "action.clean", "observation.wrist", "observation.axis")
    found = _drawn(data, HISTORY_LENGTH + 1, columns, seed, most)
    q, base, wrist, axis = (found[name] for name in columns)
    asked = axis[:, -1].any(axis=1) & np.isfinite(wrist[:, -1]).all(axis=1)
    if not asked.any():
        raise AnalyzeError(
            f"{data}: no row with a wrist and a rotation axis, which the residual has to see; give rollouts of a policy"
        )
    q, base, wrist, axis = (rows[asked] for rows in (q, base, wrist, axis))
    history = ObservationHistory(len(q))
    history.resume(q[:, 1:], base[:, :-1])
    seen = history.observation(wrist[:, -1], axis[:, -1])
    rows = np.concatenate([seen, base[:, -1]], axis=1, dtype=np.float32)
    parts = [model.run(rows[at : at + _BATCH]) for at in range(0, len(rows), _BATCH)]
    bound = model.spec.residual_bound_rad
    return np.clip(np.concatenate(parts).astype(np.float64), -bound, bound)
