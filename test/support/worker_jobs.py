# SPDX-License-Identifier: Apache-2.0
"""Tasks for engines: what a worker may do, and how it may die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dexndm_ros.datasets.engine import Engine


def square(number: int) -> int:
    return number * number


def perform(task: tuple[str, int, str]) -> int:
    """Do as told: "square", "raise", "die" always, "die once" (a file tells that it has happened)."""
    what, number, note = task
    if what == "raise":
        raise ValueError(f"{number} is not liked")
    if what == "die" or (what == "die once" and not Path(note).exists()):
        if note:
            Path(note).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def check_deaths(engine: Engine, folder: Path) -> None:
    """A task that raises, one that kills its worker, and one that does so once: each costs nothing but itself."""
    tasks = [("square", n, "") for n in range(6)]
    tasks[1] = ("raise", 1, "")
    tasks[2] = ("die", 2, "")
    tasks[4] = ("die once", 4, str(folder / "once"))
    outcomes = {outcome.number: outcome for outcome in engine.run(perform, tasks)}
    assert [outcomes[n].value for n in (0, 3, 4, 5)] == [0, 9, 16, 25]
    assert str(outcomes[1].error) == "1 is not liked"
    assert [n for n, outcome in outcomes.items() if outcome.died] == [2]
    assert outcomes[4].again
    assert [outcome.value for outcome in engine.run(square, [7])] == [49]


def hang(fifo: str) -> None:
    """Say who it is, into a FIFO or (without one) to stdout, and never end."""
    if fifo:
        Path(fifo).write_text(str(os.getpid()), encoding="utf-8")
    else:
        print(os.getpid(), flush=True)
    while True:
        signal.pause()
