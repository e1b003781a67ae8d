# SPDX-License-Identifier: Apache-2.0
"""A check as a picture: where recording and computation part, and by how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES
from dexndm_ros.playback.check_types import CheckResult, Verdict

__all__ = ["plot_check"]

_SMALLEST_RAD = 1e-17
_AROUND_S = 2.0
"""The lower plot shows this much before and after the first divergence."""
_COLOURS = {Verdict.EQUAL: "#2a9d8f", Verdict.DIVERGED: "#d62828", Verdict.UNKNOWN: "#c9c9c9"}
_WORDS = {
    Verdict.EQUAL: "equal to the last bit",
    Verdict.DIVERGED: "diverged",
    Verdict.UNKNOWN: "not compared",
}


def plot_check(result: CheckResult, bag: str, file: Path) -> None:
    """Draw a check.

    Args:
        result: one with a trace.
        bag: for the title.
        file: PNG to write.

    Raises:
        ImportError: matplotlib is not there.
        OSError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.0, 7.0), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, height_ratios=[0.25, 1.2, 1.2])
        _verdicts(top, result)
        _differences(middle, result)
        joint = _joint(result)
        _joint_over_time(bottom, result, joint)
        judged = result.equal + result.diverged
        figure.suptitle(
            f"{result.check} of {Path(bag).name}: {result.equal} of {judged} {result.what} equal to the last bit"
        )
        figure.savefig(file, dpi=110, metadata={"Software": None})


def _verdicts(axes: Any, result: CheckResult) -> None:
    """A strip: what is equal, what is not, what nobody knows."""
    trace = result.trace
    assert trace is not None
    for verdict, colour in _COLOURS.items():
        at = trace.time_s[trace.verdict == verdict]
        if len(at):
            axes.vlines(
                at, 0, 1, color=colour, linewidth=1.0, label=f"{_WORDS[verdict]} ({len(at)})"
            )
    axes.set_yticks([])
    axes.set_xlim(*_limits(trace.time_s))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=8)


def _differences(axes: Any, result: CheckResult) -> None:
    """How far apart, every joint, on a logarithmic scale."""
    trace = result.trace
    assert trace is not None
    apart = np.abs(trace.recorded - trace.computed)
    worst = np.argsort(-np.nan_to_num(result.max_difference_rad))[:3]
    for joint in range(JOINT_COUNT):
        values = np.where(apart[:, joint] > 0, apart[:, joint], np.nan)
        named = joint in worst and result.max_difference_rad[joint] > 0
        axes.plot(
            trace.time_s, values, ".", markersize=4 if named else 2,
            color=None if named else "#bbbbbb",
            label=JOINT_NAMES[joint] if named else None, zorder=2 if named else 1,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylabel("|recorded - computed| (rad)")
    axes.set_xlim(*_limits(trace.time_s))
    if result.first is not None:
        axes.axvline(result.first.time_s, color="#d62828", linewidth=1)
        axes.legend(loc="best", fontsize=8)
    elif not np.nanmax(np.nan_to_num(apart), initial=0.0) > 0:
        axes.set_ylim(_SMALLEST_RAD, 1.0)
        axes.text(0.5, 0.5, "no difference", transform=axes.transAxes, ha="center", color="#2a9d8f")


def _joint(result: CheckResult) -> int:
    """The joint to show: of the first divergence, else the one that moves most."""
    trace = result.trace
    assert trace is not None
    if result.first is not None and result.first.joint >= 0:
        return result.first.joint
    return int(np.argmax(np.nan_to_num(np.ptp(trace.recorded, axis=0))))


def _joint_over_time(axes: Any, result: CheckResult, joint: int) -> None:
    """One joint, both sides, around the first divergence."""
    trace = result.trace
    assert trace is not None
    axes.plot(
        trace.time_s,
        trace.recorded[:, joint],
        drawstyle="steps-post",
        color="#264653",
        label="recorded",
    )
    axes.plot(
        trace.time_s, trace.computed[:, joint], drawstyle="steps-post", color="#e76f51",
        linestyle="--", label="computed again",
    )  # fmt: skip
    axes.set_ylabel(f"target of {JOINT_NAMES[joint]} (rad)")
    axes.set_xlabel("time since the bag begins (s)")
    if result.first is not None:
        at = result.first.time_s
        axes.axvline(at, color="#d62828", linewidth=1)
        axes.set_xlim(at - _AROUND_S, at + _AROUND_S)
        shown = np.abs(trace.time_s - at) <= _AROUND_S
        values = np.concatenate([trace.recorded[shown, joint], trace.computed[shown, joint]])
        values = values[np.isfinite(values)]
        if len(values):
            room = 0.05 * max(float(np.ptp(values)), 1e-3)
            axes.set_ylim(values.min() - room, values.max() + room)
    else:
        axes.set_xlim(*_limits(trace.time_s))
    axes.legend(loc="best", fontsize=8)


def _limits(time_s: Any) -> tuple[float, float]:
    low, high = float(time_s.min()), float(time_s.max())
    return low, max(high, low + 1e-3)
