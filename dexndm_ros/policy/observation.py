# SPDX-License-Identifier: Apache-2.0
"""The proprioceptive observation: one function for training, evaluation and the node.

Layout of the 327 float32 numbers: ``HISTORY_LENGTH`` pairs of (measured angles ``q_k``, target in
force ``a_{k-1}``), *oldest first*, then the wrist quaternion (xyzw), then the rotation axis. All
angles are raw radians in motor order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "HISTORY_LENGTH",
    "JOINT_COUNT",
    "OBSERVATION_SIZE",
    "RESIDUAL_INPUT_SIZE",
    "ObservationHistory",
    "canonical_quaternion",
]

JOINT_COUNT = 16
HISTORY_LENGTH = 10
_PAIR = 2 * JOINT_COUNT
_HISTORY_SIZE = HISTORY_LENGTH * _PAIR
OBSERVATION_SIZE = _HISTORY_SIZE + 4 + 3
"""Numbers in the base policy's observation."""
RESIDUAL_INPUT_SIZE = OBSERVATION_SIZE + JOINT_COUNT
"""Numbers in the residual's input: the observation and the base action."""

# Below this a quaternion component counts as zero: composed rotations leave 1e-17 of either sign,
# which must not decide the sign of the other three.
_ZERO = 1e-6


def canonical_quaternion(xyzw: ArrayLike) -> NDArray[np.float32]:
    """The one of q and -q with w >= 0; where w is zero, the first non-zero component is positive.

    Args:
        xyzw: unit quaternions, shape (..., 4).

    Returns:
        The same rotations, shape (..., 4).
    """
    quaternion = np.asarray(xyzw, dtype=np.float32)
    w_first = quaternion[..., [3, 0, 1, 2]]
    leading = np.argmax(np.abs(w_first) > _ZERO, axis=-1)[..., None]
    negative = np.take_along_axis(w_first, leading, axis=-1) < 0.0
    return np.where(negative, -quaternion, quaternion)


class ObservationHistory:
    """The last ``HISTORY_LENGTH`` pairs of one hand, or of ``batch`` hands side by side.

    Shapes below are written for one hand; with a batch every array has a leading axis of ``batch``.

    Attributes:
        batch: number of hands, or None for a single one without the leading axis.
    """

    def __init__(self, batch: int | None = None) -> None:
        self.batch = batch
        lead = () if batch is None else (batch,)
        self._pairs = np.zeros((*lead, _HISTORY_SIZE), dtype=np.float32)

    def reset(self, q: ArrayLike, target: ArrayLike) -> None:
        """Fill every slot with (q, target), both (16,) rad."""
        pairs = self._pairs.reshape(*self._pairs.shape[:-1], HISTORY_LENGTH, 2, JOINT_COUNT)
        pairs[..., 0, :] = np.asarray(q)[..., None, :]
        pairs[..., 1, :] = np.asarray(target)[..., None, :]

    def reset_rows(self, mask: ArrayLike, q: ArrayLike, target: ArrayLike) -> None:
        """Fill every slot of the masked rows of a batch.

        Args:
            mask: rows to reset, bool (batch,).
            q: measured angles of *all* rows, (batch, 16) rad, or of one for all, (16,).
            target: targets in force, like ``q``.
        """
        if self.batch is None:
            raise ValueError("reset_rows needs a batch; this history is of one hand, use reset")
        rows = np.asarray(mask, dtype=bool)
        shape = (self.batch, JOINT_COUNT)
        pairs = self._pairs.reshape(self.batch, HISTORY_LENGTH, 2, JOINT_COUNT)
        pairs[rows, :, 0, :] = np.broadcast_to(np.asarray(q), shape)[rows][:, None, :]
        pairs[rows, :, 1, :] = np.broadcast_to(np.asarray(target), shape)[rows][:, None, :]

    def resume(self, q: ArrayLike, targets: ArrayLike) -> None:
        """Go on in mid-run: fill the slots with what was measured and sent.

        Args:
            q: measured angles of the last ``HISTORY_LENGTH`` ticks, oldest first, (10, 16) rad.
            targets: targets that were in force in them, the same shape.
        """
        shape = (*self._pairs.shape[:-1], HISTORY_LENGTH, 2, JOINT_COUNT)
        pairs = self._pairs.reshape(shape)
        pairs[..., 0, :] = q
        pairs[..., 1, :] = targets

    def push(self, q: ArrayLike, previous_target: ArrayLike) -> None:
        """Append the pair (q_k, a_{k-1}), both (16,) rad, and forget the oldest."""
        self._pairs[..., :-_PAIR] = self._pairs[..., _PAIR:]
        self._pairs[..., -_PAIR:-JOINT_COUNT] = q
        self._pairs[..., -JOINT_COUNT:] = previous_target

    def observation(self, wrist_xyzw: ArrayLike, axis: ArrayLike) -> NDArray[np.float32]:
        """The observation now.

        Args:
            wrist_xyzw: orientation of the palm frame in the world, unit, (4,) or (batch, 4).
            axis: rotation axis in the palm frame, unit, (3,) or (batch, 3).

        Returns:
            A new array, (327,) or (batch, 327).
        """
        out = np.empty((*self._pairs.shape[:-1], OBSERVATION_SIZE), dtype=np.float32)
        out[..., :_HISTORY_SIZE] = self._pairs
        out[..., _HISTORY_SIZE:-3] = canonical_quaternion(wrist_xyzw)
        out[..., -3:] = axis
        return out
