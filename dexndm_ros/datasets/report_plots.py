# SPDX-License-Identifier: Apache-2.0
"""The plots of a dataset's quality report, each an SVG in bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.report_nights import (
    BLUE,
    ORANGE,
    QUIET,
    Draw,
    Numbers,
    joint_axis,
    over_time,
    picture,
    plain_axes,
)
from dexndm_ros.datasets.report_panels import finish, panels
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = ["Plot", "report_plots"]

_SIZE, _TALL, _GRID = (5.4, 2.9), (5.4, 4.0), (11.0, 8.2)


class Plot(NamedTuple):
    """A picture.

    Attributes:
        title: also the text for those who do not see it.
        note: how to read it.
        wide: takes the whole width of the page.
        svg: the file.
    """

    title: str
    note: str
    wide: bool
    svg: bytes


def report_plots(numbers: Numbers) -> Iterator[Plot]:
    """Draw what there is data for.

    Args:
        numbers: of :func:`~dexndm_ros.datasets.report_numbers.report_numbers`.

    Raises:
        ImportError: matplotlib is not there.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "dexndm", "font.size": 8.5}
    for title, note, size, draw in _PLOTS:
        with mpl.rc_context(style):
            figure = Figure(figsize=size)
            if not draw(figure, numbers):
                continue
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None}, dpi=110)
        yield Plot(title, note, size == _GRID, file.getvalue())


# --- each joint -----------------------------------------------------------------------------------------


def _ranges(figure: Any, numbers: Numbers) -> bool:
    coverage = numbers["coverage"]
    states, targets = np.asarray(coverage["state"]), np.asarray(coverage["target"])
    if not states.sum():
        return False
    shares = [100.0 * counts / counts.sum(axis=1, keepdims=True) for counts in (states, targets)]
    tops = np.maximum(shares[0].max(axis=1), shares[1].max(axis=1))
    limits = _limits(coverage)
    axes, found = panels(
        figure, (4, 4), [(limits[k], (0.0, 1.08 * tops[k])) for k in range(16)], (0.42, 0.24, 0.45)
    )
    for k, panel in enumerate(found):
        lines = [panel.stairs(shares[0][k], BLUE), panel.stairs(shares[1][k], ORANGE)]
        panel.ticks(_ends(limits[k]), [(0.0, "0"), (tops[k], f"{tops[k]:.0f} %")])
        covered = numbers["joints"][k]["range_share"]
        panel.title(f"{JOINT_NAMES[k]}: {100.0 * covered:.0f} % of its range")
        if k % 4 == 3:
            panel.below("rad, from limit to limit")
    axes.legend(lines, ["measured angle", "target"], loc="lower center", ncols=2, frameon=False)
    finish(axes)
    return True


def _planes(figure: Any, numbers: Numbers) -> bool:
    coverage = numbers["coverage"]
    planes = np.asarray(coverage["state_and_target_minus_state"], dtype=np.float64)
    if not planes.sum():
        return False
    edge, limits = coverage["target_minus_state_limit_rad"], _limits(coverage)
    ranges = [(limits[k], (-edge, edge)) for k in range(16)]
    axes, found = panels(figure, (4, 4), ranges, (0.42, 0.24, 0.25))
    for k, panel in enumerate(found):
        panel.density(planes[k])
        panel.level(0.0, QUIET)
        panel.ticks(_ends(limits[k]), [(-edge, f"{-edge:g}"), (0.0, "0"), (edge, f"{edge:g}")])
        panel.title(JOINT_NAMES[k])
        if k % 4 == 3:
            panel.below("angle, rad")
    finish(axes)
    return True


def _limits(coverage: Numbers) -> list[tuple[float, float]]:
    return list(zip(coverage["lower_limit_rad"], coverage["upper_limit_rad"], strict=True))


def _ends(limits: tuple[float, float]) -> list[tuple[float, str]]:
    return [(value, f"{value:.1f}") for value in (limits[0], 0.5 * sum(limits), limits[1])]


def _histories(figure: Any, numbers: Numbers) -> bool:
    found = numbers["histories"]
    views = found["views"]
    if not views:
        return False
    # The fingers' joints below each other as above, and the hand in a column of its own.
    axes, drawn = panels(figure, (4, 5), [((0.0, 1.0), (0.0, 1.0))] * 17, (0.06, 0.06, 0.02))
    for k, (view, panel) in enumerate(zip(views, drawn, strict=True)):
        if view["collected"] is not None:
            panel.density(np.asarray(view["collected"], dtype=np.float64))
        if view["task"] is not None:
            cells = np.asarray(view["task"])
            x, y = np.nonzero(cells)
            sizes = 1.0 + 5.0 * np.sqrt(cells[x, y] / cells.max())
            panel.points((x + 0.5) / cells.shape[0], (y + 0.5) / cells.shape[1], sizes, BLUE)
        reached = "" if view["reached"] is None else f": {100.0 * view['reached']:.0f} %"
        panel.title((JOINT_NAMES[k] if k < 16 else "whole hand") + reached, bold=k == 16)
    from matplotlib.lines import Line2D

    kinds = (("collected_sample", ORANGE, "collected"), ("task_sample", BLUE, "a policy's runs"))
    handles = [
        Line2D([], [], color=colour, marker="s", linestyle="", label=label)
        for name, colour, label in kinds
        if found[name]
    ]
    axes.legend(handles=handles, loc="center", bbox_to_anchor=(0.9, 0.6), frameon=False)
    finish(axes)
    return True


def _errors(figure: Any, numbers: Numbers) -> bool:
    joints = numbers["joints"]
    rms = _column(joints, "error_rms_rad")
    if not np.isfinite(rms).any():
        return False
    axes = plain_axes(figure, names=True)
    places = np.arange(16)
    axes.barh(places, rms, color=ORANGE, height=0.7, label="root mean square")
    median = _column(joints, "error_median_rad")
    axes.plot(median, places, "|", color="#22201c", markersize=9, label="median")
    axes.plot(_column(joints, "error_p99_rad"), places, ".", color=BLUE, markersize=5, label="99 %")
    joint_axis(axes)
    axes.set(xlabel="target in force - angle, rad")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=7, frameon=False)
    axes.grid(axis="x", alpha=0.3)
    return True


def _lags(figure: Any, numbers: Numbers) -> bool:
    lag = numbers["lag"]
    table = np.array(lag["joint_correlation"], dtype=np.float64)
    if not np.isfinite(table).any():
        return False
    axes = plain_axes(figure, names=True)
    axes.imshow(np.clip(table, 0, None), aspect="auto", cmap="Oranges", vmin=0.0)
    found = _column(numbers["joints"], "lag_ticks")
    known = np.isfinite(found)
    axes.plot(found[known], np.arange(16)[known], "o", color=BLUE, markersize=3.5)
    joint_axis(axes)
    axes.set(xlabel="lag, ticks", xticks=lag["ticks"])
    return True


def _column(rows: list[Numbers], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _period(figure: Any, numbers: Numbers) -> bool:
    period = numbers["period"]
    if not period["ticks"]:
        return False
    axes = plain_axes(figure)
    step, nominal = period["bin_ms"], period["nominal_ms"]
    off = np.rint(np.abs(np.asarray(period["edge_ms"]) - nominal) / step)
    top = max(off.max() * step, 0.6 * nominal)
    # Narrower than a bin of the counts no bin of the picture can be.
    edges = np.unique(np.rint(np.geomspace(1.0, 1.2 * top / step, 50))) - 0.5
    edges = np.r_[0.5 * edges[0], edges]
    counts, _ = np.histogram(np.maximum(off, 0.3), edges, weights=period["count"])
    axes.stairs(counts, edges * step, fill=True, color=ORANGE)
    axes.axvline(0.5 * nominal, color=QUIET, linestyle="--", linewidth=1)
    axes.text(0.48 * nominal, counts.max(), "half a tick", va="top", ha="right", color=QUIET)
    axes.set(xscale="log", yscale="log", xlabel=f"|period - {nominal:g} ms|, ms", ylabel="ticks")
    axes.set_ylim(bottom=0.5)
    axes.grid(alpha=0.3)
    return True


_PLOTS: tuple[tuple[str, str, tuple[float, float], Draw], ...] = (
    (
        "Where the joints were and where they were told to be",
        "A column of panels is a finger. A narrow histogram is a joint that the data does not explore.",
        _GRID,
        _ranges,
    ),
    (
        "State and action of each joint",
        "Each valid row: across the angle, upwards how far the target is beyond it, rad. White was never visited.",
        _GRID,
        _planes,
    ),
    (
        "Histories of ten ticks",
        "Ten angles and ten targets, in the plane of their two principal components: each joint's, and the whole "
        "hand's. The number: share of the policy's histories as close to a collected one as collected ones of "
        "different episodes are to each other.",
        _GRID,
        _histories,
    ),
    (
        "How far each joint is from its target",
        "Measured at the end of each tick. One joint far above its neighbours: look at its motor and its horn.",
        _TALL,
        _errors,
    ),
    (
        "How many ticks later a joint answers",
        "Correlation of the target's step with the joint's, by lag; the dot is where it is largest. One to two ticks "
        "are normal; 0 or 3 and more mean that state and action are not aligned.",
        _TALL,
        _lags,
    ),
    (
        "Error over the night",
        "A point is an episode. It should stay where it began.",
        _SIZE,
        over_time(
            ("worst_error_rms_rad", BLUE, "worst joint"),
            ("error_rms_rad", ORANGE, "all joints"),
            ylabel="rms error, rad",
            zero=True,
        ),
    ),
    (
        "Temperature over the night",
        "Hottest motor in each episode.",
        _SIZE,
        over_time(("temperature_max_c", ORANGE, ""), ylabel="temperature, °C"),
    ),
    (
        "Error of each joint over the night",
        "A row that turns dark is a joint that went wrong at that time.",
        _TALL,
        picture("error_rms_rad", "rms error, rad"),
    ),
    (
        "Temperature of each motor over the night",
        "Hottest in each episode.",
        _TALL,
        picture("temperature_c", "°C", low=None),
    ),
    (
        "Current of each motor over the night",
        "Mean of each episode, without its sign.",
        _TALL,
        picture("current_a", "mA", 1000.0),
    ),
    (
        "Answer of the joints over the night",
        "Lag of each episode. A step in it is an alignment that changed.",
        _SIZE,
        over_time(("lag_ticks", ORANGE, ""), ylabel="lag, ticks", zero=True),
    ),
    (
        "Error of the control period",
        "Ticks by how far their period was off.",
        _SIZE,
        _period,
    ),
)  # fmt: skip
