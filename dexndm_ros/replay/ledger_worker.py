# SPDX-License-Identifier: Apache-2.0
"""A thread of its own for ledger, library and noise: a disk that takes its time must not cost a tick."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dexndm_ros.recording.partial import PART, PARTIAL, put_aside
from dexndm_ros.replay.jobs import Finished, Job, JobKind, Recorded, claim_of
from dexndm_ros.replay.ledger import Claim, Counts, Ledger, LedgerError, LedgerStateError, Result
from dexndm_ros.replay.player import load
from dexndm_ros.replay.prepare import Prepared
from dexndm_ros.replay.reconcile import reconcile, why_not_whole
from dexndm_ros.replay.run import ReplayRun

__all__ = ["LedgerWorker"]

_AGAIN_S = 2.0
_NS = 1e9


class LedgerWorker:
    """Carries out a run's jobs on the ledger, in order, and again until they succeed.

    Args:
        prepared: campaign, ledger and library.
        bags: folder of the bags.
        answer: called in this thread with what the run is to be told: a function of the run.
        say: called with what a person should read: (serious, text).
    """

    def __init__(
        self,
        prepared: Prepared,
        bags: Path,
        answer: Callable[[Callable[[ReplayRun], None]], None],
        say: Callable[[bool, str], None],
    ) -> None:
        self._prepared = prepared
        self._bags = bags
        self._answer = answer
        self._say = say
        self._work: queue.Queue[Callable[[Ledger], None] | None] = queue.Queue()
        self._stop = threading.Event()
        self._claimed: Claim | None = None  # and its trajectory is not read yet
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self.trouble = ""
        """Why the ledger cannot be written; '' = it can."""
        self.counts: Counts | None = None
        """The ledger's counts after the last job."""
        self.reconciled = False
        """What a dead process left behind has been put in order."""

    def start(self) -> None:
        """Open the ledger and wait for work."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Do what is queued, as far as the time goes; returns whether all was done."""
        self._work.put(None)
        self._thread.join(timeout_s)
        self._stop.set()
        return not self._thread.is_alive()

    # --- work, from any thread --------------------------------------------------------------------

    def reconcile(self) -> None:
        """Put in order what a dead process left behind; the recorder must have nothing open."""
        self._work.put(self._reconcile)

    def do(self, job: Job) -> None:
        """A job of the run."""
        self._work.put(lambda ledger: self._do(ledger, job))

    def event(self, kind: str, text: str) -> None:
        """Something for the campaign's journal."""
        self._work.put(lambda ledger: ledger.event(kind, text))

    def statistic(self, name: str, value: Any) -> None:
        """Numbers to keep, JSON; the last value under a name counts."""
        self._work.put(lambda ledger: ledger.set_statistic(name, value))

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        ledger: Ledger | None = None
        while ledger is None and not self._stop.is_set():
            try:
                ledger = Ledger.open(self._prepared.ledger_path)
            except LedgerError as error:
                self._in_trouble(error)
        while ledger is not None and (work := self._work.get()) is not None:
            self._until_done(ledger, work)
        if ledger is not None:
            ledger.close()

    def _until_done(self, ledger: Ledger, work: Callable[[Ledger], None]) -> None:
        done = False
        while not self._stop.is_set():
            try:
                if not done:
                    work(ledger)
                done = True  # once: a claim that is made again is another one
                self.counts = ledger.counts()
                self.trouble = ""
                return
            except LedgerStateError as error:
                self._say(True, str(error))  # again would be no better
                return
            except (
                Exception
            ) as error:  # a disk or a library that fails: unheard, it would end all work
                self._in_trouble(error)

    def _in_trouble(self, error: Exception) -> None:
        begins, self.trouble = not self.trouble, str(error) or repr(error)
        if begins:
            self._say(True, self.trouble)
        self._stop.wait(_AGAIN_S)

    def _reconcile(self, ledger: Ledger) -> None:
        report = reconcile(ledger, self._bags)
        for line in report.lines:
            self._say(False, line)
        self.reconciled = True

    def _do(self, ledger: Ledger, job: Job) -> None:
        if job.kind is JobKind.CLAIM:
            self._claim(ledger)
        elif job.kind is JobKind.FINISH:
            assert job.finished is not None and job.recorded is not None
            ledger.finish(claim_of(job), result(job.recorded, job.finished))
        elif job.kind is JobKind.REJECT:
            ledger.reject(claim_of(job), job.reason)
        elif job.kind is JobKind.RELEASE:
            ledger.release(claim_of(job), job.reason, bag=self._not_kept(job))
        elif job.kind is JobKind.RESOLVE:
            self._resolve(ledger, job)
        else:
            raise ValueError(f"{job.kind} is no job for the ledger")

    def _claim(self, ledger: Ledger) -> None:
        claim = self._claimed = self._claimed or ledger.claim()
        loaded = None
        if claim is not None:
            trajectory = self._prepared.source.trajectory(claim.trajectory)
            loaded = load(
                claim, trajectory.targets_rad, self._prepared.campaign.noise, trajectory.axis
            )
        self._claimed = None
        self._answer(lambda run: run.claimed(loaded))

    def _not_kept(self, job: Job) -> str:
        """Name of the recording of an attempt that does not count; '' = there is none."""
        if job.recorded is None or not job.recorded.path:
            return ""
        name = Path(job.recorded.path).name
        # Whole, and yet not what was to be recorded: under its final name it would be taken for data.
        return self._aside(name, job.reason) if job.recorded.complete else name

    def _resolve(self, ledger: Ledger, job: Job) -> None:
        """Nobody said what became of a recording that was to end: its bag is there and whole, or it does not count."""
        assert job.loaded is not None and job.finished is not None
        episode = job.loaded.episode
        reason = "the recorder did not say what became of it"
        # A recorder that is only late must not finish it behind our back: the first to rename it decides.
        aside = self._aside(episode + PART, reason)
        flaw, found = why_not_whole(self._bags / episode)
        if found is not None:
            recorded = Recorded(
                episode, "", True, "", str(self._bags / episode), found.messages, 0, 0,
                found.bytes, found.duration_s,
            )  # fmt: skip
            ledger.finish(claim_of(job), result(recorded, job.finished))
            return
        aside = self._aside(episode, flaw) or aside
        ledger.release(claim_of(job), f"{reason}: {flaw}", bag=aside)

    def _aside(self, name: str, reason: str) -> str:
        """Put a folder aside; returns its new name, or the one it already has there, or ''."""
        with contextlib.suppress(FileNotFoundError):
            return put_aside(self._bags / name, reason).name
        there = name.removesuffix(PART) + PARTIAL
        return there if (self._bags / there).is_dir() else ""


def result(recorded: Recorded, finished: Finished) -> Result:
    """What the ledger keeps of a finished trajectory."""
    numbers = finished.numbers
    return Result(
        bag=Path(recorded.path).name,
        messages=recorded.messages,
        lost=recorded.lost,
        dropped=recorded.dropped,
        bytes=recorded.bytes,
        started_ns=finished.started_ns,
        duration_s=finished.duration_s,
        temperature_max_c=numbers.temperature_max_c,
        current_mean_a=numbers.current_mean_a,
        current_spread_a=numbers.current_spread_a,
        tracking_rms_rad=numbers.tracking_rms_rad,
        period_error_ms_p99=finished.period_error_ms_p99,
        missed_ticks=finished.missed_ticks,
    )
