# SPDX-License-Identifier: Apache-2.0
"""Bags that a dataset is without: those that gave nothing, and those that were not meant; told until they are in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dexndm_ros.bags.names import readable
from dexndm_ros.datasets.plan import LeftOut
from dexndm_ros.recording.partial import PART, PARTIAL

__all__ = ["Missing", "entries", "still_missing"]

Entry = Mapping[str, str]


@dataclass(frozen=True)
class Missing:
    """Bags that are not in a dataset, an entry each, see :func:`entries`.

    Attributes:
        unreadable: they gave nothing.
        left_out: they were not meant: rejected, put aside, not finished, gone.
        taken: campaigns and names of bags that have just been taken; a torn one may not know its campaign itself.
    """

    unreadable: tuple[Entry, ...] = ()
    left_out: tuple[Entry, ...] = ()
    taken: tuple[tuple[str, str], ...] = ()


def entries(bags: Iterable[LeftOut]) -> tuple[Entry, ...]:
    """Names, campaigns and reasons without the folders that the bags are in: equal bags give equal datasets."""
    return tuple(
        {
            "bag": readable(each.name),
            "campaign": each.campaign,
            "reason": readable(each.reason.replace(f"{each.path.parent}{os.sep}", "")),
        }
        for each in bags
    )


def still_missing(old: Missing, new: Missing, bags: Iterable[Mapping[str, Any]]) -> Missing:
    """What to tell from now on.

    Args:
        old: what was told so far.
        new: what has just been found; it counts for more than what was found before.
        bags: all that the dataset has now, see ``provenance.bag_entry``.
    """
    there = {(campaign, _recording(name)) for campaign, name in new.taken}
    for bag in bags:
        campaign = str(bag["provenance"].get("campaign", ""))
        there |= {(campaign, _recording(bag["name"])), ("", _recording(bag["name"]))}
    known = there | {_key(each) for each in (*new.unreadable, *new.left_out)}
    return Missing(
        _sorted([*_but(old.unreadable, known), *_but(new.unreadable, there)]),
        _sorted([*_but(old.left_out, known), *_but(new.left_out, there)]),
    )


def _key(entry: Entry) -> tuple[str, str]:
    return entry["campaign"], _recording(entry["bag"])


def _recording(name: str) -> str:
    """The name without what was put behind it because it did not end well."""
    for ending in (PART, PARTIAL):
        name = name.removesuffix(ending)
    return name


def _but(found: Iterable[Entry], known: set[tuple[str, str]]) -> list[Entry]:
    return [each for each in found if _key(each) not in known]


def _sorted(found: list[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(found, key=lambda each: (each["campaign"], each["bag"], each["reason"])))
