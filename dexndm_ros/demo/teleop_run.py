# SPDX-License-Identifier: Apache-2.0
"""One session of teleoperation as seen from outside: joins what the observer hears into numbers.

Pure: events come in, with their stamps; the numbers come out. It counts from ``begin`` on, when the operator begins.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import OrderedDict, defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dexndm_ros.demo.run import Picture
from dexndm_ros.demo.teleop_report import TeleopReport, Tracking
from dexndm_ros.nodes._demo_events import (
    HealthSeen,
    ObjectSeen,
    ProgressSeen,
    StateSeen,
    StepSeen,
)
from dexndm_ros.nodes._teleop_events import Axis, OperatorSeen, PoseSeen
from dexndm_ros.policy.session import HandMode
from dexndm_ros.teleop.clutch import Clutch

__all__ = ["TeleopRun", "axis_name"]

_KEPT = 200
_LEAST_WAY_M = 1e-4
"""Shorter ways are the noise of measuring."""
_READY_MODES = (HandMode.RAMPING, HandMode.ACTIVE, HandMode.HOLDING)
_NS = 1e-9


def _released() -> str:
    """The words while nothing is wrong and the grip is not held."""
    clutch = Clutch()
    clutch.grip(0.0)
    return clutch.reason


_RELEASED = _released()


def axis_name(axis: Axis) -> str:
    """``+z``, or the numbers of an axis that is none of the palm's."""
    for k, letter in enumerate("xyz"):
        if abs(axis[k]) > 0.999:
            return f"{'-' if axis[k] < 0 else '+'}{letter}"
    return ",".join(f"{part:.2f}" for part in axis)


class TeleopRun:
    """Collects one session; a ``TeleopSink``. Safe to ask from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_ns: int | None = None
        self._now_ns = 0
        self._operator: OperatorSeen | None = None
        self._engaged_s = 0.0
        self._stops = self._faults = 0
        self._reasons: defaultdict[str, float] = defaultdict(float)
        self._commanded: OrderedDict[int, PoseSeen] = OrderedDict()
        self._measured: OrderedDict[int, PoseSeen] = OrderedDict()
        self._last_place: NDArray[np.float64] | None = None
        self._moved_m = 0.0
        self._behind_mm, self._behind_deg = array("d"), array("d")
        self._axis: Axis = (0.0, 0.0, 0.0)
        self._turned: defaultdict[str, float] = defaultdict(float)
        self._off_axis_rad = 0.0
        self._progress: ProgressSeen | None = None
        self._fell = False
        self._arm_fault: str | None = None
        self._q_arm: tuple[float, ...] | None = None
        self._state: StateSeen | None = None
        self._step: StepSeen | None = None
        self._pose: ObjectSeen | None = None
        self._hand_fault = ""
        self._complaints: dict[str, str] = {}

    def begin(self) -> None:
        """The operator begins: count from here on."""
        with self._lock:
            if self._began_ns is None:
                self._began_ns = self._now_ns

    # --- events, in the observer's thread -------------------------------------------------------

    def on_operator(self, seen: OperatorSeen) -> None:
        """A teleop/status arrived."""
        with self._lock:
            before, self._operator = self._operator, seen
            self._now_ns = max(self._now_ns, seen.stamp_ns)
            if before is None or self._began_ns is None:
                return
            passed_s = max(0, seen.stamp_ns - max(before.stamp_ns, self._began_ns)) * _NS
            if before.engaged:
                self._engaged_s += passed_s
                self._stops += bool(seen.reason) and seen.reason != _RELEASED
            elif before.reason:
                self._reasons[before.reason] += passed_s

    def on_measured(self, pose: PoseSeen) -> None:
        """An arm/measured_pose arrived."""
        with self._lock:
            self._pair(pose, self._measured, self._commanded)
            place = np.array(pose.position_m)
            if self._last_place is None:
                self._last_place = place
            way_m = float(np.linalg.norm(place - self._last_place))
            if way_m > _LEAST_WAY_M:
                self._last_place = place
                self._moved_m += way_m if self._began_ns is not None else 0.0

    def on_commanded(self, pose: PoseSeen) -> None:
        """An arm/commanded_pose arrived."""
        with self._lock:
            self._pair(pose, self._commanded, self._measured)

    def on_axis(self, axis: Axis) -> None:
        """A rotation/command arrived."""
        with self._lock:
            self._axis = axis

    def on_joints(self, q_rad: tuple[float, ...]) -> None:
        """The arm's joint angles arrived."""
        self._q_arm = q_rad

    def on_arm_fault(self, text: str) -> None:
        """Why the arm may not be moved; empty = it may."""
        with self._lock:
            self._faults += bool(text) and self._began_ns is not None
            self._arm_fault = text

    def on_state(self, state: StateSeen) -> None:
        """A hand/state arrived."""
        self._state = state

    def on_step(self, step: StepSeen) -> None:
        """A policy/step arrived."""
        self._step = step

    def on_progress(self, progress: ProgressSeen) -> None:
        """A rotation/progress arrived."""
        with self._lock:
            before, self._progress = self._progress, progress
            if before is None or before.episode != progress.episode or self._began_ns is None:
                return
            self._fell |= progress.fallen
            self._off_axis_rad += progress.off_axis_rad - before.off_axis_rad
            turned = progress.angle_rad - before.angle_rad
            if turned and any(self._axis):
                self._turned[axis_name(self._axis)] += turned

    def on_object(self, pose: ObjectSeen) -> None:
        """A sim/object arrived."""
        self._pose = pose

    def on_health(self, health: HealthSeen) -> None:
        """A hand/health arrived."""
        self._hand_fault = health.fault

    def on_complaint(self, source: str, text: str) -> None:
        """A node says why it does not do its work."""
        with self._lock:
            self._complaints[source] = text

    # --- questions ------------------------------------------------------------------------------

    @property
    def fault(self) -> str:
        """Why the driver has stopped the hand; empty = it has not."""
        return self._hand_fault

    @property
    def ready(self) -> bool:
        """Arm, hand and policy wait for the operator."""
        arm = self._arm_fault == "" and self._last_place is not None and self._q_arm is not None
        hand = self._state is not None and self._state.mode in _READY_MODES
        return arm and hand and self._step is not None and self._operator is not None

    @property
    def elapsed_s(self) -> float:
        """Since the operator began; 0 before."""
        return 0.0 if self._began_ns is None else (self._now_ns - self._began_ns) * _NS

    def missing(self) -> str:
        """What is not ready yet, in words; empty = all is."""
        if self.ready:
            return ""
        parts = {
            "arm": self._arm_fault == "" and self._q_arm is not None,
            "hand": self._state is not None and self._state.mode in _READY_MODES,
            "policy": self._step is not None,
            "operator": self._operator is not None,
        }
        waits = f"waiting for: {', '.join(name for name, there in parts.items() if not there)}"
        return f"{waits} ({self._arm_fault})" if self._arm_fault else waits

    def line(self) -> str:
        """What goes on, in a line."""
        with self._lock:
            operator = self._operator
            if operator is None or self._began_ns is None:
                return self.missing() or "the operator begins"
            what = "the arm follows" if operator.engaged else operator.reason
            axis = axis_name(self._axis) if any(self._axis) else "stop"
            turned = "  ".join(f"{name} {angle:+.2f} rad" for name, angle in self._turned.items())
            return f"{self.elapsed_s:5.1f} s  {what}  axis {axis}  {turned}".rstrip()

    def picture(self) -> Picture:
        """What the 3D view draws now."""
        q = None if self._state is None else self._state.position_rad
        arm = None if self._q_arm is None else np.array(self._q_arm)
        return Picture(q, self._pose, None, self.line(), arm)

    def report(self, policy: str, operator: str, world: str) -> TeleopReport:
        """The report of the session so far."""
        with self._lock:
            last = self._operator
            ages = last.age_ms if last is not None else (math.nan, math.nan)
            p50, p95 = (age if math.isfinite(age) else None for age in ages)
            return TeleopReport(
                seconds=self.elapsed_s,
                engaged_s=self._engaged_s,
                stops=self._stops,
                faults=self._faults,
                reasons=dict(self._reasons),
                moved_m=self._moved_m,
                tracking_mm=Tracking.of(self._behind_mm),
                tracking_deg=Tracking.of(self._behind_deg),
                rotation_rad=dict(self._turned),
                off_axis_rad=self._off_axis_rad,
                fell=self._fell,
                operator_ms={"p50": p50, "p95": p95},
                rejected=last.rejected if last is not None else 0,
                policy=policy,
                operator=operator,
                world=world,
            )

    # --- inside, with the lock held -------------------------------------------------------------

    def _pair(
        self,
        pose: PoseSeen,
        mine: OrderedDict[int, PoseSeen],
        others: OrderedDict[int, PoseSeen],
    ) -> None:
        """Compare with the other pose of the same period, which may come before or after."""
        other = others.pop(pose.stamp_ns, None)
        if other is None:
            mine[pose.stamp_ns] = pose
            if len(mine) > _KEPT:
                mine.popitem(last=False)
            return
        follows = self._operator is not None and self._operator.engaged
        if self._began_ns is None or not follows:
            return
        away_m = np.subtract(pose.position_m, other.position_m)
        turn = Rotation.from_quat(other.xyzw).inv() * Rotation.from_quat(pose.xyzw)
        self._behind_mm.append(float(np.linalg.norm(away_m)) * 1e3)
        self._behind_deg.append(math.degrees(turn.magnitude()))
