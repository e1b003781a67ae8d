# SPDX-License-Identifier: Apache-2.0
"""What makes a simulator move as a recorded hand did, while a policy learns in it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.sim.hands import Hands, JointLoad

__all__ = ["Correction", "step_corrected"]

Array = NDArray[np.float64]


class Correction(Protocol):
    """Changes what N simulated hands do with their commands; angles (N, 16) rad in motor order."""

    def reset(self, rows: NDArray[np.bool_], q: Array, target: Array) -> None:
        """Episodes of the rows (N,) begin, at rest at angles q, with servos that hold the targets.

        Only the rows' own angles and targets count.
        """

    def target(self, q: Array, target: Array) -> Array:
        """What the motors get for a command, (N, 16) rad; asked once a control step, before `torque`."""

    def torque(self, q: Array, qd: Array) -> Array | None:
        """Torque beside that of the servos, (N, 16) N·m; asked once before every physics step.

        Args:
            q: angles.
            qd: velocities, (N, 16) rad/s.

        Returns:
            None from a correction that never has any; it may then be asked only once a control step.
        """


def step_corrected(
    batch: Hands, correction: Correction, target: Array, push: Array | None = None
) -> Array:
    """Advance hands one control period under corrected commands.

    Args:
        batch: the hands.
        correction: of their motion.
        target: commands, (N, 16) rad.
        push: force on the object, see ``Hands.step``.

    Returns:
        What the motors got, (N, 16) rad.
    """
    sent = correction.target(batch.q, target)
    first = correction.torque(batch.q, batch.qd)
    if first is None:
        batch.step(sent, push=push)
    else:
        batch.step(sent, _beginning_with(first, correction), push)
    return sent


def _beginning_with(first: Array, correction: Correction) -> JointLoad:
    """Torques of a control step, of which the first is known already."""
    known = [first]

    def load(q: Array, qd: Array) -> Array:
        if known:
            return known.pop()
        torque = correction.torque(q, qd)
        if torque is None:
            raise TypeError("a correction gave a torque in one physics step and none in the next")
        return torque

    return load
