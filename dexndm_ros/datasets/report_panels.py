# SPDX-License-Identifier: Apache-2.0
"""Many small panels in one pair of axes: matplotlib takes seconds to make and lay out sixteen of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Panel", "finish", "panels"]

_SMALL, _TITLE = 7.0, 8.5


class Panel:
    """A box with axes of its own.

    Args:
        axes: of the whole figure, in inches.
        box_in: left, bottom, right and top of the panel in them.
        x: range of the data across.
        y: range of the data upwards.
    """

    def __init__(
        self, axes: Any, box_in: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float]
    ) -> None:  # fmt: skip
        self._axes, self._box = axes, box_in
        self._x, self._y = x, y
        left, bottom, right, top = box_in
        around = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        axes.plot(*around, color="black", linewidth=0.7)

    def title(self, text: str, bold: bool = False) -> None:
        """Above it."""
        left, _, right, top = self._box
        weight = "bold" if bold else "normal"
        self._axes.text(
            (left + right) / 2, top + 0.04, text, ha="center", va="bottom", fontsize=_TITLE, weight=weight
        )  # fmt: skip

    def ticks(self, x: Sequence[tuple[float, str]] = (), y: Sequence[tuple[float, str]] = ()) -> None:  # fmt: skip
        """Labels below and to the left."""
        left, bottom, *_ = self._box
        for value, text in x:
            at = self._across(np.array([value]))[0]
            self._axes.plot([at, at], [bottom, bottom - 0.04], color="black", linewidth=0.7)
            self._axes.text(at, bottom - 0.06, text, ha="center", va="top", fontsize=_SMALL)
        for value, text in y:
            at = self._up(np.array([value]))[0]
            self._axes.plot([left, left - 0.04], [at, at], color="black", linewidth=0.7)
            self._axes.text(left - 0.06, at, text, ha="right", va="center", fontsize=_SMALL)

    def below(self, text: str) -> None:
        """Name of the axis across."""
        left, bottom, right, _ = self._box
        self._axes.text((left + right) / 2, bottom - 0.2, text, ha="center", va="top", fontsize=_TITLE)  # fmt: skip

    def stairs(self, counts: NDArray[np.float64], colour: str) -> Any:
        """A histogram over the whole range, its bins of equal width."""
        edges = np.linspace(*self._x, len(counts) + 1)
        x = self._across(np.repeat(edges, 2))
        y = self._up(np.r_[0.0, np.repeat(counts, 2), 0.0])
        return self._axes.plot(x, y, color=colour, linewidth=1.2)[0]

    def level(self, y: float, colour: str) -> None:
        """A line from side to side."""
        at = self._up(np.array([y]))[0]
        self._axes.plot([self._box[0], self._box[2]], [at, at], color=colour, linewidth=0.6)

    def density(self, cells: NDArray[np.float64]) -> None:
        """Counts over the whole range, (x, y); what is 0 stays white."""
        # The square root shows what is seldom visited, too.
        seen = np.ma.masked_equal(np.sqrt(cells.T), 0.0)
        top = float(seen.max()) if seen.count() else 1.0
        left, bottom, right, up = self._box
        self._axes.imshow(
            seen, origin="lower", aspect="auto", interpolation="nearest", cmap="Oranges", vmin=-0.25 * top,
            vmax=top, extent=(left, right, bottom, up),
        )  # fmt: skip

    def points(
        self, x: NDArray[Any], y: NDArray[Any], sizes: NDArray[np.float64], colour: str
    ) -> None:
        """Small squares."""
        self._axes.scatter(
            self._across(x), self._up(y), s=sizes, color=colour, marker="s", linewidths=0, rasterized=True
        )  # fmt: skip

    def _across(self, values: NDArray[Any]) -> NDArray[np.float64]:
        left, _, right, _ = self._box
        return left + (values - self._x[0]) / (self._x[1] - self._x[0]) * (right - left)

    def _up(self, values: NDArray[Any]) -> NDArray[np.float64]:
        _, bottom, _, top = self._box
        return bottom + (values - self._y[0]) / (self._y[1] - self._y[0]) * (top - bottom)


def panels(
    figure: Any,
    shape: tuple[int, int],
    ranges: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    room_in: tuple[float, float, float],
) -> tuple[Any, list[Panel]]:
    """A table of panels that fills a figure.

    Args:
        figure: to draw in.
        shape: rows and columns.
        ranges: of each panel's data, across and upwards; they go down the first column, then down the second.
        room_in: that is left free to the left of each panel, below it, and at the bottom of all.

    Returns:
        The axes around all, in inches, and the panels.
    """
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    rows, columns = shape
    left, below, bottom = room_in
    wide, high = (width - 0.1) / columns, (height - bottom) / rows
    found = []
    for k, (x, y) in enumerate(ranges):
        at_x, at_y = k // rows * wide, height - (k % rows + 1) * high
        box = (at_x + left, at_y + below, at_x + wide - 0.06, at_y + high - 0.24)
        found.append(Panel(axes, box, x, y))
    return axes, found


def finish(axes: Any) -> None:
    """The last thing: what was drawn must not have moved the axes."""
    width, height = axes.figure.get_size_inches()
    axes.set(xlim=(0.0, width), ylim=(0.0, height))
    axes.set_axis_off()
