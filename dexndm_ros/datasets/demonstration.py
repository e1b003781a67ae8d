# SPDX-License-Identifier: Apache-2.0
"""The operator and the arm in the rows of a demonstration.

The ticks of the hand's policy are the clock. Of every other topic the newest message that is stamped no later than the
tick's target (``action.stamp_ns``) stands in the row, and its age beside it: nothing is interpolated, and nothing comes
from the future. NaN stands where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.demonstration_features import unknown_columns
from dexndm_ros.datasets.episode import Finding
from dexndm_ros.datasets.features import RowFlag
from dexndm_ros.datasets.quality import finding
from dexndm_ros.datasets.tables import Table, as_of, size

__all__ = ["check_demonstration", "demonstration_facts", "fill_demonstration", "newest"]

Columns = dict[str, Any]
_ARM_OLD_S = 0.1
"""``arm_bridge`` tells the pose a hundred times a second."""
_OPERATOR_OLD_S = 0.25


def newest(table: Table | None, at_ns: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """For each time the message that was stamped last and no later.

    Args:
        table: messages in any order; one without a stamp has the time of its arrival.
        at_ns: any order.

    Returns:
        Index of the message, (n,), -1 = none; and its age in seconds, (n,), NaN = none.
    """
    if table is None or not size(table):
        return np.full(len(at_ns), -1, dtype=np.intp), np.full(len(at_ns), np.nan)
    stamps = np.where(table["stamp_ns"] > 0, table["stamp_ns"], table["log_ns"])
    order = np.argsort(stamps, kind="stable")
    place = as_of(stamps[order], at_ns)
    index = np.where(place >= 0, order[np.maximum(place, 0)], -1)
    age_s = (at_ns - stamps[np.maximum(index, 0)]) / 1e9
    return index, np.where(index >= 0, age_s, np.nan)


def fill_demonstration(columns: Columns, tables: Mapping[str, Table]) -> None:
    """Add the columns of the operator and the arm.

    Args:
        columns: of the episode, ``action.stamp_ns`` filled.
        tables: messages by role, see ``demonstration_streams.ROLES``.
    """
    at_ns = columns["action.stamp_ns"]
    columns |= unknown_columns(len(at_ns))
    for role, values, ages in (
        ("controllers", _controllers, "observation.controllers.age_s"),
        ("operator", _operator, ""),
        ("arm_pose", _poses("observation.arm.pose"), "observation.arm.age_s"),
        ("arm_joints", _joints, "observation.arm.joints_age_s"),
        ("arm_command", _poses("action.arm.pose"), "action.arm.age_s"),
        ("arm_target", _poses("action.arm.target"), "action.arm.target_age_s"),
        ("axis", _axis, "action.axis_age_s"),
    ):
        table = tables.get(role)
        if table is None or not size(table):
            continue
        index, age_s = newest(table, at_ns)
        have = index >= 0
        for name, told in values(table).items():
            columns[name][have] = told[index[have]]
        if ages:
            columns[ages][:] = age_s


def _poses(name: str) -> Any:
    def pose(table: Table) -> Columns:
        return {name: np.concatenate([table["pose.position"], table["pose.orientation"]], axis=1)}

    return pose


def _controllers(table: Table) -> Columns:
    told: Columns = {}
    for side in ("left", "right"):
        pose = np.concatenate([table[f"{side}.position"], table[f"{side}.orientation"]], axis=1)
        seen = table[f"{side}_valid"].astype(bool)
        told[f"observation.controllers.{side}"] = np.where(seen[:, None], pose, np.nan)
    buttons = [table[f"button_{name}"] for name in "abxy"]
    analog = [table[f"{side}_{part}"] for side in ("left", "right") for part in ("trigger", "grip")]
    told["observation.controllers.buttons"] = np.stack(buttons, axis=1).astype(np.float32)
    told["observation.controllers.analog"] = np.stack(analog, axis=1)
    return told


def _operator(table: Table) -> Columns:
    return {"observation.engaged": table["engaged"].astype(np.float32)}


def _axis(table: Table) -> Columns:
    return {"action.axis": table["axis"]}


def _joints(table: Table) -> Columns:
    return {"observation.arm.joints": table["angles"]}


def check_demonstration(columns: Columns, tables: Mapping[str, Table]) -> Iterator[Finding]:
    """What of the operator and the arm is missing; rows without the arm's pose are marked in ``flags``."""
    for role, name in (("arm_pose", "arm/measured_pose"), ("arm_command", "arm/commanded_pose"),
                       ("axis", "rotation/command"), ("operator", "teleop/status")):  # fmt: skip
        if not size(tables.get(role)):
            yield finding(
                "not_told",
                1,
                "flagged",
                f"the bag has no message of {name}: its columns are NaN throughout",
            )
    if size(tables.get("arm_pose")):
        yield from _arm_gaps(columns)
    age_s = columns["observation.controllers.age_s"]
    unseen = ~(age_s <= _OPERATOR_OLD_S) | np.isnan(columns["observation.controllers.right"][:, 0])
    if unseen.any():
        yield finding(
            "operator_gap",
            int(unseen.sum()),
            "noted",
            f"rows in which the right controller was not seen: {int(unseen.sum())}, first in row "
            f"{int(np.argmax(unseen))}",
        )


def _arm_gaps(columns: Columns) -> Iterator[Finding]:
    unknown = ~np.isfinite(columns["observation.arm.pose"]).all(axis=1)
    if np.isfinite(columns["action.arm.pose"]).any():
        unknown |= ~np.isfinite(columns["action.arm.pose"]).all(axis=1)
    age_s = columns["observation.arm.age_s"]
    old = ~unknown & ~(age_s <= _ARM_OLD_S)
    columns["flags"][unknown] |= RowFlag.NOT_FINITE
    columns["flags"][old] |= RowFlag.STALE_STATE
    gap = unknown | old
    if gap.any():
        longest = f", the oldest {np.nanmax(age_s[old]):.2f} s" if old.any() else ""
        yield finding(
            "arm_gap",
            int(gap.sum()),
            "flagged",
            f"rows without a pose of the arm, or with one older than {_ARM_OLD_S:g} s: {int(gap.sum())}, first in row "
            f"{int(np.argmax(gap))}{longest}",
        )


def demonstration_facts(
    columns: Columns, custom: Mapping[str, str], rate_hz: int
) -> dict[str, Any]:
    """Figures of a demonstration for ``meta/episodes``.

    Args:
        columns: of the episode.
        custom: what the recorder noted in the bag.
        rate_hz: rows a second.
    """
    path_m = columns["observation.arm.pose"][:, :3]
    steps_m = np.linalg.norm(np.diff(path_m.astype(np.float64), axis=0), axis=1)
    axes = columns["action.axis"]
    turning = np.isfinite(axes).all(axis=1) & (axes != 0).any(axis=1)
    return {
        "demonstration": custom.get("episode", ""),
        "engaged_s": float((columns["observation.engaged"] == 1).sum()) / rate_hz,
        "turning_s": float(turning.sum()) / rate_hz,
        "arm_path_m": float(np.nansum(steps_m)),
    }
