# SPDX-License-Identifier: Apache-2.0
"""The columns that a dataset of demonstrations has besides the hand's: the operator and the arm.

A pose is metres and a unit quaternion; NaN stands where nothing is known. An age is from the message's stamp to the
row's ``action.stamp_ns``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.datasets.features import FEATURES, Feature
from dexndm_ros.teleop.fr3 import ARM_JOINT_NAMES

__all__ = ["DEMONSTRATION_FEATURES", "features_of", "unknown_columns"]

_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")


def _row(name: str, names: tuple[str, ...], unit: str, text: str) -> Feature:
    return Feature(name, "float32", len(names), names, unit, text)


def _age(name: str, text: str) -> Feature:
    return Feature(name, "float32", 0, (), "s", f"age of {text}")


DEMONSTRATION_FEATURES: tuple[Feature, ...] = (
    _row("observation.controllers.left", _POSE, "m", "left grip, operator's frame; NaN = not seen"),
    _row(
        "observation.controllers.right", _POSE, "m", "right grip, operator's frame; NaN = not seen"
    ),
    _row("observation.controllers.buttons", ("A", "B", "X", "Y"), "", "1 = pressed"),
    _row(
        "observation.controllers.analog",
        ("left_trigger", "left_grip", "right_trigger", "right_grip"),
        "",
        "how far pressed, 0 to 1",
    ),
    _age("observation.controllers.age_s", "both controllers, since they were seen"),
    Feature("observation.engaged", "float32", 0, (), "", "1 = the arm follows the right hand"),
    _row("observation.arm.pose", _POSE, "m", "measured pose of the palm, arm's base frame"),
    _age("observation.arm.age_s", "the measured pose"),
    _row("observation.arm.joints", ARM_JOINT_NAMES, "rad", "measured angles of the arm"),
    _age("observation.arm.joints_age_s", "the angles"),
    _row("action.arm.pose", _POSE, "m", "pose that the arm was told, after all limits"),
    _age("action.arm.age_s", "the pose that was told"),
    _row("action.arm.target", _POSE, "m", "pose that the operator's hand asked for, before limits"),
    _age("action.arm.target_age_s", "the pose that was asked for"),
    _row("action.axis", ("x", "y", "z"), "", "axis that the operator chose, palm frame; 0 = stop"),
    _age("action.axis_age_s", "the choice"),
)
"""Columns of demonstrations, in order, after ``features.FEATURES``."""

_WITH_DEMONSTRATION = (*FEATURES, *DEMONSTRATION_FEATURES)
_OF_OPERATOR = frozenset(each.name for each in DEMONSTRATION_FEATURES)


def features_of(names: Iterable[str]) -> tuple[Feature, ...]:
    """The columns that a file has of which these are some: the hand's, or the demonstration's with them."""
    return FEATURES if _OF_OPERATOR.isdisjoint(names) else _WITH_DEMONSTRATION


def unknown_columns(rows: int) -> dict[str, NDArray[Any]]:
    """The columns of demonstrations, nothing known: NaN throughout."""
    return {
        each.name: np.full((rows, each.width) if each.width else rows, np.nan, dtype=each.dtype)
        for each in DEMONSTRATION_FEATURES
    }
