# SPDX-License-Identifier: Apache-2.0
"""Runs the steps one after the other, each in a process of its own; what is done is not done again."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dexndm_ros.loop.errors import StepFailedError
from dexndm_ros.loop.records import Records
from dexndm_ros.loop.stages import STAGES, Step
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.processes import Ended, Processes, StopTimes

__all__ = ["clock", "heading", "run_step", "run_steps", "time_left_s"]

Say = Callable[[str], None]
_STOP = StopTimes(interrupt_s=60.0, terminate_s=20.0)
"""A job writes its checkpoint, and a hand is brought to rest, before it ends."""
_LOOK_S = 0.2
_TRUST_S = 30.0
"""From so much measured time on, what is left is told from how fast this machine has been."""
_CELLS = 24
_LAST_LINES = 15


def run_steps(
    steps: Sequence[Step],
    records: Records,
    logs: Path,
    say: Say,
    senseless: Callable[[Step], bool],
) -> None:
    """Do what is not done yet.

    Args:
        steps: in their order.
        records: of the folder; each step that ends well is written down.
        logs: folder of the steps' output.
        say: tells a line.
        senseless: asked when its turn comes: whether a step is to be left out.

    Raises:
        StepFailedError: one ended badly; those before it are done.
    """
    measured: dict[str, float] = {}
    for step in steps:
        if records.is_done(step) or senseless(step):
            continue
        records.forget(step)
        say(heading(step, steps, records, measured))
        measured[step.name] = run_step(step, records, logs, say)


def run_step(step: Step, records: Records, logs: Path, say: Say) -> float:
    """Do one step, with its next command where one fails.

    Returns:
        the time it took, s.

    Raises:
        StepFailedError: all its commands failed.
        KeyboardInterrupt: Ctrl-C; the process has ended, and goes on when it is run again.
    """
    begin_s, why = time.monotonic(), ""
    for words in step.commands:
        if why:
            say(f"{why}; it goes on with: dexndm {shlex.join(words)}")
        ended = _run(step.name, words, logs)
        if ended.code in step.done and step.makes.is_file():
            seconds = time.monotonic() - begin_s
            records.finish(step, words, seconds)
            return seconds
        why = _said(ended)
    raise StepFailedError(
        f"stage {step.stage}, {STAGES[step.stage - 1]}: {why}. The whole output is in {ended.log}; mend that and give "
        f"the same command again. What failed: dexndm {shlex.join(words)}"
    )


def _said(ended: Ended) -> str:
    """What a job said of its end: ours do in a line that begins with the command."""
    lines = ended.log.read_text(encoding="utf-8", errors="replace").splitlines()
    own = [line for line in lines[-_LAST_LINES:] if line.startswith("dexndm ")]
    return own[-1].partition(": ")[2] if own else ended.reason


def _run(name: str, words: tuple[str, ...], logs: Path) -> Ended:
    """One process from begin to end; what it writes goes to its log, and from there to a terminal that waits."""
    spec = ProcessSpec(name, "dexndm_ros.cli", "dexndm")
    command = [sys.executable, "-m", "dexndm_ros.cli", *words]
    log = logs / f"{name}.log"
    shown = log.stat().st_size if log.exists() else 0
    with Processes([spec], logs, command=lambda _: command, stop_times=_STOP) as processes:
        ended: list[Ended] = []
        while not ended:
            ended = processes.wait(_LOOK_S)
            shown = _show(log, shown)
    return ended[0]


def _show(log: Path, shown: int) -> int:
    """Copy what is new in a log to the terminal, bars and all; how far it has been copied."""
    if not sys.stderr.isatty():
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        new = file.read()
    sys.stderr.buffer.write(new)
    sys.stderr.flush()
    return shown + len(new)


def heading(step: Step, steps: Sequence[Step], records: Records, measured: dict[str, float]) -> str:
    """Where the loop stands as a step begins: a bar over all of it, the stage, the time to go."""
    whole_s = sum(each.about_s for each in steps)
    left = [each for each in steps if not records.is_done(each)]
    share = 1.0 - sum(each.about_s for each in left) / whole_s
    cells = round(share * _CELLS)
    return (
        f"[{'#' * cells}{'.' * (_CELLS - cells)}] {share:3.0%}, {clock(time_left_s(steps, left, measured))} to go | "
        f"stage {step.stage} of {len(STAGES)}, {STAGES[step.stage - 1]}: {step.text}"
    )


def time_left_s(steps: Sequence[Step], left: Sequence[Step], measured: dict[str, float]) -> float:
    """Time to go, s: what is expected, by as much longer or shorter as the steps of this run were than expected."""
    expected_s = sum(step.about_s for step in steps if step.name in measured)
    pace = sum(measured.values()) / expected_s if expected_s > _TRUST_S else 1.0
    return pace * sum(step.about_s for step in left)


def clock(seconds: float) -> str:
    """A time in words: 40 s, 12 min."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
