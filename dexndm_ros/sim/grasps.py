# SPDX-License-Identifier: Apache-2.0
"""The grasp cache: states from which an episode begins, each held by the fingers for a second.

Procedure of hora and of the probe in ``facts``: canonical pose with noise on every joint as target, the
object at the grasp centre with any yaw, held for one second; kept when the object has stayed.
Targets are stored beside the angles, or the grip force would be lost at reset.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.hand.joints import CANONICAL_POSE_RAD, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.worlds import GRASP_CENTRE_M, World

__all__ = ["GraspCache", "GraspConfig", "make_grasps"]

Array = NDArray[np.float64]
_ARRAYS = ("target", "q", "position", "rotation_xyzw", "radius_m")


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
    """

    joint_noise_rad: float = 0.25
    position_noise_m: float = 0.004
    hold_steps: int = 20
    max_sink_m: float = 0.02
    max_drift_m: float = 0.03
    min_upright: float = 0.9
    min_fingertips: int = 2
    max_speed_m_s: float = 0.05


@dataclass(frozen=True)
class GraspCache:
    """N grasps.

    Attributes:
        target: joint targets, (N, 16) rad, motor order.
        q: joint angles, (N, 16) rad.
        position: object centre, (N, 3) m, palm frame.
        rotation_xyzw: object orientation, (N, 4), palm frame.
        radius_m: size of the object the grasp was made with, (N,).
        meta: names, conventions, counts, acceptance a condition.
    """

    target: Array
    q: Array
    position: Array
    rotation_xyzw: Array
    radius_m: Array
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.target)

    def save(self, path: Path) -> None:
        """Write one npz file (float32)."""
        arrays = {name: getattr(self, name).astype(np.float32) for name in _ARRAYS}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, meta=json.dumps(self.meta), **arrays)

    @classmethod
    def load(cls, path: Path) -> GraspCache:
        """Read a cache.

        Raises:
            ValueError: joints of another order.
        """
        with np.load(path) as file:
            meta = json.loads(str(file["meta"]))
            if tuple(meta["joint_names"]) != JOINT_NAMES:
                raise ValueError(f"{path}: joint order differs: {meta['joint_names']}")
            return cls(**{name: file[name].astype(np.float64) for name in _ARRAYS}, meta=meta)

    def joined(self, *others: GraspCache) -> GraspCache:
        """This cache with others behind it; the meta data is this one's, with the counts of all."""
        caches = (self, *others)
        columns = {name: np.concatenate([getattr(c, name) for c in caches]) for name in _ARRAYS}
        return GraspCache(**columns, meta=self.meta | {"parts": [len(c) for c in caches]})

    def pick(self, radius_m: Array, rng: np.random.Generator) -> NDArray[np.intp]:
        """For each object size, the index of a random grasp among the sixteenth nearest in size."""
        order = np.argsort(self.radius_m)
        sizes = self.radius_m[order]
        window = max(1, len(self) // 16)
        start = np.searchsorted(sizes, radius_m) - window // 2
        start = np.clip(start, 0, len(self) - window)
        return order[start + rng.integers(0, window, size=len(radius_m))]


def object_size_m(world: World) -> float:
    """The number that decides which grasps suit an object: half its width between the fingers."""
    config = world.object
    return config.radius_m if config.kind != "cuboid" else float(min(config.half_size_m[:2]))


def make_grasps(
    worlds: Sequence[World],
    count: int,
    seed: int,
    config: GraspConfig | None = None,
    threads: int = 2,
    batch: HandBatch | None = None,
) -> GraspCache:
    """Sample until ``count`` grasps are accepted.

    Args:
        worlds: worlds to sample in, all with the same wrist; their sizes spread over the cache.
        count: grasps wanted.
        seed: of the sampling.
        config: sampling and acceptance.
        threads: physics threads.
        batch: the compiled worlds, where the caller has them already.

    Raises:
        RuntimeError: fewer than one in fifty accepted over many tries; the message says which condition failed most.
    """
    config = config or GraspConfig()
    rng = np.random.default_rng(seed)
    batch = batch or HandBatch(worlds, threads)
    worlds = batch.worlds
    rows = np.arange(batch.count)
    sizes = np.array([object_size_m(w) for w in worlds])
    kept: list[tuple[Array, ...]] = []
    tried = accepted = 0
    passed = dict.fromkeys(("sink", "drift", "upright", "fingertips", "speed"), 0)
    while accepted < count:
        noise = rng.uniform(-1, 1, (batch.count, 16)) * config.joint_noise_rad
        target = np.clip(CANONICAL_POSE_RAD + noise, LOWER_RAD, UPPER_RAD)
        position = GRASP_CENTRE_M + rng.uniform(-1, 1, (batch.count, 3)) * config.position_noise_m
        yaw = rng.uniform(-np.pi, np.pi, batch.count)
        start = Rotation.from_rotvec(yaw[:, None] * [0.0, 0.0, 1.0])
        batch.set_state(rows, target, position, start.as_quat())
        for _ in range(config.hold_steps):
            before = batch.object_position
            batch.step(target)
        speed = np.linalg.norm(batch.object_position - before, axis=1) / batch.control_period_s
        moved = batch.object_position - GRASP_CENTRE_M
        conditions = {
            "sink": np.abs(moved[:, 2]) < config.max_sink_m,
            "drift": np.linalg.norm(moved[:, :2], axis=1) < config.max_drift_m,
            "upright": np.abs(batch.object_rotation.as_matrix()[:, 2, 2]) > config.min_upright,
            "fingertips": (batch.tip_force > 0.01).sum(axis=1) >= config.min_fingertips,
            "speed": speed < config.max_speed_m_s,
        }
        good = np.logical_and.reduce(list(conditions.values())) & batch.finite()
        for name, mask in conditions.items():
            passed[name] += int(mask.sum())
        tried += batch.count
        accepted += int(good.sum())
        kept.append(
            (
                target[good],
                batch.q[good],
                batch.object_position[good],
                batch.object_rotation.as_quat()[good],
                sizes[good],
            )
        )
        if tried > 2000 and accepted < tried / 50:
            worst = min(passed, key=lambda name: passed[name])
            raise RuntimeError(
                f"only {accepted} of {tried} grasps accepted; {worst!r} failed most "
                f"({passed[worst]} passed): check object size, friction and wrist"
            )
    columns = (np.concatenate(parts)[:count] for parts in zip(*kept, strict=True))
    meta = {
        "joint_names": list(JOINT_NAMES),
        "quaternion": "xyzw, object in palm frame",
        "wrist": worlds[0].wrist,
        "seed": seed,
        "tried": tried,
        "accepted": accepted,
        "passed": passed,
        "config": asdict(config),
    }
    return GraspCache(**dict(zip(_ARRAYS, columns, strict=True)), meta=meta)
