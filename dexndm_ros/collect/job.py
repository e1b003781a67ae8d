# SPDX-License-Identifier: Apache-2.0
"""From what was asked for to a campaign that is ready to run; whatever cannot be is refused here."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dexndm_ros.bringup import BringupError, system
from dexndm_ros.collect.errors import RefusedError
from dexndm_ros.collect.options import CollectOptions
from dexndm_ros.paths import PathError, campaign_path
from dexndm_ros.process_spec import ProcessSpec
from dexndm_ros.replay.campaign import Campaign, CampaignError
from dexndm_ros.replay.lock import FileLock, LockedError, hand_lock
from dexndm_ros.replay.prepare import CAMPAIGN_FILE, PrepareError, prepare
from dexndm_ros.replay.trajectory import LibraryError

__all__ = ["CollectJob", "campaign_file", "changed", "make_job"]

_SHIPPED = "demo"


@dataclass(frozen=True)
class CollectJob:
    """What is about to run.

    Attributes:
        campaign: with what was asked for worked in.
        out: its folder.
        ledger: its ledger; it is there.
        processes: in start order.
        again: command that goes on with it.
        locks: on the hand, until released or the end of this process.
    """

    campaign: Campaign
    out: Path
    ledger: Path
    processes: tuple[ProcessSpec, ...]
    again: str
    locks: tuple[FileLock, ...]


def make_job(options: CollectOptions) -> CollectJob:
    """Check everything and make the campaign's folder; nothing is started.

    Raises:
        RefusedError: it cannot be run; one sentence says why and what to do.
    """
    try:
        return _make_job(options)
    except (
        BringupError, CampaignError, LibraryError, LockedError, PathError, PrepareError,
    ) as error:  # fmt: skip
        raise RefusedError(str(error)) from error


def _make_job(options: CollectOptions) -> CollectJob:
    if options.port and not Path(options.port).exists():
        raise RefusedError(
            f"--port {options.port} does not exist: plug the U2D2 in, or name another"
        )
    asked = None if options.out is None else options.out.expanduser().absolute()
    file = campaign_file(options, asked)
    campaign = changed(Campaign.load(file), options)
    out = asked or Path("campaigns").absolute() / f"{campaign.name}-{datetime.now():%Y%m%d-%H%M%S}"
    system("chaos_box", options.arguments(file, out))  # refuses before there is a folder
    locks = _hand_locks(options, campaign.name)
    try:
        # The replay locks the folder for as long as it runs; here it is only looked at and made.
        ledger = prepare(campaign, out, hold=False).ledger_path
    except BaseException:
        for lock in locks:
            lock.release()
        raise
    processes = system("chaos_box", options.arguments(out / CAMPAIGN_FILE, out))
    return CollectJob(campaign, out, ledger, tuple(processes), options.again(out), locks)


def campaign_file(options: CollectOptions, out: Path | None) -> Path:
    """The file of the campaign that was asked for.

    Args:
        options: may name one.
        out: folder that may hold one already.

    Raises:
        PathError: it is not there.
    """
    if options.campaign:
        return campaign_path(options.campaign)
    if out is not None and (out / CAMPAIGN_FILE).is_file():
        return out / CAMPAIGN_FILE
    return campaign_path(_SHIPPED)


def changed(campaign: Campaign, options: CollectOptions) -> Campaign:
    """The campaign with what the command line says instead.

    Raises:
        CampaignError: not possible so.
    """
    changes: dict[str, Any] = {
        "count": options.trajectories,
        "orientation": options.orientation or None,
        "hand_load": options.load or None,
        "seed": options.seed,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    return dataclasses.replace(campaign, **given)


def _hand_locks(options: CollectOptions, name: str) -> tuple[FileLock, ...]:
    """One campaign at a time on a port, and one in a ROS domain: two would command the same topics."""
    domain = hand_lock(f"ROS domain {os.environ.get('ROS_DOMAIN_ID') or '0'}", f"campaign {name}")
    if not options.port:
        return (domain,)
    return domain, hand_lock(str(Path(options.port).absolute()), f"campaign {name}")
