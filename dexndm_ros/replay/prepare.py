# SPDX-License-Identifier: Apache-2.0
"""Everything that can refuse a campaign, before anything moves; then its folder, made or found again.

The folder holds ``campaign.yaml`` (as used), ``campaign.sqlite`` (the ledger), ``campaign.lock`` and ``bags/``.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dexndm_ros.replay.campaign import Campaign
from dexndm_ros.replay.ledger import Ledger, LedgerError
from dexndm_ros.replay.ledger_file import sync_folder
from dexndm_ros.replay.library import open_source
from dexndm_ros.replay.lock import CampaignLock
from dexndm_ros.replay.plan import make_plan
from dexndm_ros.replay.trajectory import TrajectorySource

__all__ = ["BAGS", "CAMPAIGN_FILE", "LEDGER_FILE", "PrepareError", "Prepared", "prepare"]

CAMPAIGN_FILE = "campaign.yaml"
LEDGER_FILE = "campaign.sqlite"
BAGS = "bags"

_COLLECTED = (
    "name",
    "orientation",
    "selection_orientation",
    "count",
    "seed",
    "hand_load",
    "noise",
)
"""Keys that say what is collected: a folder holds one such thing. The others are rules and may change."""
_GB = 1e9


class PrepareError(ValueError):
    """A campaign that must not begin; the message says why, and what to do."""


@dataclass(frozen=True)
class Prepared:
    """A campaign that may begin.

    Attributes:
        campaign: its rules.
        directory: its folder.
        source: its trajectories.
        resumed: the folder held it already.
        spreads_a: current spreads of its done trajectories, in the order in which they were done.
        statistics: numbers kept in its ledger, by name.
        lock: on the folder; None = not held.
    """

    campaign: Campaign
    directory: Path
    source: TrajectorySource
    resumed: bool
    spreads_a: tuple[float, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)
    lock: CampaignLock | None = None

    @property
    def ledger_path(self) -> Path:
        """The ledger."""
        return self.directory / LEDGER_FILE

    @property
    def bags(self) -> Path:
        """Folder of the bags."""
        return self.directory / BAGS


def prepare(
    campaign: Campaign | str | Path | None, directory: str | Path, hold: bool = True
) -> Prepared:
    """Check everything and make the campaign's folder ready, or find it ready.

    Args:
        campaign: a campaign or its file; None = the one that the folder holds, to go on with it.
        directory: the campaign's folder; made if it is not there.
        hold: keep the folder locked (until ``Prepared.lock`` is released or the process ends).

    Raises:
        CampaignError: the campaign file.
        LibraryError: the trajectories.
        PathError: no such trajectory library.
        LockedError: another process runs a campaign in the folder.
        PrepareError: the folder: another campaign's, a ledger of another version, no room, no rights.
    """
    folder = Path(directory).expanduser().absolute()
    ledger_path = folder / LEDGER_FILE
    resumed = ledger_path.exists()
    wanted = _wanted(campaign, folder)
    source = open_source(wanted.library, seed=wanted.seed, noise=wanted.noise)
    source.ids(wanted.wrist)  # refused here, before there is a folder
    if not resumed:
        _check_new_folder(folder, wanted)
    lock = _lock(folder, wanted.name)
    try:
        if not resumed:
            _create(ledger_path, wanted, source)
        prepared = _open(wanted, folder, source, resumed, lock if hold else None)
    except LedgerError as error:
        lock.release()
        raise PrepareError(str(error)) from error
    except BaseException:
        lock.release()
        raise
    if not hold:
        lock.release()
    return prepared


def _wanted(campaign: Campaign | str | Path | None, folder: Path) -> Campaign:
    if isinstance(campaign, Campaign):
        return campaign
    if campaign is not None:
        return Campaign.load(campaign)
    if not (folder / CAMPAIGN_FILE).exists():
        raise PrepareError(f"{folder} holds no campaign to go on with: give a campaign file")
    return Campaign.load(folder / CAMPAIGN_FILE)


def _check_new_folder(folder: Path, campaign: Campaign) -> None:
    """A folder without a ledger: it must be new, and there must be room."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise PrepareError(f"{there} is a file; give a folder for the campaign")
    bags = folder / BAGS
    # The recorder may have been here before us; its lock is no recording.
    if bags.is_dir() and any(not path.name.startswith(".") for path in bags.iterdir()):
        raise PrepareError(
            f"{bags} holds recordings, and there is no ledger {LEDGER_FILE} beside it: give a new folder"
        )
    free_gb = shutil.disk_usage(there).free / _GB
    if free_gb < campaign.disk.pause_gb:
        raise PrepareError(
            f"{folder}: {free_gb:.2f} GB are free, the campaign pauses below disk.pause_gb = "
            f"{campaign.disk.pause_gb:g}: make room, or give a folder on another disk"
        )


def _lock(folder: Path, name: str) -> CampaignLock:
    try:
        (folder / BAGS).mkdir(parents=True, exist_ok=True)
        return CampaignLock(folder, f"campaign {name}")
    except OSError as error:
        if error.errno is None:  # LockedError speaks for itself
            raise
        raise PrepareError(
            f"{folder} cannot be written: {error.strerror}; give another folder, or mend its rights"
        ) from error


def _create(path: Path, campaign: Campaign, source: TrajectorySource) -> None:
    try:
        Ledger.create(path, campaign, make_plan(campaign, source), source.sha256).close()
    except OSError as error:
        raise PrepareError(f"{path} cannot be written: {error.strerror}") from error


def _open(
    campaign: Campaign,
    folder: Path,
    source: TrajectorySource,
    resumed: bool,
    lock: CampaignLock | None,
) -> Prepared:
    with Ledger.open(folder / LEDGER_FILE) as ledger:
        _check_same(ledger, campaign, folder, source)
        if ledger.campaign != campaign:
            ledger.change_rules(campaign)
            ledger.event("rules", "goes on under other rules than before")
        spreads_a = (a.result.current_spread_a for a in ledger.results() if a.result)
        prepared = Prepared(
            campaign=campaign,
            directory=folder,
            source=source,
            resumed=resumed,
            spreads_a=tuple(a for a in spreads_a if math.isfinite(a)),
            statistics=ledger.statistics(),
            lock=lock,
        )
    _write_campaign(folder / CAMPAIGN_FILE, campaign)
    return prepared


def _check_same(ledger: Ledger, campaign: Campaign, folder: Path, source: TrajectorySource) -> None:
    other = list(_differences(ledger.campaign, campaign))
    if ledger.library_sha256 != source.sha256:
        other.append(
            f"library ({ledger.campaign.library!r} there, {campaign.library!r} here: other trajectories)"
        )
    if other:
        raise PrepareError(
            f"{folder} holds another campaign, {ledger.campaign.name!r}; it differs in {', '.join(other)}: give "
            "another folder, or go on with the campaign that it holds"
        )


def _differences(there: Campaign, here: Campaign) -> Iterator[str]:
    for key in _COLLECTED:
        old, new = getattr(there, key), getattr(here, key)
        if dataclasses.is_dataclass(old):
            for part in dataclasses.fields(old):
                a, b = getattr(old, part.name), getattr(new, part.name)
                if a != b:
                    yield f"{key}.{part.name} ({a!r} there, {b!r} here)"
        elif old != new:
            yield f"{key} ({old!r} there, {new!r} here)"


def _write_campaign(path: Path, campaign: Campaign) -> None:
    """The copy of the campaign file; whole or not at all."""
    text = campaign.to_yaml()
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        new = path.with_name(path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise PrepareError(f"{path} cannot be written: {error.strerror}") from error
