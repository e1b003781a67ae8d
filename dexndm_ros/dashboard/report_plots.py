# SPDX-License-Identifier: Apache-2.0
"""The plots of a campaign's report, each an SVG in bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["report_plots"]

_COLOUR = "#d9661f"
_QUIET = "#6c675f"
_SIZE = (5.4, 2.7)
_COLUMNS = 400
"""Most columns of the picture of the currents."""

Draw = Callable[[Any, dict[str, Any]], bool]


def report_plots(numbers: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Draw what there is data for.

    Args:
        numbers: of :func:`~dexndm_ros.dashboard.report_numbers.campaign_numbers`.

    Yields:
        title, which is also the text for those who do not see it, and the SVG.

    Raises:
        ImportError: matplotlib is not there.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "dexndm", "font.size": 8.5}
    for title, size, draw in _PLOTS:
        with mpl.rc_context(style):
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.add_subplot()
            if not draw(axes, numbers):
                continue
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
        yield title, file.getvalue()


def _unit(numbers: dict[str, Any]) -> tuple[float, str]:
    """Seconds of the unit of time on the axes, and the axes' label."""
    return (3600.0, "time, h") if numbers["time"]["span_s"] > 5400.0 else (60.0, "time, min")


def _times(numbers: dict[str, Any]) -> NDArray[np.float64]:
    """When each trajectory was done, in that unit."""
    return np.asarray(numbers["trajectories"]["ended_s"], dtype=np.float64) / _unit(numbers)[0]


def _column(numbers: dict[str, Any], name: str) -> NDArray[np.float64]:
    return np.asarray(numbers["trajectories"][name], dtype=np.float64)


def _progress(axes: Any, numbers: dict[str, Any]) -> bool:
    times = _times(numbers)
    if not times.size:
        return False
    axes.step([0.0, *times], range(len(times) + 1), where="post", color=_COLOUR)
    serious = [e["t_s"] / _unit(numbers)[0] for e in numbers["events"] if e["kind"] == "warning"]
    if serious:
        heights = np.searchsorted(times, serious)
        axes.plot(serious, heights, "|", color=_QUIET, markersize=9, label="warnings of the replay")
        axes.legend(loc="upper left", frameon=False)
    axes.set(xlabel=_unit(numbers)[1], ylabel="trajectories done")
    axes.grid(alpha=0.3)
    return True


def _rate(axes: Any, numbers: dict[str, Any]) -> bool:
    times = _times(numbers)
    if len(times) < 10:
        return False
    counts, edges = np.histogram(times, bins=min(48, len(times) // 5), range=(0.0, times[-1]))
    per_hour = counts / np.diff(edges) * 3600.0 / _unit(numbers)[0]
    axes.stairs(per_hour, edges, color=_COLOUR, fill=True, alpha=0.85)
    axes.set(xlabel=_unit(numbers)[1], ylabel="trajectories an hour")
    axes.grid(alpha=0.3)
    return True


def _period(axes: Any, numbers: dict[str, Any]) -> bool:
    error = numbers["period_error"]
    if not error["ticks"]:
        return False
    edges = np.asarray(error["edge_ms"])
    bins = np.geomspace(max(edges.min(), 1e-3), max(edges.max(), 1e-2) * 1.01, 60)
    axes.hist(edges, bins=bins, weights=error["count"], color=_COLOUR, log=True)
    axes.axvline(error["p99_ms"], color=_QUIET, linestyle="--", linewidth=1)
    axes.text(error["p99_ms"], axes.get_ylim()[1], " p99", va="top", color=_QUIET)
    axes.set(xscale="log", xlabel="error of a tick's period, ms", ylabel="ticks")
    axes.grid(alpha=0.3)
    return True


def _over_time(name: str, label: str, scale: float = 1.0) -> Draw:
    def draw(axes: Any, numbers: dict[str, Any]) -> bool:
        values = _column(numbers, name) * scale
        if not np.isfinite(values).any():
            return False
        axes.plot(_times(numbers), values, color=_COLOUR, linewidth=1, marker=".", markersize=2)
        axes.set(xlabel=_unit(numbers)[1], ylabel=label)
        axes.grid(alpha=0.3)
        return True

    return draw


def _histogram(name: str, label: str, scale: float = 1.0) -> Draw:
    def draw(axes: Any, numbers: dict[str, Any]) -> bool:
        values = _column(numbers, name) * scale
        values = values[np.isfinite(values)]
        if not values.size:
            return False
        axes.hist(values, bins=40, color=_COLOUR)
        axes.set_title(f"median {np.median(values):.4g}, max {values.max():.4g}", fontsize=8.5)
        axes.set(xlabel=label, ylabel="trajectories")
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.grid(alpha=0.3)
        return True

    return draw


def _currents(axes: Any, numbers: dict[str, Any]) -> bool:
    current = np.asarray(numbers["current_a"], dtype=np.float64)
    if not current.size or not np.isfinite(current).any():
        return False
    parts = np.array_split(current, min(len(current), _COLUMNS))
    table = np.array([part.mean(axis=0) for part in parts]).T
    times = _times(numbers)
    image = axes.imshow(
        1000.0 * table,
        aspect="auto",
        interpolation="nearest",
        cmap="Oranges",
        vmin=0.0,
        extent=(0.0, max(times[-1], 1e-6), 15.5, -0.5),
    )
    axes.set_yticks(range(16), numbers["joints"], fontsize=7)
    axes.set(xlabel=_unit(numbers)[1])
    axes.figure.colorbar(image, ax=axes, label="mean current, mA")
    return True


def _coverage(axes: Any, numbers: dict[str, Any]) -> bool:
    found = numbers["coverage"]
    if "missing" in found:
        return False
    shares = np.asarray(found["histogram"])
    # The square root shows what is seldom visited, too.
    axes.imshow(
        np.sqrt(shares), aspect="auto", interpolation="nearest", cmap="Oranges",
        extent=(0.0, 100.0, 15.5, -0.5),
    )  # fmt: skip
    names = [
        f"{name} {100.0 * share:.0f} %"
        for name, share in zip(numbers["joints"], found["range_share"], strict=True)
    ]
    axes.set_yticks(range(16), names, fontsize=7)
    axes.set(xlabel="from the lower to the upper limit of the joint, %")
    return True


_TALL = (5.4, 3.6)
_PLOTS: tuple[tuple[str, tuple[float, float], Draw], ...] = (
    ("Progress", _SIZE, _progress),
    ("Trajectories an hour", _SIZE, _rate),
    ("Error of the 50 ms period", _SIZE, _period),
    ("Hottest motor", _SIZE, _over_time("temperature_max_c", "temperature, °C")),
    ("Mean current of each joint", _TALL, _currents),
    ("Where the targets were (share of each joint's range that they span)", _TALL, _coverage),
    ("Target minus position, root mean square", _SIZE, _over_time("tracking_rms_rad", "rad")),
    (
        "Spread of the currents: it falls when the hand meets nothing",
        _SIZE,
        _over_time("current_spread_a", "mA", 1000.0),
    ),
    ("Time a trajectory took", _SIZE, _histogram("duration_s", "s")),
    ("Size of a trajectory on disk", _SIZE, _histogram("bytes", "MB", 1e-6)),
)
