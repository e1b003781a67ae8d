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
from dexndm_ros.training.stretches import Stretch

__all__ = ["open_loop", "rms_mrad", "spread"]

Array = NDArray[np.float64]


def spread(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """At most so many of them, spread evenly."""
    if len(stretches) <= most:
        return list(stretches)
    return [stretches[k] for k in np.linspace(0, len(stretches) - 1, most).round().astype(int)]


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
    batch.set_state(np.arange(batch.count), q[0], target=action[0])
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
