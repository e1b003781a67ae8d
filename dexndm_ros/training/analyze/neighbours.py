# SPDX-License-Identifier: Apache-2.0
"""What joints know of each other: how well a history foretells neighbours, and what neighbours' histories add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.training.analyze.histories import LEVELS, Histories, features

__all__ = ["FORETOLD", "Gains", "foretell", "measure_gains"]

Array = NDArray[np.float64]

_RIDGE = 1e-4
"""Times the number of windows, on standardised numbers."""
FORETOLD = (
    "own next angle",
    "previous joint's angle",
    "next joint's angle",
    "previous joint's target",
    "next joint's target",
)
"""What a joint's history is to foretell (paper, A.4); the last joint's next is the first."""
_HIDDEN = 400


class Moments:
    """Sums of products of some windows: enough to fit and to measure any linear model on some of the columns.

    Args:
        x: (N, columns), standardised.
        y: (N, outputs).
    """

    def __init__(self, x: Array, y: Array) -> None:
        self.count = len(x)
        rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        self.xx = rows.T @ rows
        self.xy = rows.T @ y
        self.yy = np.sum(y**2, axis=0)

    def fit(self, columns: NDArray[np.intp], output: int) -> Array:
        """Ridge regression, closed form; the constant is the last column and not held down."""
        chosen = np.append(columns, len(self.xx) - 1)
        held = np.full(len(chosen), _RIDGE * self.count)
        held[-1] = 0.0
        found: Array = np.linalg.solve(
            self.xx[np.ix_(chosen, chosen)] + np.diag(held), self.xy[chosen, output]
        )
        return found

    def rms(self, columns: NDArray[np.intp], output: int, weights: Array) -> float:
        """Root mean square error of such a fit."""
        chosen = np.append(columns, len(self.xx) - 1)
        square = (
            self.yy[output]
            - 2 * weights @ self.xy[chosen, output]
            + weights @ self.xx[np.ix_(chosen, chosen)] @ weights
        )
        return float(np.sqrt(max(square, 0.0) / self.count))


@dataclass(frozen=True, eq=False)
class Gains:
    """What a joint's next change gains from histories of other joints, on windows that nothing was fitted to.

    Attributes:
        own_mrad: error from the joint's own history, (16,).
        added: share of it that goes away when joint j's history is added, (16, 16): row the predicted joint,
            column the added one; 0 on the diagonal.
        finger: the same for all of its finger, (16,).
        hand: for all sixteen, (16,).
    """

    own_mrad: Array
    added: Array
    finger: Array
    hand: Array


def measure_gains(train: Histories, tests: Mapping[str, Histories]) -> dict[str, Gains]:
    """Fit linear models on some windows, and measure them on others.

    Args:
        train: to fit on.
        tests: to measure on, by name.
    """
    x = features(train)
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    fitted = _moments(train, mean, spread)
    found = {}
    for name, test in tests.items():
        measured = _moments(test, mean, spread)
        found[name] = _gains(fitted, measured, x.shape[2])
    return found


def _moments(histories: Histories, mean: Array, spread: Array) -> Moments:
    rows = (features(histories) - mean) / spread
    return Moments(rows.reshape(len(rows), -1), histories.change)


def _gains(fitted: Moments, measured: Moments, width: int) -> Gains:
    def error(joint: int, seen: tuple[int, ...]) -> float:
        columns = np.concatenate([np.arange(width) + k * width for k in seen])
        return measured.rms(columns, joint, fitted.fit(columns, joint))

    joints = range(JOINT_COUNT)
    finger_of = {k: joints for joints in LEVELS["finger"].values() for k in joints}
    own = np.array([error(i, (i,)) for i in joints])
    safe = np.maximum(own, 1e-12)
    added = np.array([[0.0 if i == j else 1 - error(i, (i, j)) / safe[i] for j in joints] for i in joints])  # fmt: skip
    return Gains(
        1e3 * own,
        added,
        np.array([1 - error(i, finger_of[i]) / safe[i] for i in joints]),
        np.array([1 - error(i, tuple(joints)) / safe[i] for i in joints]),
    )


def foretell(
    train: Histories, tests: Mapping[str, Histories], seed: int, tick: Callable[[str], None]
) -> dict[str, tuple[Array, Array]]:
    """What one joint's history tells of its own future, and of its neighbours at the same time (paper, A.4).

    A network for each joint, from its history to the five numbers of ``FORETOLD``, its own as a change. Its hidden
    layer is drawn and stays as it is (random features, Rahimi and Recht, 2008), so that it is fitted in closed form.

    Args:
        train: to learn from.
        tests: to measure on, by name.
        seed: of the hidden layer.
        tick: called after each joint.

    Returns:
        By name: root mean square errors, (16, 5) mrad, and the same as shares of what is foretold's spread there.
    """
    errors = {name: np.empty((JOINT_COUNT, len(FORETOLD))) for name in tests}
    inputs = {name: features(each) for name, each in [("", train), *tests.items()]}
    wanted = {name: _wanted(each) for name, each in [("", train), *tests.items()]}
    mean, spread = inputs[""].mean(axis=0), np.maximum(inputs[""].std(axis=0), 1e-9)
    random = np.random.default_rng(seed)
    weights = random.normal(size=(mean.shape[1], _HIDDEN)) / np.sqrt(mean.shape[1])
    shift = random.normal(size=_HIDDEN)
    for joint in range(JOINT_COUNT):
        moments = {}
        for name, rows in inputs.items():
            x = (rows[:, joint] - mean[joint]) / spread[joint]
            hidden = np.maximum(x @ weights + shift, 0.0)
            moments[name] = Moments(np.concatenate([x, hidden], axis=1), wanted[name][:, joint])
        columns = np.arange(mean.shape[1] + _HIDDEN)
        for what in range(len(FORETOLD)):
            fitted = moments[""].fit(columns, what)
            for name in tests:
                errors[name][joint, what] = moments[name].rms(columns, what, fitted)
        tick(f"neighbours of {JOINT_NAMES[joint]}")
    return {
        name: (1e3 * errors[name], errors[name] / _spread_of_foretold(tests[name]))
        for name in tests
    }


def _wanted(histories: Histories) -> Array:
    """What is foretold of each joint, (N, 16, 5) rad; its own angle as a change."""
    return np.stack([histories.change, *_neighbours(histories)], axis=2)


def _neighbours(histories: Histories) -> list[Array]:
    now = (histories.q[:, -2], histories.a[:, -1])
    return [np.roll(rows, step, axis=1) for rows in now for step in (1, -1)]


def _spread_of_foretold(histories: Histories) -> Array:
    whole = np.stack([histories.q[:, -1], *_neighbours(histories)], axis=2)
    return np.maximum(whole.std(axis=0), 1e-9)
