# SPDX-License-Identifier: Apache-2.0
"""Plots over the night: a point an episode, or a picture with a row for each joint. Days in between are left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_NAMES

__all__ = [
    "BLUE",
    "ORANGE",
    "QUIET",
    "Draw",
    "Numbers",
    "joint_axis",
    "over_time",
    "picture",
    "plain_axes",
]

ORANGE, BLUE, QUIET = "#d9661f", "#2f6c9e", "#6c675f"

Numbers = dict[str, Any]
Draw = Callable[[Any, Numbers], bool]
"""Draws into a figure; False = there is no data for it."""


def _hours(numbers: Numbers) -> NDArray[np.float64]:
    return np.asarray(numbers["episodes"]["hour"], dtype=np.float64)


def _time_axis(axes: Any, numbers: Numbers) -> None:
    nights = numbers["nights"]
    unit, label = _unit(numbers)
    first = datetime.fromtimestamp(nights[0]["began_ns"] / 1e9, UTC)
    rest = ", days between left out" if len(nights) > 1 else ""
    axes.set(xlabel=f"{label} since {first:%Y-%m-%d %H:%M} UTC{rest}")
    for night in nights[1:]:
        axes.axvline(night["hour"] * unit, color=QUIET, linewidth=0.7, linestyle=":")


def _unit(numbers: Numbers) -> tuple[float, str]:
    hours = _hours(numbers)
    return (1.0, "h") if np.nanmax(hours) > 1.5 else (60.0, "min")


def _series(axes: Any, numbers: Numbers, name: str, colour: str, label: str) -> bool:
    values = np.asarray(numbers["episodes"][name], dtype=np.float64)
    hours = _hours(numbers)
    known = np.isfinite(values) & np.isfinite(hours)
    if not known.any():
        return False
    order = np.argsort(hours[known], kind="stable")
    axes.plot(
        hours[known][order] * _unit(numbers)[0], values[known][order],
        ".", color=colour, markersize=2.5 if known.sum() > 200 else 5.0, label=label, rasterized=known.sum() > 2000,
    )  # fmt: skip
    return True


def over_time(*series: tuple[str, str, str], ylabel: str, zero: bool = False) -> Draw:
    """Points, one an episode.

    Args:
        series: name in ``numbers["episodes"]``, colour and label.
        ylabel: of the vertical axis.
        zero: it begins at 0.
    """

    def draw(figure: Any, numbers: Numbers) -> bool:
        axes = plain_axes(figure)
        if not any([_series(axes, numbers, *each) for each in series]):
            return False
        _time_axis(axes, numbers)
        axes.set(ylabel=ylabel)
        if zero:
            axes.set_ylim(bottom=0.0)
        if len(series) > 1:
            axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.3)
        return True

    return draw


def picture(name: str, label: str, scale: float = 1.0, low: float | None = 0.0) -> Draw:
    """A picture of each joint's values over time.

    Args:
        name: in ``numbers["over_time"]``.
        label: of the colours.
        scale: from the numbers' unit to the label's.
        low: white; None = the smallest value.
    """

    def draw(figure: Any, numbers: Numbers) -> bool:
        hours = numbers["over_time"]["hour"]
        table = np.array(numbers["over_time"].get(name, []), dtype=np.float64) * scale
        if not np.isfinite(table).any():
            return False
        axes = plain_axes(figure, names=True, bar=True)
        unit = _unit(numbers)[0]
        image = axes.imshow(
            table, aspect="auto", interpolation="nearest", cmap="Oranges", vmin=low,
            extent=(hours[0] * unit, hours[-1] * unit, 15.5, -0.5),
        )  # fmt: skip
        joint_axis(axes)
        _time_axis(axes, numbers)
        around = axes.get_position()
        beside = figure.add_axes((around.x1 + 0.02, around.y0, 0.025, around.height))
        figure.colorbar(image, cax=beside, label=label)
        return True

    return draw


def plain_axes(figure: Any, names: bool = False, bar: bool = False) -> Any:
    """Axes that leave room for their labels; matplotlib's own search for the room takes longer than the drawing.

    Args:
        figure: to draw in.
        names: of the joints stand to the left.
        bar: of colours stands to the right.
    """
    _, height = figure.get_size_inches()
    left, bottom, top = 0.26 if names else 0.12, 0.48 / height, 0.22 / height
    return figure.add_axes((left, bottom, (0.84 if bar else 0.98) - left, 1.0 - bottom - top))


def joint_axis(axes: Any) -> None:
    """Joints from top to bottom."""
    axes.set_yticks(range(16), JOINT_NAMES, fontsize=7)
    axes.set_ylim(15.5, -0.5)
