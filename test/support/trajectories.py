# SPDX-License-Identifier: Apache-2.0
"""Trajectories and library files for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dexndm_ros.hand.joints import JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.replay.library_format import METADATA_KEY
from dexndm_ros.replay.trajectory import STEPS, Trajectory

WRISTS = ("palm_up", "palm_down")


def wandering(seed: int, count: int = 1) -> np.ndarray:
    """Targets (count, 400, 16) that wander through the joint ranges by small steps."""
    rng = np.random.default_rng(seed)
    time = np.arange(STEPS)[None, :, None] / STEPS
    phase, turns = rng.uniform(0, 7, (2, count, 1, 16))
    share = 0.5 + 0.45 * np.sin(phase + turns * time)
    return (LOWER_RAD + share * (UPPER_RAD - LOWER_RAD)).astype(np.float32)


def trajectories(count: int, seed: int = 0) -> list[Trajectory]:
    """``count`` trajectories with ids 10, 11, ..., half of them for each of two wrists."""
    return [
        Trajectory(
            10 + k, WRISTS[k % 2], (0.0, 0.0, 1.0), "cylinder", "test", targets.astype(np.float64)
        )
        for k, targets in enumerate(wandering(seed, count))
    ]


def header(**changes: object) -> dict[str, object]:
    """A sound header, with changes."""
    sound = {"format": 1, "joint_names": list(JOINT_NAMES), "unit": "rad", "rate_hz": 20.0}
    return sound | {"steps": STEPS, "provenance": {}} | changes


def columns(count: int, seed: int = 0) -> dict[str, pa.Array]:
    """The columns of a sound library as another tool would write them, lists without a fixed size."""
    rows = trajectories(count, seed)
    flat = [row.targets_rad.ravel().tolist() for row in rows]
    return {
        "id": pa.array([row.id for row in rows]),
        "wrist": pa.array([row.wrist for row in rows]),
        "axis": pa.array([list(row.axis) for row in rows]),
        "object_set": pa.array([row.object_set for row in rows]),
        "source": pa.array([row.source for row in rows]),
        "targets": pa.array(flat, pa.list_(pa.float32())),
    }


def write_raw(path: Path, parts: dict[str, pa.Array], head: object = None) -> Path:
    """A Parquet file of any columns and any header, written without our writer."""
    text = head if isinstance(head, bytes) else json.dumps(header() if head is None else head)
    metadata = {METADATA_KEY: text}
    pq.write_table(pa.table(parts).replace_schema_metadata(metadata), path, row_group_size=3)
    return path
