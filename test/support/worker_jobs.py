# SPDX-License-Identifier: Apache-2.0
"""Tasks for engines: what a worker may do, and how it may die."""

from __future__ import annotations

import os
import signal
from pathlib import Path


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


def hang(fifo: str) -> None:
    """Say who it is, into a FIFO or (without one) to stdout, and never end."""
    if fifo:
        Path(fifo).write_text(str(os.getpid()), encoding="utf-8")
    else:
        print(os.getpid(), flush=True)
    while True:
        signal.pause()
