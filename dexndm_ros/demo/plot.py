# SPDX-License-Identifier: Apache-2.0
"""The plot of a run: ``python -m dexndm_ros.demo.plot DIR`` reads DIR/recording.npz, writes ``demo.png``.

Angle over time, tick periods, observation to command, and four pictures if there are some.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.recording import RecordingData
from dexndm_ros.demo.render import STILLS_FILE

__all__ = ["PLOT_FILE", "main", "plot"]

PLOT_FILE = "demo.png"
_COLOUR = "#d9661f"


def plot(folder: Path) -> Path:
    """Draw the plot of the recording in a folder.

    Raises:
        DemoError: matplotlib is not there.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise DemoError("no plot: pip install matplotlib") from error
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    data = RecordingData.load(folder)
    stills = folder / STILLS_FILE
    with_stills = stills.is_file()
    figure = plt.figure(figsize=(11, 6.2 if with_stills else 3.4), layout="constrained")
    grid = figure.add_gridspec(
        2 if with_stills else 1, 3, height_ratios=[1.1, 1][: 1 + with_stills]
    )
    if with_stills:
        axes = figure.add_subplot(grid[0, :])
        axes.imshow(plt.imread(stills))
        axes.axis("off")
    row = int(with_stills)
    _angle(figure.add_subplot(grid[row, 0]), data)
    _histogram(
        figure.add_subplot(grid[row, 1]), data.period_ms, "time between two policy ticks, ms"
    )
    _histogram(
        figure.add_subplot(grid[row, 2]), data.delay_ms, "joints read to command received, ms"
    )
    path = folder / PLOT_FILE
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _angle(axes: Any, data: RecordingData) -> None:
    if data.angle_s.size:
        axes.plot(data.angle_s, data.angle, color=_COLOUR)
    else:
        axes.text(0.5, 0.5, "not known", ha="center", transform=axes.transAxes)
    axes.set(xlabel="time, s", ylabel="angle turned, rad")
    axes.grid(alpha=0.3)


def _histogram(axes: Any, values_ms: NDArray[np.float64], label: str) -> None:
    values = values_ms[np.isfinite(values_ms)]
    if values.size:
        axes.hist(values, bins=60, color=_COLOUR, log=True)
        p50, p99 = np.percentile(values, [50, 99])
        axes.set_title(f"p50 {p50:.2f}, p99 {p99:.2f}, max {values.max():.2f}", fontsize=9)
    axes.set(xlabel=label, ylabel="ticks")
    axes.grid(alpha=0.3)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, or say in one sentence why not."""
    parser = argparse.ArgumentParser(prog="python -m dexndm_ros.demo.plot", description=__doc__)
    parser.add_argument("folder", type=Path)
    try:
        plot(parser.parse_args(argv).folder)
    except DemoError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
