# SPDX-License-Identifier: Apache-2.0
"""The columns of a dataset: one row a control tick, joints in motor order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.hand.joints import JOINT_COUNT, JOINT_NAMES

__all__ = [
    "FEATURES",
    "FLAG_TEXTS",
    "JOINT_FEATURES",
    "OWN_FEATURES",
    "Feature",
    "RowFlag",
    "empty_columns",
]


@dataclass(frozen=True)
class Feature:
    """A column.

    Attributes:
        name: as LeRobot and the loader know it.
        dtype: numpy's name of it.
        width: numbers in a row; 0 = one number, no list.
        names: what each number is.
        unit: of each.
        text: what it means.
    """

    name: str
    dtype: str
    width: int
    names: tuple[str, ...]
    unit: str
    text: str


class RowFlag(IntFlag):
    """Why a row is not like the others (column ``flags``); a row with any of INVALID's is not ``valid``."""

    NO_STATE = 1  # no state belongs to the tick: the newest before it stands there, or NaN
    STALE_STATE = 2  # the state is older than allowed
    NO_COMMAND = 4  # the tick's command is not in the bag
    PASSED_OVER = 8  # the command was never in force
    LIMITED = 16  # the guard changed the command before it came into force
    BY_TIME = 32  # state and action were matched by time stamps, not by numbers
    NOT_FINITE = 64  # NaN or infinity in state or action
    IMPOSSIBLE = 128  # faster than a joint can move, or outside what it can reach
    SATURATED = 256  # a current at its limit
    STUCK = 512  # a joint did not move though it was told to
    OTHER_STATE = 1024  # the state that the policy saw is not in the bag: another one stands there
    NOT_RUNNING = 2048  # the hand was not following commands
    GAP = 4096  # states or ticks are missing between this row and the next
    OLDER_STATE = 8192  # reads are missing between the state and the tick's command: a newer one may have been

    INVALID = (
        NO_STATE
        | STALE_STATE
        | NO_COMMAND
        | PASSED_OVER
        | NOT_FINITE
        | IMPOSSIBLE
        | NOT_RUNNING
        | GAP
    )


FLAG_TEXTS: Mapping[RowFlag, str] = {
    RowFlag.NO_STATE: "no state belongs to the tick",
    RowFlag.STALE_STATE: "the state is too old",
    RowFlag.NO_COMMAND: "the tick's command is not in the bag",
    RowFlag.PASSED_OVER: "the command was never in force",
    RowFlag.LIMITED: "the guard changed the command",
    RowFlag.BY_TIME: "state and action matched by time, not by number",
    RowFlag.NOT_FINITE: "NaN or infinity in state or action",
    RowFlag.IMPOSSIBLE: "faster or further than a joint can move",
    RowFlag.SATURATED: "a current at its limit",
    RowFlag.STUCK: "a joint stood still though it was told to move",
    RowFlag.OTHER_STATE: "the state that the policy saw is not in the bag",
    RowFlag.NOT_RUNNING: "the hand was not following commands",
    RowFlag.GAP: "states or ticks are missing before the next row",
    RowFlag.OLDER_STATE: "reads are missing just before the command",
}
"""What each flag says, for cards and reports."""


def _joints(name: str, unit: str, text: str) -> Feature:
    return Feature(name, "float32", JOINT_COUNT, JOINT_NAMES, unit, text)


def _number(name: str, dtype: str, unit: str, text: str) -> Feature:
    return Feature(name, dtype, 0, (), unit, text)


FEATURES: tuple[Feature, ...] = (
    _joints("observation.state", "rad", "measured angles when the tick's command came into force"),
    _joints("observation.velocity", "rad/s", "measured velocities, as the angles"),
    _joints("observation.current", "A", "supply currents, as the angles"),
    _joints("observation.command", "rad", "target in force when the joints were read"),
    _joints("observation.temperature", "degC", "motor temperatures, newest before the tick"),
    Feature("observation.wrist", "float32", 4, ("x", "y", "z", "w"), "", "palm in the world"),
    Feature(
        "observation.axis", "float32", 3, ("x", "y", "z"), "", "asked axis, palm frame; 0 = none"
    ),
    _joints("action", "rad", "target that was sent: clean + noise, or base + residual"),
    _joints("action.clean", "rad", "target before noise and residual"),
    _joints("action.noise", "rad", "noise that was added to it"),
    _joints("action.residual", "rad", "correction that was added to it"),
    _number("observation.stamp_ns", "int64", "ns", "when the joints were read, system time"),
    _number("action.stamp_ns", "int64", "ns", "when the target was sent, system time"),
    _number("observation.seq", "int64", "", "HandState.seq; -1 = unknown"),
    _number("action.seq", "int64", "", "HandCommand.seq; -1 = unknown"),
    _number("valid", "bool", "", "the row may be used: no flag of RowFlag.INVALID"),
    _number("flags", "int32", "", "bits of RowFlag"),
)
"""Every column but LeRobot's own five (timestamp, frame_index, episode_index, index, task_index), in order."""

OWN_FEATURES: Mapping[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""LeRobot's own columns, one number a row, and their types."""

JOINT_FEATURES = tuple(each.name for each in FEATURES if each.width == JOINT_COUNT)


def empty_columns(rows: int) -> dict[str, NDArray[Any]]:
    """Columns of so many rows: NaN, 0, -1 or False where nothing is known."""
    columns: dict[str, NDArray[Any]] = {}
    for feature in FEATURES:
        shape = (rows, feature.width) if feature.width else (rows,)
        fill: float | int = np.nan if feature.dtype.startswith("float") else 0
        if feature.name.endswith(".seq"):
            fill = -1
        columns[feature.name] = np.full(shape, fill, dtype=feature.dtype)
    for name in ("observation.axis", "action.noise", "action.residual"):
        columns[name][...] = 0
    return columns
