# SPDX-License-Identifier: Apache-2.0
"""``dexndm collect``: a campaign of the Chaos Box from first check to report, with nobody there.

The processes are those of ``bringup.system("chaos_box")``; each is started again when it dies, and all end
with this one, whatever happens to it. What was collected stays; the same folder goes on where it stopped.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.collect.errors import CollectError, RefusedError
from dexndm_ros.collect.heartbeats import Heartbeats
from dexndm_ros.collect.job import CollectJob, make_job
from dexndm_ros.collect.options import CollectOptions, parse_options
from dexndm_ros.collect.progress import Progress
from dexndm_ros.collect.summary import Summary
from dexndm_ros.collect.watch import CampaignWatch, Verdict
from dexndm_ros.dashboard.inputs import StatusSeen
from dexndm_ros.dashboard.report import ReportError, write_report
from dexndm_ros.processes import Ended, Processes, node_environment
from dexndm_ros.replay.ledger import LedgerError

__all__ = ["main"]

_FAULT, _REFUSED, _INTERRUPTED = 1, 2, 130
_LOOK_S = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run a campaign, or go on with one.

    Returns:
        0 done, 1 stopped by a fault, 2 refused before anything moved, 130 ended by Ctrl-C.
    """
    options = parse_options(sys.argv[1:] if argv is None else argv)
    try:
        job = make_job(options)
        _ask(options)
    except RefusedError as error:
        print(f"dexndm collect: {error}", file=sys.stderr)
        return _REFUSED
    # The observer in this process must hear the same graph as the nodes.
    os.environ.update({k: v for k, v in node_environment().items() if k.startswith("ROS_")})
    progress = Progress(sys.stdout, bar=not options.headless)
    _announce(job, options, progress)
    verdict: Verdict | None = Verdict("", "nothing is left to do")
    try:
        if Summary.read(job.ledger).left:
            verdict = _run(job, progress)
    except KeyboardInterrupt:
        verdict = None
    _close(job)
    if verdict is None:
        print(f"stopped, the torque is off; to go on: {job.again}")
        return _INTERRUPTED
    if verdict.fault:
        print(f"dexndm collect: {verdict.fault}; logs: {job.out / 'logs'}", file=sys.stderr)
        print(f"when that is mended, go on with: {job.again}")
        return _FAULT
    return 0


def _ask(options: CollectOptions) -> None:
    """A hand of metal moves only when somebody says so."""
    if not options.port or options.yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"the hand at {options.port} would move with nobody asked; add --yes")
    question = f"The hand at {options.port} will move by itself. Is everything clear of it? [y/N] "
    if input(question).strip().lower() not in ("y", "yes"):
        raise RefusedError("not confirmed; nothing was started")


def _announce(job: CollectJob, options: CollectOptions, progress: Progress) -> None:
    campaign = job.campaign
    hand = f"hand at {options.port}" if options.port else "virtual hand"
    progress.say(
        f"campaign {campaign.name}: {campaign.count} trajectories, {campaign.orientation}, "
        f"load {campaign.hand_load}, {hand}"
    )
    progress.say(f"folder: {job.out}")
    if job.page:
        progress.say(f"dashboard: {job.page}")


def _run(job: CollectJob, progress: Progress) -> Verdict:
    """Start everything, watch, end everything.

    Raises:
        KeyboardInterrupt: everything has ended in order.
    """

    # ROS only once the processes are there: a child must not inherit its threads' locks.
    def on_error(name: str, text: str) -> None:
        progress.say(f"{name}: {text}")

    with Processes(job.processes, job.out / "logs", on_error=on_error) as processes:
        from dexndm_ros.nodes.campaign_observer import RECORDER, REPLAY, CampaignObserver

        inbox: deque[StatusSeen] = deque(maxlen=100)
        beats = Heartbeats((RECORDER, REPLAY))
        with CampaignObserver(inbox.append, lambda name: beats.heard(name, time.monotonic())):
            try:
                return _watch(processes, inbox, beats, progress)
            except CollectError as error:
                return Verdict(str(error), str(error))
            finally:
                progress.close()
                progress.say(
                    "stopping: replay, recorder, then the driver, which switches the torque off"
                )


def _watch(
    processes: Processes, inbox: deque[StatusSeen], beats: Heartbeats, progress: Progress
) -> Verdict:
    """Show how it goes until it is over.

    Raises:
        CollectError: a process could not be brought back.
    """
    watch = CampaignWatch(time.monotonic())
    while True:
        now_s = time.monotonic()
        for ended in processes.poll():
            _tell_end(ended, progress)
        for name in beats.frozen(processes.pids, now_s):
            progress.say(f"{name} lives and says nothing: it is ended, to be started again")
            processes.kill(name)
        while inbox:
            for line in watch.see(inbox.popleft(), now_s):
                progress.say(line)
        if (verdict := watch.verdict(now_s)) is not None:
            return verdict
        status = watch.status
        done, total = (status.done + status.rejected, status.total) if status else (0, 0)
        progress.show(watch.line(), done, total, now_s)
        time.sleep(_LOOK_S)


def _tell_end(ended: Ended, progress: Progress) -> None:
    if ended.critical:
        raise CollectError(ended.reason)
    if ended.respawn_in_s is not None:
        progress.say(f"{ended.reason}; it is started again in {ended.respawn_in_s:g} s")
    else:
        progress.say(f"{ended.reason}; the campaign goes on without it")


def _close(job: CollectJob) -> None:
    """Report and summary; what goes wrong here has cost no data."""
    try:
        for line in Summary.read(job.ledger).lines(job.out):
            print(line)
        print(f"report: {_relative(write_report(job.out))}")
    except (LedgerError, ReportError, OSError) as error:
        print(f"no report ({error}); try again with: dexndm campaign report {job.out}")
    print(f"next: dexndm campaign verify {job.out}")


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
