# SPDX-License-Identifier: Apache-2.0
"""Bags of other drivers: their joints by name in our order, in radians, with our zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dexndm_ros.datasets.mapping import MappingError, TopicMapping
from dexndm_ros.datasets.streams import BagRefusedError, of_length
from dexndm_ros.datasets.tables import Table, size
from dexndm_ros.hand.joints import JOINT_COUNT, permutation

__all__ = ["foreign_tables"]


def foreign_tables(
    stretch: Mapping[str, Table], mapping: TopicMapping | None, bag: str, bad: dict[str, int]
) -> dict[str, Table]:
    """Tables of a stretch, with those of a foreign driver put into our terms.

    Args:
        stretch: as read.
        mapping: what its topics mean; None = the bag is our own.
        bag: its name.
        bad: messages of another length than the others are counted here, by topic.

    Raises:
        BagRefusedError: joints are missing, or change in the middle of the bag.
    """
    tables = dict(stretch)
    if mapping is None:
        return tables
    for role in ("foreign_state", "foreign_command"):
        if role in tables:
            tables[role] = _translate(tables[role], mapping, role, bag, bad)
    return tables


def _translate(
    table: Table, mapping: TopicMapping, role: str, bag: str, bad: dict[str, int]
) -> Table:
    topic = mapping.state.topic if role == "foreign_state" else mapping.command.topic
    what, angles = f"{bag}: {topic}", "data" if "data" in table else "position"
    table = _of_one_length(table, angles, topic, bad)
    source: Any = table[angles]
    try:
        columns = _columns(table, mapping, what, source.shape[1])
    except MappingError as error:
        raise BagRefusedError(str(error)) from error
    out: dict[str, Any] = {
        "stamp_ns": table["stamp_ns"],
        "log_ns": table["log_ns"],
        "place": table["place"],
        "position": source[:, columns] * mapping.scale + np.asarray(mapping.offset_rad),
    }
    if role == "foreign_state":
        velocity: Any = table["velocity"]
        if velocity.ndim == 2 and velocity.shape[1] == source.shape[1]:
            out["velocity"] = velocity[:, columns] * mapping.scale
        effort: Any = table["effort"]
        if mapping.state.effort == "current_a" and effort.ndim == 2:
            if effort.shape[1] != source.shape[1]:
                raise BagRefusedError(
                    f"{what} has {effort.shape[1]} efforts for {source.shape[1]} joints; set state.effort to ignore"
                )
            out["current"] = effort[:, columns]
    return out


def _of_one_length(table: Table, angles: str, topic: str, bad: dict[str, int]) -> Table:
    """Without the few messages that have another number of joints than the most."""
    column: Any = table[angles]
    if column.dtype != object:
        return table
    lengths = np.array([len(each) for each in column])
    usual = int(np.bincount(lengths).argmax())
    kept = of_length(table, angles, usual)
    bad[topic] = bad.get(topic, 0) + size(table) - size(kept)
    return kept


def _columns(table: Table, mapping: TopicMapping, what: str, width: int) -> list[int]:
    if "name" in table:
        names: Any = table["name"]
        kinds = {tuple(each) for each in names}
        if len(kinds) > 1:
            raise MappingError(f"{what} changes its joint names in the middle of the bag")
        first = kinds.pop()
        if first:
            return mapping.columns_of(first, what)
    if width != JOINT_COUNT:
        raise MappingError(f"{what} has {width} numbers and no names; {JOINT_COUNT} are needed")
    return list(permutation(mapping.order, "motor"))
