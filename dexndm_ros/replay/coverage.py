# SPDX-License-Identifier: Apache-2.0
"""What a set of trajectories covers: how many, how fast, and how much of each joint's range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES, LOWER_RAD, UPPER_RAD
from dexndm_ros.replay.ramp_order import order_by_ramp, ramp_rad
from dexndm_ros.replay.trajectory import Trajectory

__all__ = ["Coverage", "coverage", "plot_coverage", "table"]

BINS = 64
"""Bins of a joint's histogram, from limit to limit."""
_STEP_BIN_RAD = 2.5e-4
_STEP_BINS = 1000  # up to 0.25 rad
_COLUMNS = 4  # of the joint table; more would not fit a terminal


@dataclass
class Coverage:
    """Figures of the trajectories of one wrist and axis.

    Attributes:
        wrist: wrist orientation.
        axis: rotation axis in the palm frame.
        count: trajectories.
        low_rad: smallest target of each joint, (16,).
        high_rad: largest target of each joint, (16,).
        histogram: targets in each joint's bins, (16, 64).
        largest_step_rad: of all joints.
        starts_rad: first targets, one (16,) a trajectory.
        ends_rad: last targets, one (16,) a trajectory.
    """

    wrist: str
    axis: tuple[float, float, float]
    count: int = 0
    low_rad: NDArray[np.float64] = field(default_factory=lambda: np.full(JOINT_COUNT, np.inf))
    high_rad: NDArray[np.float64] = field(default_factory=lambda: np.full(JOINT_COUNT, -np.inf))
    histogram: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((JOINT_COUNT, BINS), dtype=np.int64)
    )
    largest_step_rad: float = 0.0
    starts_rad: list[NDArray[np.float64]] = field(default_factory=list)
    ends_rad: list[NDArray[np.float64]] = field(default_factory=list)
    _steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_STEP_BINS, dtype=np.int64))

    def add(self, targets_rad: NDArray[np.float64]) -> None:
        """Count a trajectory, (400, 16)."""
        self.count += 1
        self.low_rad = np.minimum(self.low_rad, targets_rad.min(axis=0))
        self.high_rad = np.maximum(self.high_rad, targets_rad.max(axis=0))
        share = (targets_rad - LOWER_RAD) / (UPPER_RAD - LOWER_RAD)
        bins = np.clip((share * BINS).astype(np.int64), 0, BINS - 1)
        flat = bins + BINS * np.arange(JOINT_COUNT)
        counts = np.bincount(flat.ravel(), minlength=JOINT_COUNT * BINS)
        self.histogram += counts.reshape(JOINT_COUNT, BINS)
        steps = np.abs(np.diff(targets_rad, axis=0)).ravel()
        self.largest_step_rad = max(self.largest_step_rad, float(steps.max()))
        bins = np.clip(steps / _STEP_BIN_RAD, 0, _STEP_BINS - 1).astype(np.int64)
        self._steps += np.bincount(bins, minlength=_STEP_BINS)
        self.starts_rad.append(targets_rad[0].copy())
        self.ends_rad.append(targets_rad[-1].copy())

    def step_quantile_rad(self, share: float) -> float:
        """Step size that this share of all steps of all joints stays below, to 0.00025 rad."""
        total = np.cumsum(self._steps)
        bin_number = int(np.searchsorted(total, share * total[-1]))
        return min((bin_number + 1) * _STEP_BIN_RAD, self.largest_step_rad)

    @property
    def range_share(self) -> NDArray[np.float64]:
        """Share of each joint's range between smallest and largest target, (16,)."""
        return (self.high_rad - self.low_rad) / (UPPER_RAD - LOWER_RAD)


def coverage(trajectories: Iterable[Trajectory]) -> list[Coverage]:
    """Figures by wrist and axis, in the order of their first appearance."""
    groups: dict[tuple[str, tuple[float, float, float]], Coverage] = {}
    for one in trajectories:
        key = (one.wrist, one.axis)
        groups.setdefault(key, Coverage(*key)).add(one.targets_rad)
    return list(groups.values())


def table(groups: Sequence[Coverage], max_step_rad: float = 0.15) -> str:
    """The figures as text.

    Args:
        groups: of one library.
        max_step_rad: most a joint's target may move in a tick: turns ways between trajectories into ticks.
    """
    lines = [
        f"{'wrist':<11}{'axis':<8}{'count':>6}{'step median':>13}{'p99':>8}{'largest, rad':>14}"
        f"{'range of joints, %':>20}"
    ]
    for group in groups:
        share = 100 * group.range_share
        ranges = f"{share.min():.0f} to {share.max():.0f}"
        lines.append(
            f"{group.wrist:<11}{axis_name(group.axis):<8}{group.count:>6}"
            f"{group.step_quantile_rad(0.5):>13.4f}{group.step_quantile_rad(0.99):>8.4f}"
            f"{group.largest_step_rad:>14.4f}{ranges:>20}"
        )
    for first in range(0, len(groups), _COLUMNS):
        lines += ["", *_joint_table(groups[first : first + _COLUMNS])]
    lines.append("")
    for wrist in dict.fromkeys(group.wrist for group in groups):
        lines.append(_ramp_line(wrist, [g for g in groups if g.wrist == wrist], max_step_rad))
    return "\n".join(lines)


def _joint_table(groups: Sequence[Coverage]) -> list[str]:
    heads = [f"{group.wrist} {axis_name(group.axis)}" for group in groups]
    lines = [f"{'target, rad':<20}{'limits':>16}" + "".join(f"{head:>18}" for head in heads)]
    for joint, name in enumerate(JOINT_NAMES):
        cells = [f"{g.low_rad[joint]:.2f} to {g.high_rad[joint]:.2f}" for g in groups]
        limits = f"{LOWER_RAD[joint]:.2f} to {UPPER_RAD[joint]:.2f}"
        lines.append(f"{name:<20}{limits:>16}" + "".join(f"{cell:>18}" for cell in cells))
    return lines


def _ramp_line(wrist: str, groups: Sequence[Coverage], max_step_rad: float) -> str:
    """How far it is from the end of a trajectory to the start of the next one of the same wrist."""
    starts = np.array([pose for group in groups for pose in group.starts_rad])
    finals = np.array([pose for group in groups for pose in group.ends_rad])
    if len(starts) < 2:
        return f"{wrist}: one trajectory, no way to another"
    shuffled = np.random.default_rng(0).permutation(len(starts))
    parts = []
    for name, order in (("random", shuffled), ("greedy", order_by_ramp(starts, finals))):
        ways = ramp_rad(starts, finals, list(order))
        ticks = np.ceil(ways / max_step_rad)
        parts.append(
            f"{name} order median {np.median(ways):.2f}, p99 {np.quantile(ways, 0.99):.2f} rad, "
            f"{ticks.mean():.1f} ticks"
        )
    return f"{wrist}, way to the next start: " + "; ".join(parts)


def axis_name(axis: tuple[float, float, float]) -> str:
    """``+z`` where the axis is one of the palm frame's, its numbers otherwise, ``-`` for none."""
    for sign, mark in ((1.0, "+"), (-1.0, "-")):
        for k, letter in enumerate("xyz"):
            if axis == tuple(sign * (k == i) for i in range(3)):
                return mark + letter
    return ",".join(f"{number:.2g}" for number in axis) if any(axis) else "-"


def plot_coverage(groups: Sequence[Coverage], path: Path, title: str = "") -> None:
    """Histograms of each joint's targets from limit to limit, a line a wrist and axis, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(4, 4, figsize=(14, 9), squeeze=False)
    for joint, panel in enumerate(panels.ravel()):
        edges = np.linspace(LOWER_RAD[joint], UPPER_RAD[joint], BINS + 1)
        for group in groups:
            share = group.histogram[joint] / group.histogram[joint].sum()
            panel.stairs(100 * share, edges, label=f"{group.wrist} {axis_name(group.axis)}")
        panel.set_title(JOINT_NAMES[joint], fontsize=9)
        panel.set_xlim(edges[0], edges[-1])
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel("target, rad (axis: joint limits)", fontsize=8)
    for panel in panels[:, 0]:
        panel.set_ylabel("% of steps", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(len(groups), 6), fontsize=9)
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)
