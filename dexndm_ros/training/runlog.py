# SPDX-License-Identifier: Apache-2.0
"""What a job leaves behind as it goes: a CSV row and TensorBoard scalars a step, and a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunLog", "plot_curves", "read_log"]


class RunLog:
    """Appends rows to ``log.csv`` and to TensorBoard in a run folder.

    Args:
        folder: run folder.
        fields: columns; the first is the step.
        goes_on_from: step of the checkpoint that a run goes on from: rows that one wrote beyond it before it was cut
            off are dropped, for they are written again. None = all stay.
    """

    def __init__(
        self, folder: Path, fields: Sequence[str], goes_on_from: int | None = None
    ) -> None:
        if goes_on_from is not None:
            _drop_beyond(folder / "log.csv", goes_on_from)
        self._file = (folder / "log.csv").open("a", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._file, fields)
        self._step = fields[0]
        if self._file.tell() == 0:
            self._csv.writeheader()
        self._board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, row: Mapping[str, float | str]) -> None:
        """One row; words go to the CSV only."""
        self._csv.writerow(row)
        self._file.flush()
        step = int(row[self._step])
        for name, value in row.items():
            if name != self._step and isinstance(value, int | float):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both."""
        self._board.close()
        self._file.close()


def _drop_beyond(path: Path, step: int) -> None:
    if not path.is_file() or not path.stat().st_size:
        return
    head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The last row may be half of one.
    kept = [r for r in rows if r.endswith("\n") and int(r.partition(",")[0]) <= step]
    part = path.with_name(path.name + ".part")
    part.write_text("".join([head, *kept]), encoding="utf-8")
    part.replace(path)


def read_log(folder: Path) -> dict[str, list[str]]:
    """Columns of a run's ``log.csv``."""
    with (folder / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}


def plot_curves(folder: Path, x: str, curves: Sequence[str], title: str) -> Path:
    """Draw columns of a run's log into ``curves.png`` in its folder, one panel each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    log = read_log(folder)
    figure, panels = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3), squeeze=False)
    for panel, name in zip(panels[0], curves, strict=True):
        points = [
            (float(a), float(b))
            for a, b in zip(log[x], log[name], strict=True)
            if b not in ("", "nan")
        ]
        panel.plot(*zip(*points, strict=True))
        panel.set_xlabel(x)
        panel.set_title(name)
        panel.grid(alpha=0.3)
    figure.suptitle(title)
    figure.tight_layout()
    path = folder / "curves.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
