# SPDX-License-Identifier: Apache-2.0
"""From what the headset tells to where the arm shall go and how the object shall turn.

One tick at a time, and pure: the caller brings the newest sample, the arm's poses and the time, and limits what comes
out before any arm sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.teleop.axis import AxisChooser, AxisConfig
from dexndm_ros.teleop.clutch import Clutch, ClutchConfig, State
from dexndm_ros.teleop.frames import pose_of
from dexndm_ros.teleop.gates import STREAM_FAULTS, Fault, GateConfig, Gates, Verdict
from dexndm_ros.teleop.mapping import Anchor, MappingConfig, anchor_pose, forward_yaw_rad
from dexndm_ros.teleop.one_euro import OneEuroConfig, OneEuroPose
from dexndm_ros.teleop.pose import Pose
from dexndm_ros.teleop.sample import Hand, Sample, Side

__all__ = ["ArmSeen", "Bridge", "BridgeConfig", "Decision", "Pulse"]

FORWARD_BUTTON = "RJ"
_UNCONNECTED = (Fault.NO_SAMPLE, Fault.STALE)


@dataclass(frozen=True)
class Pulse:
    """A shake of a controller, for ``Source.pulse``."""

    hand: Side
    strength: float
    ms: float


ENGAGED_PULSE = Pulse("right", 0.5, 40.0)
FAULT_PULSE = Pulse("right", 1.0, 250.0)


@dataclass(frozen=True)
class BridgeConfig:
    """The settings of the parts."""

    gates: GateConfig = field(default_factory=GateConfig)
    clutch: ClutchConfig = field(default_factory=ClutchConfig)
    mapping: MappingConfig = field(default_factory=MappingConfig)
    smoothing: OneEuroConfig = field(default_factory=OneEuroConfig)
    axis: AxisConfig = field(default_factory=AxisConfig)


@dataclass(frozen=True)
class ArmSeen:
    """What is known of the arm.

    Attributes:
        measured: where it is, in its base frame; None = not known, or too old to be.
        commanded: where it was last told to be, after all limits; None = never.
        fault: why it may not be moved, in words; empty = it may.
    """

    measured: Pose | None = None
    commanded: Pose | None = None
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Decision:
    """What is to be done now.

    Attributes:
        state: of the clutch.
        target: where the hand wants the arm, not yet limited; None = hold, tell the arm nothing new.
        axis: rotation axis in the palm frame, (3,), unit or zero = stop.
        reason: why the arm does not move and, after a colon, what mends it; empty while it moves.
        pulse: a shake for the operator; None = none.
        fresh: a new sample was looked at.
    """

    state: State
    target: Pose | None
    axis: NDArray[np.float64]
    reason: str
    pulse: Pulse | None = None
    fresh: bool = False


class Bridge:
    """Gates, clutch, filter and mapping of the right hand, the axis of the left.

    Attributes:
        gates: for its counts and the samples' age.
        yaw_rad: the operator's frame turned about the vertical into the arm's base frame.
    """

    def __init__(self, config: BridgeConfig | None = None) -> None:
        self.config = config or BridgeConfig()
        self.gates = Gates(self.config.gates)
        self.yaw_rad = self.config.mapping.yaw_rad
        self._clutch = Clutch(self.config.clutch)
        self._filter = OneEuroPose(self.config.smoothing)
        self._axis = AxisChooser(self.config.axis)
        self._anchor: Anchor | None = None
        self._target: Pose | None = None
        self._forward_held = False
        self._fault: Fault | None = Fault.NO_SAMPLE
        self._believed: Hand | None = None  # the right hand of the newest sample

    def tick(self, now_s: float, sample: Sample | None, arm: ArmSeen) -> Decision:
        """Look at a source's newest sample, the same as last time or not, at our monotonic time."""
        verdict = self.gates.check(sample, now_s)
        self._fault = verdict.fault
        if verdict.fresh or verdict.fault:
            self._believed = sample.right if sample and verdict.follow else None
        was_engaged = self._clutch.engaged
        words = verdict.fault or _arm_fault(arm)
        if words:
            self._clutch.fault(str(words), connected=verdict.fault not in _UNCONNECTED)
        elif sample is not None and sample.right is not None and verdict.fresh:
            self._follow(sample, sample.right, arm, may_move=verdict.follow)
        if not self._clutch.engaged:
            self._anchor = self._target = None
        self._choose_axis(sample, verdict)
        engaged = self._clutch.engaged
        pulse = ENGAGED_PULSE if engaged and not was_engaged else None
        if was_engaged and words:
            pulse = FAULT_PULSE
        return Decision(
            self._clutch.state,
            self._target,
            self._axis.axis.copy(),
            str(words) or self._clutch.reason,
            pulse,
            verdict.fresh,
        )

    def set_forward(self) -> str:
        """Make the way the right controller points the arm's forward, by the last sample, if that was believed.

        Returns:
            Why that may not be, in words; empty = it is done.
        """
        if self._clutch.engaged:
            return "the arm follows the hand: release the right grip first"
        if self._believed is None:
            return str(self._fault or "the right controller's pose is not sure: hold it in view")
        yaw_rad = forward_yaw_rad(pose_of(self._believed))
        if yaw_rad is None:
            return "the right controller points up or down: hold it level"
        self.yaw_rad = yaw_rad
        return ""

    def _follow(self, sample: Sample, hand: Hand, arm: ArmSeen, *, may_move: bool) -> None:
        """Take the grip and, where it is to be believed, the pose of a new sample."""
        engages = self._clutch.grip(hand.squeeze, may_engage=may_move)
        if not may_move:
            return
        forward = FORWARD_BUTTON in hand.buttons
        if forward and not self._forward_held:
            self.set_forward()
        self._forward_held = forward
        if engages and arm.measured is not None:
            self._filter.reset()
            start = anchor_pose(arm.commanded, arm.measured, self.config.mapping)
            pose = self._filter.step(sample.captured_s, pose_of(hand))
            self._anchor = Anchor(pose, start, self.config.mapping, self.yaw_rad)
            self._target = start
        elif self._anchor is not None:
            pose = self._filter.step(sample.captured_s, pose_of(hand))
            self._target = self._anchor.target(pose)

    def _choose_axis(self, sample: Sample | None, verdict: Verdict) -> None:
        if sample is None or verdict.fault in STREAM_FAULTS:
            self._axis.stop()
        elif verdict.fresh:
            self._axis.update(sample.left)


def _arm_fault(arm: ArmSeen) -> str:
    return arm.fault or (
        "the arm's pose is not known: is its driver running?" if arm.measured is None else ""
    )
