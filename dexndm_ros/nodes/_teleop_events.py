# SPDX-License-Identifier: Apache-2.0
"""What a show of teleoperation sees of the graph, besides what the demo sees; plain values, no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dexndm_ros.nodes._demo_events import HandSink

__all__ = ["OperatorSeen", "PoseSeen", "TeleopSink"]

Axis = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class OperatorSeen:
    """A TeleopStatus.

    Attributes:
        stamp_ns: when it was told.
        engaged: the arm follows the right hand.
        reason: why it does not; empty = it does.
        age_ms: percentiles 50 and 95 of capture to publish.
        rejected: samples refused since the start.
    """

    stamp_ns: int
    engaged: bool
    reason: str
    age_ms: tuple[float, float]
    rejected: int


@dataclass(frozen=True, slots=True)
class PoseSeen:
    """Where the palm is, or was told to be, in the arm's base frame.

    Attributes:
        stamp_ns: of the period of arm_bridge.
        position_m: (3,).
        xyzw: (4,).
    """

    stamp_ns: int
    position_m: tuple[float, float, float]
    xyzw: tuple[float, float, float, float]


class TeleopSink(HandSink, Protocol):
    """Whoever listens; called in the observer's thread."""

    def on_operator(self, seen: OperatorSeen) -> None:
        """A teleop/status arrived."""

    def on_measured(self, pose: PoseSeen) -> None:
        """An arm/measured_pose arrived."""

    def on_commanded(self, pose: PoseSeen) -> None:
        """An arm/commanded_pose arrived."""

    def on_axis(self, axis: Axis) -> None:
        """A rotation/command arrived; palm frame, unit or zero."""

    def on_joints(self, q_rad: tuple[float, ...]) -> None:
        """The arm's joint angles arrived, in the joint table's order."""

    def on_arm_fault(self, text: str) -> None:
        """Why the arm may not be moved; empty = it may."""
