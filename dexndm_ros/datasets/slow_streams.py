# SPDX-License-Identifier: Apache-2.0
"""Columns that change slowly or never: motor temperatures and the palm's orientation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dexndm_ros.datasets.assemble import Cut
from dexndm_ros.datasets.mapping import TopicMapping
from dexndm_ros.datasets.tables import Table, as_of, size
from dexndm_ros.policy.wrist import WRISTS

__all__ = ["fill_temperature", "fill_wrist"]

_SOON_NS = 2_000_000_000
"""A temperature that comes so long after a tick still tells what it was."""
_SAME = 0.999
"""|dot product| of two quaternions that are one orientation, to 5 degrees."""


def fill_temperature(columns: dict[str, Any], health: Table | None) -> None:
    """The newest before each tick; before the first one that one, if it comes within two seconds."""
    if health is None or not size(health):
        return
    stamps = np.maximum.accumulate(health["stamp_ns"])
    at = as_of(stamps, columns["action.stamp_ns"])
    soon = (at < 0) & (stamps[0] - columns["action.stamp_ns"] <= _SOON_NS)
    known = (at >= 0) | soon
    columns["observation.temperature"][known] = health["temperature"][np.maximum(at, 0)][known]


def fill_wrist(
    columns: dict[str, Any], cut: Cut, custom: Mapping[str, str], mapping: TopicMapping | None
) -> str:
    """The palm's orientation of each row: as the policy saw it, as the topic tells, or as the campaign says.

    Returns:
        Its name where it is one of ours, '' otherwise.
    """
    wrist = columns["observation.wrist"]
    table = cut.tables.get("wrist")
    if cut.kind in ("policy", "demonstration"):
        wrist[:] = cut.rows["wrist"]
        return _name(wrist)
    if cut.kind == "joint_state":
        assert mapping is not None
        wrist[:] = mapping.wrist
        return mapping.wrist_name if mapping.wrist_name in WRISTS else ""
    named = custom.get("orientation", "")
    if named in WRISTS:
        wrist[:] = WRISTS[named]
    if table is not None and size(table):
        at = as_of(np.maximum.accumulate(table["stamp_ns"]), columns["action.stamp_ns"])
        # A latched message may be stamped long before, or by a clock that was set since: it holds all the same.
        wrist[:] = table["quaternion"][np.maximum(at, 0)]
    return named if named in WRISTS else _name(wrist)


def _name(wrist: Any) -> str:
    if not len(wrist) or not np.isfinite(wrist[0]).all():
        return ""
    for name, quaternion in WRISTS.items():
        if abs(float(np.dot(wrist[0], quaternion))) > _SAME:
            return name
    return ""
