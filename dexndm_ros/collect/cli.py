# SPDX-License-Identifier: Apache-2.0
"""``dexndm collect``: a campaign of the Chaos Box from first check to report, with nobody there.

The processes are those of ``bringup.system("chaos_box")``; each is started again when it dies, and all end
with this one, whatever happens to it. What was collected stays; the same folder goes on where it stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dexndm_ros.collect.errors import RefusedError
from dexndm_ros.collect.job import CollectJob, make_job
from dexndm_ros.collect.options import CollectOptions, parse_options
from dexndm_ros.collect.progress import Progress
from dexndm_ros.collect.run import run_campaign
from dexndm_ros.collect.summary import Summary
from dexndm_ros.collect.watch import Verdict
from dexndm_ros.processes import node_environment
from dexndm_ros.replay.ledger import Ledger, LedgerError
from dexndm_ros.replay.lock import CampaignLock
from dexndm_ros.replay.prepare import BAGS
from dexndm_ros.replay.reconcile import reconcile

__all__ = ["main"]

_FAULT, _REFUSED, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a campaign, or go on with one.

    Returns:
        0 done, or the time of the schedule is over; 1 stopped by a fault, 2 refused before anything moved,
        130 ended by Ctrl-C.
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
            verdict = run_campaign(job, progress)
    except KeyboardInterrupt:
        verdict = None
    _settle(job)
    left = _close(job)
    if verdict is None:
        print(f"stopped, the torque is off; to go on: {job.again}")
        return _INTERRUPTED
    if verdict.fault:
        print(f"dexndm collect: {verdict.fault}; logs: {job.out / 'logs'}", file=sys.stderr)
        print(f"when that is mended, go on with: {job.again}")
        return _FAULT
    if left:
        print(f"{verdict.text}; to go on: {job.again}")
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


def _settle(job: CollectJob) -> None:
    """Every process has ended: a bag that was being closed meanwhile counts, or is put aside."""
    try:
        with CampaignLock(job.out, "dexndm collect"), Ledger.open(job.ledger) as ledger:
            for line in reconcile(ledger, job.out / BAGS).lines:
                print(line)
    except (LedgerError, OSError) as error:
        print(f"ledger and bags are put in order at the next start ({error})")


def _close(job: CollectJob) -> int:
    """Report and summary; what goes wrong here has cost no data.

    Returns:
        trajectories still to do, as far as is known.
    """
    from dexndm_ros.dashboard.report import ReportError, write_report  # plots: only when it is over

    left = 0
    try:
        summary = Summary.read(job.ledger)
        left = summary.left
        for line in summary.lines(job.out):
            print(line)
        print(f"report: {_relative(write_report(job.out))}")
    except (LedgerError, ReportError, OSError) as error:
        print(f"no report ({error}); try again with: dexndm campaign report {job.out}")
    print(f"next: dexndm campaign verify {job.out}")
    return left


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
