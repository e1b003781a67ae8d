# SPDX-License-Identifier: Apache-2.0
"""Runs stages: each in a process of its own, as many at once as there are cores, what is done not again.

Two comparisons may share a folder: what one works on, the other waits for.
A stage that fails is marked with its reason, and what needs it fails with it; everything else goes on. The next
run tries it again. Ctrl-C and SIGTERM reach the jobs, which end as they do alone, and go on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dexndm_ros.training.compare.stages import Folder, Stage, in_order
from dexndm_ros.training.progress import Progress

__all__ = ["Runner"]

_LOOK_S = 0.1
_PATIENCE_S = 60.0
_WORDS = 300


@dataclass
class _Job:
    folder: Folder
    process: subprocess.Popen[bytes]
    lock: int
    begin_s: float


class Runner:
    """Works on stages under one folder.

    Args:
        root: of all stages.
        jobs: stages at once.
        threads: of each.
        say: takes lines of text.
    """

    def __init__(self, root: Path, jobs: int, threads: int, say: Callable[[str], None]) -> None:
        self.root, self.jobs, self.threads, self.say = root, jobs, threads, say
        self._failed: dict[str, str] = {}
        root.mkdir(parents=True, exist_ok=True)

    def folder(self, stage: Stage) -> Folder:
        """Where a stage lies."""
        return Folder(stage, self.root)

    def failure(self, stage: Stage) -> str:
        """Why there is no result; "" where there is one, or where it was not asked for yet."""
        return self._failed.get(stage.folder_name, "")

    def plan(self, wanted: Sequence[Stage]) -> str:
        """What is done and what is to do, a line a kind, with the time it will take."""
        stages = in_order(wanted)
        todo = [stage for stage in stages if not self.folder(stage).done]
        speed = self._speed(stages)
        left = Counter(stage.kind for stage in todo)
        lines = [f"{'stage':<12}{'done':>6}{'to do':>7}{'about':>12}"]
        for kind, count in Counter(stage.kind for stage in stages).items():
            seconds = sum(self._cost(stage, speed) for stage in todo if stage.kind == kind)
            lines.append(
                f"{kind:<12}{count - left[kind]:>6}{left[kind]:>7}{seconds / 60 / self.jobs:>8.1f} min"
            )
        total = sum(self._cost(stage, speed) for stage in todo)
        lines.append(
            f"{'all':<12}{len(stages) - len(todo):>6}{len(todo):>7}{total / 60 / self.jobs:>8.1f} min"
        )
        return "\n".join(lines)

    def run(self, wanted: Sequence[Stage], label: str) -> None:
        """Do what is not done of these stages and of all that they need."""
        stages = in_order(wanted)
        todo = [stage for stage in stages if not self.folder(stage).done]
        if not todo:
            return
        speed = self._speed(stages)
        total = sum(self._cost(stage, speed) for stage in todo)
        bar = Progress(max(1, round(total)), f"{label}, s of work")
        running: list[_Job] = []
        try:
            with _stoppable():
                while todo or running:
                    self._begin(todo, running)
                    time.sleep(_LOOK_S)
                    for job in [job for job in running if job.process.poll() is not None]:
                        running.remove(job)
                        self._end(job)
                    names = [job.folder.stage.name for job in running]
                    left = sum(self._cost(stage, speed) for stage in todo)
                    left += sum(self._cost(job.folder.stage, speed) for job in running)
                    bar.update(
                        round(total) - round(left),
                        ", ".join(names) or ("waiting for another process" if todo else ""),
                    )
        finally:
            bar.close()
            _stop(running)

    def _begin(self, todo: list[Stage], running: list[_Job]) -> None:
        """Start what can be started; what another process works on is looked at again later."""
        for stage in list(todo):
            if len(running) >= self.jobs or not _is_ready(stage, todo, running):
                continue
            broken = next((need for need in stage.needs if self.failure(need)), None)
            if broken is not None:
                todo.remove(stage)
                self._failed[stage.folder_name] = _passed_on(broken, self.failure(broken))
                continue
            folder = self.folder(stage)
            folder.path.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder.path / "lock")
            if lock is None:
                continue
            todo.remove(stage)
            if folder.done:  # another process did it
                os.close(lock)
            else:
                running.append(self._start(folder, lock))

    def _start(self, folder: Folder, lock: int) -> _Job:
        if folder.stage.product:  # a dataset makes its folder itself
            folder.out.mkdir(exist_ok=True)
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *folder.command(self.threads)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "passive"},
                pass_fds=(lock,),  # also held for as long as the job lives, whatever becomes of us
            )  # fmt: skip
        return _Job(folder, process, lock, time.monotonic())

    def _end(self, job: _Job) -> None:
        stage, folder = job.folder.stage, job.folder
        seconds = time.monotonic() - job.begin_s
        reason = ""
        if job.process.returncode:
            reason = _last_line(folder.log) or f"it ended with {job.process.returncode}"
        elif not (folder.out / stage.product).exists():
            reason = f"it ended well, and {stage.product or 'its folder'} is not there"
        folder.end(seconds, reason)
        os.close(job.lock)  # not before the mark is there
        if reason:
            self._fail(stage, reason)

    def _fail(self, stage: Stage, reason: str) -> None:
        self._failed[stage.folder_name] = reason
        self.say(f"{stage.name} failed: {reason} (log: {self.folder(stage).log})")

    def _speed(self, stages: Sequence[Stage]) -> dict[str, float]:
        """Seconds a second of what was reckoned, by kind, from all that is done."""
        marks = [
            mark for stage in stages if (mark := self.folder(stage).mark()) and not mark["failed"]
        ]
        return {
            kind: sum(m["seconds"] for m in marks if m["kind"] == kind)
            / sum(m["cost_s"] for m in marks if m["kind"] == kind)
            for kind in {mark["kind"] for mark in marks}
        }

    def _cost(self, stage: Stage, speed: dict[str, float]) -> float:
        return stage.cost_s * speed.get(stage.kind, 1.0)


def _is_ready(stage: Stage, todo: Sequence[Stage], running: Sequence[_Job]) -> bool:
    waiting = {each.folder_name for each in todo}
    waiting |= {job.folder.stage.folder_name for job in running}
    return not any(need.folder_name in waiting for need in stage.needs)


def _passed_on(need: Stage, reason: str) -> str:
    return reason if reason.startswith("needs ") else f"needs {need.kind}, which failed: {reason}"


def _lock(path: Path) -> int | None:
    """A lock that its holders' death opens; None where another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _stop(running: Sequence[_Job]) -> None:
    """Ask the jobs to end, and wait for them."""
    for job in running:
        job.process.send_signal(signal.SIGINT)
    for job in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.process.wait(_PATIENCE_S)
        if job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()
        os.close(job.lock)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_line(log: Path) -> str:
    """The last thing a job said that is no progress bar: why it ended."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    said = [line for line in lines if line and "%|" not in line]
    return said[-1][-_WORDS:] if said else ""
