# SPDX-License-Identifier: Apache-2.0
"""The loop's result as a picture, and as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexndm_ros.loop.results import KINDS, Cell, Results, sentences, stage_rows
from dexndm_ros.loop.running import clock
from dexndm_ros.loop.stages import STAGES
from dexndm_ros.training.page import page, picture, table
from dexndm_ros.training.residual_card import CANDIDATES

__all__ = ["draw", "write_page"]

_COLOURS = {"nominal": "#b0b0b0", "direct": "#d1833c", "residual": "#2a6f97"}


def write_page(out: Path, results: Results) -> Path:
    """Write ``result.png`` and ``index.html``.

    Args:
        out: folder of the loop.
        results: of it.

    Returns:
        the page.
    """
    drawn = out / "result.png"
    draw(results, drawn)
    title = f"Closing the gap: {Path(results.settings.world).stem}"
    file = out / "index.html"
    file.write_text(page(title, _body(results, drawn)), encoding="utf-8")
    return file


def draw(results: Results, file: Path) -> None:
    """Rotation and time held as bars, a group for each wrist; the dynamics' one-step errors; time by stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 4, figsize=(15, 3.6))
    _bars(panels[0], results, lambda cell: cell.turned_rad)
    panels[0].set_title("rotation in 20 s, rad")
    _bars(panels[1], results, lambda cell: cell.held)
    panels[1].set_title("share of the time held")
    panels[0].legend(fontsize=8)
    models = {name: each for name, each in results.errors["task"].items() if name != "persistence"}
    panels[2].bar(list(models), list(models.values()), color="#6a994e")
    panels[2].set_title("dynamics on the task, mrad a step")
    stages = stage_rows(results)
    panels[3].barh([name for name, _ in stages], [s / 60 for _, s in stages], color="#888888")
    panels[3].invert_yaxis()
    panels[3].set_title("time, min")
    for panel in panels:
        panel.grid(alpha=0.3, axis="x" if panel is panels[3] else "y")
    figure.suptitle(
        f"world {Path(results.settings.world).stem}" + ", residual refused" * bool(results.refused)
    )
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _bars(panel: Any, results: Results, pick: Callable[[Cell], tuple[float, float]]) -> None:
    """A group for each wrist, a bar for each kind, the spread over the seeds on top."""
    wrists = list(results.cells["direct"])
    width = 0.8 / len(results.cells)
    for number, (kind, cells) in enumerate(results.cells.items()):
        means, spreads = zip(*(pick(cells[wrist]) for wrist in wrists), strict=True)
        shift = (number - (len(results.cells) - 1) / 2) * width
        places = [place + shift for place in range(len(wrists))]
        panel.bar(places, means, width, yerr=spreads, capsize=3, label=KINDS[kind], color=_COLOURS[kind])  # fmt: skip
    panel.set_xticks(range(len(wrists)), [wrist.replace("_", " ") for wrist in wrists])


def _body(results: Results, file: Path) -> str:
    whole = sum(seconds for _, seconds in stage_rows(results))
    said = "".join(f"<p>{html.escape(text)}</p>" for text in sentences(results))
    settings = results.settings
    return f"""{said}
{picture(file)}
<h2>In the hand</h2>
{_evaluation(results)}
<h2>Dynamics of the hand, one-step error in mrad</h2>
{_errors(results)}
<h2>Residual</h2>
{_losses(results)}
<h2>Stages, {clock(whole)} in all</h2>
{_steps(results)}
<p>Size {settings.size}, seed {settings.seed}; everything lies in {html.escape(str(settings.out))}.</p>
"""


def _evaluation(results: Results) -> str:
    rows = [
        (
            KINDS[kind],
            wrist.replace("_", " "),
            f"{cell.turned_rad[0]:.1f} ± {cell.turned_rad[1]:.1f}",
            f"{100 * cell.held[0]:.0f} ± {100 * cell.held[1]:.0f}",
            f"{cell.turned_rad[0] / results.cells['direct'][wrist].turned_rad[0]:.2f}",
        )
        for kind, cells in results.cells.items()
        for wrist, cell in cells.items()
    ]
    return table(
        ("", "wrist", "rotation in 20 s, rad", "time held, %", "over the base alone"), rows
    )


def _errors(results: Results) -> str:
    models = list(next(iter(results.errors.values())))
    rows = [
        (name, *(f"{each[model]:.2f}" for model in models)) for name, each in results.errors.items()
    ]
    return table(("data", *models), rows)


def _losses(results: Results) -> str:
    """What each loss gave, then what the rollouts said between which was chosen."""
    losses = [
        (name, f"{row['rms_mrad']:.2f}", f"{100 * row['at_bound']:.0f} %", row["refused"])
        for name, row in results.residual["losses"].items()
    ]
    candidates = (results.residual.get("selection") or {}).get("rows", {})
    chosen = results.residual["chosen"]
    choice = [
        (
            CANDIDATES.get(name, name),
            str(row["episodes"]),
            f"{row['rotation_rad']:.1f}",
            f"{100 * row['held']:.0f}",
            "chosen" * (name == chosen),
        )
        for name, row in candidates.items()
    ]
    return table(("loss", "error, mrad", "at its bound", "refused"), losses) + table(
        ("candidate", "objects a wrist", "rotation in the choice, rad", "time held, %", ""), choice
    )


def _steps(results: Results) -> str:
    rows = [
        (
            f"{step.stage} {STAGES[step.stage - 1]}: {step.text}",
            clock(record.seconds),
            f"dexndm {shlex.join(record.words)}",
        )
        for step, record in results.done
    ]
    return table(("step", "time", "command"), rows)
