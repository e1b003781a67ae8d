# SPDX-License-Identifier: Apache-2.0
"""Probing trajectories: all joints at once about a pose in which fingers do not meet.

Four stretches of 5 s a trajectory, each joint (but for the side joints, which go together) in an order of its own:
*steps* to random levels, as fast as the guard
lets a target go (that takes servos to their torque limit); a *chirp*, 0.1 to 2 Hz; *noise*, a pseudo-random
binary sequence of small steps (delay, damping, inertia); and *poses*, slow and held (friction, weight).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.guard import GuardConfig
from dexndm_ros.hand.joints import JOINT_COUNT, LOWER_RAD, SIDE_JOINTS, UPPER_RAD
from dexndm_ros.replay.library_format import LibraryWriter
from dexndm_ros.replay.trajectory import RATE_HZ, STEPS, Trajectory

__all__ = ["CENTRE_RAD", "REACH_RAD", "STEP_LIMIT_RAD", "campaign_path", "probe", "write_probes"]

Array = NDArray[np.float64]
STEP_LIMIT_RAD = 0.93 * GuardConfig.max_step_rad
"""Most that a target moves in a step: the guard's limit, less what a tick that comes early leaves of it."""
_POSE_STEP_RAD = 0.04
_KINDS = ("steps", "chirp", "noise", "poses")
_STRETCH = STEPS // len(_KINDS)
_CHIRP_HZ = (0.1, 2.0)
_CAMPAIGN = """# SPDX-License-Identifier: Apache-2.0
# Probes for system identification: dexndm collect --campaign THIS_FILE --out FOLDER. The hand must be free.
name: {stem}_{wrist}
orientation: {wrist}
library: {library}
count: {count}
hand_load: free
noise: {{probability: 0.0, sigma_rad: 0.0}}
"""
_VERSION = 1  # of the draws: a change gives other targets for the same seed


def _by_joint(side: float, others: float, thumb: tuple[float, ...]) -> Array:
    values = np.full(JOINT_COUNT, others)
    values[list(SIDE_JOINTS)] = side
    values[12:] = thumb
    return values


CENTRE_RAD = _by_joint(0.0, 0.55, (0.25, 0.35, 0.0, 0.1))
"""Middle of the probing, (16,) rad, motor order."""
REACH_RAD = _by_joint(0.25, 0.5, (0.4, 0.4, 0.4, 0.35))
"""Most that a probe goes away from it, (16,) rad. The side joints go together, else neighbours would meet."""


def probe(number: int, seed: int = 0) -> Array:
    """Targets of one probing trajectory, (400, 16) rad, the same for the same arguments."""
    stream = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, number, _VERSION])
    wanted, limit = np.empty((STEPS, JOINT_COUNT)), np.empty((STEPS, JOINT_COUNT))
    for joint in range(JOINT_COUNT):
        for place, kind in enumerate(stream.permutation(len(_KINDS))):
            rows = slice(place * _STRETCH, (place + 1) * _STRETCH)
            name = _KINDS[kind]
            wanted[rows, joint] = _signal(name, stream) * REACH_RAD[joint]
            limit[rows, joint] = _POSE_STEP_RAD if name == "poses" else STEP_LIMIT_RAD
    for joint in SIDE_JOINTS[1:]:
        wanted[:, joint], limit[:, joint] = wanted[:, SIDE_JOINTS[0]], limit[:, SIDE_JOINTS[0]]
    wanted = np.clip(CENTRE_RAD + wanted, LOWER_RAD, UPPER_RAD)
    targets = np.empty_like(wanted)
    at = CENTRE_RAD.copy()
    for step in range(STEPS):
        at = at + np.clip(wanted[step] - at, -limit[step], limit[step])
        targets[step] = at
    # As float32, like a library's.
    return targets.astype(np.float32).astype(np.float64)


def _signal(kind: str, stream: np.random.RandomState) -> Array:
    """A stretch of a signal within -1 .. 1."""
    time_s = np.arange(_STRETCH) / RATE_HZ
    if kind == "chirp":
        low, high = _CHIRP_HZ
        turns = low * time_s + 0.5 * (high - low) * time_s**2 / time_s[-1]
        size, begin = stream.uniform(0.3, 0.6), stream.uniform(0.0, 1.0)
        chirp: Array = size * np.sin(2.0 * np.pi * (turns + begin))
        return chirp
    least, most = {"steps": (8, 20), "noise": (2, 6), "poses": (25, 40)}[kind]
    reach = 0.3 if kind == "noise" else 1.0
    values = np.empty(_STRETCH)
    at = 0
    while at < _STRETCH:
        hold = stream.randint(least, most + 1)
        level = stream.choice([-1.0, 1.0]) if kind == "noise" else stream.uniform(-1.0, 1.0)
        values[at : at + hold] = reach * level
        at += hold
    return values


def write_probes(path: Path, wrists: tuple[str, ...], count: int, seed: int) -> int:
    """Write a trajectory library of probes, and beside it, for each wrist, the campaign that replays them.

    The campaigns are of a free hand, and without noise: there is no room for it below the guard's step limit.

    Args:
        path: Parquet file to write.
        wrists: wrist orientations; each has the same probes.
        count: probes of each.
        seed: of the draws.

    Returns:
        Trajectories written.

    Raises:
        LibraryError: an unknown wrist.
    """
    provenance = {"made_by": "dexndm sysid probes", "seed": seed, "version": _VERSION}
    with LibraryWriter(path, provenance, GuardConfig.max_step_rad) as writer:
        for place, wrist in enumerate(wrists):
            for number in range(count):
                writer.add(
                    Trajectory(
                        id=place * count + number,
                        wrist=wrist,
                        axis=(0.0, 0.0, 0.0),
                        object_set="none",
                        source=f"sysid/{number}",
                        targets_rad=probe(number, seed),
                    )
                )
    for wrist in wrists:
        text = _CAMPAIGN.format(stem=path.stem, wrist=wrist, library=path.name, count=count)
        campaign_path(path, wrist).write_text(text, encoding="utf-8")
    return len(wrists) * count


def campaign_path(library: Path, wrist: str) -> Path:
    """Where the campaign of a wrist stands: beside the library."""
    return library.with_name(f"{library.stem}_{wrist}.yaml")
