# SPDX-License-Identifier: Apache-2.0
"""Worlds as one model of ``mujoco_warp``: which of their numbers may differ, and what overflows mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mujoco
import mujoco_warp as mjw
import numpy as np
from numpy.typing import NDArray

from dexndm_ros.sim.worlds import World

__all__ = ["WarpConfig", "WarpError", "WarpOverflowError", "overflow_error", "put_worlds"]

_UNUSED = {"dof_length"}
"""Weighs the speeds of bodies that may fall asleep, which none of ours may."""
_GAUGES = {
    mjw.OverflowType.NEFC: ("constraints than njmax", "njmax"),
    mjw.OverflowType.NJMAX_NNZ: ("constraint Jacobian than njmax", "njmax"),
    mjw.OverflowType.BROADPHASE: ("pairs of geoms close by than nconmax", "nconmax"),
    mjw.OverflowType.NARROWPHASE: ("contacts than nconmax", "nconmax"),
    mjw.OverflowType.CCD: ("convex contacts than nconmax", "nconmax"),
    mjw.OverflowType.CONTACT_MATCH: ("contacts of a fingertip than its force sensor", ""),
    mjw.OverflowType.EPA_HORIZON: ("edges of a deep convex contact than its solver", ""),
}
# Reaching the preset's iterations (ITERATIONS, LS_ITERATIONS) loses nothing, and MuJoCo on a CPU stops there as well.


class WarpError(ValueError):
    """Worlds that cannot be stepped together by mujoco_warp; the message says why and what can."""


class WarpOverflowError(RuntimeError):
    """The simulator dropped contacts or constraints; the message names the setting to raise."""


@dataclasses.dataclass(frozen=True)
class WarpConfig:
    """Room that is set aside on the device.

    Attributes:
        nconmax: contacts a world, and pairs of geoms that come close; all worlds share the room of all.
        njmax: constraints a world (four a contact, one a joint at its limit); each world has its own room.
    """

    nconmax: int = 64
    njmax: int = 224


def put_worlds(worlds: Sequence[World], models: Sequence[mujoco.MjModel]) -> mjw.Model:
    """One device model of all worlds, with rows of their own for what differs among them.

    Args:
        worlds: N.
        models: compiled, one for each, with equally many geoms.

    Raises:
        WarpError: a servo with a gap, several physics presets, or models that differ in more than numbers.
    """
    _check(worlds)
    # Equal worlds share a model; what differs among the others is found once.
    distinct = list({id(model): model for model in models}.values())
    first = models[0]
    fields = {field.name: field.type for field in dataclasses.fields(mjw.Model)}
    differing = []
    for name in fields:
        value = getattr(first, name, None)
        if name in _UNUSED or not isinstance(value, np.ndarray):
            continue
        if any(not np.array_equal(value, getattr(model, name)) for model in distinct[1:]):
            if getattr(fields[name], "shape", ("",))[0] != "*":
                raise WarpError(_cannot(worlds, name))
            differing.append(name)
    device = mjw.put_model(first, batch_sizes=dict.fromkeys(differing, len(models)))
    for name in differing:
        array = getattr(device, name)
        rows = np.stack([getattr(model, name) for model in models])
        array.assign(rows.reshape(array.numpy().shape).astype(np.float32))
    device.opt.warn_overflow = 0  # not printed from kernels: `overflow_error` says it
    return device


def overflow_error(bits: NDArray[np.int32], config: WarpConfig) -> WarpOverflowError | None:
    """What overflowed, from the bits of all worlds (N,); None if nothing did."""
    for bit, (what, setting) in _GAUGES.items():
        rows = np.flatnonzero(bits & int(bit))
        if not len(rows):
            continue
        if setting:
            room = getattr(config, setting)
            cure = f"{setting} has room for ({room}): raise --{setting}"
            what = what.removesuffix(setting).rstrip()
        else:
            cure = (
                "has room for, which no setting of ours changes: use --engine cpu for these worlds"
            )
        return WarpOverflowError(
            f"world {rows[0]}{f' and {len(rows) - 1} more' if len(rows) > 1 else ''}: more {what} {cure}"
        )
    return None


def _check(worlds: Sequence[World]) -> None:
    for number, world in enumerate(worlds):
        if world.gap.bends_targets or world.gap.bends_torque:
            raise WarpError(
                f"world {number} ({world.name}) has servos with a gap (delay, play, offset, softening or heat), which "
                "the GPU lane does not simulate: use --engine cpu"
            )
        if world.physics != worlds[0].physics:
            raise WarpError(
                f"worlds of the physics presets {worlds[0].physics} and {world.physics} cannot be stepped together: "
                "give all the same"
            )


def _cannot(worlds: Sequence[World], field: str) -> str:
    kinds = sorted({w.object.shape or w.object.kind for w in worlds})
    return (
        f"these worlds differ in {field}, which is one for all in a batch of the GPU lane (objects: "
        f"{', '.join(kinds)}): give it objects of one kind, such as one entry in randomisation.families, or use "
        "--engine cpu"
    )
