# SPDX-License-Identifier: Apache-2.0
"""The grasp cache: states from which an episode begins, each held by the fingers for a second.

Procedure of hora and of the probe in ``facts``: canonical pose with noise on every joint as target, the
object at the grasp centre with any yaw, held for one second; kept when the object has stayed.
Targets are stored beside the angles, or the grip force would be lost at reset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.sim.aperture import aperture_pose
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.grasp_cache import (
    GRASP_ARRAYS,
    GraspCache,
    GraspError,
    object_kind,
    object_size_m,
)
from dexndm_ros.sim.hands import Hands
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World

__all__ = ["EVERY_WRIST", "GraspConfig", "make_grasps"]

Array = NDArray[np.float64]
_H = math.sqrt(0.5)
_ALL_WAYS = np.array(
    [[0, 0, 0, 1], [1, 0, 0, 0], [0, _H, 0, _H], [0, -_H, 0, _H], [_H, 0, 0, _H], [-_H, 0, 0, _H]]
)
"""Wrists, xyzw, under which gravity points along each axis of the palm in turn."""


@dataclass(frozen=True)
class GraspConfig:
    """How grasps are sampled and accepted.

    Attributes:
        joint_noise_rad: uniform noise on every joint of the canonical pose.
        position_noise_m: uniform noise on the object's position.
        hold_steps: control periods the grasp must hold.
        max_sink_m: how far the object may have moved along the palm's normal.
        max_drift_m: how far sideways.
        min_upright: least cosine between the object's z and its start.
        min_fingertips: least number of fingertips touching at the end.
        max_speed_m_s: largest object speed at the end.
        fit_hand: open or close the pose to the object's width first, see ``aperture``.
        squeeze_m: and by so much further.
        tilt_steps: control periods for each of six directions of gravity in which the grasp must then hold, so that it
            serves every wrist; 0 = not asked.
        max_penetration_m: deepest that links and object may overlap; 0 = not asked.
    """

    joint_noise_rad: float = 0.25
    position_noise_m: float = 0.004
    hold_steps: int = 20
    max_sink_m: float = 0.02
    max_drift_m: float = 0.03
    min_upright: float = 0.9
    min_fingertips: int = 2
    max_speed_m_s: float = 0.05
    fit_hand: bool = False
    squeeze_m: float = 0.006
    tilt_steps: int = 0
    max_penetration_m: float = 0.0


EVERY_WRIST = GraspConfig(
    joint_noise_rad=0.15, fit_hand=True, tilt_steps=10, max_penetration_m=0.003, max_speed_m_s=0.02
)
"""For objects of all families and all wrists; made palm down, as in the paper (section C)."""


def make_grasps(
    worlds: Sequence[World],
    count: int,
    seed: int,
    config: GraspConfig | None = None,
    threads: int = 2,
    batch: Hands | None = None,
    on_grasps: Callable[[int], None] | None = None,
) -> GraspCache:
    """Sample until ``count`` grasps are accepted.

    Args:
        worlds: worlds to sample in, all with the same wrist; their sizes spread over the cache.
        count: grasps wanted.
        seed: of the sampling.
        config: sampling and acceptance.
        threads: physics threads.
        batch: the compiled worlds, where the caller has them already.
        on_grasps: told how many have been accepted.

    Raises:
        GraspError: fewer than one in fifty accepted over many tries; the message says which condition failed most.
    """
    config = config or GraspConfig()
    rng = np.random.default_rng(seed)
    batch = batch or HandBatch(worlds, threads)
    worlds = batch.worlds
    sizes = np.array([object_size_m(w) for w in worlds])
    kinds = [object_kind(w) for w in worlds]
    names = list(dict.fromkeys(kinds))
    numbers = np.array([names.index(kind) for kind in kinds])
    least = max(1, count // (8 * len(names)))  # of the kind that is hardest to hold
    kept: list[tuple[Array, ...]] = []
    tried, of_kind = 0, np.zeros(len(names), dtype=np.int64)
    passed: dict[str, int] = {}
    while of_kind.sum() < count or of_kind.min() < least:
        state, conditions = _try(batch, sizes, config, rng)
        good = np.logical_and.reduce(list(conditions.values()))
        for name, mask in conditions.items():
            passed[name] = passed.get(name, 0) + int(mask.sum())
        tried += batch.count
        np.add.at(of_kind, numbers[good], 1)
        kept.append((*(part[good] for part in state), sizes[good], numbers[good]))
        if on_grasps is not None:
            on_grasps(min(count, int(of_kind.sum())))
        if tried > 2000 and of_kind.sum() < tried / 50:
            worst = min(passed, key=lambda name: passed[name])
            raise GraspError(
                f"only {of_kind.sum()} of {tried} grasps accepted; {worst!r} failed most "
                f"({passed[worst]} passed): check object size, friction and wrist"
            )
        if tried > 200 * max(count, batch.count):
            raise GraspError(f"{names[int(of_kind.argmin())]} cannot be held: leave it out")
    meta = {
        "joint_names": list(JOINT_NAMES),
        "quaternion": "xyzw, object in palm frame",
        "wrist": worlds[0].wrist,
        "objects": names,
        "seed": seed,
        "tried": tried,
        "accepted": int(of_kind.sum()),
        "passed": passed,
        "config": asdict(config),
    }
    columns = [np.concatenate(parts) for parts in zip(*kept, strict=True)]
    chosen = _share(columns[-1].astype(np.intp), count)
    return GraspCache(
        **{name: column[chosen] for name, column in zip(GRASP_ARRAYS, columns, strict=True)},
        meta=meta,
    )


def _share(kind: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Which ``count`` grasps to keep: the first ones, but none of a kind while a rarer kind has more to give."""
    nth = np.zeros(len(kind), dtype=np.int64)
    for number in np.unique(kind):
        of_kind = np.flatnonzero(kind == number)
        nth[of_kind] = np.arange(len(of_kind))
    return np.sort(np.argsort(nth, kind="stable")[:count])


def _try(
    batch: Hands, sizes: Array, config: GraspConfig, rng: np.random.Generator
) -> tuple[tuple[Array, ...], dict[str, NDArray[np.bool_]]]:
    """One grasp in each world: target, q, position and rotation when it had been held; and what it passes."""
    rows = np.arange(batch.count)
    noise = rng.uniform(-1, 1, (batch.count, 16)) * config.joint_noise_rad
    pose = opened = CANONICAL_POSE_RAD
    if config.fit_hand:
        pose, opened = aperture_pose(sizes - config.squeeze_m), aperture_pose(sizes + 0.004)
    target = np.clip(pose + noise, LOWER_RAD, UPPER_RAD)
    position = GRASP_CENTRE_M + rng.uniform(-1, 1, (batch.count, 3)) * config.position_noise_m
    yaw = rng.uniform(-np.pi, np.pi, batch.count)
    start = Rotation.from_rotvec(yaw[:, None] * [0.0, 0.0, 1.0])
    begin = np.clip(opened + noise, LOWER_RAD, UPPER_RAD) if config.fit_hand else target
    batch.set_state(rows, begin, position, start.as_quat())
    speed = _hold(batch, target, config.hold_steps)
    state = (target, batch.q, batch.object_position, batch.object_rotation.as_quat())
    touching = (batch.tip_force > 0.01).sum(axis=1) >= config.min_fingertips
    conditions = _kept_place(batch, config, start) | {
        "fingertips": touching,
        "speed": speed < config.max_speed_m_s,
        "finite": batch.finite(),
    }
    if config.max_penetration_m:
        conditions["penetration"] = batch.penetration() < config.max_penetration_m
    if config.tilt_steps:
        conditions["tilt"] = _survives_tilting(batch, target, config, start)
    return state, conditions


def _hold(batch: Hands, target: Array, steps: int) -> Array:
    """Hold targets; the object's speed at the end, (N,) m/s."""
    before = batch.object_position
    for _ in range(steps):
        before = batch.object_position
        batch.step(target)
    return np.asarray(
        np.linalg.norm(batch.object_position - before, axis=1) / batch.control_period_s
    )


def _kept_place(batch: Hands, config: GraspConfig, start: Rotation) -> dict[str, NDArray[np.bool_]]:
    moved = batch.object_position - GRASP_CENTRE_M
    upright = np.abs((batch.object_rotation * start.inv()).as_matrix()[:, 2, 2])
    return {
        "sink": np.abs(moved[:, 2]) < config.max_sink_m,
        "drift": np.linalg.norm(moved[:, :2], axis=1) < config.max_drift_m,
        "upright": upright > config.min_upright,
    }


def _survives_tilting(
    batch: Hands, target: Array, config: GraspConfig, start: Rotation
) -> NDArray[np.bool_]:
    """Whether the object keeps its place while gravity points along each axis of the palm in turn."""
    rows = np.arange(batch.count)
    for wrist in _ALL_WAYS:
        batch.turn(rows, np.tile(wrist, (batch.count, 1)))
        _hold(batch, target, config.tilt_steps)
    kept = np.logical_and.reduce(list(_kept_place(batch, config, start).values()))
    batch.turn(rows, np.array([w.wrist_xyzw() for w in batch.worlds]))
    return np.asarray(kept & batch.finite())
