# SPDX-License-Identifier: Apache-2.0
"""``dexndm campaign check|status|verify|report``: a campaign file, and what a campaign's folder holds."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from dexndm_ros.collect.summary import Summary
from dexndm_ros.paths import campaign_path
from dexndm_ros.replay.campaign import Campaign, CampaignError, ScheduleConfig
from dexndm_ros.replay.ledger import Ledger, LedgerError
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.prepare import LEDGER_FILE
from dexndm_ros.replay.trajectory import RATE_HZ, STEPS, LibraryError
from dexndm_ros.replay.verify import VerifyReport, verify

__all__ = ["main"]

_DISAGREES, _REFUSED = 1, 2
_LATEST = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the jobs.

    Returns:
        0 all is well; 1 ledger and bags disagree, or the report cannot be written; 2 a campaign file that is refused,
        no campaign's folder, or wrong use.
    """
    options = _parser().parse_args(argv)
    try:
        return int(options.job(options))
    except (CampaignError, LibraryError, LedgerError, OSError) as error:
        print(f"dexndm campaign {options.name}: {error}", file=sys.stderr)
        return _REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dexndm campaign", description="Campaigns of the Chaos Box, before and after."
    )
    jobs = parser.add_subparsers(dest="name", required=True)
    check = jobs.add_parser("check", help="check a campaign file and its library; nothing moves")
    check.add_argument("campaign", help="YAML file, or a name in config/campaigns")
    check.set_defaults(job=_check)
    for name, job, text in (
        ("status", _status, "how far a campaign is, also while it runs"),
        ("verify", _verify, "read ledger and all bags, and tell where they disagree"),
        ("report", _report, "write the campaign's report (HTML) anew"),
    ):
        each = jobs.add_parser(name, help=text)
        each.add_argument("directory", type=Path, help="the campaign's folder")
        each.set_defaults(job=job)
    return parser


def _check(options: argparse.Namespace) -> int:
    campaign = Campaign.load(campaign_path(options.campaign))
    source = open_source(campaign.library, seed=campaign.seed, noise=campaign.noise)
    there = len(source.ids(campaign.wrist))
    passes, rest = divmod(campaign.count, there)
    print(f"{campaign.name}: {_what(campaign)}")
    times = f"each {passes} times" + (f", {rest} of them once more" if rest else "")
    if passes == 0:
        times = f"{rest} of them once"
    print(f"library {campaign.library}: {there} trajectories for {campaign.wrist}, {times}")
    hours = campaign.count * STEPS / RATE_HZ / 3600
    print(f"{hours:.1f} h of replay, {_when(campaign.schedule)}")
    print("it can begin")
    return 0


def _status(options: argparse.Namespace) -> int:
    path = options.directory / LEDGER_FILE
    with Ledger.read_only(path) as ledger:
        campaign, attempts = ledger.campaign, ledger.attempts()
        events = ledger.events(last=_LATEST)
    print(f"{campaign.name}: {_what(campaign)}")
    for line in Summary.read(path).lines(options.directory):
        print(line)
    _print_reasons(Counter(a.reason for a in attempts if a.state == "rejected"))
    for event in events:
        print(f"{datetime.fromtimestamp(event.time_ns / 1e9):%d %b %H:%M:%S}  {event.text}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    bar = tqdm(desc="bags", unit="bag", mininterval=0.5, leave=False, delay=1.0)

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        report = verify(options.directory, progress)
    _print_report(report)
    return 0 if report.agrees else _DISAGREES


def _print_report(report: VerifyReport) -> None:
    counts = report.counts
    print(
        f"{counts.done} of {counts.total} rows done, {counts.rejected} rejected, "
        f"{counts.claimed + counts.planned} to do; {report.interrupted} interruptions"
    )
    print(f"{report.bags} bags read: {report.messages} messages, {report.bytes / 1e6:.1f} MB")
    _print_reasons(Counter(reason for _, reason in report.rejected))
    for note in report.notes:
        print(f"note: {note}")
    for problem in report.problems:
        print(f"PROBLEM: {problem}")
    print(
        "ledger and bags agree"
        if report.agrees
        else f"ledger and bags disagree: {len(report.problems)} problems"
    )


def _print_reasons(reasons: Counter[str]) -> None:
    for reason, times in reasons.most_common():
        print(f"rejected {times} x: {reason}")


def _report(options: argparse.Namespace) -> int:
    # matplotlib takes a second to import, and the other jobs have no use for it.
    from dexndm_ros.dashboard.report import ReportError, write_report

    try:
        print(write_report(options.directory))
    except ReportError as error:
        print(f"dexndm campaign report: {error}", file=sys.stderr)
        return _DISAGREES
    return 0


def _what(campaign: Campaign) -> str:
    return f"{campaign.count} trajectories, {campaign.orientation}, hand load {campaign.hand_load}"


def _when(schedule: ScheduleConfig) -> str:
    if schedule.start and schedule.stop:
        text = f"every day from {schedule.start} to {schedule.stop}"
    elif schedule.start:
        text = f"from {schedule.start} on"
    elif schedule.stop:
        text = f"at once, until {schedule.stop}"
    else:
        text = "at any time"
    return text + (f", at most {schedule.max_hours:g} h a run" if schedule.max_hours else "")
