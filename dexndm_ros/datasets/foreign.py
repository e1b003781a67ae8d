# SPDX-License-Identifier: Apache-2.0
"""Bags of other drivers: their joints by name in our order, in radians, with our zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dexndm_ros.datasets.mapping import MappingError, TopicMapping
from dexndm_ros.datasets.streams import BagRefusedError
from dexndm_ros.datasets.tables import Table
from dexndm_ros.hand.joints import JOINT_COUNT, permutation

__all__ = ["foreign_tables"]


def foreign_tables(
    stretch: Mapping[str, Table], mapping: TopicMapping | None, bag: str
) -> dict[str, Table]:
    """Tables of a stretch, with those of a foreign driver put into our terms.

    Raises:
        BagRefusedError: joints are missing, or change in the middle of the bag.
    """
    tables = dict(stretch)
    if mapping is None:
        return tables
    for role in ("foreign_state", "foreign_command"):
        if role in tables:
            tables[role] = _translate(tables[role], mapping, role, bag)
    return tables


def _translate(table: Table, mapping: TopicMapping, role: str, bag: str) -> Table:
    what = f"{bag}: {mapping.state.topic if role == 'foreign_state' else mapping.command.topic}"
    source: Any = table["data" if "data" in table else "position"]
    if source.ndim != 2:
        raise BagRefusedError(f"{what} changes its number of joints in the middle of the bag")
    try:
        columns = _columns(table, mapping, what, source.shape[1])
    except MappingError as error:
        raise BagRefusedError(str(error)) from error
    stamps = table["stamp_ns"] if (table["stamp_ns"] > 0).all() else table["log_ns"]
    out: dict[str, Any] = {
        # Stamps that fall are put right: the message was there no later than the next one.
        "stamp_ns": np.maximum.accumulate(stamps),
        "log_ns": table["log_ns"],
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
