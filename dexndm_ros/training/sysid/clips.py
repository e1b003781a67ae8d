# SPDX-License-Identifier: Apache-2.0
"""Clips: stretches of what a hand was told and did, from a dataset, or from a world that plays the hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.hand.units import rad_from_ticks, ticks_from_rad
from dexndm_ros.sim.batch import HandBatch
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.stretches import stretches_of_dataset
from dexndm_ros.training.sysid.errors import SysidError

__all__ = ["Clip", "clips_of_dataset", "clips_of_world", "cut", "held_out"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch without gaps, a row a control step.

    Attributes:
        name: where it comes from.
        group: clips of one group are fitted or held out together.
        wrist: as ``parse_wrist`` reads it.
        q: measured angles before each step and after the last, (T + 1, 16) rad.
        qd: measured velocities at the begin, (16,) rad/s.
        action: targets, (T, 16) rad.
        held: target before the first, (16,) rad.
    """

    name: str
    group: str
    wrist: str
    q: Array
    qd: Array
    action: Array
    held: Array

    def __len__(self) -> int:
        return len(self.action)


def cut(
    name: str, group: str, wrist: str, q: Array, qd: Array, action: Array, length: int
) -> list[Clip]:
    """Clips of ``length`` steps of one stretch; a rest shorter than half of it is left out.

    Args:
        name: of the stretch.
        group: of the clips.
        wrist: of the hand.
        q: (M, 16) rad, before each action.
        qd: (M, 16) rad/s; not finite = at rest.
        action: (M, 16) rad.
        length: steps of a clip.
    """
    clips = []
    for begin in range(0, len(q) - 1, length):
        end = min(begin + length, len(q) - 1)
        if end - begin < max(2, length // 2):
            break
        start = np.nan_to_num(qd[begin], nan=0.0, posinf=0.0, neginf=0.0)
        clips.append(
            Clip(
                f"{name} {begin}", group, wrist, q[begin : end + 1], start, action[begin:end],
                action[max(begin - 1, 0)],
            )
        )  # fmt: skip
    return clips


def clips_of_dataset(folder: Path, length: int, wrist: str, most: int) -> list[Clip]:
    """Clips of a dataset that ``dexndm convert`` made, spread evenly over it.

    Args:
        folder: of the dataset.
        length: steps of a clip.
        wrist: where the dataset does not know it.
        most: clips to take; 0 = all.

    Raises:
        DatasetError: no dataset.
        SysidError: nothing in it is long enough.
    """
    clips: list[Clip] = []
    for each in stretches_of_dataset(folder, wrist):
        name = f"episode {each.episode}"
        clips += cut(name, name, each.wrist, each.q, each.qd, each.action, length)
    if not clips:
        raise SysidError(
            f"{folder}: no {length // 2 + 1} valid rows in a row with the wrist at rest; shorten clip_s, or "
            f"record with the library of `dexndm sysid probes`"
        )
    if most and len(clips) > most:
        clips = [clips[k] for k in np.linspace(0, len(clips) - 1, most).round().astype(int)]
    return clips


def clips_of_world(
    world: World,
    targets: Sequence[tuple[str, str, Array]],
    length: int,
    quantised: bool = True,
    threads: int = 2,
) -> list[Clip]:
    """What a hand in a world does when it is told targets: the twin of a recording.

    Args:
        world: without object and box; its whole gap acts.
        targets: name, wrist and targets (T, 16) rad of each trajectory, all of one length.
        length: steps of a clip.
        quantised: angles as an encoder of 4096 ticks a turn tells them.
        threads: physics threads.
    """
    batch = HandBatch([world.with_wrist(wrist) for _, wrist, _ in targets], threads)
    told = np.stack([each for _, _, each in targets])
    batch.set_state(np.arange(len(targets)), told[:, 0])
    steps = told.shape[1]
    q, qd = np.empty((2, steps, len(targets), JOINT_COUNT))
    for step in range(steps):
        q[step], qd[step] = batch.q, batch.qd
        batch.step(told[:, step])
    if quantised:
        q = rad_from_ticks(ticks_from_rad(q))
    clips = []
    for row, (name, wrist, each) in enumerate(targets):
        clips += cut(name, name, wrist, q[:, row], qd[:, row], each, length)
    return clips


def held_out(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Clips to fit and clips to hold out, whole groups each; at least one of either.

    Raises:
        SysidError: fewer than two groups.
    """
    groups = list(dict.fromkeys(clip.group for clip in clips))
    if len(groups) < 2:
        raise SysidError(
            f"{len(groups)} trajectory cannot be fitted and held out; give at least two, better ten"
        )
    order = np.random.RandomState(seed).permutation(len(groups))
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    out = {groups[k] for k in order[:count]}
    fit = [k for k, clip in enumerate(clips) if clip.group not in out]
    return fit, [k for k, clip in enumerate(clips) if clip.group in out]
