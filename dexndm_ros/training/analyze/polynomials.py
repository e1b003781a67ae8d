# SPDX-License-Identifier: Apache-2.0
"""How smooth motion and torques are over a short window: what polynomials of each degree leave (paper, A.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.analyze.config import AnalyzeConfig
from dexndm_ros.training.analyze.histories import Histories, draw_columns, features

__all__ = [
    "UNITS",
    "Fits",
    "fit_windows",
    "inverse_of",
    "measure_fits",
    "noise_left",
    "virtual_torques",
]

Array = NDArray[np.float64]

UNITS = {
    "angle": ("mrad", 1e3),
    "target": ("mrad", 1e3),
    "active torque, a - q": ("mrad", 1e3),
    "servo current": ("mA", 1e3),
    "virtual torque": ("mrad", 1e3),
}
"""Unit and factor to it of each signal."""
_RIDGE = 1e-4
_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Fits:
    """Polynomials of degree 0 to D on windows of one signal.

    Attributes:
        rms: root mean square of what is left, (N, 16, D + 1), in the signal's own unit.
        examples: some windows, (3, W), each of another joint and about as hard to fit as the median one at degree 3.
        fitted: polynomials of degree 3 (or D) on them, (3, W).
    """

    rms: Array
    examples: Array
    fitted: Array

    @property
    def left(self) -> Array:
        """Share of a window's spread about its mean that is left, each degree over all joints, (D + 1,)."""
        total = np.sqrt(np.mean(self.rms**2, axis=(0, 1)))
        share: Array = total / max(float(total[0]), 1e-12)
        return share


def noise_left(window: int, degree: int) -> Array:
    """What polynomials of degree 0 to ``degree`` leave of white noise, as ``Fits.left`` has it."""
    share: Array = np.sqrt((window - 1 - np.arange(degree + 1)) / (window - 1))
    return share


def _basis(window: int, degree: int) -> Array:
    """Orthonormal polynomials over the ticks of a window, (W, degree + 1)."""
    return np.linalg.qr(legendre.legvander(np.linspace(-1.0, 1.0, window), degree))[0]


def fit_windows(signal: Array, degree: int) -> Fits:
    """Fit every window of every joint by least squares.

    Args:
        signal: (N, W, 16).
        degree: highest; less than W.
    """
    basis = _basis(signal.shape[1], degree)
    left = signal.transpose(0, 2, 1).copy()
    rms = np.empty((*left.shape[:2], degree + 1))
    for d in range(degree + 1):
        left -= (left @ basis[:, d])[..., None] * basis[:, d]
        rms[..., d] = np.sqrt(np.mean(left**2, axis=2))
    shown = min(3, degree)
    rows, joints = _typical(rms[..., shown])
    examples = signal.transpose(0, 2, 1)[rows, joints]
    low = basis[:, : shown + 1]
    return Fits(rms, examples, examples @ low @ low.T)


def _typical(rms: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Windows with about the median error of all, one each of some joints."""
    joints = np.linspace(1, JOINT_COUNT - 2, _EXAMPLES).astype(np.intp)
    off = np.abs(rms[:, joints] - np.median(rms))
    return np.argmin(off, axis=0), joints


def _signals(folder: Path, config: AnalyzeConfig, inverse: Array | None) -> dict[str, Array]:
    """What is fitted, (N, W, 16) each: angles rad, targets rad, a - q rad, currents A, virtual torques rad.

    Currents are left out where the dataset has none, virtual torques without an inverse model.

    Args:
        folder: of the dataset.
        config: window, number of windows, seed.
        inverse: of ``inverse_of``.
    """
    names = ("observation.state", "action", "observation.current")
    q, a, current = draw_columns(folder, names, config.window, config.windows, config.seed, 1)
    found = {"angle": q, "target": a, "active torque, a - q": a - q}
    if np.isfinite(current).all():
        found["servo current"] = current
    if inverse is not None:
        # A window of virtual torques takes a window of history before its first, and an angle behind its last.
        long = draw_columns(
            folder, names[:2], 2 * config.window, config.windows, config.seed, half=1
        )
        found["virtual torque"] = virtual_torques(long[0], long[1], config.window, inverse)
    return found


def inverse_of(free: Histories) -> Array:
    """Inverse dynamics of each free joint: which target moves it to its next angle (paper, A.3).

    Linear, by ridge regression, from the history, the next angle and not the newest target.

    Args:
        free: histories of a hand with nothing in it.

    Returns:
        Weights, (16, 2 W + 1), the last of them the constant.
    """
    x, y = _inverse_rows(free)
    spread = np.maximum(x.std(axis=0), 1e-9)  # (16, 2 W)
    weights = np.empty((JOINT_COUNT, x.shape[2] + 1))
    for joint in range(JOINT_COUNT):
        rows = np.concatenate([x[:, joint] / spread[joint], np.ones((len(x), 1))], axis=1)
        held = np.diag([*[_RIDGE * len(x)] * x.shape[2], 0.0])
        found = np.linalg.solve(rows.T @ rows + held, rows.T @ y[:, joint])
        weights[joint] = found / np.append(spread[joint], 1.0)
    return weights


def _inverse_rows(histories: Histories) -> tuple[Array, Array]:
    """What the inverse model sees, (N, 16, 2 W), and the distance of the newest target that it tells, (N, 16)."""
    known = features(histories)
    # The newest distance a - q is what is asked for; the change that was reached stands in its place.
    seen = np.concatenate([known[..., :-1], histories.change[..., None]], axis=2)
    return seen, known[..., -1]


def virtual_torques(q: Array, a: Array, window: int, inverse: Array) -> Array:
    """Targets less those that a free hand would have needed for the same angles.

    Args:
        q: measured angles, (N, 2 W, 16) rad.
        a: targets, the same shape.
        window: ticks, W.
        inverse: of ``inverse_of``.

    Returns:
        Of ticks W - 1 to 2 W - 2, (N, W, 16) rad.
    """
    found = []
    for at in range(window):
        x, y = _inverse_rows(Histories(q[:, at : at + window + 1], a[:, at : at + window]))
        told = np.einsum("njk,jk->nj", x, inverse[:, :-1]) + inverse[:, -1]
        found.append(y - told)
    return np.stack(found, axis=1)


def measure_fits(folder: Path, config: AnalyzeConfig, inverse: Array | None) -> dict[str, Fits]:
    """Fits of every signal of a dataset, by name."""
    signals = _signals(folder, config, inverse)
    return {name: fit_windows(signal, config.degree) for name, signal in signals.items()}
