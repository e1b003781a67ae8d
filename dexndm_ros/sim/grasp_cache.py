# SPDX-License-Identifier: Apache-2.0
"""A cache of grasps: arrays with names, conventions, acceptance and a hash, in one file."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_NAMES
from dexndm_ros.sim.scene import object_shape
from dexndm_ros.sim.shapes.families import object_label
from dexndm_ros.sim.worlds import World

__all__ = ["GRASP_ARRAYS", "GraspCache", "GraspError", "object_kind", "object_size_m"]

Array = NDArray[np.float64]
GRASP_ARRAYS = ("target", "q", "position", "rotation_xyzw", "radius_m", "kind")
"""Of a cache, in the order of its fields."""


class GraspError(ValueError):
    """Grasps that cannot be used or made; the message says what to do."""


def _hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in GRASP_ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class GraspCache:
    """N grasps.

    Attributes:
        target: joint targets, (N, 16) rad, motor order.
        q: joint angles, (N, 16) rad.
        position: object centre, (N, 3) m, palm frame.
        rotation_xyzw: object orientation, (N, 4), palm frame.
        radius_m: size of the object the grasp was made with, (N,).
        kind: of that object, an index into ``meta["objects"]``, see ``object_kind``; (N,).
        meta: names, conventions, counts, acceptance a condition.
    """

    target: Array
    q: Array
    position: Array
    rotation_xyzw: Array
    radius_m: Array
    kind: NDArray[np.intp]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.target)

    def save(self, path: Path) -> None:
        """Write one npz file (float32), with a hash of the numbers."""
        arrays = self._stored()
        meta = self.meta | {"sha256": _hash(arrays)}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"part.{path.name}")
        with partial.open("wb") as file:
            np.savez_compressed(file, meta=json.dumps(meta), **arrays)  # type: ignore[arg-type]
        partial.replace(path)

    def _stored(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name).astype(np.float32) for name in GRASP_ARRAYS[:-1]
        }
        return arrays | {"kind": self.kind.astype(np.int32)}

    @property
    def sha256(self) -> str:
        """Hash of the numbers as they are stored."""
        return _hash(self._stored())

    @classmethod
    def load(cls, path: Path) -> GraspCache:
        """Read a cache.

        Raises:
            GraspError: no such file, damage, or joints of another order.
        """
        try:
            with np.load(path) as file:
                meta = json.loads(str(file["meta"]))
                stored = {name: file[name] for name in GRASP_ARRAYS}
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise GraspError(
                f"{path} is no grasp cache ({error}): make one with dexndm grasps"
            ) from error
        if tuple(meta["joint_names"]) != JOINT_NAMES:
            raise GraspError(f"{path}: joint order differs: {meta['joint_names']}")
        if meta.get("sha256") != _hash(stored):
            raise GraspError(f"{path} is not what was written: make it again with dexndm grasps")
        columns = {name: stored[name].astype(np.float64) for name in GRASP_ARRAYS[:-1]}
        return cls(**columns, kind=stored["kind"].astype(np.intp), meta=meta)

    def joined(self, *others: GraspCache) -> GraspCache:
        """This cache with others behind it; the meta data is this one's, with the counts of all."""
        caches = (self, *others)
        names = list(dict.fromkeys(name for c in caches for name in c.meta["objects"]))
        columns = {
            name: np.concatenate([getattr(c, name) for c in caches]) for name in GRASP_ARRAYS
        }
        columns["kind"] = np.concatenate(
            [np.array([names.index(n) for n in c.meta["objects"]])[c.kind] for c in caches]
        )
        counts = {"parts": [len(c) for c in caches], "objects": names}
        return GraspCache(**columns, meta=self.meta | counts)

    def pick(
        self, radius_m: Array, kinds: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """For each object, the index of a random grasp of its kind, among the sixteenth nearest in size.

        Args:
            radius_m: sizes, (n,).
            kinds: of the objects, n.
            rng: draws.

        Raises:
            GraspError: no grasp of a kind.
        """
        picked = np.zeros(len(radius_m), dtype=np.intp)
        wanted = np.array(kinds)
        for kind in dict.fromkeys(kinds):
            rows = np.flatnonzero(wanted == kind)
            if kind not in self.meta["objects"]:
                raise GraspError(f"there is no grasp of {kind!r} in the cache; make one with it")
            of_kind = np.flatnonzero(self.kind == self.meta["objects"].index(kind))
            order = of_kind[np.argsort(self.radius_m[of_kind])]
            window = max(1, len(order) // 16)
            start = np.searchsorted(self.radius_m[order], radius_m[rows]) - window // 2
            start = np.clip(start, 0, len(order) - window)
            picked[rows] = order[start + rng.integers(0, window, size=len(rows))]
        return picked


def object_size_m(world: World) -> float:
    """The number that decides which grasps suit an object: half its width between the fingers."""
    config = world.object
    if config.kind == "shape":
        return float(object_shape(config).extents[:2].min() / 2.0)
    return config.radius_m if config.kind != "cuboid" else float(min(config.half_size_m[:2]))


def object_kind(world: World) -> str:
    """What grasps of different sizes have in common."""
    kind = world.object.kind
    return kind if kind == "cylinder" else object_label(world.object)
