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
)
from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = ["Plot", "report_plots"]

_SIZE, _TALL, _GRID = (5.4, 2.9), (5.4, 4.0), (11.0, 8.2)
_PLACES = {
    "left": 0.045,
    "right": 0.99,
    "bottom": 0.075,
    "top": 0.97,
    "wspace": 0.16,
    "hspace": 0.3,
}


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
            # Sixteen panels take a second to lay out by the book; their places are known.
            figure = Figure(figsize=size, layout=None if size == _GRID else "constrained")
            if not draw(figure, numbers):
                continue
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None}, dpi=110)
        yield Plot(title, note, size == _GRID, file.getvalue())


# --- each joint -----------------------------------------------------------------------------------------


def _grid(figure: Any, ticks: list[list[float]]) -> list[Any]:
    """A panel a joint: a finger is a column.

    Args:
        figure: to draw in.
        ticks: of each joint's horizontal axis, rad.
    """
    panels = figure.subplots(4, 4, gridspec_kw=_PLACES)
    ordered = [panels[k % 4][k // 4] for k in range(16)]
    for name, panel, at in zip(JOINT_NAMES, ordered, ticks, strict=True):
        panel.set_title(name, fontsize=8.5, pad=3)
        panel.tick_params(labelsize=7)
        panel.set_xticks(at, [f"{tick:.1f}" for tick in at])
    return ordered


def _ranges(figure: Any, numbers: Numbers) -> bool:
    coverage = numbers["coverage"]
    states, targets = np.asarray(coverage["state"]), np.asarray(coverage["target"])
    if not states.sum():
        return False
    panels = _grid(figure, _limits(coverage))
    for k, panel in enumerate(panels):
        low, high = coverage["lower_limit_rad"][k], coverage["upper_limit_rad"][k]
        edges = np.linspace(low, high, coverage["bins"] + 1)
        shares = [100.0 * counts[k] / counts[k].sum() for counts in (states, targets)]
        for share, colour, label in zip(shares, (BLUE, ORANGE), ("measured angle", "target"), strict=True):  # fmt: skip
            panel.stairs(share, edges, color=colour, label=label)
        top = max(float(share.max()) for share in shares)
        panel.set(xlim=(low, high), ylim=(0.0, 1.08 * top))
        panel.set_yticks([0.0, top], ["0", f"{top:.0f} %"])
        covered = numbers["joints"][k]["range_share"]
        panel.set_title(f"{JOINT_NAMES[k]}: {100.0 * covered:.0f} % of its range", fontsize=8.5, pad=3)  # fmt: skip
    for panel in panels[3::4]:
        panel.set_xlabel("rad, from limit to limit")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    return True


def _planes(figure: Any, numbers: Numbers) -> bool:
    coverage = numbers["coverage"]
    planes = np.asarray(coverage["state_and_target_minus_state"], dtype=np.float64)
    if not planes.sum():
        return False
    panels = _grid(figure, _limits(coverage))
    edge = coverage["target_minus_state_limit_rad"]
    for k, panel in enumerate(panels):
        extent = (coverage["lower_limit_rad"][k], coverage["upper_limit_rad"][k], -edge, edge)
        _density(panel, planes[k], extent)
        panel.axhline(0.0, color=QUIET, linewidth=0.6)
        panel.set_yticks([-edge, 0.0, edge], [f"{-edge:g}", "0", f"{edge:g}"])
    for panel in panels[3::4]:
        panel.set_xlabel("angle, rad")
    for panel in panels[:4]:
        panel.set_ylabel("target - angle, rad", labelpad=1)
    return True


def _limits(coverage: Numbers) -> list[list[float]]:
    both = zip(coverage["lower_limit_rad"], coverage["upper_limit_rad"], strict=True)
    return [[low, 0.5 * (low + high), high] for low, high in both]


def _histories(figure: Any, numbers: Numbers) -> bool:
    found = numbers["histories"]
    views = found["views"]
    if not views:
        return False
    panels = figure.subplots(
        3, 6, gridspec_kw={**_PLACES, "left": 0.01, "bottom": 0.01, "hspace": 0.12, "wspace": 0.06}
    ).ravel()
    for k, view in enumerate(views):
        _both(panels[k], view)
        name = JOINT_NAMES[k] if k < 16 else "whole hand"
        reached = "" if view["reached"] is None else f": {100.0 * view['reached']:.0f} %"
        weight = "normal" if k < 16 else "bold"
        panels[k].set_title(name + reached, fontsize=8.5, fontweight=weight, pad=3)
    panels[17].axis("off")
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if found["collected_sample"]:
        handles.append(Patch(color=ORANGE, label="collected"))
    if found["task_sample"]:
        handles.append(Line2D([], [], color=BLUE, marker="s", linestyle="", label="a policy's runs"))  # fmt: skip
    panels[17].legend(handles=handles, loc="center", frameon=False)
    return True


def _both(panel: Any, view: Numbers) -> None:
    panel.set(xticks=[], yticks=[])
    if view["collected"] is not None:
        cells = np.asarray(view["collected"], dtype=np.float64)
        _density(panel, cells, (0, cells.shape[0], 0, cells.shape[1]))
    if view["task"] is not None:
        cells = np.asarray(view["task"])
        x, y = np.nonzero(cells)
        size = 1.0 + 5.0 * np.sqrt(cells[x, y] / cells.max())
        panel.scatter(x + 0.5, y + 0.5, s=size, color=BLUE, marker="s", linewidths=0, rasterized=True)  # fmt: skip
        panel.set(xlim=(0, cells.shape[0]), ylim=(0, cells.shape[1]))


def _density(panel: Any, cells: NDArray[np.float64], extent: tuple[float, ...]) -> None:
    """A picture of counts, (x, y); what no row ever visited stays white."""
    # The square root shows what is seldom visited, too.
    seen = np.ma.masked_equal(np.sqrt(cells.T), 0.0)
    top = float(seen.max()) if seen.count() else 1.0
    panel.imshow(
        seen, origin="lower", aspect="auto", interpolation="nearest", cmap="Oranges",
        vmin=-0.25 * top, vmax=top, extent=extent,
    )  # fmt: skip


def _errors(figure: Any, numbers: Numbers) -> bool:
    joints = numbers["joints"]
    rms = _column(joints, "error_rms_rad")
    if not np.isfinite(rms).any():
        return False
    axes = figure.add_subplot()
    places = np.arange(16)
    axes.barh(places, rms, color=ORANGE, height=0.7, label="root mean square")
    median = _column(joints, "error_median_rad")
    axes.plot(median, places, "|", color="#22201c", markersize=9, label="median")
    axes.plot(_column(joints, "error_p99_rad"), places, ".", color=BLUE, markersize=5, label="99 %")
    joint_axis(axes)
    axes.set(xlabel="target in force - angle, rad")
    figure.legend(loc="outside upper center", ncols=3, fontsize=7, frameon=False)
    axes.grid(axis="x", alpha=0.3)
    return True


def _lags(figure: Any, numbers: Numbers) -> bool:
    lag = numbers["lag"]
    table = np.array(lag["joint_correlation"], dtype=np.float64)
    if not np.isfinite(table).any():
        return False
    axes = figure.add_subplot()
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
    axes = figure.add_subplot()
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
        "Each valid row by angle and by what the target asked beyond it. White was never visited.",
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
