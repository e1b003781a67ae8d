# SPDX-License-Identifier: Apache-2.0
"""How far the simulator is from recorded motion when it is told the same targets, corrected or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.correction import Correction, step_corrected
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.corrections.follow import velocities
from dexndm_ros.training.stretches import Stretch

__all__ = ["open_loop", "pieces", "rms_mrad"]

Array = NDArray[np.float64]
_PIECE_STEPS = 100


def pieces(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """Pieces of five seconds, spread evenly over what was recorded; of a shorter stretch, the whole.

    Free fingers meet now and then, and two hands that meet them on other sides stay apart however well one
    simulates the other's joints; so a long stretch says little about its end.

    Args:
        stretches: what was recorded.
        most: pieces.
    """
    cut = [
        dataclasses.replace(each, q=each.q[a:b], qd=each.qd[a:b], action=each.action[a:b])
        for each in stretches
        for a in range(0, max(1, len(each.q) - _PIECE_STEPS), _PIECE_STEPS)
        for b in [a + _PIECE_STEPS + 1]
    ]
    if len(cut) <= most:
        return cut
    return [cut[k] for k in np.linspace(0, len(cut) - 1, most).round().astype(int)]


def open_loop(
    stretches: Sequence[Stretch], world: World, correction: Correction | None, threads: int
) -> list[Array]:
    """Simulated angles under the recorded targets, from each stretch's first row on.

    Args:
        stretches: what was recorded; one hand each, under its wrist.
        world: the simulator.
        correction: of as many hands; None = the simulator as it is.
        threads: physics threads.

    Returns:
        Of each stretch (M, 16) rad; the first row is the recorded one.
    """
    worlds = [dataclasses.replace(world, wrist=each.wrist) for each in stretches]
    batch = HandBatch(worlds, threads)
    length = max(len(each.q) for each in stretches)
    action = np.stack(
        [np.pad(s.action, ((0, length - len(s.action)), (0, 0)), "edge") for s in stretches], axis=1
    )
    q = np.empty((length, len(stretches), JOINT_COUNT))
    q[0] = [each.q[0] for each in stretches]
    velocity = np.stack([velocities(each.q, batch.control_period_s)[0] for each in stretches])
    batch.set_state(np.arange(batch.count), q[0], target=action[0], velocity=velocity)
    if correction is not None:
        correction.reset(np.ones(batch.count, dtype=bool), q[0], action[0])
    for step in range(length - 1):
        if correction is None:
            batch.step(action[step])
        else:
            step_corrected(batch, correction, action[step])
        q[step + 1] = batch.q
    return [q[: len(each.q), n] for n, each in enumerate(stretches)]


def rms_mrad(stretches: Sequence[Stretch], simulated: Sequence[Array]) -> Array:
    """Root mean square error of each joint behind the first rows, (16,) mrad."""
    errors = [sim[1:] - each.q[1:] for each, sim in zip(stretches, simulated, strict=True)]
    return np.asarray(1e3 * np.sqrt((np.concatenate(errors) ** 2).mean(axis=0)))
