# SPDX-License-Identifier: Apache-2.0
"""What a campaign's ledger says of its bags, also where nothing can be written beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from dexndm_ros.replay.ledger import Attempt, Ledger, LedgerError

__all__ = ["read_ledger"]

_BESIDE = ("", "-wal")


def read_ledger(path: Path) -> tuple[str, dict[str, Attempt]]:
    """Read a ledger; nothing on the disk is changed.

    Args:
        path: of the ledger.

    Returns:
        Name of the campaign, and its attempts by their episodes.

    Raises:
        LedgerError: it is none, or damaged.
        OSError: it cannot be copied.
    """
    try:
        return _read(path)
    except LedgerError:
        if os.access(path.parent, os.W_OK):
            raise
    # SQLite wants to make a file of locks beside a ledger that was not closed, as after a power cut; a stick, a
    # snapshot or a colleague's folder has no room for it.
    with tempfile.TemporaryDirectory(prefix="dexndm_ledger_") as folder:
        for ending in _BESIDE:
            source = path.with_name(path.name + ending)
            if source.exists():
                shutil.copyfile(source, Path(folder) / source.name)
        try:
            return _read(Path(folder) / path.name)
        except LedgerError as error:
            text = str(error).replace(folder, str(path.parent))
            raise LedgerError(
                f"{text} (it lies on storage that cannot be written; a copy of it was read)"
            ) from error


def _read(path: Path) -> tuple[str, dict[str, Attempt]]:
    with Ledger.read_only(path) as ledger:
        return ledger.campaign.name, {each.claim.episode: each for each in ledger.attempts()}
